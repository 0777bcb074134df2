// What an Outbox holds: a batch on its way to its one fate, and where it stands among the others.
#pragma once

#include <cstdint>
#include <string_view>
#include <tuple>

#include <weft/core/terms.hpp>
#include <weft/core/time.hpp>

namespace weft::protocol {

/// What became of a batch. Each accepted batch has exactly one.
enum class Fate {
  processed,
  expired,        ///< waited longer than its time to live
  dead_lettered,  ///< tried as often as it may be
  dropped,        ///< by `overflow: drop-oldest`, or purged
  orphaned,       ///< hash: its receiver is gone, and its records have owners of their own: accept them anew
  divided,        ///< it goes on in batches of at most Outbox::piece() records: accept them anew, in order
  too_large,      ///< it has a frame that no receiver takes, or none with room for it: accept its records in
                  ///< smaller batches, if it can
};
std::string_view to_string(Fate fate);

struct OutboxOptions {
  Delivery delivery = Delivery::at_least_once;  ///< or exactly_once
  Distribute distribute = Distribute::balance;
  /// Receivers that a record is offered to; 0: no bound. From two on, what died with its receiver is offered
  /// again in smaller batches, each alone on its way there, and in the last attempt record by record: who is
  /// given up then is the one that its receivers died of.
  std::uint32_t max_attempts = 0;
  Duration first_probe =
      std::chrono::milliseconds(200);  ///< silence after which a receiver is asked; doubles
  Duration last_probe = std::chrono::seconds(5);
  Duration hole_age = std::chrono::milliseconds(20);  ///< a hole younger than this may be mere reordering
};

/// A batch that is handed over. The owner keeps its bytes under `id` until take_done() names it.
struct OutboxEntry {
  std::uint64_t id = 0;  ///< rising: the order of acceptance
  /// Id of the batch whose place in the queue it has, and how many records of that were before it. 0: its
  /// own.
  std::uint64_t order = 0;
  std::uint32_t part = 0;
  std::uint64_t bytes = 0;
  std::uint32_t records = 0;
  /// 0-9, higher first: a batch overtakes at most 1,024 of each lower class for each class between them, so
  /// that none starves.
  std::uint8_t priority = 4;
  std::uint32_t attempts = 0;  ///< receivers that it was offered to so far
  std::uint32_t lane = 0;      ///< index + 1 of the one lane that it belongs to (hash, explicit); 0: any
  std::uint64_t largest = 0;   ///< bytes of its largest frame
  bool suspect = false;        ///< a receiver died while it had this
  TimePoint not_before = TimePoint::min();
  TimePoint expires = TimePoint::max();
};

/// Where a batch that waits stands among the others.
struct OutboxRank {
  std::int64_t key = 0;  // order of acceptance, less for those of higher priority
  std::uint64_t order = 0;
  std::uint32_t part = 0;
  std::uint64_t id = 0;
  friend bool operator<(const OutboxRank& a, const OutboxRank& b) {
    return std::tie(a.key, a.order, a.part, a.id) < std::tie(b.key, b.order, b.part, b.id);
  }
};

}  // namespace weft::protocol
