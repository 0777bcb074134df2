// Answers raw requests one by one, without handlers. Usage: router_next ENDPOINT COUNT
#include <cstdio>
#include <cstdlib>
#include <string>

#include <weft/blocks/router.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: router_next ENDPOINT COUNT"), 2;
  weft::Loop loop;
  weft::Router<> router(loop, {.name = "echo", .bind = {argv[1]}});
  const auto count = std::strtoull(argv[2], nullptr, 10);
  for (std::uint64_t n = 0; n < count; ++n) {
    auto request = router.next(weft::Deadline::after(20s));
    if (!request) return std::puts("nobody asked for 20 s"), 1;
    auto& [question, respond] = *request;
    respond.reply(weft::as_bytes("echo " + std::string(question.text())));
  }
  router.begin_drain();  // the last replies go out
  return loop.run_until([&] { return router.drained(); }, weft::Deadline::after(10s)) ? 0 : 1;
}
