#include "model.hpp"

#include <weft/core/text.hpp>

#include "reader.hpp"

namespace weft::topology {
namespace {

void read_limits(const Tree& tree, Model& model, Problems& problems) {
  if (!expect_map(tree, "limits", problems)) return;
  MapReader map(tree, "limits", problems);
  if (const Tree* start = map.take("start")) {
    const auto span = read_duration_within(*start, Duration::zero(), kLongestLimit, "limits.start", problems);
    model.start_limit = span.value_or(model.start_limit);
  }
  if (const Tree* drain = map.take("drain")) {
    model.drain_limit =
        read_duration_within(*drain, Duration::zero(), kLongestLimit, "limits.drain", problems);
  }
  map.finish();
}

void read_hosts(const Tree& tree, Model& model, Problems& problems) {
  if (!expect_map(tree, "hosts", problems)) return;
  if (tree.members.size() > kMostNodes) {
    problems.add(tree,
                 format("hosts has {} entries; at most {} are allowed", tree.members.size(), kMostNodes));
    return;
  }
  for (const Member& member : tree.members) {
    HostsSpec spec{member.key, member.place, {}};
    const std::string path = "hosts." + member.key;
    std::vector<const Tree*> entries;
    if (member.value.is_list()) {
      for (const Tree& item : member.value.items) entries.push_back(&item);
    } else {
      entries.push_back(&member.value);
    }
    bool good = true;
    for (const Tree* entry : entries) {
      if (const auto text = entry->is_text() ? read_text(*entry, path, problems) : std::nullopt) {
        spec.hosts.push_back({*text, entry});
      } else {
        report_wrong(*entry, path, "a list of \"host:port\", one a replica", problems);
        good = false;
      }
    }
    if (good) model.hosts.push_back(std::move(spec));
  }
}

void read_nodes(const Tree& tree, Model& model, Problems& problems) {
  if (!expect_map(tree, "nodes", problems)) return;
  if (tree.members.empty()) problems.add(tree, "nodes is empty; a topology has at least one node");
  if (tree.members.size() > kMostNodes) {
    problems.add(tree, format("nodes has {} entries; at most {} are allowed (replicas make many of one)",
                              tree.members.size(), kMostNodes));
    return;
  }
  std::size_t processes = 0;
  for (const Member& member : tree.members) {
    model.nodes.push_back(read_node(member, problems));
    processes += model.nodes.back().replicas;
  }
  if (processes > kMostReplicas && problems.empty()) {
    problems.add(tree, format("the replicas of all nodes make {} processes; at most {} are allowed",
                              processes, kMostReplicas));
  }
}

void read_links(const Tree& tree, Model& model, Problems& problems) {
  if (!expect_list(tree, "links", problems)) {
    model.unreadable_links = true;
    return;
  }
  if (tree.items.size() > kMostLinks) {
    problems.add(tree, format("links has {} entries; at most {} are allowed", tree.items.size(), kMostLinks));
    model.unreadable_links = true;
    return;
  }
  for (std::size_t i = 0; i < tree.items.size(); ++i) {
    model.links.push_back(read_link(tree.items[i], i, problems));
    const LinkSpec& link = model.links.back();
    if (!link.from || !link.to) model.unreadable_links = true;
  }
}

}  // namespace

const NodeSpec* Model::node(std::string_view node_name) const {
  for (const NodeSpec& spec : nodes) {
    if (spec.name == node_name) return &spec;
  }
  return nullptr;
}

std::vector<std::string> Model::node_names() const {
  std::vector<std::string> names;
  for (const NodeSpec& spec : nodes) names.push_back(spec.name);
  return names;
}

void read_model(Model& model, Problems& problems) {
  const Tree& tree = model.tree;
  MapReader map(tree, "", problems);
  map.take("weft");  // checked file by file, before files are merged
  map.take("extends");
  map.take("params");
  if (const Tree* name = map.need("name", tree.place, "a word that names the topology in logs and streams")) {
    const auto text = read_text(*name, "name", problems);
    if (text && !is_name(*text)) {
      problems.add(
          *name, format("name must be a letter, then letters, digits, \"_\" and \"-\", at most 64, found {}",
                        weft::quoted(*text)));
    }
    model.name = text.value_or("");
  }
  if (const Tree* description = map.take("description")) {
    model.description = read_text(*description, "description", problems).value_or("");
  }
  if (const Tree* nodes = map.need("nodes", tree.place, "what runs")) read_nodes(*nodes, model, problems);
  if (const Tree* links = map.need("links", tree.place, "how the nodes are joined")) {
    read_links(*links, model, problems);
  } else {
    model.unreadable_links = true;
  }
  if (const Tree* limits = map.take("limits")) read_limits(*limits, model, problems);
  if (const Tree* hosts = map.take("hosts")) read_hosts(*hosts, model, problems);
  map.finish();
}

}  // namespace weft::topology
