// Any bytes as a header frame: refused, or a header that encodes again to one that means the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <weft/wire/header.hpp>
#include <weft/wire/pack.hpp>

namespace {

using namespace weft;
using namespace weft::wire;

void require(bool holds) {
  if (!holds) std::abort();
}

bool same(Bytes a, Bytes b) {
  return as_text(a) == as_text(b);
}

// The texts and numbers of a packed array may be in longer forms than ours, so they are compared as values.
bool same_items(Bytes a, Bytes b) {
  return Unpack(a).value() == Unpack(b).value();
}

void require_same(const Options& a, const Options& b) {
  require(a.present == b.present);
  if (a.has(Options::count)) require(a.count_v == b.count_v);
  if (a.has(Options::priority)) require(a.priority_v == b.priority_v);
  if (a.has(Options::key)) require(same(a.key_v, b.key_v));
  if (a.has(Options::code)) require(a.code_v == b.code_v);
  if (a.has(Options::node)) require(a.node_v == b.node_v);
  if (a.has(Options::credit))
    require(a.credit_bytes == b.credit_bytes && a.credit_batches == b.credit_batches);
  if (a.has(Options::version)) require(a.version_low <= a.version_high && a.version_high == b.version_high);
  if (a.has(Options::chunk)) require(a.chunk_index < a.chunk_count && a.chunk_count == b.chunk_count);
  if (a.has(Options::topics)) require(same_items(a.topics_v, b.topics_v));
  if (a.has(Options::sequences)) require(same_items(a.sequences_v, b.sequences_v));
  require(a.range_count == b.range_count && a.range_count <= kMaxRanges);
  for (std::size_t i = 0; i < 2 * a.range_count; ++i) require(a.ranges_v[i] == b.ranges_v[i]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes frame{reinterpret_cast<const std::byte*>(data), size};
  Header header;
  if (decode(frame, header) != Rejection::none) return 0;

  Buffer again;
  const bool whole = encode(header, again);
  require(again.size() <= kMaxHeaderBytes);
  Header back;
  require(decode(again.view(), back) == Rejection::none);
  // Text over kMaxTextBytes is cut, which is the one loss that the encoder does not report.
  require(whole);
  require(back.kind == header.kind && back.stream == header.stream);
  require(back.epoch == header.epoch && back.seq == header.seq);
  require_same(header.options, back.options);
  return 0;
}
