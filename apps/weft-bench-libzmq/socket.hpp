// The plain libzmq ends of the benchmarks: the same work, one record a message, as libzmq does it well. They
// are a user's program, not a part of Weft: that is why they call libzmq themselves.
#pragma once

#include <atomic>
#include <deque>
#include <string>

#include <zmq.h>

#include "../bench/work.hpp"

namespace plain {

using bench::Figures;
using bench::Roles;
using bench::Say;
using bench::Work;

/// One libzmq context, and the payloads that its threads may still hold.
class Context {
 public:
  Context() : context_(zmq_ctx_new()) {
    zmq_ctx_set(context_, ZMQ_MAX_SOCKETS, zmq_ctx_get(context_, ZMQ_SOCKET_LIMIT));
  }
  ~Context() { zmq_ctx_term(context_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  void* get() { return context_; }
  bench::BufferPool& pool(std::size_t size) {
    const std::lock_guard lock(mutex_);
    return pools_.emplace_back(size);
  }

 private:
  std::mutex mutex_;
  std::deque<bench::BufferPool> pools_;
  void* context_;
};

inline void check(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string(what) + ": " + zmq_strerror(zmq_errno()));
}

class Socket {
 public:
  Socket(Context& context, int type, const Work& work) : socket_(zmq_socket(context.get(), type)) {
    check(socket_ != nullptr, "socket");
    const int patience = 30'000;
    for (const int option : {ZMQ_SNDHWM, ZMQ_RCVHWM}) set(option, static_cast<int>(work.high_water));
    for (const int option : {ZMQ_RCVTIMEO, ZMQ_SNDTIMEO, ZMQ_LINGER}) set(option, patience);
  }
  ~Socket() {
    if (events_ != nullptr) zmq_close(events_);
    zmq_close(socket_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void set(int option, int value) { zmq_setsockopt(socket_, option, &value, sizeof value); }
  /// Binds, and tells where.
  void bind(const std::string& endpoint, const Say& say) {
    check(zmq_bind(socket_, endpoint.c_str()) == 0, "bind");
    char real[512] = {};
    std::size_t length = sizeof real;
    zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, real, &length);
    say(real);
  }
  void connect(const std::string& endpoint) { check(zmq_connect(socket_, endpoint.c_str()) == 0, "connect"); }
  /// Becomes readable when there may be something new; see ZMQ_FD.
  [[nodiscard]] int descriptor() const {
    int fd = -1;
    std::size_t length = sizeof fd;
    zmq_getsockopt(socket_, ZMQ_FD, &fd, &length);
    return fd;
  }
  /// For one-way senders over tcp and ipc, before bind or connect: until_left() will be called. A lingering
  /// close is not enough: when the end of a unix socket comes while the receiver is at its high-water mark,
  /// libzmq 4.3.4 forgets what it has not read yet.
  void watch_peers(Context& context) {
    static std::atomic<unsigned> number = 0;
    const std::string endpoint = "inproc://events-" + std::to_string(number++);
    check(zmq_socket_monitor(socket_, endpoint.c_str(), ZMQ_EVENT_DISCONNECTED) == 0, "monitor");
    events_ = zmq_socket(context.get(), ZMQ_PAIR);
    check(events_ != nullptr, "socket");
    const int patience = 30'000;
    zmq_setsockopt(events_, ZMQ_RCVTIMEO, &patience, sizeof patience);
    check(zmq_connect(events_, endpoint.c_str()) == 0, "connect");
  }
  /// Waits until so many peers have closed, which they do when they have read everything.
  void until_left(std::uint64_t peers) {
    constexpr int kFrames = 2;  // of an event
    for (std::uint64_t frames = 0; frames < kFrames * peers; ++frames) {
      check(zmq_recv(events_, nullptr, 0, 0) >= 0, "waiting for the other end to close");
    }
  }
  void send(const void* data, std::size_t size) { check(zmq_send(socket_, data, size, 0) >= 0, "send"); }
  void* get() { return socket_; }

 private:
  void* socket_;
  void* events_ = nullptr;
};

class Message {
 public:
  Message() { zmq_msg_init(&message_); }
  ~Message() { zmq_msg_close(&message_); }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  void receive(Socket& socket) { check(zmq_msg_recv(&message_, socket.get(), 0) >= 0, "receive"); }
  /// False: nothing is there now.
  bool try_receive(Socket& socket) { return zmq_msg_recv(&message_, socket.get(), ZMQ_DONTWAIT) >= 0; }
  void send(Socket& socket, int flags = 0) {
    check(zmq_msg_send(&message_, socket.get(), flags) >= 0, "send");
  }
  [[nodiscard]] const void* data() { return zmq_msg_data(&message_); }
  [[nodiscard]] std::size_t size() const { return zmq_msg_size(&message_); }
  [[nodiscard]] std::uint64_t sum() { return bench::sum(data(), size()); }

 private:
  zmq_msg_t message_;
};

/// Writes record `number` and sends it, a large one without a copy; returns its checksum.
class Sender {
 public:
  Sender(Context& context, const Work& work)
      : size_(work.size), record_(work.size), pool_(context.pool(work.size)) {}
  std::uint64_t send(Socket& socket, std::uint64_t number) {
    if (size_ < bench::kLarge) {
      const std::uint64_t written = bench::fill(record_.data(), size_, number);
      socket.send(record_.data(), size_);
      return written;
    }
    unsigned char* bytes = pool_.take();
    const std::uint64_t written = bench::fill(bytes, size_, number);
    zmq_msg_t message;
    zmq_msg_init_data(
        &message, bytes, size_,
        [](void* data, void* pool) {
          static_cast<bench::BufferPool*>(pool)->give(static_cast<unsigned char*>(data));
        },
        &pool_);
    check(zmq_msg_send(&message, socket.get(), 0) >= 0, "send");
    return written;
  }

 private:
  std::size_t size_;
  std::vector<unsigned char> record_;
  bench::BufferPool& pool_;
};

// Each adds the roles of one file. The context outlives them.
void add_push_pull(Roles& roles, Context& context);
void add_requests(Roles& roles, Context& context);
void add_pub_sub(Roles& roles, Context& context);
void add_parameters(Roles& roles, Context& context);
void add_file(Roles& roles);

}  // namespace plain
