// What a server says of its tables is what it takes: `weft check` finds what the server would refuse.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/core/json.hpp>
#include <weft/ps/table_spec.hpp>
#include <weft/topology/topology.hpp>

using namespace weft;
using namespace weft::ps;

namespace {

// What `weft check` says of a table; empty: nothing.
std::string checked(const std::string& table) {
  topology::LoadOptions options;
  options.describe = [](const std::string&, const std::string&) {
    topology::ProgramDescription server;
    server.program = "server";
    server.open_ports = true;
    server.options = {tables_option()};
    return std::optional(server);
  };
  try {
    (void)topology::load_text("weft: 1\nname: t\nnodes:\n  s: {run: server, with: {tables: {w: " + table +
                                  "}}}\n  o: {run: server, with: {tables: {w: {}}}}\nlinks:\n" +
                                  "  - {from: o.out, to: s.in, pattern: push-pull}\n",
                              "t.yaml", options);
  } catch (const topology::InvalidTopology& invalid) {
    return invalid.what();
  }
  return "";
}

// What the server says.
std::string parsed(const std::string& table) {
  try {
    (void)TableSpec::parse("w", parse_json(table), "tables.w");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a table that a server refuses is refused by weft check, and no other") {
  const std::vector<std::string> names{"sgd", "momentum", "adagrad", "rmsprop", "adam", "ftrl"};
  const std::vector<std::string> fields{"learning_rate", "l1",    "l2",    "beta",   "momentum",
                                        "decay",         "beta1", "beta2", "epsilon"};
  const std::vector<std::string> numbers{"-1",       "0", "1e-40", "1e-30", "9e-21", "1e-20",   "0.5",
                                         "0.999999", "1", "1e10",  "2e10",  "1e39",  "\"much\""};
  std::vector<std::string> tables;
  for (const std::string& name : names) {
    for (const std::string& field : fields) {
      for (const std::string& number : numbers)
        tables.push_back(R"({"optimizer": {"name": ")" + name + R"(", ")" + field + "\": " + number + "}}");
    }
  }
  for (const char* more : {R"({})",
                           R"({"optimizer": {"name": "adagard"}})",
                           R"({"optimizer": {"momentum": 0.5}})",
                           R"({"kind": "dense"})",
                           R"({"kind": "dense", "rows": 5})",
                           R"({"kind": "dense", "rows": 0})",
                           R"({"rows": 5})",
                           R"({"max_rows": 5})",
                           R"({"kind": "dense", "rows": 5, "max_rows": 5})",
                           R"({"kind": "dense", "rows": 4000000001})",
                           R"({"max_rows": 0})",
                           R"({"width": 0})",
                           R"({"width": 65536})",
                           R"({"width": 65537})",
                           R"({"width": 1.5})",
                           R"({"staleness": -1})",
                           R"({"staleness": 1000001})",
                           R"({"consistency": "sps"})",
                           R"({"aggregate": "max"})",
                           R"({"initializer": {"name": "uniform", "scale": 0, "seed": 0}})",
                           R"({"initializer": {"name": "normal", "scale": -1}})",
                           R"({"initializer": {"name": "normal", "scale": 1e39}})",
                           R"({"initializer": {"scale": 1}})",
                           R"({"initializer": {"name": "zeros", "seed": 1}})",
                           R"({"initializer": {"name": "uniform", "seed": -1}})",
                           R"({"surprise": 1})"}) {
    tables.emplace_back(more);
  }
  std::size_t refused = 0;
  for (const std::string& table : tables) {
    CAPTURE(table);
    const std::string by_check = checked(table);
    const std::string by_server = parsed(table);
    CAPTURE(by_check);
    CAPTURE(by_server);
    CHECK(by_check.empty() == by_server.empty());
    refused += by_server.empty() ? 0 : 1;
  }
  CHECK(refused > 100);
  CHECK(refused < tables.size());
}

TEST_CASE("what is wrong with a table is said where it stands") {
  CHECK(checked(R"({"optimizer": {"momentum": 0.5}})")
            .find("momentum goes with name: momentum, not with sgd") != std::string::npos);
  CHECK(checked(R"({"kind": "dense"})").find("needs the option \"rows\"") != std::string::npos);
  CHECK(checked(R"({"rows": 5})").find("rows goes with kind: dense, not with sparse") != std::string::npos);
}
