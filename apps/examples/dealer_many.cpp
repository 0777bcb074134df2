// Keeps many typed requests on their way at once; each reply goes to a handler. Usage: dealer_many ENDPOINT
// COUNT
#include <cstdio>
#include <cstdlib>

#include <weft/blocks/dealer.hpp>

using namespace std::chrono_literals;

struct Numbers {
  double a = 0, b = 0;
  WEFT_RECORD(Numbers, a, b)
};
struct Quotient {
  double value = 0;
  WEFT_RECORD(Quotient, value)
};

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: dealer_many ENDPOINT COUNT"), 2;
  weft::Loop loop;
  weft::Dealer<Numbers, Quotient> dealer(loop, {.name = "ask", .connect = {argv[1]}});
  const auto count = std::strtoull(argv[2], nullptr, 10);
  unsigned answered = 0, refused = 0;
  for (std::uint64_t n = 0; n < count; ++n) {
    dealer.request({1.0, static_cast<double>(n)}, weft::Deadline::after(10s),
                   [&](weft::Reply<Quotient>& reply) {
                     ++(reply.ok() ? answered : refused);  // called once, by the deadline at the latest
                   });
  }
  dealer.begin_drain();
  const bool done = loop.run_until([&] { return dealer.drained(); }, weft::Deadline::after(20s));
  std::printf("answered %u, refused %u\n", answered, refused);
  return done ? 0 : 1;
}
