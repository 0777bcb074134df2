// Asks for published records one by one, without handlers. Usage: sub_receive ENDPOINT TOPIC COUNT
#include <cstdio>
#include <cstdlib>
#include <string>

#include <weft/blocks/sub.hpp>

struct Order {
  std::uint64_t number = 0;
  std::string item;
  WEFT_RECORD(Order, number, item)
};

int main(int argc, char** argv) {
  if (argc != 4) return std::puts("usage: sub_receive ENDPOINT TOPIC COUNT"), 2;
  weft::Loop loop;
  weft::Sub<Order> sub(loop, {.name = "orders", .connect = {argv[1]}, .topics = {argv[2]}});
  const auto count = std::strtoull(argv[3], nullptr, 10);
  for (std::uint64_t n = 0; n < count; ++n) {
    const auto order = sub.receive(weft::Deadline::after(std::chrono::seconds(20)));
    if (!order) return std::puts("nothing came for 20 s"), 1;
    std::printf("%s %llu %s\n", order->topic.c_str(), static_cast<unsigned long long>(order->record.number),
                order->record.item.c_str());
  }
}
