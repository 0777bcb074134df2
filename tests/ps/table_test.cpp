#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/core/json.hpp>
#include <weft/ps/table.hpp>

#include "ps/random.hpp"

using namespace weft;
using namespace weft::ps;

namespace {

TableSpec table_with(const std::string& json) {
  return TableSpec::parse("w", parse_json(json), "tables.w");
}

std::vector<float> read(const Table& table, const std::vector<std::uint64_t>& keys) {
  std::vector<float> out(keys.size() * table.spec().width);
  table.read(keys, out);
  return out;
}

}  // namespace

TEST_CASE("a table says everything that its text said and reads back what it wrote") {
  const auto tables = parse_tables(parse_json(R"({
      "weights": {"kind": "sparse", "width": 2, "consistency": "ssp", "staleness": 5, "aggregate": "sum",
                  "optimizer": {"name": "ftrl", "learning_rate": 0.5, "l1": 2}},
      "dense": {"kind": "dense", "rows": 785, "width": 10, "initializer": {"name": "normal", "scale": 0.5, "seed": 9}}})"));

  REQUIRE(tables.size() == 2);
  CHECK(tables[0].name == "weights");
  CHECK(tables[0].bound() == 5);
  CHECK(tables[0].aggregate == Aggregate::sum);
  CHECK(tables[0].optimizer.l1 == 2.0F);
  CHECK(tables[1].rows == 785);
  CHECK(tables[1].initializer.seed == 9);
  CHECK(tables[1].bound() == UINT64_MAX);
  for (const TableSpec& table : tables) {
    CHECK(TableSpec::parse(table.name, table.to_value(), "tables").to_value() == table.to_value());
  }
}

TEST_CASE("a wrong table is refused with field, value and bound") {
  const auto refuse = [](const std::string& json, const std::string& sentence) {
    CAPTURE(json);
    CHECK_THROWS_WITH_AS(parse_tables(parse_json(json)), doctest::Contains(sentence.c_str()), Error);
  };
  refuse("{}", "tables: expected a map of at least one table");
  refuse("[]", "tables: expected a map of at least one table, found list");
  refuse(R"({"w": 3})", "tables.w: expected a map of fields, found integer");
  refuse(R"({"w": {"width": 0}})", "tables.w.width: expected an integer from 1 to 65536, found 0");
  refuse(R"({"w": {"width": -3}})", "tables.w.width: expected an integer from 1 to 65536, found -3");
  refuse(R"({"w": {"width": 1.5}})", "tables.w.width: expected an integer from 1 to 65536, found 1.5");
  refuse(R"({"w": {"kind": "dense"}})", "tables.w.rows: expected the number of rows of a dense table");
  refuse(R"({"w": {"kind": "sparse", "rows": 3}})", "tables.w.rows: a sparse table has no such field");
  refuse(R"({"w": {"consistency": "bps"}})", "did you mean bsp?");
  refuse(R"({"w": {"consistency": "ssp", "staleness": -1}})",
         "tables.w.staleness: expected an integer from 0");
  refuse(R"({"w": {"initializer": {"name": "zeros", "seed": 3}}})",
         "tables.w.initializer.seed: initializer zeros has no such field");
}

TEST_CASE("the description of the option names every field that the parser takes") {
  const topology::OptionDescription option = tables_option();
  REQUIRE(option.fields.size() == 1);
  TableSpec dense;
  dense.kind = TableKind::dense;
  dense.rows = 1;
  for (const TableSpec& spec : {TableSpec{}, dense}) {
    const Value value = spec.to_value();
    for (const auto& entry : value.as_map()) {
      const std::string& name = entry.first;
      CAPTURE(name);
      CHECK(std::any_of(option.fields[0].fields.begin(), option.fields[0].fields.end(),
                        [&](const auto& described) { return described.name == name; }));
    }
  }
}

TEST_CASE("a sparse table makes rows by writing, not by reading") {
  Table table(table_with(R"({"width": 2, "optimizer": {"name": "sgd", "learning_rate": 1}})"), 0, 1);

  CHECK(read(table, {7, UINT64_MAX}) == std::vector<float>{0, 0, 0, 0});
  CHECK(table.rows() == 0);
  table.update(std::vector<std::uint64_t>{7, 0}, std::vector<float>{1, 2, 3, 4}, 0.5F);

  CHECK(table.rows() == 2);
  CHECK(read(table, {0, 7, 8}) == std::vector<float>{-1.5F, -2, -0.5F, -1, 0, 0});
}

TEST_CASE("initial values depend on the key alone, not on the number of shards") {
  const TableSpec dense = table_with(
      R"({"kind": "dense", "rows": 10, "width": 3, "initializer": {"name": "uniform", "scale": 2}})");
  const TableSpec sparse = table_with(R"({"width": 3, "initializer": {"name": "uniform", "scale": 2}})");
  const Table whole(dense, 0, 1);
  const Table last_part(dense, 2, 3);
  Table touched(sparse, 0, 1);

  const std::vector<float> row = read(whole, {9});
  touched.make_rows(std::vector<std::uint64_t>{9});

  CHECK(read(last_part, {9}) == row);
  CHECK(read(touched, {9}) == row);
  CHECK(row[0] != row[1]);
  for (const float x : row) CHECK(std::fabs(x) <= 2);
}

TEST_CASE("normal initial values have the mean and deviation that were asked for") {
  const InitializerSpec normal{InitializerKind::normal, 0.5F, 3};
  double sum = 0;
  double squares = 0;
  const int keys = 20'000;
  for (int key = 0; key < keys; ++key) {
    float value = 0;
    normal.fill(static_cast<std::uint64_t>(key), {&value, 1});
    sum += static_cast<double>(value);
    squares += static_cast<double>(value) * static_cast<double>(value);
  }
  CHECK(std::fabs(sum / keys) < 0.015);
  CHECK(std::sqrt(squares / keys) == doctest::Approx(0.5).epsilon(0.03));
}

TEST_CASE("assign sets the row and forgets the optimiser's state") {
  Table table(table_with(R"({"optimizer": {"name": "adagrad", "learning_rate": 0.1}})"), 0, 1);
  const std::vector<std::uint64_t> key{5};
  const std::vector<float> gradient{4};
  table.update(key, gradient, 1);

  table.assign(key, std::vector<float>{2});
  table.update(key, gradient, 1);

  CHECK(read(table, {5})[0] == doctest::Approx(1.9));
}

TEST_CASE("a dense table knows its range and a sparse one its room") {
  const Table dense(table_with(R"({"kind": "dense", "rows": 10})"), 1, 2);
  CHECK(dense.rows() == 5);
  CHECK(!dense.key_fault(std::vector<std::uint64_t>{5, 9}));
  CHECK(dense.key_fault(std::vector<std::uint64_t>{5, 4}).value_or("").find("key 4 is outside") == 0);
  CHECK(dense.key_fault(std::vector<std::uint64_t>{UINT64_MAX}));

  Table sparse(table_with(R"({"max_rows": 2})"), 0, 1);
  CHECK(sparse.has_room(std::vector<std::uint64_t>{1, 2}));
  sparse.make_rows(std::vector<std::uint64_t>{1, 2});
  CHECK(sparse.has_room(std::vector<std::uint64_t>{2, 1, 2}));
  CHECK_FALSE(sparse.has_room(std::vector<std::uint64_t>{1, 3}));
}

TEST_CASE("the row index finds what was added, among a hundred thousand keys") {
  RowIndex index;
  const auto key = [](std::uint64_t i) { return i % 3 == 0 ? i : i << 40U | i; };
  for (std::uint64_t i = 0; i < 100'000; ++i) REQUIRE(index.find_or_add(key(i)) == i);
  for (std::uint64_t i = 0; i < 100'000; ++i) REQUIRE(index.find(key(i)) == i);
  CHECK(index.find(1) == RowIndex::kNone);
  CHECK(index.size() == 100'000);

  index.clear();

  CHECK(index.find(key(0)) == RowIndex::kNone);
  CHECK(index.size() == 0);
}

TEST_CASE("the row index finds and adds many keys at once as it does one by one") {
  RowIndex index;
  RowIndex one_by_one;
  const std::uint64_t taken = mix64(1);
  for (const std::size_t count : {0U, 1U, 127U, 128U, 129U, 1000U}) {
    CAPTURE(count);
    std::vector<std::uint64_t> keys(count);
    // Half of them are known by the next round, and some come twice.
    for (std::size_t i = 0; i < count; ++i) keys[i] = (i % 7 == 0 ? taken : mix64(i * 2 / 3)) + count % 2;
    std::vector<std::uint32_t> before(count, 9);
    std::vector<std::uint32_t> rows(count, 9);
    std::vector<std::uint32_t> expected(count);
    std::vector<std::uint32_t> missing(count);
    for (std::size_t i = 0; i < count; ++i) missing[i] = one_by_one.find(keys[i]);
    for (std::size_t i = 0; i < count; ++i) expected[i] = one_by_one.find_or_add(keys[i]);

    index.find(keys, before.data());
    index.find_or_add(keys, rows.data());

    CHECK(before == missing);
    CHECK(rows == expected);
    index.find(keys, rows.data());
    CHECK(rows == expected);
  }
  CHECK(index.keys() == one_by_one.keys());
}
