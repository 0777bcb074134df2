// Oracle: sees all nodes of a simulated link at once, and says when a promise is broken.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <weft/sim/ledger.hpp>

#include "sim/problems.hpp"

namespace weft::sim {

/// Knows of each record how often it has been processed (exactly-once: committed).
class Oracle {
 public:
  /// What goes wrong is added to `problems`.
  Oracle(Problems& problems, Delivery delivery, std::uint64_t senders, std::uint64_t records_each)
      : problems_(problems),
        delivery_(delivery),
        each_(records_each),
        times_(senders * records_each, 0),
        ledger_({.delivery = delivery}) {}

  Ledger& ledger() { return ledger_; }
  /// A receiver has processed it; exactly-once: its mark is durable.
  void processed(RecordId record, std::uint64_t key, const std::string& where);
  /// The sender has been told that it was processed, and tells its application.
  void told_processed(RecordId record);
  /// From here on keys may move: their order is not promised any more.
  void forget_order() { ordered_ = false; }
  void problem(std::string sentence) { problems_.add(std::move(sentence)); }

 private:
  std::uint8_t& times(RecordId record) { return times_[source_of(record) * each_ + number_of(record)]; }

  Problems& problems_;
  Delivery delivery_;
  std::uint64_t each_;
  bool ordered_ = true;
  std::vector<std::uint8_t> times_;
  Ledger ledger_;
  std::unordered_map<std::uint64_t, std::uint64_t> newest_;  // source and key -> number + 1
};

}  // namespace weft::sim
