// Spans: what of a stream is of one kind, and still to come.
#include "weft-exec/spans.hpp"

#include <doctest/doctest.h>

using namespace weft;

TEST_CASE("spans count what lies behind a place, and nothing between them") {
  exec::Spans spans;
  spans.add(10, 20);
  spans.add(20, 30);  // follows
  spans.add(100, 105);
  CHECK(spans.bytes() == 25);

  spans.pass(5);
  CHECK(spans.bytes() == 25);
  spans.pass(22);
  CHECK(spans.bytes() == 13);
  spans.pass(60);
  CHECK(spans.bytes() == 5);
  spans.add(105, 106);
  spans.pass(105);
  CHECK(spans.bytes() == 1);
  spans.pass(1000);
  CHECK(spans.bytes() == 0);
}
