// The dead letters of an acknowledging Push, from their end as parcels until somebody has taken them.
#include <weft/core/format.hpp>
#include <weft/wire/pack.hpp>

#include "blocks/push_reliable.hpp"

namespace weft::blocks {
namespace {

constexpr Duration kRetryLetter = std::chrono::milliseconds(20);

}  // namespace

// A journal keeps letters apart from what is still to be delivered: after a restart they are letters still.
// The value: [reason, attempts, receiver], then the parcel.
void ReliablePush::bury(Parcel parcel, std::uint32_t attempts, std::string reason,
                        const std::string& receiver) {
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
  if (journal_.on()) journal_->hold();
  while (!letters_.empty()) {
    // Out of the queue before a handler runs, which may come back here.
    Letter letter = std::move(letters_.front());
    letters_.pop_front();
    if (!hand_over(letter)) {
      if (letter.next != 0) keep_rest(letter);
      letters_.push_front(std::move(letter));
      plan(hub_.loop().now() + kRetryLetter);
      break;
    }
    letter_bytes_ -= letter.parcel.bytes;
    if (journal_.on()) journal_->change().erase(letters_space_, NumberKey(letter.id).view());
  }
  if (journal_.on()) refused_ = journal_->release() != CommitStatus::ok;
}

// False: somebody takes letters, but not now.
bool ReliablePush::hand_over(Letter& letter) {
  wire::BatchReader reader(letter.parcel.body.view());
  for (std::uint32_t i = 0; i < letter.parcel.count; ++i) {
    const Bytes record = reader.next();
    if (i < letter.next) continue;
    bool taken = false;
    if (dead_letter) {
      const DeadLetter view{
          .record = {record, letter.parcel.tensors},
          .reason = letter.reason,
          .attempts = letter.attempts,
          .receiver = letter.receiver,
          .accepted_micros = letter.attempts == 0 ? 0 : letter.parcel.accepted_micros,
          .died_micros = wall_micros(),
          .correlation = letter.parcel.correlations.empty() ? 0 : letter.parcel.correlations[i]};
      const SendStatus status = dead_letter(view);
      if (status == SendStatus::would_block || status == SendStatus::no_space) {
        letter.next = i;
        return false;
      }
      taken = status == SendStatus::ok;
    }
    --letter_records_;
    ++hub_.counts().dead_lettered_records;
    if (!taken) ++hub_.counts().untaken_records;
    tell(letter.parcel, i, 1, RecordFate::dead_lettered);
  }
  if (!dead_letter) {
    options_.log.warn(format("{}: {} records are dead letters ({}; {} attempts) and nobody takes them",
                             hub_.stream(), letter.parcel.count, letter.reason, letter.attempts));
  }
  return true;
}

}  // namespace weft::blocks
