#include "sim/oracle.hpp"

#include <weft/core/format.hpp>

namespace weft::sim {
void Oracle::processed(RecordId record, std::uint64_t key, const std::string& where) {
  ledger_.processed(record, where, 0);
  std::uint8_t& times = this->times(record);
  if (times != UINT8_MAX) ++times;
  if (times > 1) {
    if (delivery_ == Delivery::exactly_once)
      problem(format("record {} was committed {} times, now at {}", to_text(record), times, where));
    return;
  }
  if (!ordered_) return;
  std::uint64_t& newest = newest_[source_of(record) << 32 | key];
  if (number_of(record) + 1 < newest)
    problem(format("record {} of key {} was processed at {} behind record {}", to_text(record), key, where,
                   newest - 1));
  newest = number_of(record) + 1;
}

void Oracle::told_processed(RecordId record) {
  if (times(record) == 0)
    problem(format("record {} was acknowledged as processed, and nobody has processed it", to_text(record)));
}

}  // namespace weft::sim
