#include <string>

#include <doctest/doctest.h>
#include <weft/blocks/options.hpp>
#include <weft/core/error.hpp>

namespace weft {
namespace {

using namespace std::chrono_literals;

std::string complaint(const PortOptions& options) {
  try {
    options.check();
  } catch (const Error& error) {
    CHECK(error.code() == Errc::invalid_argument);
    return error.what();
  }
  return "";
}

TEST_CASE("port options: what a field may not be is said with its bounds") {
  CHECK(complaint({}).empty());
  CHECK(complaint({.name = "a b"}) ==
        "name is \"a b\": it must be 1 to 100 letters, digits, \"_\", \"-\" or \".\"");
  CHECK(complaint({.batch_bytes = 63}) == "batch_bytes is 63: it must be from 64 to 67108864");
  CHECK(complaint({.linger = -1ms}) == "linger is -1ms: it must be from 0s to 1h");
  CHECK(complaint({.window_batches = 0}) == "window_batches is 0: it must be from 1 to 65536");
  CHECK(complaint({.priority = 10}) == "priority is 10: it must be from 0 to 9");
  CHECK(complaint({.ttl = -1s}) == "ttl is -1s: it must be from 0s to 8760h");
  CHECK(complaint({.ttl = std::chrono::seconds(1), .delay = std::chrono::seconds(1)}) ==
        "ttl is 1s and delay is 1s: every record would expire before it may leave; give a ttl that is longer "
        "than the delay");
  CHECK(complaint({.delay = std::chrono::hours(9000)}) == "delay is 9000h: it must be from 0s to 8760h");
  CHECK(complaint({.attempt_timeout = 9ms}) == "attempt_timeout is 9ms: it must be from 10ms to 1h");
  CHECK(complaint({.retain_bytes = 65ULL << 30}) ==
        "retain_bytes is 69793218560: it must be from 0 to 68719476736");
}

}  // namespace
}  // namespace weft
