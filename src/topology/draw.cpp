// A plan as a picture: Mermaid, dot, or text.
#include <algorithm>
#include <map>

#include <weft/core/format.hpp>
#include <weft/topology/topology.hpp>

namespace weft::topology {
namespace {

// One box: the first replica stands for all.
std::vector<const NodePlan*> boxes(const Plan& plan) {
  std::vector<const NodePlan*> out;
  for (const NodePlan& node : plan.nodes) {
    if (node.id.replica == 0) out.push_back(&node);
  }
  return out;
}

std::string title(const NodePlan& node) {
  return node.replicas == 1 ? node.id.name : format("{} x{}", node.id.name, node.replicas);
}

std::string label(const LinkPlan& link) {
  std::string text = format("{}, {}", to_string(link.pattern), promise_of(link));
  if (link.pattern != Pattern::pub_sub) text += format(", {}", to_string(link.distribute));
  if (link.keep_last) text += ", keep last";
  if (link.wire == WireMode::native) text += ", native";
  return text;
}

std::string ports(const LinkPlan& link) {
  return format("{} to {}", link.from_port, link.to_port);
}

// Mermaid takes HTML entities in labels, and nothing else for its own characters.
std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '<' || c == '>' || c == '&' || c == '#' || c == '|') {
      out += format("#{};", static_cast<int>(c));
    } else {
      out += c == '\n' ? ' ' : c;
    }
  }
  return out;
}

std::string escape_dot(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::map<std::string, std::string> numbered(const Plan& plan) {
  std::map<std::string, std::string> ids;
  for (const NodePlan* node : boxes(plan)) ids.emplace(node->id.name, format("n{}", ids.size()));
  return ids;
}

std::string draw_mermaid(const Plan& plan) {
  auto ids = numbered(plan);
  std::string out = "flowchart LR\n";
  for (const NodePlan* node : boxes(plan)) {
    out += format("  {}[\"{}<br/>{}\"]\n", ids[node->id.name], escape_html(title(*node)),
                  escape_html(node->program));
  }
  for (const LinkPlan& link : plan.links) {
    const std::string_view arrow = link.pattern == Pattern::pub_sub         ? "-.->"
                                   : link.pattern == Pattern::dealer_router ? "<-->"
                                                                            : "-->";
    out += format("  {} {}|\"{}<br/>{}\"| {}\n", ids[link.from_node], arrow, ports(link), label(link),
                  ids[link.to_node]);
  }
  return out;
}

std::string draw_dot(const Plan& plan) {
  std::string out = format("digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box];\n", escape_dot(plan.name));
  for (const NodePlan* node : boxes(plan)) {
    out += format("  \"{}\" [label=\"{}\\n{}\"];\n", node->id.name, escape_dot(title(*node)),
                  escape_dot(node->program));
  }
  for (const LinkPlan& link : plan.links) {
    const std::string_view style = link.pattern == Pattern::pub_sub         ? ", style=dashed"
                                   : link.pattern == Pattern::dealer_router ? ", dir=both"
                                                                            : "";
    out += format("  \"{}\" -> \"{}\" [label=\"{}\\n{}\"{}];\n", link.from_node, link.to_node, ports(link),
                  label(link), style);
  }
  return out + "}\n";
}

std::string_view ascii_arrow(Pattern pattern) {
  switch (pattern) {
    case Pattern::push_pull:
      return "--->";
    case Pattern::pub_sub:
      return "-.->";
    case Pattern::dealer_router:
      return "<-->";
  }
  return "--->";
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

// A list with one block a node: its title, then the links that leave it.
std::string draw_ascii(const Plan& plan) {
  std::string out = format("{}: {} nodes, {} processes, {} link{}\n", plan.name, boxes(plan).size(),
                           plan.nodes.size(), plan.links.size(), plan.links.size() == 1 ? "" : "s");
  std::size_t left = 0;
  std::size_t right = 0;
  const auto target = [&](const LinkPlan& link) {
    const std::string text = format("{}.{}", link.to_node, link.to_port);
    return link.to_replicas == 1 ? text : format("{} x{}", text, link.to_replicas);
  };
  for (const LinkPlan& link : plan.links) {
    left = std::max(left, link.from_port.size());
    right = std::max(right, target(link).size());
  }
  for (const NodePlan* node : boxes(plan)) {
    out += format("\n[{}]  {}, {}{}\n", title(*node), node->program, node->finite ? "finite" : "service",
                  node->main ? ", main" : "");
    for (const LinkPlan& link : plan.links) {
      if (link.from_node != node->id.name) continue;
      out += format("   .{} {} {}   {}\n", padded(link.from_port, left), ascii_arrow(link.pattern),
                    padded(target(link), right), label(link));
    }
  }
  return out + "\n---> pushes to one   -.-> publishes to all   <--> asks and is answered\n";
}

}  // namespace

std::string promise_of(const LinkPlan& link) {
  std::string text(to_string(link.delivery));
  if (!link.dead_letters_of.empty())
    text += ", dead letters of " + link.from_node + "." +
            link.from_port.substr(0, link.from_port.size() - dead_letter_port("").size());
  const bool from = !link.journal_from.empty();
  const bool to = !link.journal_to.empty();
  if (from || to)
    text += from && to ? ", journal at both ends" : from ? ", journal at from" : ", journal at to";
  if (!link.dead_letter.empty()) text += ", dead letters to " + link.dead_letter;
  return text;
}

std::string draw(const Plan& plan, GraphFormat format) {
  switch (format) {
    case GraphFormat::mermaid:
      return draw_mermaid(plan);
    case GraphFormat::dot:
      return draw_dot(plan);
    case GraphFormat::ascii:
      return draw_ascii(plan);
  }
  return "";
}

}  // namespace weft::topology
