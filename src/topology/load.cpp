// The public calls: text to problems, to a plan, to expanded YAML.
#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/topology/topology.hpp>

#include "model.hpp"
#include "source.hpp"

namespace weft::topology {
namespace {

constexpr std::size_t kMostOptionValues = 10'000'000;  // of all replicas, since each plan holds a copy

// Asks once a program and puts the answer into every node that runs it; what it throws is a problem at
// `run:`.
void describe_programs(Model& model, const DescribeProgram& describe, const std::string& directory,
                       Problems& problems) {
  std::map<std::string, std::optional<ProgramDescription>> known;
  std::map<std::string, std::string> failed;
  for (NodeSpec& node : model.nodes) {
    if (!node.run.at || node.run.text.empty()) continue;
    const std::string& program = node.run.text;
    if (!known.contains(program) && !failed.contains(program)) {
      try {
        known.emplace(program, describe(program, directory));
      } catch (const std::exception& error) {
        failed.emplace(program, error.what());
      }
    }
    if (failed.contains(program)) {
      problems.add(*node.run.at, format("nodes.{}.run: {}", node.name, failed[program]));
    } else {
      node.description = known[program];
    }
  }
}

void check_weight(const Model& model, Problems& problems) {
  std::size_t values = 0;
  for (const NodeSpec& node : model.nodes) {
    if (node.with) values += count(*node.with) * node.replicas;
    if (values <= kMostOptionValues) continue;
    problems.add(node.place,
                 format("the options of all replicas make more than {} values; use fewer replicas or options",
                        kMostOptionValues));
    return;
  }
}

// Everything but the plan. nullptr when the file is no tree at all.
std::unique_ptr<Model> check(const std::string& text, const std::string& path, const LoadOptions& options,
                             Problems& problems) {
  auto tree = resolve_source(text, path, options.sets, problems);
  if (!tree) return nullptr;
  auto model = std::make_unique<Model>();
  model->tree = std::move(*tree);
  read_model(*model, problems);
  check_links(*model, problems);
  check_endpoints(*model, problems);
  check_weight(*model, problems);
  if (options.describe) {
    const std::string directory = std::filesystem::path(path).parent_path().string();
    describe_programs(*model, options.describe, directory.empty() ? "." : directory, problems);
    check_programs(*model, problems);
  }
  return model;
}

std::unique_ptr<Model> require(const std::string& text, const std::string& path, const LoadOptions& options) {
  Problems problems;
  auto model = check(text, path, options, problems);
  if (!problems.empty()) throw InvalidTopology(problems.take());
  return model;
}

std::string read_or_throw(const std::string& path) {
  Problems problems;
  const auto text = read_file(path, {std::make_shared<const std::string>(path), 0, 0}, problems);
  if (!text) throw InvalidTopology(problems.take());
  return *text;
}

}  // namespace

Plan load(const std::string& path, const LoadOptions& options) {
  return load_text(read_or_throw(path), path, options);
}

Plan load_text(const std::string& text, const std::string& path, const LoadOptions& options) {
  return make_plan(*require(text, path, options), path);
}

std::vector<Problem> check_text(const std::string& text, const std::string& path) {
  Problems problems;
  check(text, path, {}, problems);
  return problems.take();
}

std::string expand_yaml(const std::string& path, const LoadOptions& options) {
  return emit_yaml(require(read_or_throw(path), path, options)->tree);
}

}  // namespace weft::topology
