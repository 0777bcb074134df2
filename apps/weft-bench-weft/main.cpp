// weft-bench-weft: the Weft ends of the benchmarks; `weft bench` starts them.
#include <weft/transport/loop.hpp>

#include "ends.hpp"

namespace weft::bench_ends {

PortOptions port(const Work& work, const char* name) {
  PortOptions options{.name = name};
  if (work.delivery == "at-least-once") options.delivery = Delivery::at_least_once;
  if (work.delivery == "exactly-once") options.delivery = Delivery::exactly_once;
  if (work.transport == "shm") options.shared_memory = SharedMemory::on;
  return options;
}

PortOptions bound_port(const Work& work, const char* name) {
  PortOptions options = port(work, name);
  options.bind = {work.endpoint};
  return options;
}

PortOptions connected_port(const Work& work, const char* name) {
  PortOptions options = port(work, name);
  options.connect = {work.endpoint};
  return options;
}

void run_to(Loop& loop, const std::uint64_t& got, std::uint64_t wanted, const char* sentence) {
  while (got < wanted) {
    const std::uint64_t before = got;
    ::bench::require(loop.run_until([&] { return got > before; }, patience()), sentence);
  }
}

void drain(Loop& loop, Block& block) {
  block.begin_drain();
  (void)loop.run_until([&] { return block.drained(); }, patience());
}

}  // namespace weft::bench_ends

int main(int argc, char** argv) {
  weft::Context context({.max_sockets = 65536});
  bench::Roles roles;
  weft::bench_ends::add_push_pull(roles, context);
  weft::bench_ends::add_requests(roles, context);
  weft::bench_ends::add_pub_sub(roles, context);
  weft::bench_ends::add_parameters(roles, context);
  return bench::run_roles(argc, argv, roles);
}
