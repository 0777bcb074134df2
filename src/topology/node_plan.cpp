// The JSON form of one node's plan, which the launcher hands to the process.
#include <weft/topology/plan.hpp>

#include "json_fields.hpp"

namespace weft::topology {
namespace {

Value to_value(const LinkPlan& link) {
  Value v;
  v["id"] = link.id;
  v["pattern"] = to_string(link.pattern);
  v["delivery"] = to_string(link.delivery);
  v["distribute"] = to_string(link.distribute);
  v["transport"] = to_string(link.transport);
  v["wire"] = to_string(link.wire);
  v["overflow"] = to_string(link.overflow);
  v["keep_last"] = link.keep_last;
  v["capacity"] = format_size(link.capacity_bytes);
  v["prefetch"] = format_size(link.prefetch_bytes);
  v["prefetch_records"] = link.prefetch_records;
  v["batch_bytes"] = format_size(link.batch_bytes);
  v["batch_records"] = link.batch_records;
  v["linger"] = format_duration(link.linger);
  v["dead_after"] = format_duration(link.dead_after);
  v["capacity_records"] = link.capacity_records;
  v["priority"] = link.priority;
  v["ttl"] = format_duration(link.ttl);
  v["delay"] = format_duration(link.delay);
  v["max_attempts"] = link.max_attempts;
  v["retain"] = format_size(link.retain_bytes);
  v["replay"] = to_string(link.replay);
  v["replay_sequence"] = link.replay_sequence;
  // What most links have not stays out of the way of those who read the file.
  for (const auto& [key, text] :
       {std::pair("journal_from", &link.journal_from), std::pair("journal_to", &link.journal_to),
        std::pair("dead_letter", &link.dead_letter), std::pair("dead_letters_of", &link.dead_letters_of)}) {
    if (!text->empty()) v[key] = *text;
  }
  if (link.journal_segment != 0) v["journal_segment"] = format_size(link.journal_segment);
  if (link.journal_max != 0) v["journal_max"] = format_size(link.journal_max);
  v["from_node"] = link.from_node;
  v["from_port"] = link.from_port;
  v["from_replicas"] = link.from_replicas;
  v["to_node"] = link.to_node;
  v["to_port"] = link.to_port;
  v["to_replicas"] = link.to_replicas;
  v["from_binds"] = link.from_binds;
  return v;
}

Value to_value(const PeerPlan& peer) {
  Value v;
  v["node"] = peer.node.name;
  v["replica"] = peer.node.replica;
  v["port"] = peer.port;
  if (!peer.endpoint.empty()) v["endpoint"] = peer.endpoint;
  return v;
}

Value to_value(const EndPlan& end) {
  Value v;
  v["link"] = end.link;
  v["port"] = end.port;
  v["sender"] = end.sender;
  v["binds"] = end.binds;
  if (!end.endpoint.empty()) v["endpoint"] = end.endpoint;
  if (!end.data_endpoint.empty()) v["data_endpoint"] = end.data_endpoint;
  if (!end.journal.empty()) v["journal"] = end.journal;
  Value::List peers;
  for (const PeerPlan& peer : end.peers) peers.push_back(to_value(peer));
  v["peers"] = std::move(peers);
  return v;
}

LinkPlan link_from(const Value& value, const std::string& path) {
  const Fields fields(value, path);
  LinkPlan link;
  link.id = fields.text("id");
  link.pattern = fields.word("pattern", pattern_names());
  link.delivery = fields.word("delivery", delivery_names());
  link.distribute = fields.word("distribute", distribute_names());
  link.transport = fields.word("transport", transport_names());
  link.wire = fields.word("wire", wire_names());
  link.overflow = fields.word("overflow", overflow_names());
  link.keep_last = fields.boolean("keep_last");
  link.capacity_bytes = fields.size("capacity");
  link.prefetch_bytes = fields.size("prefetch");
  link.prefetch_records = fields.count("prefetch_records");
  link.batch_bytes = fields.size("batch_bytes");
  link.batch_records = fields.count("batch_records");
  link.linger = fields.duration("linger");
  link.dead_after = fields.duration("dead_after");
  link.capacity_records = fields.count("capacity_records");
  link.priority = fields.number("priority");
  link.ttl = fields.duration("ttl");
  link.delay = fields.duration("delay");
  link.max_attempts = fields.number("max_attempts");
  link.retain_bytes = fields.size("retain");
  link.replay = fields.word("replay", replay_names());
  link.replay_sequence = fields.count("replay_sequence");
  link.journal_from = fields.text_or_empty("journal_from");
  link.journal_to = fields.text_or_empty("journal_to");
  link.journal_segment = fields.size_or("journal_segment", 0);
  link.journal_max = fields.size_or("journal_max", 0);
  link.dead_letter = fields.text_or_empty("dead_letter");
  link.dead_letters_of = fields.text_or_empty("dead_letters_of");
  link.from_node = fields.text("from_node");
  link.from_port = fields.text("from_port");
  link.from_replicas = fields.number("from_replicas");
  link.to_node = fields.text("to_node");
  link.to_port = fields.text("to_port");
  link.to_replicas = fields.number("to_replicas");
  link.from_binds = fields.boolean("from_binds");
  return link;
}

PeerPlan peer_from(const Value& value, const std::string& path) {
  const Fields fields(value, path);
  PeerPlan peer;
  peer.node = {fields.text("node"), fields.number("replica")};
  peer.port = fields.text("port");
  peer.endpoint = fields.text_or_empty("endpoint");
  return peer;
}

EndPlan end_from(const Value& value, const std::string& path) {
  const Fields fields(value, path);
  EndPlan end;
  end.link = fields.text("link");
  end.port = fields.text("port");
  end.sender = fields.boolean("sender");
  end.binds = fields.boolean("binds");
  end.endpoint = fields.text_or_empty("endpoint");
  end.data_endpoint = fields.text_or_empty("data_endpoint");
  end.journal = fields.text_or_empty("journal");
  for (const Value& peer : fields.list("peers")) {
    end.peers.push_back(peer_from(peer, format("{}.peers[{}]", path, end.peers.size())));
  }
  return end;
}

void check_links_of_ends(const NodePlan& plan) {
  for (const EndPlan& end : plan.ends) {
    bool known = false;
    for (const LinkPlan& link : plan.links) known = known || link.id == end.link;
    if (!known)
      throw Error(Errc::invalid_file,
                  format("the plan: no link has the id {}, which an end names", weft::quoted(end.link)));
  }
}

}  // namespace

Value to_value(const NodePlan& plan) {
  Value v;
  v["topology"] = plan.topology;
  v["node"] = plan.id.name;
  v["replica"] = plan.id.replica;
  v["replicas"] = plan.replicas;
  v["program"] = plan.program;
  v["arguments"] = Value::List(plan.arguments.begin(), plan.arguments.end());
  v["options"] = plan.options;
  Value environment = Value::map();
  for (const auto& [name, text] : plan.environment) environment[name] = text;
  v["environment"] = std::move(environment);
  v["finite"] = plan.finite;
  v["main"] = plan.main;
  v["restart"] = to_string(plan.restart);
  v["max_restarts"] = plan.max_restarts;
  v["grace"] = format_duration(plan.grace);
  v["hang_after"] = format_duration(plan.hang_after);
  Value& log = v["log"] = Value::map();
  log["max"] = plan.log.max_bytes;
  log["keep"] = plan.log.keep;
  Value::List ends;
  for (const EndPlan& end : plan.ends) ends.push_back(to_value(end));
  v["ends"] = std::move(ends);
  Value::List links;
  for (const LinkPlan& link : plan.links) links.push_back(to_value(link));
  v["links"] = std::move(links);
  return v;
}

NodePlan node_plan_from_value(const Value& value) {
  const std::string path = "the plan";
  const Fields fields(value, path);
  NodePlan plan;
  plan.topology = fields.text("topology");
  plan.id = {fields.text("node"), fields.number("replica")};
  plan.replicas = fields.number("replicas");
  plan.program = fields.text("program");
  plan.arguments = fields.texts("arguments");
  plan.options = fields.any("options");
  for (const auto& [name, text] : fields.map("environment")) {
    if (!text.is_string()) Fields::fail(fields.name("environment." + name), "text", text);
    plan.environment.emplace_back(name, text.as_string());
  }
  plan.finite = fields.boolean("finite");
  plan.main = fields.boolean("main");
  plan.restart = fields.word("restart", restart_names());
  plan.max_restarts = fields.number("max_restarts");
  plan.grace = fields.duration("grace");
  if (value.find("hang_after")) plan.hang_after = fields.duration("hang_after");
  if (value.find("log")) {
    const Fields log(fields.any("log"), path + ".log");
    plan.log = {log.count("max"), log.number("keep")};
  }
  for (const Value& end : fields.list("ends")) {
    plan.ends.push_back(end_from(end, format("{}.ends[{}]", path, plan.ends.size())));
  }
  for (const Value& link : fields.list("links")) {
    plan.links.push_back(link_from(link, format("{}.links[{}]", path, plan.links.size())));
  }
  check_links_of_ends(plan);
  return plan;
}

}  // namespace weft::topology
