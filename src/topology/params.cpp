// `--set`, and ${params}.
#include <charconv>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "names.hpp"
#include "source.hpp"
#include "yaml.hpp"

namespace weft::topology {
namespace {

constexpr std::size_t kMostText = 16 * kLongestFile;  // bytes of all scalars after substitution
constexpr std::size_t kMostParams = 500;

std::vector<std::string> keys_of(const Tree& map) {
  std::vector<std::string> keys;
  for (const Member& member : map.members) keys.push_back(member.key);
  return keys;
}

Place set_place() {
  static const auto file = std::make_shared<const std::string>("--set");
  return {file, 0, 0};
}

// The value of a set as a YAML scalar: quotes make it text, else it takes the type it looks like.
Tree scalar_of_set(const std::string& key, const std::string& value) {
  const bool has_quotes =
      value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front();
  Tree scalar = has_quotes ? make_scalar(value.substr(1, value.size() - 2), true, set_place())
                           : make_scalar(value, value.empty(), set_place());
  scalar.note = format("--set {}={}", key, value.size() > 60 ? value.substr(0, 60) + "..." : value);
  return scalar;
}

bool is_number(const Tree& tree) {
  return tree.kind == Tree::Kind::integer || tree.kind == Tree::Kind::number;
}

void set_param(Tree& root, const std::string& key, const std::string& value, Problems& problems) {
  Tree* params = root.find("params");
  Tree* param = params && params->is_map() ? params->find(key) : nullptr;
  if (!param) {
    const std::vector<std::string> names = params ? keys_of(*params) : std::vector<std::string>();
    const std::string hint = names.empty() ? "; the file has no params, and a path into it has dots, such as "
                                             "nodes.worker.replicas"
                                           : offer(key, names, "the file's params are");
    problems.add(set_place(), format("{}={} names no param of the file{}", key, weft::quoted(value), hint));
    return;
  }
  Tree fresh = scalar_of_set(key, value);
  if (param->is_text()) {
    Tree text = make_scalar(fresh.text, true, fresh.place);
    text.note = fresh.note;
    fresh = std::move(text);
  }
  const bool same_type = param->kind == Tree::Kind::null || param->is_text() || param->kind == fresh.kind ||
                         (is_number(*param) && is_number(fresh));
  if (!same_type) {
    problems.add(set_place(), format("{}={} does not fit the param, which is {} in the file", key,
                                     weft::quoted(value), found(*param)));
    return;
  }
  *param = std::move(fresh);
}

std::optional<std::size_t> parse_index(std::string_view text) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return index;
}

// Maps that a path may bring into being: whole sections that a file may leave out.
bool may_create(const std::vector<std::string>& segments, std::size_t at) {
  if (at == 0) return segments[0] == "limits" || segments[0] == "hosts";
  if (segments[0] != "nodes" || at < 2) return false;
  return segments[2] == "with" || segments[2] == "env";
}

// One step of a path: the child of `at`, made when `create` allows; nullptr after reporting. `here` names
// `at`.
Tree* step(Tree& at, const std::string& segment, bool create, const std::string& key, const std::string& here,
           Problems& problems) {
  if (segment.empty()) {
    problems.add(set_place(), format("{} has an empty part between its dots", weft::quoted(key)));
    return nullptr;
  }
  if (at.is_list()) {
    const auto index = parse_index(segment);
    if (index && *index < at.items.size()) return &at.items[*index];
    problems.add(set_place(), format("{}: {} is a list of {}, so {} must be a place from 0 in it",
                                     weft::quoted(key), here, at.items.size(), weft::quoted(segment)));
    return nullptr;
  }
  if (!at.is_map()) {
    problems.add(set_place(),
                 format("{}: {} is {}, which has no keys inside", weft::quoted(key), here, found(at)));
    return nullptr;
  }
  if (Tree* next = at.find(segment)) return next;
  if (create) {
    at.members.push_back({segment, set_place(), make_map(set_place())});
    return &at.members.back().value;
  }
  problems.add(set_place(), format("{}: {} has no key {}{}", weft::quoted(key), here, weft::quoted(segment),
                                   offer(segment, keys_of(at), "it has")));
  return nullptr;
}

void set_path(Tree& root, const std::string& key, const std::string& value, Problems& problems) {
  const std::vector<std::string> segments = split(key, '.');
  if (segments.size() >= kDeepestNesting) {
    problems.add(set_place(), format("{} is deeper than any topology", weft::quoted(key)));
    return;
  }
  Tree* at = &root;
  std::string path;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool create = i + 1 == segments.size() || may_create(segments, i);
    at = step(*at, segments[i], create, key, path.empty() ? "the file" : path, problems);
    if (!at) return;
    path += (path.empty() ? "" : ".") + segments[i];
  }
  *at = scalar_of_set(key, value);
}

class Substitution {
 public:
  Substitution(const Tree* params, Problems& problems) : params_(params), problems_(problems) {
    if (params_) names_ = keys_of(*params_);
  }

  // In `with`, `args` and `env` ${node} and ${replica} are those of each process, unless there are such
  // params.
  void walk_nodes(Tree& nodes) {
    for (Member& node : nodes.members) {
      for (Member& member : node.value.members) {
        of_nodes_ = member.key == "with" || member.key == "args" || member.key == "env";
        walk(member.value);
      }
      of_nodes_ = false;
      if (!node.value.is_map()) walk(node.value);
    }
  }

  void walk(Tree& tree) {
    for (Tree& item : tree.items) walk(item);
    for (Member& member : tree.members) walk(member.value);
    if (tree.is_text() && tree.text.find("${") != std::string::npos) replace(tree);
  }

  // In the path of a journal ${node} and ${replica} are those of each process, and no params.
  void walk_links(Tree& links) {
    for (Tree& link : links.items) {
      for (Member& member : link.members) {
        of_process_ = member.key == "journal";
        walk(member.value);
      }
      of_process_ = false;
      if (!link.is_map()) walk(link);
    }
  }

 private:
  void replace(Tree& tree) {
    if (const auto name = sole_name(tree.text)) {
      if (is_of_process(*name)) {
        if (of_nodes_ && *name == "replica") {  // alone it is a number, as a param would be
          tree.kind = Tree::Kind::integer;
          tree.scalar = 0;
        }
        tree.of_process = of_nodes_;
        return;
      }
      const Tree* param = look_up(*name, tree);
      if (!param || !spend(param->text.size(), tree)) return;
      Tree fresh = *param;
      fresh.place = tree.place;
      fresh.note = format("from ${{{}}}", *name);
      for (const std::string& note : {param->note, tree.note}) {
        if (!note.empty()) fresh.note += ", " + note;
      }
      tree = std::move(fresh);
      return;
    }
    std::string out;
    keeps_escapes_ = of_nodes_ && names_process(tree.text);
    if (!expand(tree, out)) return;
    Tree fresh = make_scalar(std::move(out), true, tree.place);
    fresh.note = tree.note;
    fresh.of_process = keeps_escapes_;
    tree = std::move(fresh);
  }

  [[nodiscard]] bool is_of_process(std::string_view name) const {
    if (name != "node" && name != "replica") return false;
    return of_process_ || (of_nodes_ && !(params_ && params_->find(name)));
  }

  [[nodiscard]] bool names_process(std::string_view text) const {
    for (std::string_view name : {"node", "replica"}) {
      const std::string whole = format("${{{}}}", name);
      for (std::size_t at = 0; (at = text.find(whole, at)) != std::string_view::npos; ++at) {
        if ((at == 0 || text[at - 1] != '$') && is_of_process(name)) return true;
      }
    }
    return false;
  }

  static std::optional<std::string> sole_name(std::string_view text) {
    if (!text.starts_with("${") || text.find('}') != text.size() - 1) return std::nullopt;
    return std::string(text.substr(2, text.size() - 3));
  }

  bool expand(Tree& tree, std::string& out) {
    std::string_view rest = tree.text;
    while (!rest.empty()) {
      if (rest.starts_with("$${")) {
        out += keeps_escapes_ ? "$${" : "${";
        rest.remove_prefix(3);
      } else if (rest.starts_with("${")) {
        const std::size_t end = rest.find('}');
        if (end == std::string_view::npos) {
          problems_.add(
              tree,
              format("{} opens \"${{\" and never closes it; write \"$${{\" for the characters themselves",
                     weft::quoted(tree.text)));
          tree.broken = true;
          return false;
        }
        const std::string name(rest.substr(2, end - 2));
        if (is_of_process(name)) {
          out += rest.substr(0, end + 1);
          rest.remove_prefix(end + 1);
          continue;
        }
        const Tree* param = look_up(name, tree);
        if (!param || !spend(param->text.size(), tree)) return false;
        out += param->text;
        rest.remove_prefix(end + 1);
      } else {
        out += rest.front();
        rest.remove_prefix(1);
      }
    }
    return true;
  }

  const Tree* look_up(const std::string& name, Tree& tree) {
    const Tree* param = params_ ? params_->find(name) : nullptr;
    if (param && param->is_scalar() && !param->broken) return param;
    tree.broken = true;
    if (param) return nullptr;
    if (problems_.full()) return nullptr;
    const std::string hint =
        names_.empty() ? "; the file has no params" : offer(name, names_, "the params are");
    problems_.add(tree, format("${{{}}} names no param{}", name.substr(0, 64), hint));
    return nullptr;
  }

  bool spend(std::size_t bytes, Tree& tree) {
    spent_ += bytes;
    if (spent_ <= kMostText) return true;
    tree.broken = true;
    if (!said_) problems_.add(tree, format("the params written out make more than {} bytes", kMostText));
    said_ = true;
    return false;
  }

  const Tree* params_;
  Problems& problems_;
  std::vector<std::string> names_;
  std::size_t spent_ = 0;
  bool said_ = false;
  bool of_process_ = false;
  bool of_nodes_ = false;
  bool keeps_escapes_ = false;
};

void check_params(Tree& params, Problems& problems) {
  if (!params.is_map()) {
    if (params.kind != Tree::Kind::null) {
      problems.add(params, format("params must be a map of names to values, found {}", found(params)));
    }
    return;
  }
  if (params.members.size() > kMostParams) {
    problems.add(params,
                 format("params has {} entries; at most {} are allowed", params.members.size(), kMostParams));
    params.members.resize(kMostParams);
  }
  for (Member& param : params.members) {
    if (!is_name(param.key)) {
      problems.add(param.place,
                   format("{} cannot name a param; a name has letters, digits, \"_\" and \"-\", at most 64",
                          weft::quoted(param.key)));
    }
    if (!param.value.is_scalar()) {
      problems.add(param.value, format("params.{} must be one value (text, number, true or false), found {}",
                                       param.key, found(param.value)));
      param.value.broken = true;
    } else if (param.value.text.find("${") != std::string::npos) {
      problems.add(param.value, format("params.{} may not refer to other params, found {}", param.key,
                                       weft::quoted(param.value.text)));
      param.value.broken = true;
    }
  }
}

}  // namespace

void apply_set(Tree& root, const std::string& key, const std::string& value, Problems& problems) {
  if (!is_utf8(key) || !is_utf8(value) || value.find('\0') != std::string::npos) {
    problems.add(set_place(), format("{}={} is not UTF-8 text", weft::quoted(key), weft::quoted(value)));
  } else if (key.find('.') == std::string::npos) {
    set_param(root, key, value, problems);
  } else {
    set_path(root, key, value, problems);
  }
}

void substitute_params(Tree& root, Problems& problems) {
  Tree* params = root.find("params");
  if (params) check_params(*params, problems);
  const Tree known = params && params->is_map() ? *params : make_map({});
  Substitution substitution(&known, problems);
  for (Member& member : root.members) {
    if (member.key == "links" && member.value.is_list()) {
      substitution.walk_links(member.value);
    } else if (member.key == "nodes" && member.value.is_map()) {
      substitution.walk_nodes(member.value);
    } else if (member.key != "params" && member.key != "weft") {
      substitution.walk(member.value);
    }
  }
}

}  // namespace weft::topology
