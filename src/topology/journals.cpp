// Journals: which path each process opens, and that no two open the same.
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

#include "model.hpp"

namespace weft::topology {
namespace {

constexpr std::size_t kMostJournals = 100'000;  // ends of all processes

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

std::string normal(const std::string& path) {
  const std::filesystem::path place = std::filesystem::path(path).lexically_normal();
  return (place.has_filename() ? place : place.parent_path()).string();  // "dir/" names dir
}

std::string shown_size(std::uint64_t bytes) {
  return bytes == 0 ? "the usual" : format_size(bytes);
}

/// The sizes of one journal, and what the senders that share it keep there.
struct Shared {
  const LinkSpec* first = nullptr;
  std::uint64_t kept = 0;
};

class Owners {
 public:
  explicit Owners(Problems& problems) : problems_(problems) {}

  void take(const LinkSpec& link, bool sender) {
    const LinkPlan& plan = link.plan;
    const std::string& path = sender ? plan.journal_from : plan.journal_to;
    const Tree* at = sender ? link.journal_from : link.journal_to;
    if (!at || path.empty()) return;
    const std::string& node = sender ? plan.from_node : plan.to_node;
    // A publisher has one log for all its subscribers.
    const bool counts = sender && ports_.emplace(node, plan.from_port).second;
    share(link, path, node, counts ? journal_kept(plan) : 0);
    own(path, *at, node, sender ? plan.from_replicas : plan.to_replicas);
  }

 private:
  // A process opens a journal once: whoever names it means it alike.
  void share(const LinkSpec& link, const std::string& path, const std::string& node, std::uint64_t kept) {
    Shared& journal = shared_[{node, normal(path)}];
    const LinkPlan& plan = link.plan;
    if (!journal.first) journal.first = &link;
    const LinkPlan& first = journal.first->plan;
    if (first.journal_segment != plan.journal_segment || first.journal_max != plan.journal_max) {
      problems_.add(
          *link.journal,
          format("{}.journal has segment {} and max {}, and {} on line {}, which shares it at node {}, "
                 "{} and {}; a process opens it once, so make them alike",
                 link.path, shown_size(plan.journal_segment), shown_size(plan.journal_max),
                 journal.first->path, journal.first->place.line, node, shown_size(first.journal_segment),
                 shown_size(first.journal_max)));
      return;
    }
    const std::uint64_t before = journal.kept;
    journal.kept = kept > UINT64_MAX - before ? UINT64_MAX : before + kept;
    if (plan.journal_max == 0 || plan.journal_max >= journal_need(journal.kept) || kept == 0) return;
    if (before != 0 && plan.journal_max < journal_need(before)) return;  // told already
    problems_.add(
        *link.journal_max,
        format("{}.journal.max is {}; what {} keeps there ({}) needs {}: as much again may be dead and "
               "not reclaimed yet. Make max larger, or {} smaller",
               link.path, format_size(plan.journal_max), node, format_size(journal.kept),
               format_size(journal_need(journal.kept)),
               link.pattern == Pattern::pub_sub ? "retain" : "capacity"));
  }

  void own(const std::string& path, const Tree& at, const std::string& node, unsigned replicas) {
    if (!asked_.emplace(node, path).second || said_) return;
    counted_ += replicas;
    if (counted_ > kMostJournals) {
      said_ = true;
      problems_.add(
          at, format("with this one the topology has {} journals (one a replica); at most {} are allowed",
                     counted_, kMostJournals));
      return;
    }
    for (unsigned replica = 0; replica < replicas; ++replica) {
      const std::string mine = normal(journal_of(path, node, replica, replicas));
      const std::string who = format("{}/{}", node, replica);
      const auto [first, fresh] = owners_.emplace(mine, who);
      if (fresh || first->second == who) continue;
      problems_.add(at,
                    format("the journal {} would be opened by two processes, {} and {}; one process owns a "
                           "journal, so put ${{node}} and ${{replica}} into the path, or use two paths",
                           weft::quoted(mine), first->second, who));
      return;
    }
  }

  Problems& problems_;
  std::map<std::pair<std::string, std::string>, Shared> shared_;  // by node and path
  std::set<std::pair<std::string, std::string>> ports_;
  std::set<std::pair<std::string, std::string>> asked_;
  std::map<std::string, std::string> owners_;
  std::size_t counted_ = 0;
  bool said_ = false;
};

}  // namespace

std::string journal_of(const std::string& path, const std::string& node, unsigned replica,
                       unsigned replicas) {
  std::string text = path;
  if (text.empty()) return text;
  const std::string number = std::to_string(replica);
  // Without it all replicas would open one journal, which belongs to one process.
  if (replicas > 1 && text.find("${replica}") == std::string::npos) {
    while (text.size() > 1 && text.back() == '/') text.pop_back();
    text += format("-{}-{}", node, number);
  }
  return replaced(replaced(std::move(text), "${node}", node), "${replica}", number);
}

std::uint64_t journal_need(std::uint64_t kept_bytes) {
  constexpr std::uint64_t kBeside = 4ULL << 20;  // marks, places, a reserve, segments that were just begun
  return kept_bytes > (UINT64_MAX - kBeside) / 2 ? UINT64_MAX : 2 * kept_bytes + kBeside;
}

std::uint64_t journal_kept(const LinkPlan& link) {
  if (link.journal_from.empty()) return 0;
  return link.pattern == Pattern::pub_sub ? link.retain_bytes : link.capacity_bytes;
}

void check_journals(const Model& model, Problems& problems) {
  Owners owners(problems);
  for (const LinkSpec& link : model.links) {
    const LinkPlan& plan = link.plan;
    if (plan.id.empty() || !plan.dead_letters_of.empty()) continue;
    owners.take(link, true);
    owners.take(link, false);
  }
}

}  // namespace weft::topology
