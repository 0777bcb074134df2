// The journals of a node's ports: one for each path, shared by the ports that name it.
#include <filesystem>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/journal/journal.hpp>

#include "node/node_impl.hpp"

namespace weft {

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
  try {
    journal = Journal::open({.path = folder.string(), .log = options.log});
  } catch (const Error& error) {
    refuse(error.code(), error.what());
  }
  for (const JournalDamage& damage : journal->damage()) {
    options.log.warn(format("port {}: journal {}: {} bytes at {} of {} are set aside: {}", port,
                            folder.string(), damage.bytes, damage.offset, damage.file, damage.what));
  }
  return journal;
}

}  // namespace weft
