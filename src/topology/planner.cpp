// A model without problems to the plan of every process.
#include <algorithm>

#include <weft/core/endpoint.hpp>

#include "model.hpp"

namespace weft::topology {
namespace {

// Where replica `replica` of the binding end is, as its peers are told; empty without explicit addresses.
std::string address_of(const LinkSpec& link, unsigned replica) {
  return replica < link.addresses.size() ? link.addresses[replica] : "";
}

std::optional<Endpoint> parsed(const std::string& address) {
  std::string ignored;
  return address.empty() ? std::nullopt : parse_endpoint(address, EndpointUse::connect, ignored);
}

EndPlan make_end(const LinkSpec& link, bool sender, unsigned replica) {
  const LinkPlan& plan = link.plan;
  EndPlan end;
  end.link = plan.id;
  end.sender = sender;
  end.port = sender ? plan.from_port : plan.to_port;
  end.binds = sender == plan.from_binds;
  if (const auto endpoint = end.binds ? parsed(address_of(link, replica)) : std::nullopt) {
    end.endpoint = endpoint->to_bind().text();
    if (link.pattern == Pattern::pub_sub) end.data_endpoint = endpoint->data().to_bind().text();
  }
  end.journal = sender ? journal_of(plan.journal_from, plan.from_node, replica, plan.from_replicas)
                       : journal_of(plan.journal_to, plan.to_node, replica, plan.to_replicas);
  const std::string& other = sender ? plan.to_node : plan.from_node;
  const unsigned others = sender ? plan.to_replicas : plan.from_replicas;
  for (unsigned i = 0; i < others; ++i) {
    PeerPlan peer{{other, i}, sender ? plan.to_port : plan.from_port, ""};
    if (!end.binds) peer.endpoint = address_of(link, i);
    end.peers.push_back(std::move(peer));
  }
  return end;
}

bool is_finite(const NodeSpec& node) {
  if (node.finite) return *node.finite;
  if (node.description) return node.description->finite;
  return node.restart != Restart::always;
}

/// Who gives draining a minute means that a node has it: a shorter grace would kill the node before.
Duration default_grace(const Model& model) {
  const Duration least = NodePlan{}.grace;
  return model.drain_limit ? std::max(least, *model.drain_limit * 5 / 4) : least;
}

NodePlan make_node(const Model& model, const NodeSpec& spec, unsigned replica) {
  NodePlan node;
  node.topology = model.name;
  node.id = {spec.name, replica};
  node.replicas = spec.replicas;
  node.program = spec.run.text;
  for (const Tree* word : spec.arguments) node.arguments.push_back(text_for(*word, spec.name, replica));
  node.options = spec.with ? to_value_for(*spec.with, spec.name, replica) : Value::map();
  for (const auto& [name, value] : spec.environment) {
    node.environment.emplace_back(name, text_for(*value, spec.name, replica));
  }
  node.finite = is_finite(spec);
  node.main = spec.main.value_or(node.finite);
  node.restart = spec.restart;
  node.max_restarts = spec.max_restarts;
  node.grace = spec.grace.value_or(default_grace(model));
  node.hang_after = spec.hang_after;
  node.log = spec.log;
  for (const LinkSpec& link : model.links) {
    const bool sends = link.plan.from_node == spec.name;
    const bool takes = link.plan.to_node == spec.name;
    if (sends || takes) node.links.push_back(link.plan);
    if (sends) node.ends.push_back(make_end(link, true, replica));
    if (takes) node.ends.push_back(make_end(link, false, replica));
  }
  return node;
}

}  // namespace

Plan make_plan(const Model& model, const std::string& path) {
  Plan plan;
  plan.name = model.name;
  plan.description = model.description;
  plan.file = path;
  plan.start_limit = model.start_limit;
  plan.drain_limit = model.drain_limit.value_or(plan.drain_limit);
  for (const LinkSpec& link : model.links) plan.links.push_back(link.plan);
  bool any_main_named = false;
  for (const NodeSpec& spec : model.nodes) any_main_named = any_main_named || spec.main == true;
  for (const NodeSpec& spec : model.nodes) {
    for (unsigned replica = 0; replica < spec.replicas; ++replica) {
      plan.nodes.push_back(make_node(model, spec, replica));
      // A file that names its main nodes means these alone.
      if (any_main_named && !spec.main) plan.nodes.back().main = false;
    }
  }
  return plan;
}

}  // namespace weft::topology
