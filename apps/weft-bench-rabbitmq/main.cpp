// weft-bench-rabbitmq: the same work through a broker, as RabbitMQ does it durably: one durable queue,
// persistent messages, publisher confirms, manual acknowledgements, a window of both. `weft bench journal
// --rabbitmq` starts it.
#include <algorithm>
#include <string>

#include <amqp.h>
#include <amqp_tcp_socket.h>

#include "../bench/work.hpp"

namespace {

using bench::Figures;
using bench::Say;
using bench::Work;

constexpr amqp_channel_t kChannel = 1;

/// amqp://[USER:PASSWORD@]HOST:PORT[/...] or HOST:PORT; behind '#' the name of the queue.
struct Address {
  explicit Address(const std::string& text) {
    std::string rest = text.substr(0, text.find('#'));
    if (const std::size_t at = text.find('#'); at != std::string::npos) queue = text.substr(at + 1);
    if (rest.rfind("amqp://", 0) == 0) rest = rest.substr(7);
    rest = rest.substr(0, rest.find('/'));
    if (const std::size_t at = rest.rfind('@'); at != std::string::npos) {
      const std::string login = rest.substr(0, at);
      const std::size_t colon = std::min(login.find(':'), login.size());
      user = login.substr(0, colon);
      password = colon < login.size() ? login.substr(colon + 1) : "";
      rest = rest.substr(at + 1);
    }
    const std::size_t colon = std::min(rest.rfind(':'), rest.size());
    host = rest.substr(0, colon);
    if (colon < rest.size()) port = std::atoi(rest.c_str() + colon + 1);
    bench::require(!host.empty() && port > 0 && port < 65536, "the broker's address is HOST:PORT");
  }
  std::string host;
  int port = 5672;
  std::string user = "guest";
  std::string password = "guest";
  std::string queue;
};

void check(const amqp_rpc_reply_t& reply, const char* sentence) {
  bench::require(reply.reply_type == AMQP_RESPONSE_NORMAL, sentence);
}

class Connection {
 public:
  explicit Connection(const Address& address) : state_(amqp_new_connection()) {
    amqp_socket_t* socket = amqp_tcp_socket_new(state_);
    bench::require(socket && amqp_socket_open(socket, address.host.c_str(), address.port) == AMQP_STATUS_OK,
                   "the broker cannot be reached");
    check(amqp_login(state_, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, address.user.c_str(),
                     address.password.c_str()),
          "the broker refuses the login");
    amqp_channel_open(state_, kChannel);
    done("the broker opens no channel");
  }
  ~Connection() {
    amqp_connection_close(state_, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(state_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  amqp_connection_state_t get() { return state_; }
  void done(const char* sentence) { check(amqp_get_rpc_reply(state_), sentence); }

 private:
  amqp_connection_state_t state_;
};

timeval patience() {
  return {.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(bench::kPatience).count(), .tv_usec = 0};
}

amqp_bytes_t bytes_of(const std::string& text) {
  return {.len = text.size(), .bytes = const_cast<char*>(text.data())};
}

/// Acknowledges a quarter of its window at once.
Figures consume(const Work& work, const Say& say) {
  Address address(work.endpoint);
  address.queue = "weft-bench-" + std::to_string(getpid());
  Connection connection(address);
  amqp_queue_declare(connection.get(), kChannel, bytes_of(address.queue), 0, 1, 0, 0, amqp_empty_table);
  connection.done("the broker makes no queue");
  amqp_basic_qos(connection.get(), kChannel, 0,
                 static_cast<std::uint16_t>(std::min<std::uint64_t>(work.window, 65535)), 0);
  amqp_basic_consume(connection.get(), kChannel, bytes_of(address.queue), amqp_empty_bytes, 0, 0, 0,
                     amqp_empty_table);
  connection.done("the broker lets nobody consume");
  say(work.endpoint + "#" + address.queue);

  Figures figures;
  const std::uint64_t every = std::max<std::uint64_t>(1, work.window / 4);
  bench::Clock::time_point start;
  for (std::uint64_t i = 1; i <= work.count; ++i) {
    amqp_maybe_release_buffers(connection.get());
    amqp_envelope_t envelope;
    const timeval limit = patience();
    check(amqp_consume_message(connection.get(), &envelope, &limit, 0), "the publisher fell silent");
    if (i == 1) start = bench::Clock::now();
    figures.read += bench::sum(envelope.message.body.bytes, envelope.message.body.len);
    if (i % every == 0 || i == work.count)
      amqp_basic_ack(connection.get(), kChannel, envelope.delivery_tag, 1);
    amqp_destroy_envelope(&envelope);
  }
  figures.seconds = bench::seconds_since(start);
  amqp_queue_delete(connection.get(), kChannel, bytes_of(address.queue), 0, 0);
  return figures;
}

/// The number up to which the broker has confirmed everything, when one more confirm has come.
std::uint64_t next_confirm(Connection& connection, std::uint64_t confirmed) {
  amqp_maybe_release_buffers(connection.get());
  amqp_frame_t frame;
  const timeval limit = patience();
  bench::require(amqp_simple_wait_frame_noblock(connection.get(), &frame, &limit) == AMQP_STATUS_OK,
                 "the broker confirms nothing");
  bench::require(frame.frame_type == AMQP_FRAME_METHOD && frame.payload.method.id == AMQP_BASIC_ACK_METHOD,
                 "the broker refuses a message");
  const auto* ack = static_cast<amqp_basic_ack_t*>(frame.payload.method.decoded);
  // One confirm for many, or one by one in any order: their number is what counts.
  return ack->multiple ? std::max(confirmed, ack->delivery_tag) : confirmed + 1;
}

Figures publish(const Work& work) {
  const Address address(work.endpoint);
  Connection connection(address);
  amqp_confirm_select(connection.get(), kChannel);
  connection.done("the broker confirms nothing");
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
  properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  std::vector<unsigned char> record(work.size);
  Figures figures;
  std::uint64_t confirmed = 0;
  const auto start = bench::Clock::now();
  for (std::uint64_t i = 0; i < work.count; ++i) {
    while (i - confirmed >= work.window) confirmed = next_confirm(connection, confirmed);
    figures.written += bench::fill(record.data(), record.size(), i);
    bench::require(
        amqp_basic_publish(connection.get(), kChannel, amqp_empty_bytes, bytes_of(address.queue), 0, 0,
                           &properties, {.len = record.size(), .bytes = record.data()}) == AMQP_STATUS_OK,
        "the broker takes no message");
  }
  while (confirmed < work.count) confirmed = next_confirm(connection, confirmed);
  figures.settled = bench::seconds_since(start);
  return figures;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_roles(
      argc, argv,
      {{"consumer", consume}, {"publisher", [](const Work& work, const Say&) { return publish(work); }}});
}
