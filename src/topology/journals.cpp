// Journals: which path each process opens, and that no two open the same.
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

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

class Owners {
 public:
  explicit Owners(Problems& problems) : problems_(problems) {}

  void take(const std::string& path, const Tree& at, const std::string& node, unsigned replicas) {
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

 private:
  Problems& problems_;
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

void check_journals(const Model& model, Problems& problems) {
  Owners owners(problems);
  for (const LinkSpec& link : model.links) {
    const LinkPlan& plan = link.plan;
    if (plan.id.empty() || !plan.dead_letters_of.empty()) continue;
    if (link.journal_from && !plan.journal_from.empty())
      owners.take(plan.journal_from, *link.journal_from, plan.from_node, plan.from_replicas);
    if (link.journal_to && !plan.journal_to.empty())
      owners.take(plan.journal_to, *link.journal_to, plan.to_node, plan.to_replicas);
  }
}

}  // namespace weft::topology
