// A parameter server inside any program, until its worker says goodbye. Usage: params_server ENDPOINT [ROWS]
#include <cstdio>
#include <cstdlib>

#include <weft/ps/server.hpp>

int main(int argc, char** argv) {
  const auto rows = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 2;
  if (argc < 2 || argc > 3 || rows == 0) return std::puts("usage: params_server ENDPOINT [ROWS]"), 2;
  weft::Loop loop;
  weft::ps::TableSpec line{.name = "line", .kind = weft::ps::TableKind::dense, .rows = rows};
  line.optimizer.learning_rate = 0.05F;
  weft::ps::Server server(loop, {.name = "params", .bind = {argv[1]}}, {.workers = 1}, {line});

  const auto soon = weft::Deadline::after(std::chrono::seconds(20));
  const bool done = loop.run_until([&] { return server.shard().all_workers_done(); }, soon);
  server.router().begin_drain();  // what is on its way is still answered
  const bool drained = loop.run_until([&] { return server.router().drained(); }, soon);
  std::printf("%llu pushes\n", static_cast<unsigned long long>(server.shard().stats().pushes));
  return done && drained ? 0 : 1;
}
