#include "transport/connection_count.hpp"

#include <doctest/doctest.h>

using weft::transport::ConnectionCount;

TEST_CASE("a connection that ends before a handshake is rejected, one that ends after it is not") {
  ConnectionCount count;
  count.on_accepted(7);
  count.on_handshake();
  count.on_disconnected(7);
  count.on_accepted(7);
  count.on_disconnected(7);

  CHECK(count.accepted() == 2);
  CHECK(count.rejected() == 1);
}

TEST_CASE("when handshakes overlap the sum is right, whoever ends first") {
  ConnectionCount count;
  count.on_accepted(7);
  count.on_accepted(8);
  count.on_accepted(9);
  count.on_handshake();  // of one of them; libzmq does not say which
  count.on_disconnected(9);
  CHECK(count.rejected() == 1);
  count.on_disconnected(7);
  CHECK(count.rejected() == 2);
  count.on_disconnected(8);  // so this was the good one

  CHECK(count.rejected() == 2);
}

TEST_CASE("a descriptor that is accepted again without an end in between was rejected") {
  ConnectionCount count;
  count.on_accepted(7);
  count.on_accepted(7);
  count.on_handshake();
  count.on_disconnected(7);

  CHECK(count.accepted() == 2);
  CHECK(count.rejected() == 1);
}

TEST_CASE("events of connections that were never accepted count nothing") {
  ConnectionCount count;
  count.on_handshake();
  count.on_disconnected(3);
  count.on_accepted(4);

  CHECK(count.accepted() == 1);
  CHECK(count.rejected() == 0);
  count.on_disconnected(4);
  CHECK(count.rejected() == 1);
}
