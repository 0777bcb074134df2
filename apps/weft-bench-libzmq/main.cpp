// weft-bench-libzmq: the plain libzmq ends of the benchmarks; `weft bench` starts them.
#include "socket.hpp"

int main(int argc, char** argv) {
  plain::Context context;
  bench::Roles roles;
  plain::add_push_pull(roles, context);
  plain::add_requests(roles, context);
  plain::add_pub_sub(roles, context);
  plain::add_parameters(roles, context);
  plain::add_file(roles);
  return bench::run_roles(argc, argv, roles);
}
