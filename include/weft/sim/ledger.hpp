// Ledger: what became of every record of a run. The simulator, `weft chaos` and the tests tell it what they
// see; at the end it says what was lost, what came twice, and whether the counts add up.
//
//   Ledger ledger({.delivery = Delivery::exactly_once});
//   const RecordId id = record_id(0, 17);
//   ledger.attempted(id);
//   ledger.accepted(id);
//   ledger.processed(id, "sink/0");
//   ledger.fault("killed");
//   for (const std::string& sentence : ledger.problems()) ...
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/core/terms.hpp>
#include <weft/core/value.hpp>

namespace weft::sim {

/// `source << 40 | number`: who made a record, and its running number there.
using RecordId = std::uint64_t;
inline constexpr unsigned kSourceShift = 40;
inline constexpr std::uint64_t kMaxRecordNumber = (std::uint64_t{1} << kSourceShift) - 1;

constexpr RecordId record_id(std::uint64_t source, std::uint64_t number) {
  return source << kSourceShift | (number & kMaxRecordNumber);
}
constexpr std::uint64_t source_of(RecordId id) {
  return id >> kSourceShift;
}
constexpr std::uint64_t number_of(RecordId id) {
  return id & kMaxRecordNumber;
}

struct LedgerOptions {
  /// What was promised. best_effort: losses are counted and no problem. at_least_once: a lost record is a
  /// problem. exactly_once: so is a record that was processed twice or has two fates.
  Delivery delivery = Delivery::at_least_once;
  /// Records of one source and key have to be processed first in the order of their numbers.
  bool ordered = false;
  /// Records named in one sentence of problems(). 1 - 1000.
  unsigned named = 5;
};

/// Counts at one moment. Each accepted record is counted under the first fate that it met, so that
/// `settled_processed + settled_expired + settled_dead_lettered + settled_purged + lost == accepted`.
struct LedgerCounts {
  std::uint64_t attempted = 0;      ///< records that a source meant to send
  std::uint64_t accepted = 0;       ///< ... whose responsibility the sender took over
  std::uint64_t processed = 0;      ///< records that were processed at least once
  std::uint64_t expired = 0;        ///< records that met this fate, also as a second one
  std::uint64_t dead_lettered = 0;  ///< the same
  std::uint64_t purged = 0;         ///< the same
  std::uint64_t lost = 0;           ///< accepted, and without a fate
  std::uint64_t duplicated = 0;     ///< times that a record was processed again
  std::uint64_t redelivered = 0;    ///< records that were given out again
  std::uint64_t recovered = 0;      ///< ... and processed
  std::uint64_t unconfirmed = 0;    ///< processed, while their source never heard that they were accepted
  std::uint64_t unexpected = 0;     ///< events of records that nobody attempted
  std::uint64_t contradicted = 0;   ///< records with more than one fate
  std::uint64_t out_of_order =
      0;  ///< first processed behind one with a higher number of the same source and key
  std::uint64_t settled_processed = 0;
  std::uint64_t settled_expired = 0;
  std::uint64_t settled_dead_lettered = 0;
  std::uint64_t settled_purged = 0;
  std::map<std::string, std::uint64_t> faults;  ///< kind -> times
};

/// Pure. One byte a record, in pages of 4,096 that attempted() makes; nothing else takes room for a record
/// that nobody attempted, so that wrong numbers cost no memory. One thread.
class Ledger {
 public:
  explicit Ledger(LedgerOptions options = {});

  /// A source is about to send the record. Saying it again (after a restart) changes nothing.
  void attempted(RecordId id);
  /// The sender has taken the record over: from here on it may not be lost.
  void accepted(RecordId id);
  /// The record was given out once more, because its first receiver did not answer for it.
  void redelivered(RecordId id);
  /// A receiver has done what the record asks for. `where` names it; `key` is the stream whose order counts.
  void processed(RecordId id, std::string_view where = {}, std::uint64_t key = 0);
  /// Its time to live was over.
  void expired(RecordId id);
  void dead_lettered(RecordId id);
  void purged(RecordId id);
  /// Something was broken on purpose: "killed", "stopped", "reset".
  void fault(std::string_view kind, std::uint64_t times = 1);

  /// Goes through all records.
  [[nodiscard]] LedgerCounts counts() const;
  /// What contradicts the promise, one sentence a kind, each with the first records; empty: all is well.
  [[nodiscard]] std::vector<std::string> problems() const;
  /// A table for people, and the problems below it.
  [[nodiscard]] std::string text() const;
  /// {attempted, accepted, processed, expired, dead_lettered, purged, lost, duplicated, redelivered,
  /// recovered, unconfirmed, unexpected, contradicted, out_of_order, faults: {kind: times}, processed_at:
  /// {where: times}, problems: [sentence], ok}
  [[nodiscard]] Value to_value() const;
  /// Bytes that it holds for records.
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  static constexpr unsigned kPageShift = 12;
  using Page = std::array<std::uint8_t, std::size_t{1} << kPageShift>;
  struct Named {
    std::uint64_t times = 0;
    std::vector<std::string> first;
  };

  std::uint8_t* find(RecordId id);
  std::uint8_t* known(RecordId id, std::string_view what);
  void set_fate(RecordId id, std::uint8_t bit, std::string_view what);
  void check_order(RecordId id, std::uint64_t key);
  void name(Named& in, std::string text) const;
  template <class Visit>
  void for_each(const Visit& visit) const;
  [[nodiscard]] std::vector<std::string> problems(const LedgerCounts& counts) const;

  LedgerOptions options_;
  std::map<std::uint64_t, std::unique_ptr<Page>> pages_;  // id >> kPageShift -> flags
  std::uint64_t last_page_ = ~std::uint64_t{0};
  Page* last_ = nullptr;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> newest_;  // source, key -> number
  std::map<std::string, std::uint64_t, std::less<>> places_;
  std::map<std::string, std::uint64_t, std::less<>> faults_;
  Named unexpected_;
  Named duplicated_;
  Named out_of_order_;
};

/// "3:17": the source and its running number.
std::string to_text(RecordId id);

}  // namespace weft::sim
