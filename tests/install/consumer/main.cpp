// Uses the installed package as a stranger would: no header and no library of the source tree.
#include <cstdio>
#include <exception>
#include <string>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pub.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>
#include <weft/blocks/sub.hpp>
#include <weft/core/json.hpp>
#include <weft/program/program.hpp>
#include <weft/ps/client.hpp>
#include <weft/topology/topology.hpp>

using namespace std::chrono_literals;

namespace {

struct Reading {
  std::string sensor;
  double celsius = 0;
  WEFT_RECORD(Reading, sensor, celsius)
};

constexpr const char* kTopology = R"(
weft: 1
name: two
nodes:
  source: {run: weft-source, lifetime: finite}
  sink: {run: weft-sink}
links:
  - {from: source.out, to: sink.in, pattern: push-pull}
)";

bool sends_a_typed_record() {
  weft::Loop loop;
  weft::Pull<Reading> pull(loop, {.name = "readings", .bind = {"tcp://127.0.0.1:*"}});
  weft::Push<Reading> push(loop, {.name = "readings", .connect = pull.endpoints()});
  if (push.send({"roof", 20.5}) != weft::SendStatus::ok) return false;
  const auto got = pull.receive(weft::Deadline::after(10s));
  return got && got->record.sensor == "roof" && got->record.celsius == 20.5;
}

bool refuses_a_wrong_key() {
  try {
    (void)weft::topology::load_text("weft: 1\nnmae: two\n", "two.yaml");
  } catch (const weft::topology::InvalidTopology& refused) {
    weft::Value first;
    first["problem"] = refused.problems().front().text();
    std::puts(weft::to_json(first).c_str());
    return true;
  }
  return false;
}

}  // namespace

int main() {
  try {
    const auto plan = weft::topology::load_text(kTopology, "two.yaml");
    std::puts(weft::topology::draw(plan, weft::topology::GraphFormat::ascii).c_str());
    return sends_a_typed_record() && refuses_a_wrong_key() ? 0 : 1;
  } catch (const std::exception& error) {
    std::printf("unexpected: %s\n", error.what());
    return 1;
  }
}
