// One to many, without losses: with ZMQ_XPUB_NODROP the publisher waits for a subscriber that is full.
#include "socket.hpp"

namespace plain {
namespace {

Figures publish(Context& context, const Work& work, const Say& say) {
  Socket socket(context, ZMQ_XPUB, work);
  socket.set(ZMQ_XPUB_NODROP, 1);
  socket.set(ZMQ_XPUB_VERBOSE, 1);  // every subscription is told, not only the first one of a topic
  const bool watched = work.transport != "inproc";
  if (watched) socket.watch_peers(context);
  socket.bind(work.endpoint, say);
  Message subscription;
  for (std::uint64_t i = 0; i < work.peers; ++i) subscription.receive(socket);
  Sender sender(context, work);
  Figures figures;
  for (std::uint64_t i = 0; i < work.count; ++i) figures.written += sender.send(socket, i);
  if (watched) socket.until_left(work.peers);
  return figures;
}

Figures subscribe(Context& context, const Work& work) {
  Socket socket(context, ZMQ_SUB, work);
  socket.set(ZMQ_LINGER, 0);  // its subscriptions are for a publisher that has gone
  check(zmq_setsockopt(socket.get(), ZMQ_SUBSCRIBE, "", 0) == 0, "subscribe");
  socket.connect(work.endpoint);
  Message message;
  Figures figures;
  bench::Clock::time_point start;
  for (std::uint64_t i = 0; i < work.count; ++i) {
    message.receive(socket);
    if (i == 0) start = bench::Clock::now();
    figures.read += message.sum();
  }
  figures.seconds = bench::seconds_since(start);
  return figures;
}

}  // namespace

void add_pub_sub(Roles& roles, Context& context) {
  roles["pub"] = [&](const Work& work, const Say& say) { return publish(context, work, say); };
  roles["sub"] = [&](const Work& work, const Say&) { return subscribe(context, work); };
}

}  // namespace plain
