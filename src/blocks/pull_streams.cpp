// What a ReliablePull knows of its senders: read from its journal when they are met, kept while they may come
// back, given up when they are gone.
#include <algorithm>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/wire/pack.hpp>

#include "blocks/parcel.hpp"
#include "blocks/pull_reliable.hpp"

namespace weft::blocks {

ReliablePull::Stream& ReliablePull::stream_of(Peer& peer) {
  const auto [found, fresh] = streams_.try_emplace(
      stream_name(peer), protocol::InboundStream::Limits{options_.window_bytes, options_.window_batches});
  Stream& stream = found->second;
  if (fresh && journal_.on()) load(found->first, stream);
  stream.peer = peer.id;
  stream.away = stream.finished = false;
  return stream;
}

// What the journal has of a sender is read when that is met: a journal may have met very many.
void ReliablePull::load(const std::string& name, Stream& stream) {
  const auto marks = journal_->read(marks_space_, as_bytes(name));
  if (!marks) return;
  std::uint64_t epoch = 0;
  protocol::SequenceSet processed;
  if (!protocol::decode_marks(*marks, epoch, processed)) {
    return options_.log.error(
        format("{}: the marks of {} in journal {} cannot be read: its records may come twice", hub_.stream(),
               name, journal_->path()));
  }
  stream.in.restore(epoch, processed);
  journal_->for_each_from(refused_space_, as_bytes(name), [&](Bytes key, Bytes value) {
    if (!as_text(key).starts_with(name)) return false;
    if (key.size() != name.size() + 8) return true;  // of another one, whose name begins like this
    const auto seq = number_of(key.last(8));
    wire::Unpack in(value);
    const auto numbers = in.array();
    if (!seq || !numbers) return true;
    Refusal refusal;
    refusal.text = "refused before a restart";
    for (std::uint32_t i = 0; i + 1 < *numbers; i += 2) {
      const auto index = in.uint(), for_good = in.uint();
      if (index && for_good) refusal.records.emplace_back(static_cast<std::uint32_t>(*index), *for_good != 0);
    }
    stream.refused.emplace(*seq, std::move(refusal));
    return true;
  });
}

void ReliablePull::on_removed(Peer& peer) {
  const auto found = streams_.find(stream_name(peer));
  if (found == streams_.end() || found->second.peer != peer.id) return;
  found->second.peer = 0;
  found->second.away = true;
  found->second.finished = peer.finished;
  let_go(found->first);
}

bool ReliablePull::works_for(const std::string& name) const {
  const auto open = open_.lower_bound({name, 0});
  const auto of = [&](const Pending& one) { return one.stream == name; };
  return (open != open_.end() && open->first.first == name) || std::ranges::any_of(pending_, of) ||
         std::ranges::any_of(finished_, of);
}

// Of a sender that is away and may come back, what it has settled is remembered; of one that has said BYE
// with everything settled, nothing: it comes back with another epoch. As many are remembered as may be here
// at once; of those before them a journal knows all, and without one their last batches may come twice.
// A name of its own: the given one may be that of a stream which ends here.
void ReliablePull::let_go(std::string name) {
  const auto found = streams_.find(name);
  if (found == streams_.end() || !found->second.away || works_for(name)) return;
  Stream& stream = found->second;
  const bool settled = stream.held.empty() && stream.refused.empty() &&
                       stream.in.processed().highest() == stream.in.processed().upto();
  if (!stream.in.started() || (stream.finished && settled)) {
    // Under exactly-once a journaled sender may go on in this epoch, and need not know that it was told all.
    if (journal_.on() && options_.delivery == Delivery::at_least_once && stream.in.started()) {
      journal_->change().erase(marks_space_, as_bytes(name));
      if (!journal_->entered()) refused_ = journal_->submit() != CommitStatus::ok;
    }
    streams_.erase(found);
    return;
  }
  stream.held.clear();  // it is sent again
  stream.in.restore(stream.in.epoch(), protocol::SequenceSet(stream.in.processed()));
  away_.push_back(std::move(name));
  while (away_.size() > options_.max_peers) {
    const auto oldest = streams_.find(away_.front());
    if (oldest != streams_.end() && oldest->second.away && !works_for(oldest->first)) streams_.erase(oldest);
    away_.pop_front();
  }
}

}  // namespace weft::blocks
