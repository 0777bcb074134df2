// weft run: this process becomes one node of a topology, with addresses from the file and no launcher.
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>
#include <weft/topology/topology.hpp>

#include "programs.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

const topology::NodePlan& find_node(const topology::Plan& plan, const Run& run) {
  std::vector<std::string> names;
  for (const topology::NodePlan& node : plan.nodes) {
    if (node.id.name == run.node && node.id.replica == run.replica) return node;
    if (names.empty() || names.back() != node.id.name) names.push_back(node.id.name);
    if (node.id.name == run.node && run.replica >= node.replicas) {
      throw Error(Errc::invalid_argument, format("--replica {}: {} has {} replicas, from 0 to {}",
                                                 run.replica, run.node, node.replicas, node.replicas - 1));
    }
  }
  const auto near = nearest(run.node, names);
  throw Error(
      Errc::invalid_argument,
      format("--node {}: {} has no such node; {}", weft::quoted(run.node), plan.file,
             near ? format("did you mean {}?", weft::quoted(*near)) : "its nodes are " + join_words(names)));
}

/// What would give the link of an end its address; `binder` is the node that binds there.
std::string remedy(const topology::NodePlan& node, const topology::EndPlan& end, const std::string& binder) {
  std::string where = "the link \"endpoint\"";
  for (const topology::LinkPlan& link : node.links) {
    if (link.id != end.link || link.dead_letters_of.empty()) continue;
    where = format("the link {} \"dead-letter: {{to: {}.{}, endpoint: ...}}\"", link.dead_letters_of,
                   link.to_node, link.to_port);
  }
  return format("give {}, or \"hosts\" the addresses of {}", where, binder);
}

void require_addresses(const topology::NodePlan& node) {
  for (const topology::EndPlan& end : node.ends) {
    if (end.binds && end.endpoint.empty()) {
      throw Error(Errc::invalid_file,
                  format("the link {} has no address, so nobody would find {}.{}; {}", end.link,
                         node.id.text(), end.port, remedy(node, end, node.id.name)));
    }
    for (const topology::PeerPlan& peer : end.peers) {
      if (end.binds || !peer.endpoint.empty()) continue;
      throw Error(Errc::invalid_file, format("the link {} has no address for {}; {}", end.link,
                                             peer.node.text(), remedy(node, end, peer.node.name)));
    }
  }
}

// The plan as an open file without a name, which exec hands over.
std::string spec_file(const topology::NodePlan& node) {
  const std::string text = to_json(to_value(node), 2);
  const int fd = ::memfd_create("weft-spec", 0);
  if (fd < 0 || ::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw Error(Errc::io, format("cannot write the plan of the node: {}", std::strerror(errno)));
  }
  return format("/proc/self/fd/{}", fd);
}

[[noreturn]] void become(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  throw Error(Errc::io, format("cannot run {}: {}", words.front(), std::strerror(errno)));
}

}  // namespace

int run_verb(const Run& run) {
  Catalog catalog;
  const topology::Plan plan =
      topology::load(run.source.file, {.sets = run.source.sets, .describe = catalog.describer()});
  const topology::NodePlan& node = find_node(plan, run);
  require_addresses(node);
  const Catalog::Entry& entry = catalog.find(node.program, folder_of(plan.file));
  for (const auto& [name, value] : node.environment) ::setenv(name.c_str(), value.c_str(), 1);
  const std::string spec = spec_file(node);
  std::vector<std::string> words{entry.path};
  if (entry.description) {
    const std::vector<std::string> given{"--spec",        spec,
                                         "--start-limit", format_duration(plan.start_limit),
                                         "--drain-limit", format_duration(plan.drain_limit),
                                         "--log-level",   run.log_level};
    words.insert(words.end(), given.begin(), given.end());
  } else {
    words.insert(words.end(), node.arguments.begin(), node.arguments.end());
    ::setenv("WEFT_SPEC", spec.c_str(), 1);
    ::setenv("WEFT_NODE", node.id.name.c_str(), 1);
    ::setenv("WEFT_REPLICA", format("{}", node.id.replica).c_str(), 1);
  }
  become(words);
}

}  // namespace weft::cli
