// Publishes by topic to whoever has subscribed. Usage: pub ENDPOINT COUNT
#include <cstdio>
#include <cstdlib>
#include <string>

#include <weft/blocks/pub.hpp>

using namespace std::chrono_literals;

struct Order {
  std::uint64_t number = 0;
  std::string item;
  WEFT_RECORD(Order, number, item)
};

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: pub ENDPOINT COUNT"), 2;
  weft::Loop loop;
  weft::Pub<Order> pub(loop, {.name = "orders", .bind = {argv[1]}});
  // A subscriber counts as soon as its subscriptions are active: it gets the first record.
  if (!pub.wait_for_peers(1, weft::Deadline::after(20s))) return std::puts("nobody subscribed"), 1;
  const auto count = std::strtoull(argv[2], nullptr, 10);
  for (std::uint64_t n = 0; n < count; ++n) (void)pub.publish(n % 2 ? "orders/us" : "orders/eu", {n, "tea"});
  pub.begin_drain();
  return loop.run_until([&] { return pub.drained(); }, weft::Deadline::after(10s)) ? 0 : 1;
}
