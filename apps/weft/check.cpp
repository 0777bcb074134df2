// weft check: is the file right, and what would it start?
#include <cstdio>
#include <map>

#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/topology/topology.hpp>

#include "programs.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

struct Group {
  std::string name;
  std::string program;
  unsigned replicas = 0;
  bool finite = false;
  bool main = false;
};

// Replicas of one node stand beside each other in a plan.
std::vector<Group> groups(const topology::Plan& plan) {
  std::vector<Group> out;
  for (const topology::NodePlan& node : plan.nodes) {
    if (!out.empty() && out.back().name == node.id.name) {
      ++out.back().replicas;
    } else {
      out.push_back({node.id.name, node.program, 1, node.finite, node.main});
    }
  }
  return out;
}

std::string counted(std::size_t number, const char* one, const char* many) {
  return format("{} {}", number, number == 1 ? one : many);
}

void print_plan_summary(const topology::Plan& plan) {
  const auto nodes = groups(plan);
  std::printf("%s: ok, %s, %s, %s\n", plan.file.c_str(), counted(nodes.size(), "node", "nodes").c_str(),
              counted(plan.nodes.size(), "process", "processes").c_str(),
              counted(plan.links.size(), "link", "links").c_str());
  for (const Group& node : nodes) {
    std::printf("  %-16s %-16s x %-4u %s%s\n", node.name.c_str(), node.program.c_str(), node.replicas,
                node.finite ? "finite" : "service", node.main ? ", main" : "");
  }
  for (const topology::LinkPlan& link : plan.links) {
    const std::string ends =
        format("{}.{} -> {}.{}", link.from_node, link.from_port, link.to_node, link.to_port);
    std::printf("  %-40s %s, %s\n", ends.c_str(), std::string(to_string(link.pattern)).c_str(),
                topology::promise_of(link).c_str());
  }
}

Value summary(const topology::Plan& plan) {
  Value out = Value::map();
  out["ok"] = true;
  out["file"] = plan.file;
  out["name"] = plan.name;
  Value nodes = Value::list();
  for (const Group& node : groups(plan)) {
    Value one = Value::map();
    one["name"] = node.name;
    one["run"] = node.program;
    one["replicas"] = node.replicas;
    one["lifetime"] = node.finite ? "finite" : "service";
    one["main"] = node.main;
    nodes.push_back(std::move(one));
  }
  out["nodes"] = std::move(nodes);
  Value links = Value::list();
  for (const topology::LinkPlan& link : plan.links) {
    Value one = Value::map();
    one["from"] = link.from_node + "." + link.from_port;
    one["to"] = link.to_node + "." + link.to_port;
    one["pattern"] = to_string(link.pattern);
    one["delivery"] = topology::to_string(link.delivery);
    for (const auto& [key, text] :
         {std::pair("journal_from", &link.journal_from), std::pair("journal_to", &link.journal_to),
          std::pair("dead_letter", &link.dead_letter), std::pair("dead_letters_of", &link.dead_letters_of)}) {
      if (!text->empty()) one[key] = *text;
    }
    links.push_back(std::move(one));
  }
  out["links"] = std::move(links);
  return out;
}

Value problems_value(const std::string& file, const std::vector<topology::Problem>& problems) {
  Value out = Value::map();
  out["ok"] = false;
  out["file"] = file;
  Value list = Value::list();
  for (const topology::Problem& problem : problems) {
    Value one = Value::map();
    one["file"] = problem.file;
    one["line"] = problem.line;
    one["column"] = problem.column;
    one["message"] = problem.message;
    list.push_back(std::move(one));
  }
  out["problems"] = std::move(list);
  return out;
}

}  // namespace

int run_verb(const Check& check) {
  Catalog catalog;
  const topology::LoadOptions options{.sets = check.source.sets, .describe = catalog.describer()};
  try {
    if (check.expand) {
      std::printf("%s", topology::expand_yaml(check.source.file, options).c_str());
      return kOk;
    }
    const topology::Plan plan = topology::load(check.source.file, options);
    if (check.json) {
      std::printf("%s\n", to_json(summary(plan)).c_str());
    } else {
      print_plan_summary(plan);
    }
    return kOk;
  } catch (const topology::InvalidTopology& e) {
    if (!check.json) throw;
    std::printf("%s\n", to_json(problems_value(check.source.file, e.problems())).c_str());
    return kUsage;
  }
}

}  // namespace weft::cli
