#include "source.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "yaml.hpp"

namespace weft::topology {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestChain = 8;

// What the chain of `extends:` has passed, to end cycles.
struct Chain {
  std::vector<fs::path> passed;
};

fs::path canonical(const std::string& path) {
  std::error_code ignored;
  fs::path result = fs::weakly_canonical(path, ignored);
  return ignored ? fs::path(path) : result;
}

void check_version(const Tree& root, Problems& problems) {
  const Tree* version = root.find("weft");
  if (!version) {
    problems.add(root.place, "the key \"weft\" is missing; a topology file starts with \"weft: 1\"");
  } else if (version->kind != Tree::Kind::integer || version->scalar != Value(1)) {
    problems.add(*version,
                 format("weft must be 1, the version of the file's format, found {}", found(*version)));
  }
}

// A program path of a base file is relative to that file: make it relative to the file that extends it.
void rebase_programs(Tree& base, const fs::path& directory) {
  Tree* nodes = base.find("nodes");
  if (!nodes || directory.empty()) return;
  for (Member& node : nodes->members) {
    Tree* run = node.value.find("run");
    if (!run || !run->is_text() || run->text.find('/') == std::string::npos) continue;
    if (run->text.starts_with('/') || run->text.starts_with("${")) continue;
    std::string path = (directory / run->text).lexically_normal().string();
    if (path.find('/') == std::string::npos) path = "./" + path;
    Tree moved = make_scalar(path, true, run->place);
    moved.note = run->note;
    *run = std::move(moved);
  }
}

std::optional<Tree> read_chain(const std::string& text, const std::string& path, Chain& chain,
                               Problems& problems);

void extend(Tree& root, const std::string& path, Chain& chain, Problems& problems) {
  const Tree* extends = root.find("extends");
  if (!extends) return;
  if (!extends->is_text() || extends->text.empty()) {
    problems.add(*extends,
                 format("extends must be the path of another topology file, found {}", found(*extends)));
    return;
  }
  const fs::path relative(extends->text);
  const std::string base_path =
      relative.is_absolute() ? extends->text : (fs::path(path).parent_path() / relative).string();
  const fs::path identity = canonical(base_path);
  if (std::find(chain.passed.begin(), chain.passed.end(), identity) != chain.passed.end()) {
    problems.add(*extends, format("extends {} closes a circle of files that extend each other",
                                  weft::quoted(extends->text)));
    return;
  }
  if (chain.passed.size() >= kLongestChain) {
    problems.add(*extends, format("more than {} files extend each other here", kLongestChain));
    return;
  }
  const auto base_text = read_file(base_path, extends->place, problems);
  if (!base_text) return;
  auto base = read_chain(*base_text, base_path, chain, problems);
  if (!base) return;
  rebase_programs(*base, relative.parent_path());
  merge(*base, std::move(root));
  root = std::move(*base);
}

std::optional<Tree> read_chain(const std::string& text, const std::string& path, Chain& chain,
                               Problems& problems) {
  auto root = parse_yaml(text, path, problems);
  if (!root) return std::nullopt;
  if (!root->is_map()) {
    problems.add(*root, format("a topology is a map of keys such as weft, name, nodes and links, found {}",
                               found(*root)));
    return std::nullopt;
  }
  check_version(*root, problems);
  chain.passed.push_back(canonical(path));
  extend(*root, path, chain, problems);
  return root;
}

void drop(Tree& root, std::string_view key) {
  std::erase_if(root.members, [&](const Member& member) { return member.key == key; });
}

}  // namespace

std::optional<std::string> read_file(const std::string& path, const Place& named_at, Problems& problems) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    problems.add(named_at, format("there is no file {}", weft::quoted(path, 200)));
    return std::nullopt;
  }
  if (!fs::is_regular_file(status)) {
    problems.add(named_at,
                 format("{} is no regular file, so it cannot be a topology", weft::quoted(path, 200)));
    return std::nullopt;
  }
  std::ifstream stream(path, std::ios::binary);
  std::string text(kLongestFile + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!stream.is_open() || stream.bad()) {
    problems.add(named_at, format("{} cannot be read; look at its permissions", weft::quoted(path, 200)));
    return std::nullopt;
  }
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return text;
}

std::optional<Tree> resolve_source(const std::string& text, const std::string& path, const Sets& sets,
                                   Problems& problems) {
  Chain chain;
  auto root = read_chain(text, path, chain, problems);
  if (!root) return std::nullopt;
  drop(*root, "extends");
  for (const auto& [key, value] : sets) apply_set(*root, key, value, problems);
  substitute_params(*root, problems);
  drop(*root, "params");
  return root;
}

}  // namespace weft::topology
