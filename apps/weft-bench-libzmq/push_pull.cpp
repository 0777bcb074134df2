// One way: records of bytes, and packed structs.
#include <array>

#include "socket.hpp"

namespace plain {
namespace {

#pragma pack(push, 1)
struct Order {
  std::uint64_t id = 0;
  std::int64_t account = 0;
  std::uint32_t quantity = 0;
  std::int32_t side = 0;
  double price = 0;
  std::uint64_t time = 0;
  std::array<unsigned char, bench::kBlob> blob{};
};
#pragma pack(pop)

template <class Read>
Figures pull(Context& context, const Work& work, const Say& say, const Read& read) {
  Socket socket(context, ZMQ_PULL, work);
  socket.bind(work.endpoint, say);
  Message message;
  Figures figures;
  bench::Clock::time_point start;
  for (std::uint64_t i = 0; i < work.count * work.peers; ++i) {
    message.receive(socket);
    if (i == 0) start = bench::Clock::now();
    figures.read += read(message);
  }
  figures.seconds = bench::seconds_since(start);
  return figures;
}

/// Connects a sender, sends all, and stays until it has been read.
template <class SendAll>
Figures connected(Context& context, const Work& work, const SendAll& send_all) {
  Socket socket(context, ZMQ_PUSH, work);
  const bool watched = work.transport != "inproc";
  if (watched) socket.watch_peers(context);
  socket.connect(work.endpoint);
  Figures figures;
  send_all(socket, figures);
  if (watched) socket.until_left(1);
  return figures;
}

Figures push(Context& context, const Work& work) {
  Sender sender(context, work);
  return connected(context, work, [&](Socket& socket, Figures& figures) {
    for (std::uint64_t i = 0; i < work.count; ++i) figures.written += sender.send(socket, i);
  });
}

Figures typed_push(Context& context, const Work& work) {
  Order order;
  return connected(context, work, [&](Socket& socket, Figures& figures) {
    for (std::uint64_t i = 0; i < work.count; ++i) {
      figures.written += bench::fill_order(order, i);
      socket.send(&order, sizeof order);
    }
  });
}

std::uint64_t read_order(Message& message) {
  bench::require(message.size() == sizeof(Order), "an order of another size");
  Order order;
  std::memcpy(&order, message.data(), sizeof order);
  return bench::sum_order(order);
}

}  // namespace

void add_push_pull(Roles& roles, Context& context) {
  roles["pull"] = [&](const Work& work, const Say& say) {
    return pull(context, work, say, [](Message& message) { return message.sum(); });
  };
  roles["push"] = [&](const Work& work, const Say&) { return push(context, work); };
  roles["typed-pull"] = [&](const Work& work, const Say& say) {
    return pull(context, work, say, read_order);
  };
  roles["typed-push"] = [&](const Work& work, const Say&) { return typed_push(context, work); };
}

}  // namespace plain
