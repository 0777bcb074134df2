// Links against nodes and against each other: ends that exist, ports used in one way, settings that fit the
// pattern, who binds, and cycles that can stop for ever.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "model.hpp"
#include "names.hpp"

namespace weft::topology {
namespace {

std::string where(const Place& place) {
  return place.line == 0 ? "elsewhere" : format("on line {}", place.line);
}

// Reports links to nowhere, then nodes without links. A near miss counts as meant, so that one slip is one
// error.
class Ends {
 public:
  Ends(const Model& model, Problems& problems)
      : model_(model), problems_(problems), names_(model.node_names()) {}

  void check(const PortRef& ref) {
    linked_.insert(ref.node);
    if (model_.node(ref.node) || problems_.full()) return;
    linked_.insert(nearest_of(ref.node, names_));
    problems_.add(*ref.at, format("{} leads to nowhere: there is no node {}{}", weft::quoted(ref.at->text),
                                  weft::quoted(ref.node), offer(ref.node, names_, "the nodes are")));
  }

  void report_unlinked() const {
    if (model_.unreadable_links) return;
    for (const NodeSpec& node : model_.nodes) {
      if (linked_.contains(node.name)) continue;
      problems_.add(node.place,
                    format("the node {} has no link, so it can take no part; give it one, or remove it",
                           weft::quoted(node.name)));
    }
  }

 private:
  const Model& model_;
  Problems& problems_;
  std::vector<std::string> names_;
  std::set<std::string> linked_;
};

// A port opens one block, and a push or dealer port has one set of peers to choose from.
class Ports {
 public:
  explicit Ports(Problems& problems) : problems_(problems) {}

  void use(const PortRef& ref, BlockKind block) {
    const auto [at, fresh] = used_.emplace(std::pair(ref.node, ref.port), Use{block, ref.at});
    if (fresh) return;
    const Use& first = at->second;
    const std::string name = weft::quoted(ref.node + "." + ref.port);
    if (first.block != block) {
      problems_.add(*ref.at,
                    format("the port {} is a {} here and a {} {}; a port opens one block, so use two ports",
                           name, to_string(block), to_string(first.block), where(first.at->place)));
    } else if (block == BlockKind::push || block == BlockKind::dealer) {
      problems_.add(
          *ref.at,
          format("the {} port {} has a link {} already; it deals out over one link's peers, so use a "
                 "second port, or one node with replicas at the other end",
                 to_string(block), name, where(first.at->place)));
    }
  }

 private:
  struct Use {
    BlockKind block;
    const Tree* at;
  };
  Problems& problems_;
  std::map<std::pair<std::string, std::string>, Use> used_;
};

void check_pub_sub(LinkSpec& link, Problems& problems) {
  if (link.distribute) {
    refuse(link.distribute, link, "distribute", "with pub-sub every subscriber of a topic gets each record",
           problems);
  }
  if (link.prefetch) {
    refuse(link.prefetch, link, "prefetch", "with pub-sub there is no credit; capacity bounds what is queued",
           problems);
  }
  if (link.from_binds == false) {
    refuse(link.bind, link, "bind",
           "the publisher always binds, since each subscriber also opens a side channel to every "
           "publisher; leave the key out",
           problems);
  }
  link.from_binds = true;
}

void check_shared_memory(LinkSpec& link, Problems& problems) {
  if (link.pattern == Pattern::pub_sub) {
    refuse(link.transport, link, "transport",
           "shm shares a sender's memory with a receiver that it knows, which a publisher's data socket does "
           "not; use auto",
           problems);
  } else if (link.plan.wire == WireMode::native) {
    refuse(link.transport, link, "transport",
           "shm is agreed upon by a session, and wire: native has none; use ipc", problems);
  }
}

void check_native(LinkSpec& link, Problems& problems) {
  if (link.pattern != Pattern::push_pull) {
    refuse(link.wire, link, "wire",
           "native means plain PUSH and PULL sockets, so the pattern must be push-pull", problems);
    return;
  }
  if (link.distribute && link.plan.distribute != Distribute::round_robin) {
    refuse(link.distribute, link, "distribute", "wire: native has no credit to go by, so it is round-robin",
           problems);
  }
  if (link.prefetch) refuse(link.prefetch, link, "prefetch", "wire: native has no credit", problems);
  if (link.dead_after)
    refuse(link.dead_after, link, "dead-after", "wire: native has no heartbeats", problems);
  if (link.from_binds == true) {
    refuse(link.bind, link, "bind",
           "with wire: native the pulling end binds, so that plain PUSH peers can come and go", problems);
  }
  link.plan.distribute = Distribute::round_robin;
  link.from_binds = false;
}

void check_dealer_router(const LinkSpec& link, Problems& problems) {
  const bool drops =
      link.plan.overflow == Overflow::drop_oldest || link.plan.overflow == Overflow::drop_newest;
  if (link.overflow && drops) {
    refuse(link.overflow, link, "overflow",
           "a request that is dropped would never be answered; use block or fail", problems);
  }
  if (link.linger) {
    refuse(link.linger, link, "batch.linger", "a request leaves when it is made, since somebody waits for it",
           problems);
  }
}

void check_settings(LinkSpec& link, Problems& problems) {
  if (link.pattern == Pattern::dealer_router) check_dealer_router(link, problems);
  if (link.pattern == Pattern::pub_sub) check_pub_sub(link, problems);
  if (link.keep && link.pattern && link.pattern != Pattern::pub_sub) {
    refuse(link.keep, link, "keep",
           "only a publisher keeps the last value of each key, so the pattern must be pub-sub", problems);
  }
  if (link.plan.wire == WireMode::native && link.pattern) check_native(link, problems);
  if (link.plan.transport == Transport::shm && link.pattern) check_shared_memory(link, problems);
  check_promises(link, problems);
}

// Fills what depends on both nodes. By default the end with fewer replicas binds, then `to`.
void resolve(LinkSpec& link, const Model& model) {
  const NodeSpec* from = model.node(link.from->node);
  const NodeSpec* to = model.node(link.to->node);
  if (!from || !to) return;
  LinkPlan& plan = link.plan;
  plan.from_node = link.from->node;
  plan.from_port = link.from->port;
  plan.to_node = link.to->node;
  plan.to_port = link.to->port;
  plan.id = format("{}.{}>{}.{}", plan.from_node, plan.from_port, plan.to_node, plan.to_port);
  plan.from_replicas = from->replicas;
  plan.to_replicas = to->replicas;
  plan.from_binds = link.from_binds.value_or(from->replicas < to->replicas);
}

// Push-pull links that block when full, as a graph of nodes: if each node of a circle waits for the next to
// take records, none ever does.
class Cycles {
 public:
  Cycles(const Model& model, Problems& problems) : problems_(problems) {
    for (const LinkSpec& link : model.links) {
      // A dead letter that finds no room stays where it is; its sender goes on.
      const bool blocks = link.pattern == Pattern::push_pull && link.plan.overflow == Overflow::block &&
                          link.plan.dead_letters_of.empty();
      if (blocks && !link.plan.id.empty()) leaving_[link.plan.from_node].push_back(&link);
    }
  }

  void report() {
    for (const auto& entry : leaving_) visit(entry.first);
  }

 private:
  enum class State { fresh, open, done };

  // Depth first; the number of nodes bounds the recursion. Each link that closes a circle is reported once.
  void visit(const std::string& node) {
    if (state_[node] != State::fresh) return;
    state_[node] = State::open;
    path_.push_back(node);
    for (const LinkSpec* link : leaving_[node]) {
      const std::string& next = link->plan.to_node;
      if (state_[next] == State::open) {
        report_circle(*link);
      } else if (leaving_.contains(next)) {
        visit(next);
      }
    }
    path_.pop_back();
    state_[node] = State::done;
  }

  void report_circle(const LinkSpec& link) {
    const auto start = std::find(path_.begin(), path_.end(), link.plan.to_node);
    std::string circle;
    for (auto at = start; at != path_.end(); ++at) circle += *at + " -> ";
    circle += link.plan.to_node;
    if (circle.size() > 200) circle = circle.substr(0, 200) + "...";
    problems_.add(
        link.place,
        format("this link closes a circle in which every sender waits when its queue is full: {}; "
               "once all are full nothing moves again. Give one of its links overflow: drop-oldest, "
               "drop-newest or fail, or use dealer-router for the way back",
               circle));
  }

  Problems& problems_;
  std::map<std::string, std::vector<const LinkSpec*>> leaving_;
  std::map<std::string, State> state_;
  std::vector<std::string> path_;
};

void check_duplicates(const Model& model, Problems& problems) {
  std::map<std::string, const LinkSpec*> seen;
  for (const LinkSpec& link : model.links) {
    if (link.plan.id.empty()) continue;
    const auto [first, fresh] = seen.emplace(link.plan.id, &link);
    if (!fresh) {
      problems.add(link.place, format("the link from {}.{} to {}.{} stands twice, first {}; remove one",
                                      link.plan.from_node, link.plan.from_port, link.plan.to_node,
                                      link.plan.to_port, where(first->second->place)));
    }
  }
}

void check_connections(const Model& model, Problems& problems) {
  std::size_t connections = 0;
  for (const LinkSpec& link : model.links) {
    if (link.plan.id.empty()) continue;
    connections += std::size_t{link.plan.from_replicas} * link.plan.to_replicas;
    if (connections <= kMostConnections) continue;
    problems.add(link.place,
                 format("with this link the topology has {} connections (each replica to each replica of the "
                        "other end); at most {} are allowed",
                        connections, kMostConnections));
    return;
  }
}

}  // namespace

void check_links(Model& model, Problems& problems) {
  Ends ends(model, problems);
  Ports ports(problems);
  add_dead_letter_links(model, problems);
  for (LinkSpec& link : model.links) {
    if (link.from && link.plan.dead_letters_of.empty()) ends.check(*link.from);
    if (link.to) ends.check(*link.to);
    check_settings(link, problems);
    if (link.from && link.to) resolve(link, model);
  }
  ends.report_unlinked();
  check_duplicates(model, problems);
  std::set<std::string> seen;
  for (const LinkSpec& link : model.links) {
    if (link.plan.id.empty() || !link.pattern || !seen.insert(link.plan.id).second) continue;
    ports.use(*link.from, from_block(*link.pattern));
    ports.use(*link.to, to_block(*link.pattern));
  }
  check_shared_promises(model, problems);
  check_journals(model, problems);
  Cycles(model, problems).report();
  check_connections(model, problems);
}

}  // namespace weft::topology
