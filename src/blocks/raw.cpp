#include <weft/blocks/raw.hpp>

#include <cstring>

namespace weft {

Bytes RawRecord::first_bytes() const {
  wire::Unpack unpack(view_.packed);
  if (const auto items = unpack.array(); items && *items > 0) return unpack.bytes().value_or(Bytes{});
  return {};
}

std::vector<Tensor> RawRecord::tensors() const {
  std::vector<Tensor> out;
  if (view_.tensors.empty()) return out;
  wire::Unpack unpack(view_.packed);
  const auto items = unpack.array();
  if (!items || *items == 0 || !unpack.object()) return out;
  for (std::uint32_t i = 1; i < *items; ++i) {
    const auto ext = unpack.ext();
    if (!ext || ext->type != wire::kTensorExt) break;
    const auto reference = wire::unpack_tensor_ref(ext->payload);
    if (!reference) break;
    auto tensor = wire::resolve(*reference, view_.tensors);
    if (!tensor) break;
    out.push_back(std::move(*tensor));
  }
  return out;
}

void add_raw(wire::BatchBuilder& batch, Bytes payload, std::span<const Tensor> tensors) {
  if (tensors.empty()) return batch.add_bin(payload);
  batch.add([&](wire::Buffer& out) {
    wire::Pack pack(out);
    pack.array(1 + tensors.size());
    pack.bin(payload);
    for (const Tensor& tensor : tensors) wire::pack_tensor_ref(out, batch.add_tensor(tensor), tensor);
  });
}

namespace {

// Copies one object; references to tensors get the numbers that their frames have in the new batch.
void copy_object(wire::BatchBuilder& batch, wire::Buffer& out, wire::Unpack& in,
                 std::span<const Tensor> frames, std::size_t depth) {
  wire::Pack pack(out);
  if (depth > 0) {
    if (const auto items = in.array()) {
      pack.array(*items);
      for (std::uint32_t i = 0; i < *items; ++i) copy_object(batch, out, in, frames, depth - 1);
      return;
    }
    if (const auto pairs = in.map()) {
      pack.map(*pairs);
      for (std::uint32_t i = 0; i < 2 * *pairs; ++i) copy_object(batch, out, in, frames, depth - 1);
      return;
    }
    wire::Unpack ahead = in;
    if (const auto ext = ahead.ext(); ext && ext->type == wire::kTensorExt) {
      const auto reference = wire::unpack_tensor_ref(ext->payload);
      const auto tensor = reference ? wire::resolve(*reference, frames) : std::nullopt;
      if (tensor) {
        in = ahead;
        wire::pack_tensor_ref(out, batch.add_tensor(*tensor), *tensor);
        return;
      }
    }
  }
  if (const auto object = in.object()) pack.raw(*object);
}

}  // namespace

void add_forwarded(wire::BatchBuilder& batch, const wire::RecordView& record) {
  if (record.tensors.empty()) return batch.add_packed(record.packed);
  batch.add([&](wire::Buffer& out) { write_forwarded(batch, out, record); });
}

void write_forwarded(wire::BatchBuilder& batch, wire::Buffer& out, const wire::RecordView& record) {
  if (record.tensors.empty()) return wire::Pack(out).raw(record.packed);
  wire::Unpack in(record.packed);
  copy_object(batch, out, in, record.tensors, wire::kMaxRecordDepth);
}

}  // namespace weft
