// Asks raw questions and waits for each reply, without handlers. Usage: dealer_ask ENDPOINT COUNT
#include <cstdio>
#include <cstdlib>
#include <string>

#include <weft/blocks/dealer.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: dealer_ask ENDPOINT COUNT"), 2;
  weft::Loop loop;
  weft::Dealer<> dealer(loop, {.name = "ask", .connect = {argv[1]}});
  const auto count = std::strtoull(argv[2], nullptr, 10);
  for (std::uint64_t n = 0; n < count; ++n) {
    const std::string question = "question " + std::to_string(n);
    const auto reply = dealer.ask(weft::as_bytes(question), weft::Deadline::after(10s));
    if (!reply.ok()) return std::printf("%s: %s\n", to_string(reply.outcome).data(), reply.text.c_str()), 1;
    std::printf("%s\n", std::string(reply.record->text()).c_str());
  }
}
