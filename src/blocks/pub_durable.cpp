// A Pub with a journal: a batch is published when it is durable, and a restarted Pub goes on where it was.
#include <algorithm>

#include "blocks/pub_impl.hpp"
#include "blocks/topics.hpp"

namespace weft {

using transport::Frame;

void PubBase::Impl::open_log() {
  window.on_evict = [this](std::uint32_t id, const auto& gone) {
    const Topic& topic = *in_order[id];
    log->erase(topic.frame, gone.seq);
    // The last one that is retained: what comes next must not begin at 1 again.
    if (window.first_retained(id) > window.last(id)) log->remember(topic.frame, gone.seq, gone.number);
  };
  for (const auto& entry : log->entries()) {
    Topic* topic = topic_of(blocks::topic_name(entry.topic));
    if (!topic) continue;
    if (entry.retained) {
      window.add_numbered(topic->id, entry.seq, entry.number, entry.bytes, {.count = entry.count});
    } else {
      window.resume(topic->id, entry.seq, entry.number);
    }
    topic->seq = topic->appended = entry.seq;
  }
  appended_number = window.number();
  const auto accepted = log->accepted();
  counts_accepted = accepted.has_value();
  appended_records = durable_records = accepted.value_or(0);
  for (Topic* topic : in_order) {
    if (options.keep_last) keep_from_log(*topic);
  }
  log->on_wake([this, weak = std::weak_ptr<bool>(hub.alive()), &loop = hub.loop()] {
    loop.post([this, weak] {
      if (!weak.expired() && !hub.closed()) publish_durable();
    });
  });
  (void)log->journal().submit();
}

/// The last record of what was published last, for late joiners.
void PubBase::Impl::keep_from_log(Topic& topic) {
  const std::vector<Frame> frames = log->read(topic.frame, topic.seq);
  const auto* batch = window.find(topic.id, topic.seq);
  if (frames.empty() || !batch ||
      wire::check_body(frames[0].view(), batch->payload.count) != wire::Rejection::none)
    return;
  Batch whole;
  whole.body = hub.pool()->take(frames[0].size());
  whole.body.append(frames[0].view());
  for (std::size_t i = 1; i < frames.size(); ++i) {
    const Bytes bytes = frames[i].view();
    whole.tensors.push_back({DType::u8, {static_cast<std::int64_t>(bytes.size())}, bytes, nullptr});
  }
  wire::BatchReader reader(whole.body.view());
  std::size_t last = 0;
  for (std::size_t at = 0; !reader.done();) {
    last = at;
    at += reader.next().size();
  }
  keep(topic, last_record_of(whole, last), topic.seq);
}

void PubBase::Impl::append(Topic& topic, blocks::PubBatch batch, std::uint64_t bytes) {
  const std::uint64_t seq = ++topic.appended;
  const std::uint64_t commit = log->append(topic.frame, seq, ++appended_number, batch.count, batch.frames);
  appended_records += batch.count;
  if (counts_accepted) log->accept(appended_records);
  pending_bytes += bytes;
  pending.push_back({&topic, std::move(batch), bytes, commit});
}

void PubBase::Impl::publish_durable() {
  const std::uint64_t durable = log->journal().durable();
  while (!pending.empty() && pending.front().commit <= durable) {
    auto next = std::move(pending.front());
    pending.pop_front();
    pending_bytes -= next.bytes;
    durable_records += next.batch.count;
    publish(*next.topic, std::move(next.batch), next.bytes);
  }
  if (!log->journal().change().empty()) (void)log->journal().submit();
  if (draining && pending.empty() && !said_goodbye) end_drain();
  tell_room();  // last: who is told may close this
}

bool PubBase::Impl::is_full() const {
  return log->journal().failure() || pending_bytes >= options.capacity_bytes;
}

void PubBase::Impl::tell_room() {
  const bool failed = log->journal().failure().has_value();
  if (!blocked || hub.closed() || (is_full() && !failed)) return;
  blocked = false;
  if (room_handler) room_handler();
}

/// What a full log does with the next record; nullopt: there is room.
std::optional<SendStatus> PubBase::Impl::no_room() {
  if (!log || !is_full()) return std::nullopt;
  if (log->journal().failure() || options.overflow == Overflow::fail) return SendStatus::full;
  if (options.overflow != Overflow::drop_newest) {
    blocked = true;
    return SendStatus::would_block;
  }
  ++hub.counts().accepted_records;
  ++hub.counts().dropped_records;
  return SendStatus::dropped;
}

}  // namespace weft
