// Sends typed records to whoever pulls. Usage: push_typed ENDPOINT COUNT
#include <cstdio>
#include <cstdlib>
#include <string>

#include <weft/blocks/push.hpp>

using namespace std::chrono_literals;

struct Reading {
  std::uint64_t number = 0;
  std::string sensor;
  double celsius = 0;
  WEFT_RECORD(Reading, number, sensor, celsius)
};

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: push_typed ENDPOINT COUNT"), 2;
  weft::Loop loop;
  weft::Push<Reading> push(loop, {.name = "readings", .connect = {argv[1]}});
  const auto count = std::strtoull(argv[2], nullptr, 10);
  for (std::uint64_t n = 0; n < count; ++n) {
    // Waits while the receiver is full; without the deadline, send() says would_block instead.
    const auto status = push.send({n, "roof", 20.5}, weft::Deadline::after(10s));
    if (status != weft::SendStatus::ok) return std::printf("not sent: %s\n", to_string(status).data()), 1;
  }
  return push.settle(weft::Deadline::after(10s)) ? 0 : 1;
}
