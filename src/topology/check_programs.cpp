// Nodes and links against what the programs say of themselves: ports, blocks, record types, options.
#include <map>
#include <set>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "model.hpp"
#include "names.hpp"

namespace weft::topology {
namespace {

const PortDescription* find_port(const ProgramDescription& program, std::string_view name) {
  for (const PortDescription& port : program.ports) {
    if (port.name == name) return &port;
  }
  return nullptr;
}

std::string describe_port(const PortRef& ref, const NodeSpec& node) {
  return format("{} of {}", weft::quoted(ref.node + "." + ref.port), weft::quoted(node.run.text));
}

bool is_open(BlockKind block) {
  return block == BlockKind::any;
}

// The port that a link's end names, or nullptr when nothing is known of it (or nothing good).
const PortDescription* check_port(const Model& model, const PortRef& ref, PortSide side,
                                  std::optional<BlockKind> block, const LinkSpec& link, Problems& problems) {
  const NodeSpec* node = model.node(ref.node);
  if (!node || !node->description || problems.full()) return nullptr;
  const ProgramDescription& program = *node->description;
  const PortDescription* port = find_port(program, ref.port);
  if (!port) {
    if (program.open_ports) return nullptr;
    std::vector<std::string> names;
    for (const PortDescription& known : program.ports) names.push_back(known.name);
    problems.add(*ref.at,
                 format("{} has no port {}{}", weft::quoted(node->run.text), weft::quoted(ref.port),
                        names.empty() ? "; it has none at all" : offer(ref.port, names, "its ports are")));
    return nullptr;
  }
  if (block && !is_open(port->block) && port->block != *block) {
    problems.add(
        *ref.at,
        format("{} opens a {}, but at this end of a {} link stands a {}; change the pattern, swap from and "
               "to, or take another port",
               describe_port(ref, *node), to_string(port->block), to_string(*link.pattern),
               to_string(*block)));
  } else if (is_open(port->block) && port->side != PortSide::either && port->side != side) {
    problems.add(*ref.at,
                 format("{} {}, but it stands at \"{}\" here; swap from and to, or take another port",
                        describe_port(ref, *node), port->side == PortSide::from ? "sends" : "receives",
                        to_string(side)));
  }
  return port;
}

void check_records(const Model& model, const LinkSpec& link, const PortDescription& from,
                   const PortDescription& to, Problems& problems) {
  if (from.record == "any" || to.record == "any") return;
  const std::string ends =
      format("{} sends {} and {} takes {}", describe_port(*link.from, *model.node(link.from->node)),
             weft::quoted(from.record), describe_port(*link.to, *model.node(link.to->node)),
             weft::quoted(to.record));
  if (from.record != to.record) {
    problems.add(link.place, format("the two ends carry records of different types: {}", ends));
  } else if (from.fingerprint != 0 && to.fingerprint != 0 && from.fingerprint != to.fingerprint) {
    problems.add(link.place,
                 format("the two ends carry different versions of one type: {}, but with other fields "
                        "(fingerprints {:016x} and {:016x}); build both programs from the same source",
                        ends, from.fingerprint, to.fingerprint));
  }
}

// A dead letter is a map around the record, so it fits no port that takes records of one type.
void check_letters(const Model& model, const LinkSpec& link, const PortDescription& to, Problems& problems) {
  if (to.record == "any") return;
  problems.add(
      *link.to->at,
      format("dead letters are maps that hold the record and why it died, and {} takes {}; name a port "
             "that takes any record",
             describe_port(*link.to, *model.node(link.to->node)), weft::quoted(to.record)));
}

void check_required_ports(const NodeSpec& node, const std::set<std::string>& linked, Problems& problems) {
  for (const PortDescription& port : node.description->ports) {
    if (!port.required || linked.contains(node.name + "." + port.name)) continue;
    problems.add(node.place,
                 format("the node {} runs {}, which needs its port {} to be linked{}",
                        weft::quoted(node.name), weft::quoted(node.run.text), weft::quoted(port.name),
                        port.help.empty() ? "" : format(" ({})", port.help)));
  }
}

void check_node(const NodeSpec& node, Problems& problems) {
  const std::string path = "nodes." + node.name;
  if (node.args) {
    problems.add(*node.args,
                 format("{}.args does not fit here: {} describes its options, so write them under \"with:\"",
                        path, weft::quoted(node.run.text)));
  }
  const Tree none = make_map(node.place);
  check_options(node.with ? *node.with : none, node.description->options, path + ".with", node.run.text,
                problems);
  const bool finite = node.finite.value_or(node.description->finite);
  if (node.restart == Restart::always && finite && !node.finite) {
    problems.add(*node.restart_at,
                 format("{}.restart is \"always\", but {} ends by itself and would then never end; use "
                        "\"on-failure\", or lifetime: service",
                        path, weft::quoted(node.run.text)));
  }
}

// A program that can acknowledge what nobody has answered keeps exactly-once only with the answer.
void check_acknowledge(const NodeSpec& node, const LinkSpec& link, Problems& problems) {
  if (!node.description || link.plan.delivery != Delivery::exactly_once || !link.delivery) return;
  for (const OptionDescription& option : node.description->options) {
    if (option.name != "acknowledge" || option.type != OptionType::choice) continue;
    const Tree* given = node.with ? node.with->find(option.name) : nullptr;
    const Value& value = given ? given->scalar : option.default_value;
    if (value == Value("answer")) continue;
    problems.add(
        *link.delivery,
        format(
            "{}.delivery is exactly-once, which {} can keep only when its command answers each record with a "
            "line: say \"acknowledge: answer\" under nodes.{}.with, or at-least-once here",
            link.path, weft::quoted(node.run.text), node.name));
  }
}

constexpr std::string_view kOwnFile = "file of its own";  // the unit of an option that names one

// Two processes that write one file from its beginning overwrite each other.
class OwnFiles {
 public:
  explicit OwnFiles(Problems& problems) : problems_(problems) {}

  void take(const NodeSpec& node) {
    if (!node.with) return;
    for (const OptionDescription& option : node.description->options) {
      const Tree* file = option.unit == kOwnFile ? node.with->find(option.name) : nullptr;
      if (!file || !file->is_text() || file->broken || file->text == "-" || file->text.starts_with("/dev/"))
        continue;
      const Tree* append = node.with->find("append");
      if (append && append->scalar == Value(true)) continue;
      for (unsigned replica = 0; replica < node.replicas; ++replica) {
        if (!take(text_for(*file, node.name, replica), format("{}/{}", node.name, replica), *file)) return;
      }
    }
  }

 private:
  bool take(const std::string& path, const std::string& who, const Tree& at) {
    const auto [owner, fresh] = owners_.emplace(path, who);
    if (fresh) return true;
    problems_.add(
        at, format("the file {} would be written by two processes, {} and {}, over each other; put ${{node}} "
                   "and ${{replica}} into its name, or say append: true",
                   weft::quoted(path), owner->second, who));
    return false;
  }

  Problems& problems_;
  std::map<std::string, std::string> owners_;
};

}  // namespace

void check_programs(Model& model, Problems& problems) {
  std::set<std::string> linked;
  for (const LinkSpec& link : model.links) {
    if (link.from) linked.insert(link.from->node + "." + link.from->port);
    if (link.to) linked.insert(link.to->node + "." + link.to->port);
    if (!link.from || !link.to) continue;
    const auto from_kind = link.pattern ? std::optional(from_block(*link.pattern)) : std::nullopt;
    const auto to_kind = link.pattern ? std::optional(to_block(*link.pattern)) : std::nullopt;
    const bool letters = !link.plan.dead_letters_of.empty();
    const PortDescription* to = check_port(model, *link.to, PortSide::to, to_kind, link, problems);
    if (letters && to) check_letters(model, link, *to, problems);
    if (letters) continue;  // the node opens its end itself
    const PortDescription* from = check_port(model, *link.from, PortSide::from, from_kind, link, problems);
    if (from && to) check_records(model, link, *from, *to, problems);
    if (const NodeSpec* taker = model.node(link.to->node)) check_acknowledge(*taker, link, problems);
  }
  OwnFiles files(problems);
  for (const NodeSpec& node : model.nodes) {
    if (!node.description) continue;
    check_node(node, problems);
    files.take(node);
    if (!model.unreadable_links) check_required_ports(node, linked, problems);
  }
}

}  // namespace weft::topology
