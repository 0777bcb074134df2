#include <algorithm>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "blocks/dealer_plain.hpp"
#include "blocks/dealer_retry.hpp"

namespace weft {
namespace {

struct ReplyHold {
  transport::Frame body;
  std::vector<Tensor> tensors;
};

}  // namespace

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::ok:
      return "ok";
    case Outcome::remote_error:
      return "remote error";
    case Outcome::timed_out:
      return "timed out";
    case Outcome::peer_lost:
      return "peer lost";
    case Outcome::malformed:
      return "malformed reply";
    case Outcome::no_room:
      return "no room";
    case Outcome::no_peer:
      return "no peer";
    case Outcome::closed:
      return "closed";
    case Outcome::cancelled:
      return "cancelled";
    case Outcome::unknown:
      return "outcome unknown";
  }
  return "unknown";
}

std::uint64_t DealerBase::Impl::batch_bytes() const {
  return blocks::batch_for(options, hub.frame_for_all());
}

bool DealerBase::Impl::keep(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark,
                            const Done& done) {
  const SendStatus why = blocks::judge(batch, mark, batch_bytes(), hub.frame_for_all());
  if (why == SendStatus::ok) return true;
  batch.roll_back(mark);
  if (why == SendStatus::too_large) {
    RawReply reply = too_large(hub.frame_for_all());
    call(done, reply);
    return false;
  }
  RawReply reply;
  reply.outcome = Outcome::no_room;
  reply.code = wire::Code::bad_request;
  reply.text = format("the request cannot be sent: {}", to_string(why));
  call(done, reply);
  return false;
}

DealerBase::RawReply DealerBase::Impl::too_large(std::uint64_t most) {
  RawReply reply;
  reply.outcome = Outcome::no_room;
  reply.code = wire::Code::too_large;
  reply.text = format("the request does not fit a frame of {} bytes", most);
  return reply;
}

void DealerBase::Impl::refuse(const Done& done, Outcome outcome, std::string text, const std::string& peer) {
  RawReply reply;
  reply.outcome = outcome;
  reply.text = std::move(text);
  reply.peer = peer;
  call(done, reply);
}

void DealerBase::Impl::call(const Done& done, RawReply& reply) {
  const blocks::InCall amid(hub.calls());
  done(reply);
}

void DealerBase::Impl::send_cancel(Peer& peer, std::uint64_t number) {
  if (!peer.up()) return;  // it will find out by its reply, which comes late
  (void)hub.send_header(
      peer,
      {.kind = wire::Kind::cancel, .stream = peer.lane, .epoch = hub.epoch(), .seq = number, .options = {}});
}

void DealerBase::Impl::count_end(Outcome outcome) {
  PortStats& counts = hub.counts();
  switch (outcome) {
    case Outcome::ok:
      ++counts.processed_records;
      break;
    case Outcome::timed_out:
      ++counts.timed_out_requests;
      break;
    case Outcome::peer_lost:
    case Outcome::unknown:
      ++lost_requests;
      break;
    case Outcome::closed:
    case Outcome::cancelled:
      ++counts.dropped_records;
      break;
    default:
      ++counts.failed_requests;
  }
}

void DealerBase::Impl::share() {
  if (options.distribute != Distribute::balance && options.distribute != Distribute::round_robin) return;
  sharing = sharing || hub.peers_up() > 1;
  for (const auto& peer : hub.peers()) {
    peer->work.share(sharing);
    if (!peer->up() || !peer->work.wants_ping()) continue;
    peer->work.pinged(Clock::now());
    hub.ping(*peer);
  }
}

std::uint32_t DealerBase::Impl::most_together(std::uint64_t peer, bool anywhere) {
  const Peer* to = hub.find(peer);
  if (!to || !to->work.active()) return options.batch_records;
  const std::uint64_t most = sharing && !anywhere ? to->work.bound() / 2 : to->work.piece(0, 0, 0);
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(most, 1, options.batch_records));
}

std::string DealerBase::Impl::states(std::string_view node) const {
  std::string out;
  for (const auto& peer : hub.peers()) {
    if (!node.empty() && peer->node != node) continue;
    out += format("{}{} is {}", out.empty() ? "" : ", ", peer->name(), blocks::Hub::state_of(*peer));
  }
  if (!out.empty()) return out;
  if (node.empty() || hub.peers().empty()) return "no router is known";
  return format("{} is not known; {}", node, states());
}

void DealerBase::Impl::on_idle() {
  woken = false;
  if (pumping) return wake();
  blocks::CallAll all;
  all.call([this] { (void)end_lost(); });
  all.call([this] { pump(); });
  all.rethrow();
}

void DealerBase::Impl::pump() {
  if (hub.closed() || pumping) return;
  blocks::CallAll all;
  {
    const blocks::Busy busy(pumping);
    send_all();
  }
  all.call([this] { taps.rethrow(); });
  if (hub.closed()) {  // by a tap
    all.call([this] { end_all(); });
    return all.rethrow();
  }
  all.call([this] { refuse_oversize(); });
  if (!hub.closed() && hub.hopeless()) all.call([this] { refuse_waiting(); });
  if (!hub.closed()) check_drain();
  all.rethrow();
}

void DealerBase::Impl::check_drain() {
  if (!draining || said_bye || open_requests() != 0) return;
  said_bye = true;
  hub.bye_all(wire::kLast);
}

void DealerBase::Impl::on_message(Peer& peer, const wire::Header& header, transport::Message& message,
                                  std::size_t at) {
  if (header.kind != wire::Kind::reply || !asked(peer)) return hub.reject(wire::Rejection::unexpected, &peer);
  std::uint64_t bytes = 0;
  for (std::size_t i = at; i < message.size(); ++i) bytes += message[i].size();
  const std::string name = peer.node;
  RawReply reply;
  reply.peer = name;
  if (draining || peer.draining) wake();  // this may be what it waits for
  if (header.options.has(wire::Options::code) && header.options.code_v != wire::Code::none) {
    settle(peer, header.epoch, 1, bytes);
    reply.outcome = Outcome::remote_error;
    reply.code = header.options.code_v;
    reply.text = header.options.has(wire::Options::text) ? header.options.text_v : std::string_view();
    return on_reply(peer.id, header.seq, reply);
  }
  if (message.size() <= at) return hub.reject(wire::Rejection::bad_frame_count, &peer);
  if (!header.options.has(wire::Options::count)) return hub.reject(wire::Rejection::malformed, &peer);
  const std::uint64_t count = header.options.count_v;
  const auto why = wire::check_body(message[at].view(), count);
  const bool deep = why == wire::Rejection::too_deep;  // those are refused one by one
  if (why != wire::Rejection::none && !deep) return hub.reject(why, &peer);
  auto hold = std::make_shared<ReplyHold>();
  hold->tensors = blocks::take_tensors(message, at + 1);
  hold->body = std::move(message[at]);
  hub.counts().received_records += count;
  hub.counts().received_bytes += bytes;
  ++hub.counts().received_batches;
  blocks::CallAll all;
  if (tap) all.call([&] { tap(false, name, hold->body.view(), count); });
  if (hub.closed()) return all.rethrow();
  settle(peer, header.epoch, count, bytes);
  const std::uint64_t id = peer.id;
  const std::uint64_t first = header.seq;
  wire::BatchReader reader(hold->body.view());
  for (std::uint64_t i = 0; i < count; ++i) {
    // Whoever waits for it may keep the hold, and nothing else of it.
    reply.outcome = Outcome::ok;
    reply.record = {reader.next(), hold->tensors};
    reply.hold = hold;
    if (deep && wire::check_record(reply.record.packed) != wire::Rejection::none) {
      hub.reject(wire::Rejection::too_deep, nullptr);
      reply.outcome = Outcome::malformed;
      reply.text = "the reply is nested deeper than 32 levels";
    }
    all.call([&] { on_reply(id, first + i, reply); });
    if (hub.closed()) break;
  }
  all.rethrow();
}

void DealerBase::Impl::settle(Peer& peer, std::uint64_t epoch, std::uint64_t count, std::uint64_t bytes) {
  if (!peer.count(epoch, count)) return;
  hub.settled(peer, epoch, peer.in.last(), bytes);
}

DealerBase::DealerBase(Loop& loop, PortOptions options, RecordType request, RecordType reply) {
  blocks::fill_defaults(options);
  if (options.native) throw Error(Errc::invalid_argument, "native is for Push and Pull only");
  if (options.delivery == Delivery::best_effort) {
    impl_ = std::make_unique<PlainDealer>(loop, std::move(options), std::move(request), std::move(reply));
  } else {
    impl_ = std::make_unique<RetryDealer>(loop, std::move(options), std::move(request), std::move(reply));
  }
  Impl& impl = *impl_;
  for (const std::string& endpoint : impl.options.bind) impl.hub.bind(endpoint);
  for (const std::string& endpoint : impl.options.connect) impl.hub.connect(endpoint);
  impl.hook = loop.on_demand([&impl] { impl.on_idle(); });
}

DealerBase::~DealerBase() {
  blocks::end_block(impl_, [this] { close(); });
}

std::vector<std::string> DealerBase::endpoints() const {
  return impl_->hub.endpoints();
}
void DealerBase::connect(const std::string& endpoint) {
  impl_->hub.connect(endpoint);
}
void DealerBase::disconnect(const std::string& endpoint) {
  impl_->hub.disconnect(endpoint);
}
std::size_t DealerBase::peers_up() const {
  return impl_->hub.peers_up();
}
std::size_t DealerBase::open_requests() const {
  return impl_->open_requests();
}
void DealerBase::on_peer(std::function<void(const PeerEvent&)> handler) {
  impl_->hub.on_peer(std::move(handler));
}
TensorRoom DealerBase::allocate(std::size_t bytes) {
  return impl_->hub.allocate(bytes);
}
void DealerBase::tap(Tap tap) {
  impl_->tap = blocks::guarded(impl_->hub.calls(), std::move(tap));
}

PortStats DealerBase::stats() const {
  PortStats stats;
  impl_->hub.fill(stats);
  stats.lost_records = impl_->lost_requests;  // not those whose way was cut alone
  impl_->fill(stats);
  return stats;
}

std::vector<std::string> DealerBase::peer_names() const {
  std::vector<std::string> names;
  for (const auto& peer : impl_->hub.peers()) {
    if (peer->usable()) names.push_back(peer->node);
  }
  return names;
}

void DealerBase::begin_drain() {
  impl_->draining = true;
  impl_->pump();
}

bool DealerBase::drained() const {
  return impl_->said_bye || impl_->hub.closed();
}

void DealerBase::close() {
  Impl& impl = *impl_;
  if (impl.hub.closed()) return;
  impl.hub.close();
  impl.hub.loop().remove_hook(impl.hook);
  if (!impl.pumping) impl.end_all();  // else behind that, whose tap has called this
}

bool DealerBase::cancel(RequestId id) {
  const blocks::InCall call(impl_->hub.calls());  // its callback may hold this
  return id != 0 && impl_->cancel(id);
}

RequestId DealerBase::submit(const RequestTo& to, Deadline deadline,
                             const std::function<void(wire::BatchBuilder&)>& encode, Done done) {
  const blocks::InCall call(impl_->hub.calls());  // one that is refused ends in here
  return impl_->add(to, deadline, encode, std::move(done));
}

void DealerBase::wait(const bool& finished, Deadline deadline) {
  // The deadline itself ends the request; the margin is for the loop to say so.
  const auto margin = std::chrono::seconds(1);
  const TimePoint point = deadline.point();
  const Deadline last = point > TimePoint::max() - margin ? deadline : Deadline::at(point + margin);
  (void)impl_->hub.loop().run_until([&] { return finished; }, last);
}

std::optional<DealerBase::RawReply> DealerBase::wait_for_room(const RequestTo& to, Deadline deadline) {
  Impl& impl = *impl_;
  if (impl.hub.closed()) return std::nullopt;
  const auto over = [&] { return impl.draining || impl.has_room(to); };
  if (impl.hub.wait_for_peers(over, deadline)) return std::nullopt;
  RawReply reply;
  reply.text = "the dealer was closed";
  if (impl.hub.closed()) return reply;
  if (impl.hub.hopeless()) return std::nullopt;
  reply.outcome = Outcome::timed_out;
  reply.code = wire::Code::timed_out;
  reply.text = "no router had room for the request: " + impl.states(to.peer);
  return reply;
}

bool DealerBase::wait_for_peers(std::size_t count, Deadline deadline) {
  return impl_->hub.wait_for_peers([&] { return peers_up() >= count; }, deadline);
}

}  // namespace weft
