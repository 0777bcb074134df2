// Raw records: bytes and tensors, or any msgpack object, without a C++ type.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/wire/batch.hpp>
#include <weft/wire/record_type.hpp>
#include <weft/wire/tensor.hpp>

namespace weft {

/// Stands for "no type" in `Push<Raw>`, `Pull<Raw>`, ...: such a port talks to every port.
struct Raw {};

/// A raw record under the eyes of a handler. On the wire a record of bytes is a msgpack bin; one with tensors
/// is the array [bin, tensor, tensor, ...]. Views, valid while the handler runs; a Tensor shares its frame
/// and may be kept.
class RawRecord {
 public:
  explicit RawRecord(const wire::RecordView& view) : view_(view) {}
  /// The msgpack object, as it came.
  [[nodiscard]] Bytes packed() const { return view_.packed; }
  /// The payload of a bin or str, or of the first item of [bin, tensor...]; empty for anything else.
  [[nodiscard]] Bytes bytes() const {
    Bytes plain;
    return wire::Unpack(view_.packed).read_bytes(plain) ? plain : first_bytes();
  }
  [[nodiscard]] std::string_view text() const { return as_text(bytes()); }
  /// The tensors of [bin, tensor...]; empty for anything else. A reference that does not hold ends the list.
  [[nodiscard]] std::vector<Tensor> tensors() const;
  [[nodiscard]] const wire::RecordView& view() const { return view_; }

 private:
  [[nodiscard]] Bytes first_bytes() const;

  wire::RecordView view_;
};

/// Appends a raw record with tensors to a batch, as the array [bin, tensor, ...].
void add_raw(wire::BatchBuilder& batch, Bytes payload, std::span<const Tensor> tensors);
/// Appends a received record to another batch; its tensor references are renumbered.
void add_forwarded(wire::BatchBuilder& batch, const wire::RecordView& record);
/// The same inside of a record that is being added to `batch`, whose buffer is `out`: writes one object.
void write_forwarded(wire::BatchBuilder& batch, wire::Buffer& out, const wire::RecordView& record);

}  // namespace weft
