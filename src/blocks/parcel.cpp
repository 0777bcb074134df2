#include "blocks/parcel.hpp"

#include <cstring>

#include <weft/blocks/raw.hpp>
#include <weft/wire/limits.hpp>
#include <weft/wire/pack.hpp>

namespace weft::blocks {
namespace {

constexpr std::uint64_t kFormat = 1;
constexpr std::uint64_t kPartFormat = 2;  // of a part: with order and part at the end

void pack_numbers(wire::Pack& pack, const std::vector<std::uint64_t>& numbers) {
  pack.array(numbers.size());
  for (const std::uint64_t n : numbers) pack.uint(n);
}

bool unpack_numbers(wire::Unpack& in, std::vector<std::uint64_t>& out) {
  const auto count = in.array();
  if (!count || *count > wire::kMaxBatchRecords) return false;
  for (std::uint32_t i = 0; i < *count; ++i) {
    const auto n = in.uint();
    if (!n) return false;
    out.push_back(*n);
  }
  return true;
}

Duration millis(std::uint64_t n) {
  return std::chrono::milliseconds(n);
}
std::uint64_t millis_of(Duration span) {
  return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(span).count());
}

}  // namespace

// [format, count, priority, ttl ms, delay ms, accepted micros, bound, keys, correlations, body bytes,
//  [tensor bytes...]], and of a part of a batch: order, part
void encode_parcel_head(const Parcel& parcel, wire::Buffer& out) {
  wire::Pack pack(out);
  const bool part = parcel.order != 0;
  pack.array(part ? 13 : 11);
  pack.uint(part ? kPartFormat : kFormat);
  pack.uint(parcel.count);
  pack.uint(parcel.kind.priority);
  pack.uint(millis_of(parcel.kind.ttl));
  pack.uint(millis_of(parcel.kind.delay));
  pack.uint(parcel.accepted_micros);
  pack.str(parcel.bound);
  pack_numbers(pack, parcel.keys);
  pack_numbers(pack, parcel.correlations);
  pack.uint(parcel.body.size());
  pack.array(parcel.tensors.size());
  for (const Tensor& tensor : parcel.tensors) pack.uint(tensor.data.size());
  if (!part) return;
  pack.uint(parcel.order);
  pack.uint(parcel.part);
}

std::optional<Parcel> decode_parcel(Bytes value) {
  wire::Unpack in(value);
  const auto fields = in.array();
  const bool part = fields == 13U;
  if ((!part && fields != 11U) || in.uint() != (part ? kPartFormat : kFormat)) return std::nullopt;
  const auto count = in.uint(), priority = in.uint(), ttl = in.uint(), delay = in.uint(),
             accepted = in.uint();
  const auto bound = in.str();
  if (!count || *count > wire::kMaxBatchRecords || !priority || *priority > 9 || !ttl || !delay ||
      !accepted || !bound) {
    return std::nullopt;
  }
  Parcel out;
  out.count = static_cast<std::uint32_t>(*count);
  out.kind = {static_cast<std::uint8_t>(*priority), millis(*ttl), millis(*delay)};
  out.accepted_micros = *accepted;
  out.bound = *bound;
  if (!unpack_numbers(in, out.keys) || !unpack_numbers(in, out.correlations)) return std::nullopt;
  const auto body = in.uint();
  const auto tensors = in.array();
  if (!body || !tensors || *tensors > wire::kMaxTensors) return std::nullopt;
  std::vector<std::uint64_t> sizes;
  for (std::uint32_t i = 0; i < *tensors; ++i) {
    const auto size = in.uint();
    if (!size) return std::nullopt;
    sizes.push_back(*size);
  }
  if (part) {
    const auto order = in.uint(), at = in.uint();
    if (!order || !at || *at > wire::kMaxBatchRecords) return std::nullopt;
    out.order = *order;
    out.part = static_cast<std::uint32_t>(*at);
  }
  Bytes rest = in.rest();
  if (rest.size() < *body) return std::nullopt;
  out.body = transport::Frame(rest.first(*body));
  out.bytes = *body;
  rest = rest.subspan(*body);
  for (const std::uint64_t size : sizes) {
    if (rest.size() < size) return std::nullopt;
    std::vector<std::uint8_t> copy(size);
    if (size != 0) std::memcpy(copy.data(), rest.data(), size);
    out.tensors.push_back(Tensor::own(std::move(copy)));
    out.bytes += size;
    rest = rest.subspan(size);
  }
  const auto why = wire::check_body(out.body.view(), out.count);
  if (!rest.empty() || (why != wire::Rejection::none && why != wire::Rejection::too_deep))
    return std::nullopt;
  return out;
}

wire::BatchBuilder::Batch select_records(const std::shared_ptr<wire::BufferPool>& pool, Bytes body,
                                         std::span<const Tensor> tensors,
                                         std::span<const std::uint32_t> places) {
  wire::BatchBuilder builder(pool, 256);
  wire::BatchReader reader(body);
  std::size_t next = 0;
  for (std::uint32_t i = 0; next < places.size() && !reader.done(); ++i) {
    const Bytes record = reader.next();
    if (places[next] != i) continue;
    ++next;
    add_forwarded(builder, wire::RecordView{record, tensors});
  }
  return builder.take();
}

void encode_past(const ParcelPast& past, wire::Buffer& out) {
  wire::Pack pack(out);
  pack.array(5);
  pack.uint(past.attempts);
  pack.uint(past.order);
  pack.uint(past.part);
  pack.uint(past.suspect ? 1 : 0);
  pack.uint(past.not_before);
}

std::optional<ParcelPast> decode_past(Bytes value) {
  wire::Unpack in(value);
  if (in.array() != 5U) return std::nullopt;
  const auto attempts = in.uint(), order = in.uint(), part = in.uint(), suspect = in.uint(),
             not_before = in.uint();
  if (!attempts || *attempts > UINT32_MAX || !order || !part || *part > UINT32_MAX || !suspect || !not_before)
    return std::nullopt;
  return ParcelPast{static_cast<std::uint32_t>(*attempts), *order, static_cast<std::uint32_t>(*part),
                    *suspect != 0, *not_before};
}

void encode_place(const ParcelPlace& place, wire::Buffer& out) {
  wire::Pack pack(out);
  pack.array(3);
  pack.str(place.receiver);
  pack.uint(place.seq);
  pack.uint(place.attempts);
}

std::optional<ParcelPlace> decode_place(Bytes value) {
  wire::Unpack in(value);
  if (in.array() != 3U) return std::nullopt;
  const auto receiver = in.str();
  const auto seq = in.uint(), attempts = in.uint();
  if (!receiver || !seq || !attempts) return std::nullopt;
  return ParcelPlace{std::string(*receiver), *seq, static_cast<std::uint32_t>(*attempts)};
}

NumberKey::NumberKey(std::uint64_t number) {
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(number >> (56 - 8 * i));
}

std::optional<std::uint64_t> number_of(Bytes key) {
  if (key.size() != 8) return std::nullopt;
  return wire::detail::load_sized(key.data(), 8);
}

}  // namespace weft::blocks
