#include <weft/ps/table_spec.hpp>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "ps/fields.hpp"
#include "ps/random.hpp"

namespace weft::ps {
namespace {

const std::vector<std::string>& optimizer_names() {
  static const std::vector<std::string> names{"sgd", "momentum", "adagrad", "rmsprop", "adam", "ftrl"};
  return names;
}
const std::vector<std::string>& initializer_names() {
  static const std::vector<std::string> names{"zeros", "uniform", "normal"};
  return names;
}

InitializerSpec parse_initializer(const Value& value, const std::string& where) {
  InitializerSpec spec;
  if (value.is_null()) return spec;
  FieldReader fields(value, where);
  spec.kind = static_cast<InitializerKind>(fields.choice("name", 0, initializer_names()));
  if (spec.kind != InitializerKind::zeros) {
    spec.scale = fields.number("scale", spec.scale, 0, OptimizerSpec::kMostNumber);
    spec.seed = fields.integer("seed", spec.seed, 0, UINT64_MAX);
  }
  fields.refuse_others(format("initializer {}", to_string(spec.kind)));
  return spec;
}

Value initializer_value(const InitializerSpec& spec) {
  Value value;
  value["name"] = to_string(spec.kind);
  if (spec.kind != InitializerKind::zeros) {
    value["scale"] = static_cast<double>(spec.scale);
    value["seed"] = spec.seed;
  }
  return value;
}

}  // namespace

std::string_view to_string(OptimizerKind kind) {
  return optimizer_names()[static_cast<std::size_t>(kind)];
}
std::string_view to_string(InitializerKind kind) {
  return initializer_names()[static_cast<std::size_t>(kind)];
}
std::string_view to_string(TableKind kind) {
  return kind == TableKind::dense ? "dense" : "sparse";
}
std::string_view to_string(Aggregate aggregate) {
  return aggregate == Aggregate::mean ? "mean" : "sum";
}
std::string_view to_string(Consistency consistency) {
  switch (consistency) {
    case Consistency::bsp:
      return "bsp";
    case Consistency::ssp:
      return "ssp";
    case Consistency::asp:
      return "asp";
  }
  return "unknown";
}

OptimizerSpec OptimizerSpec::parse(const Value& value, const std::string& where) {
  OptimizerSpec spec;
  if (value.is_null()) return spec;
  FieldReader fields(value, where);
  spec.kind = static_cast<OptimizerKind>(fields.choice("name", 0, optimizer_names()));
  const bool small_rate = spec.kind == OptimizerKind::adam || spec.kind == OptimizerKind::rmsprop;
  spec.learning_rate = fields.number("learning_rate", small_rate ? 0.001F : 0.1F, kLeastFactor, kMostNumber);
  spec.l2 = fields.number("l2", spec.l2, 0, kMostNumber);
  switch (spec.kind) {
    case OptimizerKind::sgd:
      break;
    case OptimizerKind::momentum:
      spec.momentum = fields.number("momentum", spec.momentum, 0, kMostFraction);
      break;
    case OptimizerKind::adagrad:
      spec.epsilon = fields.number("epsilon", spec.epsilon, kLeastEpsilon, kMostNumber);
      break;
    case OptimizerKind::rmsprop:
      spec.decay = fields.number("decay", spec.decay, 0, kMostFraction);
      spec.epsilon = fields.number("epsilon", spec.epsilon, kLeastEpsilon, kMostNumber);
      break;
    case OptimizerKind::adam:
      spec.beta1 = fields.number("beta1", spec.beta1, 0, kMostFraction);
      spec.beta2 = fields.number("beta2", spec.beta2, 0, kMostFraction);
      spec.epsilon = fields.number("epsilon", spec.epsilon, kLeastEpsilon, kMostNumber);
      break;
    case OptimizerKind::ftrl:
      spec.beta = fields.number("beta", spec.beta, kLeastFactor, kMostNumber);
      spec.l1 = fields.number("l1", spec.l1, 0, kMostNumber);
      break;
  }
  fields.refuse_others(format("optimizer {}", to_string(spec.kind)));
  return spec;
}

Value OptimizerSpec::to_value() const {
  Value value;
  value["name"] = to_string(kind);
  const auto put = [&](const char* field, float number) { value[field] = static_cast<double>(number); };
  put("learning_rate", learning_rate);
  put("l2", l2);
  if (kind == OptimizerKind::momentum) put("momentum", momentum);
  if (kind == OptimizerKind::rmsprop) put("decay", decay);
  if (kind == OptimizerKind::adam) {
    put("beta1", beta1);
    put("beta2", beta2);
  }
  if (kind == OptimizerKind::adagrad || kind == OptimizerKind::rmsprop || kind == OptimizerKind::adam) {
    put("epsilon", epsilon);
  }
  if (kind == OptimizerKind::ftrl) {
    put("beta", beta);
    put("l1", l1);
  }
  return value;
}

void InitializerSpec::fill(std::uint64_t key, std::span<float> out) const {
  if (kind == InitializerKind::zeros) {
    for (float& x : out) x = 0;
    return;
  }
  Random random(seed, key);
  for (float& x : out) {
    const double unit = kind == InitializerKind::uniform ? 2 * random.uniform() - 1 : random.normal();
    x = static_cast<float>(unit * static_cast<double>(scale));
  }
}

std::uint64_t TableSpec::bound() const {
  switch (consistency) {
    case Consistency::bsp:
      return 0;
    case Consistency::ssp:
      return staleness;
    case Consistency::asp:
      return UINT64_MAX;
  }
  return 0;
}

TableSpec TableSpec::parse(std::string name, const Value& value, const std::string& where) {
  TableSpec spec;
  spec.name = std::move(name);
  FieldReader fields(value, where);
  spec.kind = static_cast<TableKind>(fields.choice("kind", 1, {"dense", "sparse"}));
  if (spec.kind == TableKind::dense) {
    if (!fields.has("rows")) fields.fail("rows", Value(), "the number of rows of a dense table");
    spec.rows = fields.integer("rows", 0, 1, kMaxRows);
  } else {
    spec.max_rows = fields.integer("max_rows", spec.max_rows, 1, kMaxRows);
  }
  spec.width = static_cast<std::uint32_t>(fields.integer("width", spec.width, 1, kMaxWidth));
  spec.optimizer = OptimizerSpec::parse(fields.nested("optimizer"), where + ".optimizer");
  spec.consistency = static_cast<Consistency>(fields.choice("consistency", 2, {"bsp", "ssp", "asp"}));
  spec.staleness = static_cast<std::uint32_t>(fields.integer("staleness", spec.staleness, 0, kMaxStaleness));
  spec.aggregate = static_cast<Aggregate>(fields.choice("aggregate", 0, {"mean", "sum"}));
  spec.initializer = parse_initializer(fields.nested("initializer"), where + ".initializer");
  fields.refuse_others(format("a {} table", to_string(spec.kind)));
  return spec;
}

Value TableSpec::to_value() const {
  Value value;
  value["kind"] = to_string(kind);
  if (kind == TableKind::dense) {
    value["rows"] = rows;
  } else {
    value["max_rows"] = max_rows;
  }
  value["width"] = width;
  value["optimizer"] = optimizer.to_value();
  value["consistency"] = to_string(consistency);
  value["staleness"] = staleness;
  value["aggregate"] = to_string(aggregate);
  value["initializer"] = initializer_value(initializer);
  return value;
}

std::vector<TableSpec> parse_tables(const Value& value) {
  if (!value.is_map() || value.as_map().empty()) {
    throw Error(Errc::invalid_argument, format("tables: expected a map of at least one table, found {}",
                                               value.is_map() ? "an empty map" : value.kind()));
  }
  std::vector<TableSpec> tables;
  for (const auto& [name, fields] : value.as_map()) {
    tables.push_back(TableSpec::parse(name, fields, "tables." + name));
  }
  return tables;
}

}  // namespace weft::ps
