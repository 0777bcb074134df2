// The dead letters of an acknowledging Push, from a receiver's refusal until somebody has taken them.
#include <algorithm>

#include <weft/core/format.hpp>
#include <weft/wire/pack.hpp>

#include "blocks/push_reliable.hpp"

namespace weft::blocks {
namespace {

constexpr Duration kRetryLetter = std::chrono::milliseconds(20);

// Nobody has it, and nothing says that nobody ever will.
bool not_now(SendStatus status) {
  return status == SendStatus::would_block || status == SendStatus::no_space || status == SendStatus::refused;
}

}  // namespace

// A receiver refuses records of a batch, by their place in it; the others it has processed.
void ReliablePush::on_message(Peer& peer, const wire::Header& header, transport::Message& message,
                              std::size_t at) {
  if (header.kind != wire::Kind::nack || message.size() <= at)
    return hub_.reject(wire::Rejection::unexpected, &peer);
  if (!speaks_of(header, hub_.epoch())) return;
  wire::Unpack in(message[at].view());
  const auto numbers = in.array();
  if (!numbers || *numbers % 2 != 0) return hub_.reject(wire::Rejection::malformed, &peer);
  std::vector<std::uint32_t> again, refused;
  std::uint64_t last = 0;
  for (std::uint32_t i = 0; i < *numbers; i += 2) {
    const auto index = in.uint(), action = in.uint();
    if (!index || !action || *action > 1 || *index >= wire::kMaxBatchRecords || (i != 0 && *index <= last)) {
      return hub_.reject(wire::Rejection::malformed, &peer);
    }
    last = *index;
    (*action == 0 ? again : refused).push_back(static_cast<std::uint32_t>(*index));
  }
  const std::uint32_t lane = lane_of(peer);
  if (header.seq > outbox_.at(lane).last_sent()) return hub_.reject(wire::Rejection::unexpected, &peer);
  const auto entry = box().reject(lane, header.seq, Clock::now());
  if (entry) {
    const auto found = parcels_.find(entry->id);
    const Parcel parcel = std::move(found->second);
    parcels_.erase(found);
    if (last >= parcel.count) {
      again.erase(std::ranges::lower_bound(again, parcel.count), again.end());
      refused.erase(std::ranges::lower_bound(refused, parcel.count), refused.end());
    }
    const wire::Options& o = header.options;
    const std::string reason(o.has(wire::Options::text) ? o.text_v : "refused by the receiver");
    const Duration delay = o.has(wire::Options::not_before)
                               ? Duration(std::chrono::milliseconds(o.not_before_v))
                               : Duration::zero();
    hub_.counts().processed_records += parcel.count - again.size() - refused.size();
    std::size_t next_again = 0, next_refused = 0;
    for (std::uint32_t i = 0; i < parcel.count; ++i) {
      const bool listed =
          (next_again < again.size() && again[next_again] == i && ++next_again != 0) ||
          (next_refused < refused.size() && refused[next_refused] == i && ++next_refused != 0);
      if (!listed) tell(parcel, i, 1, RecordFate::processed);
    }
    const bool worn_out = options_.max_attempts != 0 && entry->attempts >= options_.max_attempts;
    if (!again.empty() && !worn_out) {
      hub_.counts().redelivered_records += again.size();
      admit(take_records(parcel, again), {.attempts = entry->attempts, .lane = entry->lane}, delay);
    } else if (!again.empty()) {
      bury(take_records(parcel, again), entry->attempts, "max-attempts: " + reason, peer.node);
    }
    if (!refused.empty()) bury(take_records(parcel, refused), entry->attempts, reason, peer.node);
    journal_erase(entry->id, parcel);
    submit();
  }
  settle_and_send(peer);
}

// A handler that was told of another record has closed the port, and no journal has this one.
bool ReliablePush::too_late(const Parcel& parcel) {
  if (dropped_all_) hub_.counts().dropped_records += parcel.count;
  return dropped_all_;
}

// A journal keeps letters apart from what is still to be delivered: after a restart they are letters still.
// The value: [reason, attempts, receiver], then the parcel.
void ReliablePush::bury(Parcel parcel, std::uint32_t attempts, std::string reason,
                        const std::string& receiver) {
  if (too_late(parcel)) return;
  letter_bytes_ += parcel.bytes;
  letter_records_ += parcel.count;
  letters_.push_back({std::move(parcel), attempts, std::move(reason), receiver, 0, next_letter_++});
  journal_letter(letters_.back());
}

void ReliablePush::journal_letter(const Letter& letter) {
  if (!journal_.on()) return;
  head_.clear();
  wire::Pack pack(head_);
  pack.array(3);
  pack.str(letter.reason);
  pack.uint(letter.attempts);
  pack.str(letter.receiver);
  encode_parcel_head(letter.parcel, head_);
  std::vector<Bytes> parts{head_.view(), letter.parcel.body.view()};
  for (const Tensor& tensor : letter.parcel.tensors) parts.push_back(tensor.data);
  journal_->change().put(letters_space_, NumberKey(letter.id).view(), parts);
}

// What has been taken of a letter is not offered again, by a later life neither.
void ReliablePush::keep_rest(Letter& letter) {
  std::vector<std::uint32_t> rest;
  for (std::uint32_t i = letter.next; i < letter.parcel.count; ++i) rest.push_back(i);
  letter_bytes_ -= letter.parcel.bytes;
  letter.parcel = take_records(letter.parcel, rest);
  letter.next = 0;
  letter_bytes_ += letter.parcel.bytes;
  journal_letter(letter);
}

void ReliablePush::load_letters() {
  journal_->for_each(letters_space_, [&](Bytes key, Bytes value) {
    const auto id = number_of(key);
    wire::Unpack in(value);
    const bool good = id && in.array() == 3U;
    const auto reason = in.str();
    const auto attempts = in.uint();
    const auto receiver = in.str();
    auto parcel = decode_parcel(in.rest());
    if (!good || !reason || !attempts || !receiver || !parcel) {
      return options_.log.error(format("{}: a dead letter of journal {} cannot be read and is left out",
                                       hub_.stream(), journal_->path()));
    }
    next_letter_ = *id + 1;
    letter_bytes_ += parcel->bytes;
    letter_records_ += parcel->count;
    letters_.push_back({std::move(*parcel), static_cast<std::uint32_t>(*attempts), std::string(*reason),
                        std::string(*receiver), 0, *id});
  });
  if (!letters_.empty()) plan(hub_.loop().now());  // whoever takes them comes after the port
}

void ReliablePush::hand_over_letters() {
  if (letters_.empty()) return;
  // A port that takes letters into the same journal has them in the commit that forgets them here.
  JournalHold hold(journal_.journal());
  while (!letters_.empty() && !hub_.closed()) {
    // Out of the queue before a handler runs, which may come back here.
    Letter letter = std::move(letters_.front());
    letters_.pop_front();
    bool taken = false;
    try {
      taken = hand_over(letter);
    } catch (...) {
      put_back(std::move(letter));
      throw;
    }
    if (!taken) {
      put_back(std::move(letter));
      break;
    }
    forget_letter(letter);
  }
  const bool refused = hold.release() != CommitStatus::ok;
  if (journal_.on()) refused_ = refused;
}

void ReliablePush::forget_letter(const Letter& letter) {
  letter_bytes_ -= letter.parcel.bytes;
  if (journal_.on()) journal_->change().erase(letters_space_, NumberKey(letter.id).view());
}

void ReliablePush::put_back(Letter letter) {
  if (letter.next == letter.parcel.count) return forget_letter(letter);
  if (letter.next != 0) keep_rest(letter);
  letters_.push_front(std::move(letter));
  plan(hub_.loop().now() + kRetryLetter);
}

// A handler may close the port, which drops what is here without a journal: what it was given is not among
// that, and is dropped by itself when it is not taken.
SendStatus ReliablePush::offer(const Letter& letter, std::uint32_t index, Bytes record) {
  struct InHand {
    ReliablePush& push;
    bool back = true;  // also when the handler throws
    explicit InHand(ReliablePush& of) : push(of) { --push.letter_records_; }
    ~InHand() {
      if (back) ++(push.dropped_all_ ? push.hub_.counts().dropped_records : push.letter_records_);
    }
  } hand(*this);
  const Parcel& parcel = letter.parcel;
  SendStatus status = SendStatus::closed;
  if (dead_letter) {
    status = dead_letter({.record = {record, parcel.tensors},
                          .reason = letter.reason,
                          .attempts = letter.attempts,
                          .receiver = letter.receiver,
                          .accepted_micros = letter.attempts == 0 ? 0 : parcel.accepted_micros,
                          .died_micros = wall_micros(),
                          .correlation = parcel.correlations.empty() ? 0 : parcel.correlations[index]});
  }
  hand.back = not_now(status);
  return status;
}

// False: somebody takes letters, but not now, or no more.
bool ReliablePush::hand_over(Letter& letter) {
  wire::BatchReader reader(letter.parcel.body.view());
  for (std::uint32_t i = 0; i < letter.parcel.count; ++i) {
    const Bytes record = reader.next();
    if (i < letter.next) continue;
    if (hub_.closed()) return false;
    const SendStatus status = offer(letter, i, record);
    if (not_now(status)) return false;
    letter.next = i + 1;
    ++hub_.counts().dead_lettered_records;
    if (status != SendStatus::ok) ++hub_.counts().untaken_records;
    tell(letter.parcel, i, 1, RecordFate::dead_lettered);
  }
  if (!dead_letter) {
    options_.log.warn(format("{}: {} records are dead letters ({}; {} attempts) and nobody takes them",
                             hub_.stream(), letter.parcel.count, letter.reason, letter.attempts));
  }
  return true;
}

}  // namespace weft::blocks
