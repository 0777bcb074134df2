// Records: the records of one received batch on their way to a handler. What Pull and Sub are made of; their
// users do not see it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <weft/blocks/block.hpp>
#include <weft/blocks/raw.hpp>
#include <weft/wire/codec.hpp>

namespace weft::blocks {

/// What is left of a batch. Owned by the block, whose calls change it while a handler runs.
struct Records {
  Bytes rest;                       ///< objects that check_body has accepted
  std::span<const Tensor> tensors;  ///< frames of the whole batch
  Meta meta;                        ///< of the record at hand
  std::uint32_t next_index = 0;
  bool stop = false;                                ///< no further record now
  bool postponed = false;                           ///< the record at hand was not taken: it comes again
  void (*refuse)(void* owner, Bytes at) = nullptr;  ///< the record that `at` begins with is not taken
  void* owner = nullptr;
};

/// Hands out records until none is left, or one must stop. `read(rest)` takes one off and is false when it is
/// not of the type; `use(meta)` is called for each that is.
template <class Read, class Use>
void hand_out(Records& records, const Read& read, const Use& use) {
  while (!records.stop && !records.rest.empty()) {
    const Bytes before = records.rest;
    records.meta.index = records.next_index++;
    if (!read(records.rest)) {
      records.refuse(records.owner, before);
      continue;
    }
    use(std::as_const(records.meta));
    if (records.postponed) {
      records.postponed = false;
      records.rest = before;
      --records.next_index;
      continue;
    }
    records.meta.reset = false;
  }
}

/// The same for records of type T: `use(record, meta)`, which may move from the record.
template <class T, class Use>
void hand_out_typed(Records& records, const Use& use) {
  if constexpr (wire::decodes_whole<T>()) {
    T record{};  // one for the whole batch: what it has allocated serves the next one
    hand_out(
        records, [&](Bytes& rest) { return wire::decode_next(rest, records.tensors, record); },
        [&](const Meta& meta) { use(record, meta); });
  } else {
    std::optional<T> record;
    hand_out(
        records, [&](Bytes& rest) { return wire::decode_next(rest, records.tensors, record.emplace()); },
        [&](const Meta& meta) { use(*record, meta); });
  }
}

/// The same for raw records.
template <class Use>
void hand_out_raw(Records& records, const Use& use) {
  wire::RecordView view{{}, records.tensors};
  hand_out(
      records,
      [&](Bytes& rest) {
        view.packed = wire::next_object(rest);
        return !view.packed.empty();
      },
      [&](const Meta& meta) { use(RawRecord(view), meta); });
}

}  // namespace weft::blocks
