// The journals of a node's ports: one for each path, shared by the ports that name it.
#include <algorithm>
#include <filesystem>
#include <set>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>
#include <weft/journal/journal.hpp>

#include "node/node_impl.hpp"

namespace weft {

namespace {

/// Of all ends of this process that name the path.
struct Sizes {
  JournalOptions options;
  std::uint64_t need = 0;
};

Sizes sizes_of(const topology::NodePlan& plan, const std::string& path) {
  std::uint64_t kept = 0;
  std::set<std::string> ports;  // a publisher has one log for all its subscribers
  std::uint64_t segment = 0, max = 0;
  for (const topology::EndPlan& end : plan.ends) {
    if (end.journal != path) continue;
    const auto link = std::ranges::find_if(
        plan.links, [&end](const topology::LinkPlan& one) { return one.id == end.link; });
    // Dead letters have no sizes of their own, and share the capacity of the link that they come from.
    if (link == plan.links.end() || !link->dead_letters_of.empty()) continue;
    if (end.sender && ports.insert(end.port).second) kept += topology::journal_kept(*link);
    segment = std::max(segment, link->journal_segment);
    max = std::max(max, link->journal_max);
  }
  Sizes out;
  out.need = topology::journal_need(kept);
  JournalOptions& o = out.options;
  o.max_bytes = max != 0 ? max : std::max(o.max_bytes, out.need);
  o.segment_bytes = segment != 0 ? segment : std::min(o.segment_bytes, o.max_bytes / 4);
  return out;
}

}  // namespace

std::shared_ptr<Journal> Node::Impl::journal_of(std::string_view port, const std::string& path) {
  const auto refuse = [&](Errc code, std::string_view why) {
    throw Error(code, format("node {}: port {}: cannot open the journal {}: {}", plan.id.text(), port,
                             weft::quoted(path), why));
  };
  std::error_code failure;
  std::filesystem::path folder = std::filesystem::absolute(path, failure).lexically_normal();
  if (failure) refuse(Errc::io, failure.message());
  if (!folder.has_filename()) folder = folder.parent_path();  // "dir/" names dir
  std::shared_ptr<Journal>& journal = journals[folder.string()];
  if (journal) return journal;
  std::filesystem::create_directories(folder.parent_path(), failure);
  if (failure) refuse(Errc::io, format("its folder cannot be made: {}", failure.message()));
  Sizes sizes = sizes_of(plan, path);
  try {
    sizes.options.path = folder.string();
    sizes.options.log = options.log;
    journal = Journal::open(sizes.options);
  } catch (const Error& error) {
    refuse(error.code(), error.what());
  }
  for (const JournalDamage& damage : journal->damage()) {
    options.log.warn(format("port {}: journal {}: {} bytes at {} of {} are set aside: {}", port,
                            folder.string(), damage.bytes, damage.offset, damage.file, damage.what));
  }
  if (const std::uint64_t room = journal->stats().room_bytes; room < sizes.need) {
    options.log.warn(format(
        "port {}: journal {}: there is room for {} on its disk, and what its ports may keep there needs {}: "
        "senders will wait for room; make some, or the capacity of the link smaller",
        port, folder.string(), format_size(room), format_size(sizes.need)));
  }
  return journal;
}

void Node::Impl::check_journals() {
  for (const auto& [path, journal] : journals) {
    if (const auto why = journal ? journal->failure() : std::nullopt)
      return fail(format("the journal {} has failed: {}", weft::quoted(path), *why));
  }
}

}  // namespace weft
