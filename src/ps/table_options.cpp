// The description of the `tables:` option, field by field.
#include <weft/core/format.hpp>
#include <weft/ps/table_spec.hpp>

namespace weft::ps {
namespace {

using topology::OptionDescription;
using topology::OptionType;

OptionDescription field(std::string name, OptionType type, Value otherwise, std::string help) {
  OptionDescription option;
  option.name = std::move(name);
  option.type = type;
  option.default_value = std::move(otherwise);
  option.help = std::move(help);
  return option;
}

OptionDescription choice(std::string name, std::vector<std::string> choices, Value otherwise,
                         std::string help) {
  OptionDescription option =
      field(std::move(name), OptionType::choice, std::move(otherwise), std::move(help));
  option.choices = std::move(choices);
  return option;
}

OptionDescription integer(std::string name, Value otherwise, double least, double most, std::string help) {
  OptionDescription option =
      field(std::move(name), OptionType::integer, std::move(otherwise), std::move(help));
  option.minimum = least;
  option.maximum = most;
  return option;
}

OptionDescription number(std::string name, double least, double most, std::string help) {
  OptionDescription option = field(std::move(name), OptionType::number, Value(), std::move(help));
  option.minimum = least;
  option.maximum = most;
  return option;
}

OptionDescription only(std::string option, std::vector<std::string> values, OptionDescription of) {
  of.when = topology::OptionCondition{std::move(option), std::move(values)};
  return of;
}

// Without defaults of their own: a field that the named rule does not use is refused when it is there.
OptionDescription optimizer_option() {
  OptionDescription option =
      field("optimizer", OptionType::record, Value(), "the update rule that servers run");
  using Spec = OptimizerSpec;
  const auto fraction = [](std::string name, std::string rule, const std::string& usual) {
    return only("name", {rule},
                number(std::move(name), 0, Spec::kMostFraction, format("{}: {} unless given", rule, usual)));
  };
  option.fields = {
      choice("name", {"sgd", "momentum", "adagrad", "rmsprop", "adam", "ftrl"}, "sgd", "which rule"),
      number("learning_rate", Spec::kLeastFactor, Spec::kMostNumber,
             "0.1 unless given, 0.001 for adam and rmsprop"),
      only("name", {"ftrl"}, number("l1", 0, Spec::kMostNumber, "ftrl: L1 strength; 0 unless given")),
      number("l2", 0, Spec::kMostNumber, "L2 strength, added to the gradient as l2 * w; 0 unless given"),
      only("name", {"ftrl"}, number("beta", Spec::kLeastFactor, Spec::kMostNumber, "ftrl: 1 unless given")),
      fraction("momentum", "momentum", "0.9"),
      fraction("decay", "rmsprop", "0.9"),
      fraction("beta1", "adam", "0.9"),
      fraction("beta2", "adam", "0.999"),
      only("name", {"adagrad", "rmsprop", "adam"},
           number("epsilon", Spec::kLeastEpsilon, Spec::kMostNumber,
                  "adagrad, rmsprop, adam: 1e-8 unless given")),
  };
  return option;
}

OptionDescription initializer_option() {
  OptionDescription option = field("initializer", OptionType::record, Value(), "values of untouched rows");
  option.fields = {
      choice("name", {"zeros", "uniform", "normal"}, "zeros", "which values"),
      only("name", {"uniform", "normal"},
           number("scale", 0, OptimizerSpec::kMostNumber,
                  "uniform: half the range; normal: the standard deviation; 0.01 unless given")),
      only("name", {"uniform", "normal"},
           integer("seed", Value(), 0, 9007199254740992.0,
                   "the same seed gives the same values on any number of servers; 1 unless given")),
  };
  return option;
}

}  // namespace

topology::OptionDescription tables_option() {
  OptionDescription rows = only(
      "kind", {"dense"},
      integer("rows", Value(), 1, static_cast<double>(TableSpec::kMaxRows), "dense: rows over all servers"));
  rows.required = true;
  OptionDescription table = field("table", OptionType::record, Value(), "one table");
  table.fields = {
      choice("kind", {"dense", "sparse"}, "sparse", "dense: rows 0 .. rows-1; sparse: any 64-bit key"),
      rows,
      only("kind", {"sparse"},
           integer("max_rows", Value(), 1, static_cast<double>(TableSpec::kMaxRows),
                   "sparse: most rows a server; 100,000,000 unless given")),
      integer("width", 1, 1, TableSpec::kMaxWidth, "floats a row"),
      optimizer_option(),
      choice("consistency", {"bsp", "ssp", "asp"}, "asp", "what a pull waits for"),
      integer("staleness", 3, 0, TableSpec::kMaxStaleness,
              "ssp: clocks a worker may be ahead of the slowest"),
      choice("aggregate", {"mean", "sum"}, "mean", "how gradients of several workers are joined"),
      initializer_option(),
  };
  OptionDescription tables = field("tables", OptionType::map, Value(), "the tables by name");
  tables.required = true;
  tables.fields = {table};
  return tables;
}

}  // namespace weft::ps
