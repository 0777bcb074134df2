#include <weft/program/program.hpp>

#include <csignal>
#include <memory>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/blocks/pull.hpp>

using namespace weft;

namespace {

program::About about() {
  return {.description = {.program = "prog", .ports = {{.name = "in", .block = topology::BlockKind::pull}}}};
}

/// The exit code of a process that is this node, or -1 when a signal ended it.
int exit_code_of(const program::Setup& setup) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    char arguments[][32] = {"prog", "--bind", "in=tcp://127.0.0.1:*"};
    char* argv[] = {arguments[0], arguments[1], arguments[2], nullptr};
    _exit(program::run(3, argv, about(), setup));
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("a signal that comes while a node is leaving does not take the place of its exit code") {
  const int code = exit_code_of([](Node& node, const program::Options&) {
    node.open<Pull<>>("in");
    // Goes with the node, after its last report.
    const std::shared_ptr<void> last(nullptr, [](void*) { raise(SIGTERM); });
    node.on_report([last] { return Value(); });
    node.loop().post([&node] { node.fail("the data cannot be read", 2); });
  });

  CHECK(code == 2);
}
