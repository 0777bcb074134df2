// `with:` against the options of a program, at any depth.
#include <cmath>

#include <weft/core/text.hpp>

#include "model.hpp"
#include "reader.hpp"

namespace weft::topology {
namespace {

class OptionChecker {
 public:
  explicit OptionChecker(Problems& problems) : problems_(problems) {}

  void check_fields(const Tree& map, const std::vector<OptionDescription>& fields, const std::string& path,
                    const std::string& owner) {
    std::vector<std::string> names;
    for (const OptionDescription& field : fields) names.push_back(field.name);
    const auto given = [&map](std::string_view name) -> std::optional<std::string> {
      const Tree* at = map.find(name);
      if (!at || at->kind == Tree::Kind::null || (at->is_text() && at->text.empty())) return std::nullopt;
      return at->is_scalar() ? at->text : "given";
    };
    for (const Member& member : map.members) {
      if (problems_.full()) return;
      const OptionDescription* field = find(fields, member.key);
      if (field) {
        check(member.value, *field, path + "." + member.key);
        if (!given(member.key)) continue;
        if (const auto why = misplaced(*field, fields, given))
          problems_.add(member.place, format("{}.{} {}", path, member.key, *why));
      } else {
        problems_.add(member.place, format("{} has no option {}{}", owner, weft::quoted(member.key),
                                           names.empty() ? "; it has none at all"
                                                         : offer(member.key, names, "its options are")));
      }
    }
    for (const OptionDescription& field : fields) {
      if (map.find(field.name) || !is_required(field, fields, given)) continue;
      problems_.add(map.place,
                    format("{} needs the option {}{}", owner, weft::quoted(field.name), help_of(field)));
    }
  }

 private:
  static const OptionDescription* find(const std::vector<OptionDescription>& fields, std::string_view name) {
    for (const OptionDescription& field : fields) {
      if (field.name == name) return &field;
    }
    return nullptr;
  }

  static std::string help_of(const OptionDescription& option) {
    return option.help.empty() ? "" : format(" ({})", option.help);
  }

  void check(const Tree& tree, const OptionDescription& option, const std::string& path) {
    switch (option.type) {
      case OptionType::text:
        read_text(tree, path, problems_);
        return;
      case OptionType::boolean:
        read_boolean(tree, path, problems_);
        return;
      case OptionType::integer:
        check_number(tree, option, path, true);
        return;
      case OptionType::number:
        check_number(tree, option, path, false);
        return;
      case OptionType::duration:
        if (const auto span = read_duration(tree, path, problems_)) {
          check_range(tree, option, std::chrono::duration<double>(*span).count(), " seconds", path);
        }
        return;
      case OptionType::size:
        if (const auto size = read_size(tree, path, problems_)) {
          check_range(tree, option, static_cast<double>(*size), " bytes", path);
        }
        return;
      case OptionType::choice:
        check_choice(tree, option, path);
        return;
      case OptionType::list:
        check_items(tree, option, path);
        return;
      case OptionType::map:
        check_entries(tree, option, path);
        return;
      case OptionType::record:
        if (expect_map(tree, path, problems_)) check_fields(tree, option.fields, path, path);
        return;
      case OptionType::any:
        return;
    }
  }

  void check_number(const Tree& tree, const OptionDescription& option, const std::string& path, bool whole) {
    const bool fits = tree.kind == Tree::Kind::integer || (!whole && tree.kind == Tree::Kind::number);
    if (fits && std::isfinite(tree.scalar.as_double())) {
      check_range(tree, option, tree.scalar.as_double(), option.unit.empty() ? "" : " " + option.unit, path);
      return;
    }
    std::string expected = whole ? "a whole number" : "a number";
    if (!option.unit.empty()) expected += format(" ({})", option.unit);
    report_wrong(tree, path, expected, problems_);
  }

  void check_range(const Tree& tree, const OptionDescription& option, double value, const std::string& unit,
                   const std::string& path) {
    if (option.minimum && value < *option.minimum) {
      problems_.add(tree,
                    format("{} must be at least {}{}, found {}", path, *option.minimum, unit, tree.text));
    } else if (option.maximum && value > *option.maximum) {
      problems_.add(tree,
                    format("{} must be at most {}{}, found {}", path, *option.maximum, unit, tree.text));
    }
  }

  void check_choice(const Tree& tree, const OptionDescription& option, const std::string& path) {
    for (const std::string& choice : option.choices) {
      if (tree.is_scalar() && tree.kind != Tree::Kind::null && tree.text == choice) return;
    }
    if (tree.broken) return;
    problems_.add(tree, format("{} must be {}, found {}{}", path, one_of(option.choices), found(tree),
                               tree.is_text() ? did_you_mean(tree.text, option.choices) : ""));
  }

  void check_items(const Tree& tree, const OptionDescription& option, const std::string& path) {
    if (!expect_list(tree, path, problems_) || option.fields.empty()) return;
    for (std::size_t i = 0; i < tree.items.size() && !problems_.full(); ++i) {
      check(tree.items[i], option.fields.front(), format("{}[{}]", path, i));
    }
  }

  void check_entries(const Tree& tree, const OptionDescription& option, const std::string& path) {
    if (!expect_map(tree, path, problems_) || option.fields.empty()) return;
    for (const Member& member : tree.members) {
      if (problems_.full()) return;
      check(member.value, option.fields.front(), path + "." + member.key);
    }
  }

  Problems& problems_;
};

}  // namespace

void check_options(const Tree& with, const std::vector<OptionDescription>& options, const std::string& path,
                   const std::string& program, Problems& problems) {
  OptionChecker(problems).check_fields(with, options, path, weft::quoted(program));
}

}  // namespace weft::topology
