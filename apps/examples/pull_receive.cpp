// Receives raw records by asking for them, without handlers. Usage: pull_receive ENDPOINT COUNT
#include <cstdio>
#include <cstdlib>

#include <weft/blocks/pull.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: pull_receive ENDPOINT COUNT"), 2;
  weft::Loop loop;
  weft::Pull<> pull(loop, {.name = "lines", .bind = {argv[1]}});
  const auto count = std::strtoull(argv[2], nullptr, 10);
  std::uint64_t received = 0;
  while (received < count) {
    const auto line = pull.receive(weft::Deadline::after(20s));
    if (!line) return std::puts("nothing came for 20 s"), 1;
    if (received++ == 0)
      std::printf("first: %.*s\n", static_cast<int>(line->record.text().size()), line->record.text().data());
  }
  pull.begin_drain();  // acknowledges the last records
  (void)loop.run_until([&] { return pull.drained(); }, weft::Deadline::after(5s));
  std::printf("received %llu\n", static_cast<unsigned long long>(received));
}
