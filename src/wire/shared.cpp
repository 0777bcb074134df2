#include <weft/wire/shared.hpp>

#include <weft/wire/limits.hpp>
#include <weft/wire/pack.hpp>

namespace weft::wire {

void encode_shared(const SharedList& list, Buffer& out) {
  Pack pack(out);
  pack.array(list.size());
  for (const auto& ref : list) {
    if (!ref) {
      pack.nil();
      continue;
    }
    pack.array(4);
    pack.uint(ref->segment);
    pack.uint(ref->slot);
    pack.uint(ref->offset);
    pack.uint(ref->length);
  }
}

bool decode_shared(Bytes frame, SharedList& out) {
  out.clear();
  Unpack in(frame);
  const auto count = in.array();
  if (!count || *count > kMaxFrames) return false;
  for (std::uint32_t i = 0; i < *count; ++i) {
    if (in.nil()) {
      out.emplace_back();
      continue;
    }
    if (in.array() != 4U) return false;
    const auto segment = in.uint(), slot = in.uint(), offset = in.uint(), length = in.uint();
    if (!segment || !slot || !offset || !length) return false;
    out.push_back(SharedRef{*segment, *slot, *offset, *length});
  }
  return in.done();
}

}  // namespace weft::wire
