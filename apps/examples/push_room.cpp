// Sends without ever waiting: goes on when the block says that there is room again. Usage: push_room ENDPOINT
// COUNT
#include <cstdio>
#include <cstdlib>

#include <weft/blocks/push.hpp>

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: push_room ENDPOINT COUNT"), 2;
  weft::Loop loop;
  weft::Push<> push(loop, {.name = "lines", .connect = {argv[1]}, .capacity_bytes = 4096});
  const auto count = std::strtoull(argv[2], nullptr, 10);
  std::uint64_t sent = 0;
  const auto send_some = [&] {
    while (sent < count && push.send(weft::as_bytes("a line of text")) == weft::SendStatus::ok) ++sent;
    if (sent == count) push.begin_drain();  // what is queued goes out, is acknowledged, then goodbye
  };
  push.on_room(send_some);
  loop.post(send_some);
  const bool done =
      loop.run_until([&] { return push.drained(); }, weft::Deadline::after(std::chrono::seconds(20)));
  std::printf("sent %llu\n", static_cast<unsigned long long>(sent));
  return done ? 0 : 1;
}
