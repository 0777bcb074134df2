// Batches: records back to back in one body frame, and the tensor frames that they refer to.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/wire/buffer.hpp>
#include <weft/wire/header.hpp>
#include <weft/wire/pack.hpp>
#include <weft/wire/tensor.hpp>

namespace weft::wire {

/// Collects the records of one batch. Not thread-safe.
class BatchBuilder {
 public:
  explicit BatchBuilder(std::shared_ptr<BufferPool> pool, std::size_t reserve = 64 * 1024);

  [[nodiscard]] std::uint32_t count() const { return count_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  /// Body and tensors together.
  [[nodiscard]] std::size_t bytes() const { return body_.size() + tensor_bytes_; }
  [[nodiscard]] const std::vector<Tensor>& tensors() const { return tensors_; }

  /// One record that is a msgpack bin of `payload`.
  void add_bin(Bytes payload) {
    begin();
    Pack(body_).bin(payload);
    ++count_;
  }
  /// One record that is already msgpack: exactly one object, which the caller vouches for.
  void add_packed(Bytes object);
  /// One record that `write(Buffer&)` packs: exactly one object.
  template <class Writer>
  void add(Writer&& write) {
    begin();
    write(body_);
    ++count_;
  }
  /// For records with tensors: the frame index for the next reference; the tensor is sent with this batch.
  /// One without an owner is copied here. A message holds at most kMaxTensors: who builds batches closes them
  /// before that.
  std::uint32_t add_tensor(Tensor tensor);
  /// The buffer under construction, for codecs.
  Buffer& body() {
    begin();
    return body_;
  }
  void count_one() { ++count_; }

  /// A place to come back to when a record turns out not to be sendable.
  struct Mark {
    std::size_t body = 0;
    std::size_t tensors = 0;
    std::uint32_t count = 0;
  };
  [[nodiscard]] Mark mark() const { return {body_.size(), tensors_.size(), count_}; }
  /// Takes back all that was added since `mark`, which must be of the batch at hand.
  void roll_back(const Mark& mark);

  /// Hands out body and tensors and starts anew.
  struct Batch {
    Buffer body;
    std::vector<Tensor> tensors;
    std::uint32_t count = 0;
    std::size_t bytes = 0;
  };
  Batch take();

 private:
  void begin() {
    if (body_.capacity() == 0) body_ = pool_->take(reserve_);
  }
  std::shared_ptr<BufferPool> pool_;
  std::size_t reserve_;
  Buffer body_;
  std::vector<Tensor> tensors_;
  std::size_t tensor_bytes_ = 0;
  std::uint32_t count_ = 0;
};

/// One record of a received batch: views, valid while the handler runs (or the message is held).
struct RecordView {
  Bytes packed;                     ///< the msgpack object
  std::span<const Tensor> tensors;  ///< frames of the whole batch; dtype and shape come from the references
  /// The payload when the record is a bin or str, else empty.
  [[nodiscard]] Bytes bytes() const { return Unpack(packed).bytes().value_or(Bytes{}); }
};

/// Checks that `body` is exactly `count` msgpack objects, none nested deeper than kMaxRecordDepth. too_deep:
/// all but that; next_object() passes over those that are. Nothing is allocated and no count is believed
/// beyond the bytes that are there.
[[nodiscard]] Rejection check_body(Bytes body, std::uint64_t count);

/// Whether a receiver could take the record: exactly one msgpack object (else bad_body), and not too_deep.
[[nodiscard]] Rejection check_record(Bytes object);

/// Takes the first object off `rest`, which is (the end of) a body that check_body has accepted, but for its
/// depth. Empty: it is nested too deep; or there is none, or the bytes have changed since, and then `rest` is
/// empty, too.
inline Bytes next_object(Bytes& rest) {
  Unpack in(rest);
  if (const auto object = in.object()) {
    rest = rest.subspan(object->size());
    return *object;
  }
  const std::byte* at = rest.data();
  rest = detail::skip_any(at, rest.data() + rest.size()) ? Bytes{at, rest.data() + rest.size()} : Bytes{};
  return {};
}

/// Walks the records of a body that check_body has accepted, but for their depth. One in shared memory that
/// its sender changes meanwhile may give other records, or end early; nothing outside of it is read.
class BatchReader {
 public:
  explicit BatchReader(Bytes body) : rest_(body) {}
  [[nodiscard]] bool done() const { return rest_.empty(); }
  /// The next record's msgpack object, however deep it is.
  Bytes next() {
    const Bytes before = rest_;
    const Bytes object = next_object(rest_);
    if (!object.empty() || rest_.data() == nullptr) return object;
    return before.first(before.size() - rest_.size());
  }

 private:
  Bytes rest_;
};

}  // namespace weft::wire
