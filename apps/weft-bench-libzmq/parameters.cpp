// What a parameter server moves, without one: pipelined requests of keys and values, answered by as many
// values.
#include "socket.hpp"

namespace plain {
namespace {

constexpr std::size_t kPairBytes = sizeof(std::uint64_t) + sizeof(float);

/// Keys, then values.
struct Pairs {
  explicit Pairs(std::size_t keys) : bytes(keys * kPairBytes), count(keys) {}
  void fill(std::uint64_t number) {
    for (std::size_t k = 0; k < count; ++k) {
      const std::uint64_t key = number * count + k;
      const float one = 1.0F;
      std::memcpy(bytes.data() + k * sizeof key, &key, sizeof key);
      std::memcpy(bytes.data() + count * sizeof key + k * sizeof one, &one, sizeof one);
    }
  }
  std::vector<unsigned char> bytes;
  std::size_t count;
};

/// Adds up the values and sends them back.
Figures serve(Context& context, const Work& work, const Say& say) {
  Socket socket(context, ZMQ_ROUTER, work);
  socket.bind(work.endpoint, say);
  Message id;
  Message body;
  Figures figures;
  std::vector<float> values(work.keys);
  double pushed = 0;
  for (std::uint64_t i = 0; i < work.count * work.peers; ++i) {
    id.receive(socket);
    body.receive(socket);
    bench::require(body.size() == work.keys * kPairBytes, "a request of another size");
    const auto* bytes = static_cast<const unsigned char*>(body.data());
    std::memcpy(values.data(), bytes + work.keys * sizeof(std::uint64_t), work.keys * sizeof(float));
    for (const float value : values) pushed += static_cast<double>(value);
    id.send(socket, ZMQ_SNDMORE);
    socket.send(values.data(), values.size() * sizeof(float));
  }
  figures.read = static_cast<std::uint64_t>(pushed);
  return figures;
}

Figures work_sparse(Context& context, const Work& work) {
  Socket socket(context, ZMQ_DEALER, work);
  socket.connect(work.endpoint);
  Pairs pairs(work.keys);
  Message reply;
  Figures figures;
  std::uint64_t asked = 0;
  const auto ask = [&] {
    if (asked == work.count) return;
    pairs.fill(asked++);
    socket.send(pairs.bytes.data(), pairs.bytes.size());
    figures.written += work.keys;
  };
  const auto start = bench::Clock::now();
  for (std::uint64_t w = 0; w < work.window; ++w) ask();
  std::uint64_t sums = 0;
  for (std::uint64_t done = 0; done < work.count; ++done) {
    reply.receive(socket);
    sums += reply.sum();
    ask();
  }
  figures.seconds = bench::seconds_since(start);
  bench::require(sums != 0, "the replies hold nothing");
  return figures;
}

}  // namespace

void add_parameters(Roles& roles, Context& context) {
  roles["server"] = [&](const Work& work, const Say& say) { return serve(context, work, say); };
  roles["sparse-worker"] = [&](const Work& work, const Say&) { return work_sparse(context, work); };
}

}  // namespace plain
