#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/transport/socket.hpp>

#include "support.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;

namespace {

struct Bad {
  std::string endpoint;
  bool for_bind;
  std::string sentence;  // what must be in it
};

}  // namespace

TEST_CASE("good endpoints pass") {
  for (const char* endpoint : {"tcp://127.0.0.1:5000", "tcp://host-1.example.org:1", "tcp://h0:65535",
                               "tcp://[::1]:5000", "tcp://[2001:db8::7]:5000", "tcp://[fe80::1%eth0]:5000",
                               "ipc:///tmp/a", "ipc://relative/a", "inproc://name"}) {
    CAPTURE(endpoint);
    CHECK_NOTHROW(check_endpoint(endpoint, false));
    CHECK_NOTHROW(check_endpoint(endpoint, true));
  }
  for (const char* endpoint : {"tcp://127.0.0.1:*", "tcp://*:5000", "tcp://*:*", "tcp://0.0.0.0:5000",
                               "tcp://eth0:*", "tcp://[::]:5000", "tcp://[::1]:*"}) {
    CAPTURE(endpoint);
    CHECK_NOTHROW(check_endpoint(endpoint, true));
  }
  CHECK_NOTHROW(check_endpoint("ipc:///" + std::string(106, 'p'), true));
}

TEST_CASE("bad endpoints are refused with a sentence that names them and says what to write") {
  const std::vector<Bad> table{
      {"", false, "the transport is missing; write tcp://host:port"},
      {"127.0.0.1:5000", false, "the transport is missing"},
      {"udp://127.0.0.1:5000", false, "the transport 'udp' is unknown"},
      {"TCP://127.0.0.1:5000", false, "the transport 'TCP' is unknown"},
      {"tcp://127.0.0.1", false, "the port is missing"},
      {"tcp://127.0.0.1:", false, "the port '' is no number"},
      {"tcp://127.0.0.1:http", false, "the port 'http' is no number"},
      {"tcp://127.0.0.1:5000x", false, "the port '5000x' is no number"},
      {"tcp://127.0.0.1:-1", false, "the port '-1' is no number"},
      {"tcp://127.0.0.1:0", true, "the port 0 is out of range; write 1 to 65535, or * for a free one"},
      {"tcp://127.0.0.1:65536", false, "the port 65536 is out of range; write 1 to 65535"},
      {"tcp://127.0.0.1:99999999999999999999", false, "is out of range"},
      {"tcp://127.0.0.1:*", false, "* as the port only works for binding"},
      {"tcp://*:5000", false, "* as the host only works for binding"},
      {"tcp://0.0.0.0:5000", false, "0.0.0.0 only works for binding"},
      {"tcp://:5000", false, "the host is missing"},
      {"tcp://:5000", true, "the host is missing; * stands for all interfaces"},
      {"tcp://256.1.1.1:5000", false, "'256.1.1.1' is no IPv4 address"},
      {"tcp://1.2.3:5000", false, "'1.2.3' is no IPv4 address"},
      {"tcp://[::g]:5000", false, "'[::g]' is no IPv6 address"},
      {"tcp://[]:5000", false, "'[]' is no IPv6 address"},
      {"tcp://[::1:5000", false, "'[::1' is no IPv6 address"},
      {"tcp://[::1]", false, "the port is missing"},
      {"tcp://[::1]5000", false, "is no IPv6 address"},
      {"tcp://[127.0.0.1]:5000", false, "is no IPv6 address"},
      {"tcp://[fe80::1%]:5000", false, "is no IPv6 address"},
      {"tcp://[fe80::1%a/b]:5000", false, "is no IPv6 address"},
      {"tcp://[::]:5000", false, "[::] only works for binding"},
      {"tcp://::1:5000", false, "an IPv6 address stands in brackets; write tcp://[::1]:port"},
      {"tcp://a:b:5000", false, "the host has a ':'"},
      {"tcp://a b:5000", false, "the host may only have letters"},
      {"tcp://a/b:5000", false, "the host may only have letters"},
      {"tcp://" + std::string(254, 'h') + ":1", false, "longer than 253"},
      {"tcp://a\n:1", false, "a control character"},
      {"ipc://", true, "the path is missing"},
      {"ipc://*", true, "a wildcard does not work for ipc"},
      {"ipc://@abstract", true, "abstract socket names are not supported"},
      {"ipc:///tmp/", true, "the path names a directory"},
      {"ipc:///" + std::string(107, 'p'), true, "the path has 108 bytes and the system allows 107"},
      {"inproc://", true, "the name is missing"},
      {"inproc://" + std::string(254, 'n'), true, "longer than 253"},
      {"inproc://zeromq.zap.01", true, "reserved"},
  };
  Context context;
  for (const auto& bad : table) {
    const auto& endpoint = bad.endpoint;
    const bool for_bind = bad.for_bind;
    CAPTURE(endpoint);
    const auto error = error_of([&] { check_endpoint(endpoint, for_bind); });
    CHECK(error.code() == Errc::bad_endpoint);
    CHECK_MESSAGE(contains(error.what(), bad.sentence), error.what());
    CHECK(contains(error.what(), "bad endpoint '" + endpoint.substr(0, 100)));

    Socket socket(context, SocketType::router);
    const auto same = error_of([&] { for_bind ? (void)socket.bind(endpoint) : socket.connect(endpoint); });
    CHECK(same.code() == Errc::bad_endpoint);
  }
}

TEST_CASE("binding to a host name that nobody knows is a bad endpoint") {
  Context context;
  Socket socket(context, SocketType::router);

  const auto error = error_of([&] { socket.bind("tcp://no-such-host.invalid:5000"); });

  CHECK(error.code() == Errc::bad_endpoint);
  CHECK(contains(error.what(), "no-such-host.invalid"));
  CHECK(contains(error.what(), "no known host name"));
}

TEST_CASE("an IPv6 address is bound and reached, beside IPv4 on one socket") {
  Context context;
  Loop loop;
  Socket receiver(context, SocketType::pull);
  std::string v6;
  try {
    v6 = receiver.bind("tcp://[::1]:*");
  } catch (const Error& error) {
    MESSAGE("skipped: no IPv6 on the loopback interface: " << error.what());
    return;
  }
  CHECK(v6.starts_with("tcp://[::1]:"));
  const std::string v4 = receiver.bind("tcp://127.0.0.1:*");
  const std::string any = receiver.bind("tcp://[::]:*");
  const auto port_of = [](const std::string& endpoint) { return endpoint.substr(endpoint.rfind(':')); };
  Socket sender(context, SocketType::push);
  for (const std::string& endpoint : {v6, v4, "tcp://[::1]" + port_of(any), "tcp://127.0.0.1" + port_of(any),
                                      "tcp://localhost" + port_of(v4)}) {
    CAPTURE(endpoint);
    sender.connect(endpoint);
    auto message = frames({endpoint});
    REQUIRE(eventually(loop, [&] { return sender.send(message) == SendStatus::sent; }));
    CHECK(receive(loop, receiver) == Strings{endpoint});
    sender.disconnect(endpoint);
  }
}
