#include <weft/blocks/router.hpp>

#include <algorithm>
#include <utility>

#include <weft/core/error.hpp>

#include "blocks/router_impl.hpp"

namespace weft {

RouterBase::RouterBase(Loop& loop, PortOptions options, RecordType request, RecordType reply) {
  blocks::fill_defaults(options);
  if (options.native) throw Error(Errc::invalid_argument, "native is for Push and Pull only");
  if (options.journal && options.delivery != Delivery::best_effort) {
    // Askers tell by the epoch whether this port remembers what it did.
    options.epoch = blocks::ReplyJournal(options.journal, options.name).epoch(options.epoch);
  }
  impl_ = std::make_unique<Impl>(loop, std::move(options), std::move(request), std::move(reply));
  Impl& impl = *impl_;
  for (const std::string& endpoint : impl.options.bind) impl.hub.bind(endpoint);
  for (const std::string& endpoint : impl.options.connect) impl.hub.connect(endpoint);
  impl.hook = loop.on_demand([&impl] { impl.pump(); });
}

RouterBase::~RouterBase() {
  blocks::end_block(impl_, [this] { close(); });
}

std::vector<std::string> RouterBase::endpoints() const {
  return impl_->hub.endpoints();
}
void RouterBase::connect(const std::string& endpoint) {
  impl_->hub.connect(endpoint);
}
void RouterBase::disconnect(const std::string& endpoint) {
  impl_->hub.disconnect(endpoint);
}
std::size_t RouterBase::peers_up() const {
  return impl_->hub.peers_up();
}
Receipt RouterBase::defer() {
  return {.stream = {}, .seq = impl_->deferred.defer()};
}
bool RouterBase::settle(const Receipt& receipt) {
  return impl_->deferred.settle(receipt.seq);
}
std::size_t RouterBase::open_requests() const {
  return impl_->open_requests;
}
void RouterBase::on_peer(std::function<void(const PeerEvent&)> handler) {
  impl_->hub.on_peer(std::move(handler));
}
TensorRoom RouterBase::allocate(std::size_t bytes) {
  return impl_->hub.allocate(bytes);
}
void RouterBase::tap(Tap tap) {
  impl_->tap = blocks::guarded(impl_->hub.calls(), std::move(tap));
}

PortStats RouterBase::stats() const {
  PortStats stats;
  impl_->hub.fill(stats);
  stats.queued_bytes = impl_->queued_bytes;
  if (impl_->window)
    stats.missed_batches = stats.lost_records = 0;  // what was lost is asked, or replied, again
  return stats;
}

void RouterBase::begin_drain() {
  impl_->draining = true;
  impl_->hub.bye_all(wire::kDraining);
}

bool RouterBase::drained() const {
  const Impl& impl = *impl_;
  if (impl.hub.closed()) return true;
  const bool settled = !impl.window || impl.window->pending() == 0;
  return impl.draining && settled && !impl.hub.anyone_living() && impl.open_requests == 0 &&
         impl.queued_bytes == 0;
}

void RouterBase::close() {
  Impl& impl = *impl_;
  if (impl.hub.closed()) return;
  blocks::CallAll all;
  all.call([&] { impl.pump(); });
  if (impl.hub.closed()) return all.rethrow();  // by a tap
  impl.leave_journal();
  impl.hub.close();
  impl.waiting.clear();
  impl.deferred.clear();
  if (!impl.pumping) impl.forget_askers();
  impl.hub.loop().remove_hook(impl.hook);
  all.rethrow();
}

void RouterBase::set_handler(Handler handler) {
  Impl& impl = *impl_;
  const auto before = std::exchange(impl.handler, nullptr);  // it may be what calls this
  if (handler) impl.handler = std::make_shared<const Handler>(std::move(handler));
  const blocks::InCall call(impl.hub.calls());
  blocks::CallAll all;
  while (impl.handler && !impl.waiting.empty()) {
    Waiting next = std::move(impl.waiting.front());
    impl.waiting.pop_front();
    const auto running = impl.handler;
    all.call([&] { (void)impl.hand_out(std::move(next), *running); });
  }
  all.rethrow();
}

bool RouterBase::next_one(Deadline deadline, const Handler& take) {
  Impl& impl = *impl_;
  const blocks::InCall call(impl.hub.calls());
  for (;;) {
    if (!impl.hub.wait_for_peers([&] { return !impl.waiting.empty() || impl.hub.closed(); }, deadline))
      return false;
    if (impl.hub.closed()) return false;
    Waiting next = std::move(impl.waiting.front());
    impl.waiting.pop_front();
    impl.shown = next.hold;
    if (impl.hand_out(std::move(next), take)) return true;
  }
}

bool RouterBase::wait_for_peers(std::size_t count, Deadline deadline) {
  return impl_->hub.wait_for_peers([&] { return peers_up() >= count; }, deadline);
}

// ---- Ticket ----

RouterBase::Ticket& RouterBase::Ticket::operator=(Ticket&& other) noexcept {
  if (this == &other) return *this;
  if (open()) drop();
  origin_ = std::move(other.origin_);
  number_ = std::exchange(other.number_, 0);
  return *this;
}

void RouterBase::Ticket::drop() noexcept {
  fail(wire::Code::failed, "the handler dropped the request");
}

void RouterBase::Ticket::reply(const std::function<void(wire::BatchBuilder&)>& encode) {
  if (!open()) return;
  const std::uint64_t number = std::exchange(number_, 0);
  if (Impl* router = *origin_->router) router->reply(origin_->peer, origin_->generation, number, encode);
}

void RouterBase::Ticket::fail(wire::Code code, std::string_view text) {
  if (!open()) return;
  const std::uint64_t number = std::exchange(number_, 0);
  if (Impl* router = *origin_->router) router->fail(origin_->peer, origin_->generation, number, code, text);
}

}  // namespace weft
