// One entry of `nodes:`.
#include <weft/core/text.hpp>

#include "model.hpp"
#include "reader.hpp"

namespace weft::topology {
namespace {

// Nodes say something every second: less would take a pause of the scheduler for a hang.
constexpr Duration kShortestHang = std::chrono::seconds(2);
constexpr Duration kLongestHang = std::chrono::hours(24);
constexpr std::uint64_t kSmallestLog = 4ULL << 10;
constexpr std::uint64_t kLargestLog = 1ULL << 40;
constexpr std::int64_t kMostLogs = 1000;

// What is turned into text for a process: any single value, as it is written.
bool is_word_of_process(const Tree& tree, const std::string& path, Problems& problems) {
  if (tree.is_scalar() && tree.kind != Tree::Kind::null && !tree.broken) return true;
  report_wrong(tree, path, "text (\"\" for an empty one)", problems);
  return false;
}

void read_arguments(const Tree& tree, const std::string& path, NodeSpec& node, Problems& problems) {
  node.args = &tree;
  if (!expect_list(tree, path, problems)) return;
  for (std::size_t i = 0; i < tree.items.size(); ++i) {
    if (is_word_of_process(tree.items[i], format("{}[{}]", path, i), problems)) {
      node.arguments.push_back(&tree.items[i]);
    }
  }
}

bool is_variable_name(std::string_view text) {
  return is_name(text) && text.find('-') == std::string_view::npos;
}

void read_environment(const Tree& tree, const std::string& path, NodeSpec& node, Problems& problems) {
  if (!expect_map(tree, path, problems)) return;
  for (const Member& member : tree.members) {
    if (!is_variable_name(member.key)) {
      problems.add(member.place,
                   format("{} cannot name an environment variable; letters, digits and \"_\" can, at most "
                          "64, no digit first",
                          weft::quoted(member.key)));
    }
    if (is_word_of_process(member.value, path + "." + member.key, problems)) {
      node.environment.emplace_back(member.key, &member.value);
    }
  }
}

void read_lifetime(const Tree& tree, const std::string& path, NodeSpec& node, Problems& problems) {
  static const Names<bool> names{{true, "finite"}, {false, "service"}};
  node.finite = read_word(tree, names, path, problems);
}

void read_process(MapReader& map, NodeSpec& node, Problems& problems) {
  if (const Tree* with = map.take("with")) {
    if (expect_map(*with, map.path("with"), problems)) node.with = with;
  }
  if (const Tree* args = map.take("args")) read_arguments(*args, map.path("args"), node, problems);
  if (const Tree* env = map.take("env")) read_environment(*env, map.path("env"), node, problems);
}

void read_log(const Tree& tree, const std::string& path, NodeSpec& node, Problems& problems) {
  if (!expect_map(tree, path, problems)) return;
  MapReader map(tree, path, problems);
  if (const Tree* max = map.take("max")) {
    node.log.max_bytes = read_size_within(*max, kSmallestLog, kLargestLog, map.path("max"), problems)
                             .value_or(node.log.max_bytes);
  }
  if (const Tree* keep = map.take("keep")) {
    const auto files = read_integer(*keep, 0, kMostLogs, map.path("keep"), problems);
    node.log.keep = static_cast<unsigned>(files.value_or(node.log.keep));
  }
  map.finish();
}

void read_supervision(MapReader& map, NodeSpec& node, Problems& problems) {
  if (const Tree* restart = map.take("restart")) {
    node.restart_at = restart;
    node.restart =
        read_word(*restart, restart_names(), map.path("restart"), problems).value_or(Restart::never);
  }
  if (const Tree* most = map.take("max-restarts")) {
    const auto number = read_integer(*most, 0, 1'000'000, map.path("max-restarts"), problems);
    node.max_restarts = static_cast<unsigned>(number.value_or(5));
  }
  if (const Tree* lifetime = map.take("lifetime"))
    read_lifetime(*lifetime, map.path("lifetime"), node, problems);
  if (const Tree* main = map.take("main")) node.main = read_boolean(*main, map.path("main"), problems);
  if (const Tree* grace = map.take("grace")) {
    node.grace = read_duration_within(*grace, Duration::zero(), kLongestLimit, map.path("grace"), problems);
  }
  if (const Tree* hang = map.take("hang-after")) {
    node.hang_after =
        read_duration_within(*hang, kShortestHang, kLongestHang, map.path("hang-after"), problems)
            .value_or(node.hang_after);
  }
  if (const Tree* log = map.take("log")) read_log(*log, map.path("log"), node, problems);
  if (node.restart == Restart::always && node.finite == true) {
    problems.add(*node.restart_at,
                 format("{} is \"always\" for a finite node, which would then never end; use "
                        "\"on-failure\", or lifetime: service",
                        map.path("restart")));
  }
}

}  // namespace

NodeSpec read_node(const Member& member, Problems& problems) {
  NodeSpec node;
  node.name = member.key;
  node.place = member.place;
  if (!is_name(member.key)) {
    problems.add(member.place,
                 format("{} cannot name a node; a name is a letter, then letters, digits, \"_\" and \"-\", "
                        "at most 64",
                        weft::quoted(member.key)));
  }
  const std::string path = "nodes." + (member.key.size() > 64 ? weft::quoted(member.key) : member.key);
  if (!expect_map(member.value, path, problems)) {
    return node;
  }
  MapReader map(member.value, path, problems);
  if (const Tree* run = map.need("run", member.place, "the program to start")) {
    node.run = {read_text(*run, map.path("run"), problems).value_or(""), run};
    if (run->is_text() && run->text.empty())
      report_wrong(*run, map.path("run"), "the name of a program", problems);
  }
  if (const Tree* replicas = map.take("replicas")) {
    node.replicas_at = replicas;
    const auto number = read_integer(*replicas, 1, kMostReplicas, map.path("replicas"), problems);
    node.replicas = static_cast<unsigned>(number.value_or(1));
    node.replicas_known = number.has_value();
  }
  read_process(map, node, problems);
  read_supervision(map, node, problems);
  map.finish();
  return node;
}

}  // namespace weft::topology
