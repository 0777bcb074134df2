// Receives typed records with a handler. Usage: pull_handler ENDPOINT COUNT
#include <cstdio>
#include <cstdlib>
#include <string>

#include <weft/blocks/pull.hpp>

struct Reading {
  std::uint64_t number = 0;
  std::string sensor;
  double celsius = 0;
  WEFT_RECORD(Reading, number, sensor, celsius)
};

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: pull_handler ENDPOINT COUNT"), 2;
  weft::Loop loop;
  weft::Pull<Reading> pull(loop, {.name = "readings", .bind = {argv[1]}});
  const auto count = std::strtoull(argv[2], nullptr, 10);
  std::uint64_t received = 0;
  double sum = 0;
  pull.on_record([&](Reading& reading, const weft::Meta&) {
    sum += reading.celsius;
    ++received;
  });
  const bool all =
      loop.run_until([&] { return received >= count; }, weft::Deadline::after(std::chrono::seconds(20)));
  pull.begin_drain();  // acknowledges the last records
  (void)loop.run_until([&] { return pull.drained(); }, weft::Deadline::after(std::chrono::seconds(5)));
  std::printf("received %llu, mean %.1f\n", static_cast<unsigned long long>(received),
              received ? sum / static_cast<double>(received) : 0.0);
  return all ? 0 : 1;
}
