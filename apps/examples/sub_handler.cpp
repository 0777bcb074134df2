// Subscribes to one topic with a handler, until the publisher says goodbye. Usage: sub_handler ENDPOINT TOPIC
#include <cstdio>
#include <string>

#include <weft/blocks/sub.hpp>

struct Order {
  std::uint64_t number = 0;
  std::string item;
  WEFT_RECORD(Order, number, item)
};

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: sub_handler ENDPOINT TOPIC"), 2;
  weft::Loop loop;
  weft::Sub<Order> sub(loop, {.name = "orders", .connect = {argv[1]}, .topics = {argv[2]}});
  unsigned long long received = 0;
  bool finished = false;
  sub.on_record([&](Order&, const weft::Meta&) { ++received; });
  sub.on_peer(
      [&](const weft::PeerEvent& event) { finished = event.what == weft::PeerEvent::What::finished; });
  const bool done = loop.run_until([&] { return finished; }, weft::Deadline::after(std::chrono::seconds(20)));
  std::printf("received %llu, gaps %llu\n", received,
              static_cast<unsigned long long>(sub.stats().missed_batches));
  return done ? 0 : 1;
}
