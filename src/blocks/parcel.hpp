// Parcels: the batches of an acknowledging sender while they have no fate yet, in memory and in its journal.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/core/time.hpp>
#include <weft/transport/frame.hpp>
#include <weft/wire/batch.hpp>

namespace weft::blocks {

/// What the records of one batch have in common.
struct BatchClass {
  std::uint8_t priority = 4;
  Duration ttl = Duration::zero();
  Duration delay = Duration::zero();
  bool operator==(const BatchClass&) const = default;
};

/// What a batch costs beside its bytes: where it stands in queues and lanes. Measured; it counts against the
/// capacity, which a million batches of one small record would otherwise be far beyond.
inline constexpr std::uint64_t kParcelBytes = 512;

struct Parcel {
  transport::Frame body;
  std::vector<Tensor> tensors;
  std::uint32_t count = 0;
  std::uint64_t bytes = 0;
  BatchClass kind;
  std::uint64_t accepted_micros = 0;        // wall clock
  std::string bound;                        // receiver, for hash and explicit
  std::vector<std::uint64_t> keys;          // hash of each record's key; empty unless distributed by hash
  std::vector<std::uint64_t> correlations;  // of each record; empty when none has one
  // Of a part of a batch that was split: OutboxEntry::order and part.
  std::uint64_t order = 0;
  std::uint32_t part = 0;
  bool has_past = false;  // in the journal: see ParcelPast
};

/// The records of a body with those places in it, ascending, as a batch of their own.
wire::BatchBuilder::Batch select_records(const std::shared_ptr<wire::BufferPool>& pool, Bytes body,
                                         std::span<const Tensor> tensors,
                                         std::span<const std::uint32_t> places);

/// What a journal keeps beside a parcel that was offered to a receiver before, and waits.
struct ParcelPast {
  std::uint32_t attempts = 0;
  std::uint64_t order = 0;  // see protocol::OutboxEntry
  std::uint32_t part = 0;
  bool suspect = false;
  std::uint64_t not_before = 0;  // wall clock, microseconds
};
void encode_past(const ParcelPast& past, wire::Buffer& out);
std::optional<ParcelPast> decode_past(Bytes value);

/// What a journal keeps of a parcel: the head that this appends, then the body and the tensors' bytes.
void encode_parcel_head(const Parcel& parcel, wire::Buffer& out);
/// nullopt: not such a value.
std::optional<Parcel> decode_parcel(Bytes value);

/// Where an assigned parcel went: the value beside it.
struct ParcelPlace {
  std::string receiver;
  std::uint64_t seq = 0;
  std::uint32_t attempts = 0;
};
void encode_place(const ParcelPlace& place, wire::Buffer& out);
std::optional<ParcelPlace> decode_place(Bytes value);

/// Keys of a journal that are numbers: eight bytes, big-endian, so that they sort.
struct NumberKey {
  explicit NumberKey(std::uint64_t number);
  [[nodiscard]] Bytes view() const { return {bytes, 8}; }
  std::byte bytes[8];
};
std::optional<std::uint64_t> number_of(Bytes key);

}  // namespace weft::blocks
