// The ZAP handler of a context, asked as libzmq asks it (https://rfc.zeromq.org/spec/27/).
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <zmq.hpp>

#include <weft/transport/context.hpp>

#include "support.hpp"
#include "transport/context_impl.hpp"

using namespace weft;
using namespace weft::transport::test;

namespace {

// Sends a request and returns the reply's frames; none when there is no reply within the time limit.
Strings ask(Context& context, const Strings& request) {
  zmq::socket_t socket(context.impl().context, zmq::socket_type::req);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::rcvtimeo, 30'000);
  socket.connect("inproc://zeromq.zap.01");
  for (std::size_t i = 0; i < request.size(); ++i) {
    const auto more = i + 1 < request.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
    socket.send(zmq::buffer(request[i]), more);
  }
  Strings reply;
  zmq::message_t frame;
  do {
    if (!socket.recv(frame)) break;
    reply.push_back(frame.to_string());
  } while (frame.more());
  return reply;
}

const Strings kGood{"1.0", "42", "weft", "127.0.0.1", "", "NULL"};

Strings with(std::size_t index, const std::string& value) {
  auto request = kGood;
  request[index] = value;
  return request;
}

}  // namespace

TEST_CASE("the ZAP handler lets NULL into its own domain and repeats the request id") {
  Context context;

  CHECK(ask(context, kGood) == Strings{"1.0", "42", "200", "OK", "", ""});
}

TEST_CASE("the ZAP handler refuses other domains, mechanisms and versions") {
  Context context;
  for (const auto& request : {with(2, "other"), with(5, "PLAIN"), with(5, "CURVE"), with(0, "2.0")}) {
    const auto reply = ask(context, request);
    REQUIRE(reply.size() == 6);
    CHECK(reply[1] == "42");
    CHECK(reply[2] == "400");
  }
}

TEST_CASE("the ZAP handler answers malformed requests and stays alive") {
  Context context;
  const std::vector<Strings> malformed{{""}, {"1.0", "7"}, Strings(5, "1.0"), Strings(5000, "x")};
  for (const auto& request : malformed) {
    const auto reply = ask(context, request);
    REQUIRE(reply.size() == 6);
    CHECK(reply[2] == "400");
  }

  CHECK(ask(context, kGood)[2] == "200");
}
