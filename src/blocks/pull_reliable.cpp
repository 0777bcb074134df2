#include "blocks/pull_reliable.hpp"

#include <algorithm>

#include <weft/core/format.hpp>
#include <weft/wire/pack.hpp>

#include "blocks/parcel.hpp"
#include "blocks/push_reliable.hpp"

namespace weft::blocks {
namespace {

constexpr Duration kAckDelay = std::chrono::milliseconds(50);
// The most that is given on top of a window: a crash makes all of it come again, and at once.
constexpr std::uint64_t kMostUndurable = 16ULL << 20;

void pack_refusal(const std::vector<std::pair<std::uint32_t, bool>>& records, wire::Buffer& out) {
  wire::Pack pack(out);
  pack.array(2 * records.size());
  for (const auto& [index, for_good] : records) {
    pack.uint(index);
    pack.uint(for_good ? 1 : 0);
  }
}

// The sender may have a new epoch by the time it hears this.
void name_epoch(std::uint64_t epoch, wire::Header& header) {
  header.options.stream_epoch_v = epoch;
  header.options.mark(wire::Options::stream_epoch);
}

}  // namespace

ReliablePull::ReliablePull(Hub& hub, Inbox& inbox, std::function<void()> hand_out)
    : hub_(hub),
      inbox_(inbox),
      hand_out_(std::move(hand_out)),
      options_(hub.options()),
      journal_(hub.loop(), options_.journal, [this] { on_news(); }),
      marks_space_("in/" + options_.name),
      refused_space_("in-refused/" + options_.name) {
  if (!journal_.on()) return;
  prepare_ = journal_->before_commit([this] {
    if (!journal_->entered()) write_finished();
  });
}

// What a handler sent for a batch that it has not finished is never committed.
void ReliablePull::close() {
  if (prepare_ == 0) return;
  journal_->remove_before_commit(std::exchange(prepare_, 0));
  if (std::exchange(entered_, false)) journal_->abandon();
  journal_.stop();
}

// ---- senders ----

void ReliablePull::describe(Peer& peer, wire::Header& header) {
  if (peer.node.empty()) return;  // whose streams these are is not known yet
  Stream& stream = stream_of(peer);
  stream.granted = 0;  // the hub says the port's window
  write_ack(stream.in.ack(), header);
  if (stream.in.started()) name_epoch(stream.in.epoch(), header);
}

std::uint64_t ReliablePull::most_held(const Peer& peer) const {
  const auto found = streams_.find(stream_name(peer));
  const std::uint64_t window = found == streams_.end() ? 0 : found->second.window;
  return std::max(options_.window_bytes, window) + (journal_.on() ? kMostUndurable : 0);
}

// False: the stream belongs to a later life of its sender.
bool ReliablePull::begin_stream(const std::string& name, Stream& stream, const wire::Header& header) {
  const wire::Options& o = header.options;
  const std::uint64_t processed = stream.in.processed().upto();
  bool restarted = false;
  const bool known =
      stream.in.begin(header.epoch, o.has(wire::Options::first_retained) ? o.first_retained_v : 0, restarted);
  if (!known) return false;
  if (restarted) stream.forget();
  if (!restarted && stream.in.processed().upto() != processed) drop_void(name, stream);
  return true;
}

void ReliablePull::on_met(Peer& peer, const wire::Header& header) {
  Stream& stream = stream_of(peer);
  if (!begin_stream(stream_name(peer), stream, header)) return;
  drop_held(stream);
  deliver_due(stream, peer);
  // A connecting end did not know whom it would meet: what it has of this stream is said now.
  if (!peer.inbound) acknowledge(stream, peer);
  for (const auto& [seq, refusal] : stream.refused) send_refusal(peer, seq, refusal);
}

// Batches that waited for one that never comes, and that others have got instead.
void ReliablePull::drop_held(Stream& stream) {
  std::erase_if(stream.held, [&](const auto& held) { return stream.in.processed().contains(held.first); });
}

// The same of batches that no handler has seen yet. Its sender counts them as ended and sends a whole window
// anew: they would be handled twice, and lie here beyond the window for as long as this end is paused.
void ReliablePull::drop_void(const std::string& name, Stream& stream) {
  inbox_.drop([&](const InboxItem& item) {
    if (item.epoch != stream.in.epoch() || !stream.in.processed().contains(item.seq) || item.stream != name)
      return false;
    if (Peer* peer = hub_.find(item.peer_id)) peer->held_bytes -= std::min(peer->held_bytes, item.bytes);
    open_.erase({name, item.seq});
    return true;
  });
}

void ReliablePull::on_batch(Peer& peer, const wire::Header& header, InboxItem item) {
  Stream& stream = stream_of(peer);
  const bool restarts = stream.in.started() && header.epoch > stream.in.epoch();
  const auto arrival = stream.in.arrive(header.epoch, header.seq, item.bytes);
  if (restarts) stream.forget();
  using Arrived = protocol::InboundStream::Verdict;
  const auto refused = stream.refused.find(header.seq);
  switch (arrival.verdict) {
    case Arrived::fenced:
      ++hub_.counts().fenced_batches;
      return hub_.nack(peer, wire::Code::fenced, "this epoch has been replaced by a later one");
    case Arrived::duplicate:
      ++hub_.counts().duplicate_batches;
      if (refused != stream.refused.end()) return send_refusal(peer, header.seq, refused->second);
      return acknowledge(stream, peer);
    case Arrived::no_room:
      return acknowledge(stream, peer);
    case Arrived::hold:
      if (refused == stream.refused.end()) stream.held.emplace(header.seq, std::move(item));
      break;
    case Arrived::deliver:
      if (refused == stream.refused.end()) {
        deliver(peer, std::move(item));
      } else {
        send_refusal(peer, header.seq, refused->second);
      }
      break;
  }
  if (hub_.closed()) return;
  deliver_due(stream, peer);
  if (arrival.gap && !hub_.closed()) acknowledge(stream, peer);
}

void ReliablePull::on_unreadable(Peer& peer, const wire::Header& header, std::uint64_t count) {
  Stream& stream = stream_of(peer);
  const bool restarts = stream.in.started() && header.epoch > stream.in.epoch();
  const auto arrival = stream.in.arrive(header.epoch, header.seq, 0);
  if (restarts) stream.forget();
  using Arrived = protocol::InboundStream::Verdict;
  const auto known = stream.refused.find(header.seq);
  if (arrival.verdict == Arrived::duplicate && known != stream.refused.end()) {
    return send_refusal(peer, header.seq, known->second);
  }
  if (arrival.verdict != Arrived::deliver && arrival.verdict != Arrived::hold) return;
  Open open;
  open.epoch = header.epoch;
  open.refusal.text = "the batch cannot be read";
  for (std::uint32_t i = 0; i < count; ++i) open.refusal.records.emplace_back(i, true);
  finish(stream_name(peer), header.seq, open);
  if (journal_.on() && !journal_->entered()) {
    write_finished();
    refused_ = journal_->submit() != CommitStatus::ok;
  }
  deliver_due(stream, peer);
}

// Nothing comes in this place any more: its records have another one, or an end.
void ReliablePull::on_void(Peer& peer, const wire::Header& header) {
  Stream& stream = stream_of(peer);
  const std::string name = stream_name(peer);
  if (!begin_stream(name, stream, header)) return;
  (void)stream.in.arrive(header.epoch, header.seq, 0);
  if (stream.in.settle(header.epoch, header.seq)) {
    if (journal_.on()) {
      if (stream.refused.contains(header.seq)) {
        const std::string key = name + std::string(as_text(NumberKey(header.seq).view()));
        journal_->change().erase(refused_space_, as_bytes(key));
      }
      finished_.push_back({0, name, header.epoch, header.seq, 0, false, false, false});
      if (!journal_->entered()) {
        write_finished();
        refused_ = journal_->submit() != CommitStatus::ok;
      }
    } else {
      stream.in.publish(header.epoch, header.seq);
    }
  }
  stream.refused.erase(header.seq);
  stream.held.erase(header.seq);
  drop_held(stream);
  deliver_due(stream, peer);
  if (!hub_.closed()) acknowledge_soon(stream, 0, false);
}

void ReliablePull::deliver_due(Stream& stream, Peer& peer) {
  while (!hub_.closed()) {
    const auto seq = stream.in.due();
    if (!seq) return;
    const auto held = stream.held.find(*seq);
    if (held == stream.held.end()) continue;
    InboxItem item = std::move(held->second);
    stream.held.erase(held);
    deliver(peer, std::move(item));
  }
}

void ReliablePull::deliver(Peer& peer, InboxItem item) {
  hub_.counts().received_records += item.count;
  hub_.counts().received_bytes += item.bytes;
  ++hub_.counts().received_batches;
  if (item.attempt > 1) redelivered_ += item.count;
  item.stream = stream_name(peer);
  Stream& stream = stream_of(peer);
  stream.window = std::max(stream.window, protocol::window_for(options_.window_bytes, item.bytes, item.lent));
  peer.held_bytes += item.bytes;
  Open& open = open_[{item.stream, item.seq}];
  open = Open();
  open.epoch = item.epoch;
  open.bytes = item.bytes;
  open.report = item.report;
  open.again = item.attempt > 1;
  inbox_.add(std::move(item));
  hand_out_();
}

// ---- records ----

// From here on what the handler sends through ports that share the journal belongs to one commit with the
// marks.
void ReliablePull::begin(const InboxItem&) {
  if (!journal_.on() || entered_) return;
  entered_ = true;
  journal_->enter();
}

void ReliablePull::done(InboxItem& item) {
  if (Peer* peer = hub_.find(item.peer_id)) peer->held_bytes -= std::min(peer->held_bytes, item.bytes);
  const auto found = open_.find({item.stream, item.seq});
  if (found != open_.end() && found->second.epoch == item.epoch) {
    found->second.handed_out = true;
    if (found->second.waiting.empty()) {
      Open open = std::move(found->second);
      open_.erase(found);
      finish(item.stream, item.seq, open);
    }
  }
  if (!entered_) return;
  entered_ = false;
  refused_ = journal_->leave() != CommitStatus::ok;
  if (!hub_.closed()) grant(item.stream);
}

void ReliablePull::note(const InboxItem& item, std::uint32_t index, Verdict outcome) {
  const auto found = open_.find({item.stream, item.seq});
  if (found != open_.end()) judge(found->second.refusal, index, std::move(outcome));
}

// The last word on a record counts.
void ReliablePull::judge(Refusal& refusal, std::uint32_t index, Verdict outcome) {
  std::erase_if(refusal.records, [&](const auto& record) { return record.first == index; });
  if (outcome.what == Verdict::What::processed) return;
  refusal.records.emplace_back(index, outcome.what == Verdict::What::reject);
  if (!outcome.text.empty()) refusal.text = std::move(outcome.text);
  refusal.delay = std::max(refusal.delay, outcome.delay);
}

Receipt ReliablePull::defer(const InboxItem& item, std::uint32_t index) {
  const auto found = open_.find({item.stream, item.seq});
  if (found == open_.end()) return {};
  found->second.waiting.insert(index);
  return {item.stream, item.epoch, item.seq, index};
}

bool ReliablePull::settle(const Receipt& receipt, Verdict outcome) {
  const auto found = open_.find({receipt.stream, receipt.seq});
  if (found == open_.end() || found->second.epoch != receipt.epoch) return false;
  Open& open = found->second;
  if (open.waiting.erase(receipt.index) == 0) return false;
  judge(open.refusal, receipt.index, std::move(outcome));
  if (!open.waiting.empty() || !open.handed_out) return true;
  Open ended = std::move(open);
  open_.erase(found);
  finish(receipt.stream, receipt.seq, ended);
  if (journal_.on() && !journal_->entered()) {
    write_finished();
    refused_ = journal_->submit() != CommitStatus::ok;
  }
  return true;
}

// Every record of the batch has an outcome.
void ReliablePull::finish(const std::string& name, std::uint64_t seq, Open& open) {
  const auto at = streams_.find(name);
  if (at == streams_.end() || at->second.in.epoch() != open.epoch)
    return;  // of a sender that was replaced since
  Stream& stream = at->second;
  Pending news{0, name, open.epoch, seq, open.bytes, !open.refusal.records.empty(), open.report, open.again};
  if (news.refused) {
    std::ranges::sort(open.refusal.records);
    stream.refused[seq] = std::move(open.refusal);
  } else if (!stream.in.settle(open.epoch, seq)) {
    return;
  }
  if (!journal_.on()) return publish(news);
  if (!news.refused) stream.undurable += news.bytes;
  // Not before the transaction ends: others may submit changes meanwhile.
  finished_.push_back(std::move(news));
}

void ReliablePull::write_finished() {
  for (Pending& news : finished_) {
    const auto at = streams_.find(news.stream);
    if (at == streams_.end() || at->second.in.epoch() != news.epoch) continue;
    const Stream& stream = at->second;
    if (const auto refused = stream.refused.find(news.seq); news.refused && refused != stream.refused.end()) {
      wire::Buffer value;
      pack_refusal(refused->second.records, value);
      const std::string key = news.stream + std::string(as_text(NumberKey(news.seq).view()));
      journal_->change().put(refused_space_, as_bytes(key), value.view());
    }
    write_marks(news.stream, stream);
    news.commit = journal_->next();
    pending_.push_back(std::move(news));
  }
  finished_.clear();
}

void ReliablePull::write_marks(const std::string& name, const Stream& stream) {
  const auto value = protocol::encode_marks(stream.in.epoch(), stream.in.processed());
  journal_->change().put(marks_space_, as_bytes(name), Bytes(value));
}

// The sender may know.
void ReliablePull::publish(const Pending& news) {
  const auto at = streams_.find(news.stream);
  if (at == streams_.end() || at->second.in.epoch() != news.epoch) return;
  Stream& stream = at->second;
  if (news.refused) {
    Peer* peer = hub_.find(stream.peer);
    const auto refused = stream.refused.find(news.seq);
    if (peer && refused != stream.refused.end()) send_refusal(*peer, news.seq, refused->second);
    return;
  }
  stream.in.publish(news.epoch, news.seq);
  if (stream.away) return let_go(news.stream);
  stream.undurable -= std::min(stream.undurable, news.bytes);
  // Nothing else comes before its sender knows what became of it.
  Peer* const peer = news.again ? hub_.find(stream.peer) : nullptr;
  if (peer && peer->met) {
    (void)peer->ack.settled(news.bytes);
    return acknowledge(stream, *peer);
  }
  acknowledge_soon(stream, news.bytes, news.report);
}

void ReliablePull::acknowledge_soon(Stream& stream, std::uint64_t bytes, bool report) {
  Peer* peer = hub_.find(stream.peer);
  if (!peer || !peer->met) return;
  if (peer->ack.settled(bytes) || peer->finished) return acknowledge(stream, *peer);
  if (report && !journal_.on()) return acknowledge(stream, *peer);
  stream.report = stream.report || report;  // with all that its commit has made durable
  hub_.tick_at(*peer, hub_.loop().now() + kAckDelay);
}

// What has been handled takes no room here any more. Its sender may not know it before it is durable, but
// may send on meanwhile: else a slow disk would make it wait with nothing on its way.
void ReliablePull::acknowledge(Stream& stream, Peer& peer) {
  wire::Header ack = hub_.header(wire::Kind::ack, 0);
  describe(peer, ack);
  stream.granted = std::min(stream.undurable, kMostUndurable);
  ack.options.credit_bytes = std::max(options_.window_bytes, stream.window) + stream.granted;
  ack.options.credit_batches = options_.window_batches;
  ack.options.mark(wire::Options::credit);
  if (hub_.send_header(peer, ack) == transport::SendStatus::sent) peer.ack.sent();
  stream.report = false;
}

// Where the disk keeps up, acknowledgements say it early enough.
void ReliablePull::grant(const std::string& name) {
  const auto at = streams_.find(name);
  if (at == streams_.end()) return;
  Stream& stream = at->second;
  const std::uint64_t most = std::min(stream.undurable, kMostUndurable);
  const std::uint64_t step = options_.window_bytes / 4;
  if (most < 2 * step || most < stream.granted + step) return;
  Peer* peer = hub_.find(stream.peer);
  if (peer && peer->met && peer->up()) acknowledge(stream, *peer);
}

void ReliablePull::send_refusal(Peer& peer, std::uint64_t seq, const Refusal& refusal) {
  wire::Header header = hub_.header(wire::Kind::nack, seq);
  name_epoch(stream_of(peer).in.epoch(), header);
  header.options.code_v = wire::Code::retry;
  header.options.mark(wire::Options::code);
  header.options.text_v = refusal.text;
  header.options.mark(wire::Options::text);
  if (refusal.delay > Duration::zero()) {
    header.options.not_before_v =
        static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(refusal.delay).count());
    header.options.mark(wire::Options::not_before);
  }
  wire::Buffer head, body;
  hub_.encode(header, head);
  pack_refusal(refusal.records, body);
  transport::Frame frames[2] = {transport::Frame(head.view()), transport::Frame(body.view())};
  (void)hub_.send(peer, frames);
}

void ReliablePull::on_news() {
  if (refused_ && !journal_->held()) refused_ = journal_->submit() != CommitStatus::ok;
  const std::uint64_t durable = journal_->durable();
  std::vector<std::string> published;
  while (!pending_.empty() && pending_.front().commit <= durable) {
    const Pending news = std::move(pending_.front());
    pending_.pop_front();
    publish(news);
    if (published.empty() || published.back() != news.stream) published.push_back(news.stream);
  }
  // Where no further sync follows that would bring more to tell, whoever waits for the end hears it now.
  const bool last = pending_.empty();
  for (const std::string& name : published) {
    const auto at = streams_.find(name);
    if (at == streams_.end() || (!last && !at->second.report)) continue;
    Peer* peer = hub_.find(at->second.peer);
    if (peer && peer->met && peer->up() && peer->ack.pending()) acknowledge(at->second, *peer);
  }
}

void ReliablePull::fill(PortStats& stats) const {
  stats.redelivered_records += redelivered_;
}

}  // namespace weft::blocks
