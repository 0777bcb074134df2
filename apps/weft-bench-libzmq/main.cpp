// The plain libzmq program that `weft bench` compares with: the same work, one record a message, as libzmq
// does it well. It is a user's program, not a part of Weft: that is why it calls libzmq itself.
//
//   weft-bench-libzmq pull ENDPOINT SIZE COUNT HWM      binds, prints the endpoint, receives, prints its
//   figures weft-bench-libzmq push ENDPOINT SIZE COUNT HWM      connects and sends weft-bench-libzmq router
//   ENDPOINT SIZE COUNT HWM    binds, prints the endpoint, sends every request back weft-bench-libzmq dealer
//   ENDPOINT SIZE COUNT HWM    connects, asks one at a time, prints the round trips
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <zmq.h>

namespace {

using Clock = std::chrono::steady_clock;

struct Work {
  std::string endpoint;
  std::size_t size;
  std::uint64_t count;
  int high_water;
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "weft-bench-libzmq: %s: %s\n", what, zmq_strerror(zmq_errno()));
  std::exit(1);
}

class Socket {
 public:
  Socket(int type, const Work& work) : context_(zmq_ctx_new()), socket_(zmq_socket(context_, type)) {
    const int timeout = 30'000;
    zmq_setsockopt(socket_, ZMQ_SNDHWM, &work.high_water, sizeof work.high_water);
    zmq_setsockopt(socket_, ZMQ_RCVHWM, &work.high_water, sizeof work.high_water);
    zmq_setsockopt(socket_, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    zmq_setsockopt(socket_, ZMQ_SNDTIMEO, &timeout, sizeof timeout);
    zmq_setsockopt(socket_, ZMQ_LINGER, &timeout, sizeof timeout);
  }
  ~Socket() {
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void bind(const std::string& endpoint) {
    if (zmq_bind(socket_, endpoint.c_str()) != 0) fail("bind");
    char real[512] = {};
    std::size_t length = sizeof real;
    zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, real, &length);
    std::printf("%s\n", real);
    std::fflush(stdout);
  }
  void connect(const std::string& endpoint) {
    if (zmq_connect(socket_, endpoint.c_str()) != 0) fail("connect");
  }
  void* get() { return socket_; }

 private:
  void* context_;
  void* socket_;
};

// Every byte is looked at: a rate of handles is not a rate of records.
std::uint64_t sum(const void* data, std::size_t size) {
  std::uint64_t total = 0;
  const auto* bytes = static_cast<const unsigned char*>(data);
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes + i, 8);
    total += word;
  }
  for (; i < size; ++i) total += bytes[i];
  return total;
}

void stamp(void* data, std::size_t size, std::uint64_t number) {
  std::memcpy(data, &number, std::min<std::size_t>(size, 8));
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void pull(const Work& work) {
  Socket socket(ZMQ_PULL, work);
  socket.bind(work.endpoint);
  zmq_msg_t message;
  zmq_msg_init(&message);
  std::uint64_t total = 0;
  Clock::time_point start;
  for (std::uint64_t i = 0; i < work.count; ++i) {
    if (zmq_msg_recv(&message, socket.get(), 0) < 0) fail("receive");
    if (i == 0) start = Clock::now();
    total += sum(zmq_msg_data(&message), zmq_msg_size(&message));
  }
  std::printf("{\"seconds\": %.9f, \"checksum\": %llu}\n", seconds_since(start),
              static_cast<unsigned long long>(total));
  zmq_msg_close(&message);
}

void push(const Work& work) {
  Socket socket(ZMQ_PUSH, work);
  socket.connect(work.endpoint);
  constexpr std::size_t kZeroCopyFrom = 64 * 1024;
  std::vector<char> record(work.size, 1);
  for (std::uint64_t i = 0; i < work.count; ++i) {
    if (work.size < kZeroCopyFrom) {
      stamp(record.data(), work.size, i);
      if (zmq_send(socket.get(), record.data(), work.size, 0) < 0) fail("send");
      continue;
    }
    auto* bytes = static_cast<char*>(std::malloc(work.size));
    std::memset(bytes, 1, work.size);
    stamp(bytes, work.size, i);
    zmq_msg_t message;
    zmq_msg_init_data(
        &message, bytes, work.size, [](void* data, void*) { std::free(data); }, nullptr);
    if (zmq_msg_send(&message, socket.get(), 0) < 0) fail("send");
  }
}

void router(const Work& work) {
  Socket socket(ZMQ_ROUTER, work);
  socket.bind(work.endpoint);
  zmq_msg_t id;
  zmq_msg_t body;
  zmq_msg_init(&id);
  zmq_msg_init(&body);
  for (std::uint64_t i = 0; i < work.count; ++i) {
    if (zmq_msg_recv(&id, socket.get(), 0) < 0 || zmq_msg_recv(&body, socket.get(), 0) < 0) fail("receive");
    if (zmq_msg_send(&id, socket.get(), ZMQ_SNDMORE) < 0 || zmq_msg_send(&body, socket.get(), 0) < 0)
      fail("send");
  }
}

void dealer(const Work& work) {
  Socket socket(ZMQ_DEALER, work);
  socket.connect(work.endpoint);
  std::vector<char> record(work.size, 1);
  std::vector<double> micros;
  micros.reserve(work.count);
  std::uint64_t total = 0;
  zmq_msg_t reply;
  zmq_msg_init(&reply);
  for (std::uint64_t i = 0; i < work.count; ++i) {
    stamp(record.data(), work.size, i);
    const auto start = Clock::now();
    if (zmq_send(socket.get(), record.data(), work.size, 0) < 0) fail("send");
    if (zmq_msg_recv(&reply, socket.get(), 0) < 0) fail("receive");
    micros.push_back(seconds_since(start) * 1e6);
    total += sum(zmq_msg_data(&reply), zmq_msg_size(&reply));
  }
  zmq_msg_close(&reply);
  std::sort(micros.begin(), micros.end());
  std::printf("{\"p50\": %.3f, \"p99\": %.3f, \"checksum\": %llu}\n", micros[micros.size() / 2],
              micros[micros.size() * 99 / 100], static_cast<unsigned long long>(total));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr,
                 "usage: weft-bench-libzmq push|pull|dealer|router ENDPOINT SIZE COUNT HWM\n"
                 "Run by `weft bench`, which has the help.\n");
    return 2;
  }
  const Work work{argv[2], std::strtoull(argv[3], nullptr, 10), std::strtoull(argv[4], nullptr, 10),
                  std::atoi(argv[5])};
  const std::string role = argv[1];
  if (work.size == 0 || work.count == 0 || work.high_water <= 0) {
    std::fprintf(stderr, "weft-bench-libzmq: SIZE, COUNT and HWM are whole numbers from 1\n");
    return 2;
  }
  if (role == "push") {
    push(work);
  } else if (role == "pull") {
    pull(work);
  } else if (role == "dealer") {
    dealer(work);
  } else if (role == "router") {
    router(work);
  } else {
    std::fprintf(stderr, "weft-bench-libzmq: the role is push, pull, dealer or router\n");
    return 2;
  }
  return 0;
}
