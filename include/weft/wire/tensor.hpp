// Tensor: raw little-endian numbers that travel as a frame of their own, without a copy.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <weft/core/bytes.hpp>

namespace weft {

/// Element types; names are those of safetensors ("F32", "BF16", ...).
enum class DType : std::uint8_t { boolean, u8, i8, u16, i16, f16, bf16, u32, i32, f32, u64, i64, f64 };
std::string_view to_string(DType type);
std::optional<DType> parse_dtype(std::string_view name);
std::size_t size_of(DType type);
template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<std::uint8_t>() {
  return DType::u8;
}
template <>
constexpr DType dtype_of<std::int8_t>() {
  return DType::i8;
}
template <>
constexpr DType dtype_of<std::uint16_t>() {
  return DType::u16;
}
template <>
constexpr DType dtype_of<std::int16_t>() {
  return DType::i16;
}
template <>
constexpr DType dtype_of<std::uint32_t>() {
  return DType::u32;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_of<std::int64_t>() {
  return DType::i64;
}
template <>
constexpr DType dtype_of<std::uint64_t>() {
  return DType::u64;
}
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}

/// A view of numbers and a share in their owner. `data.size() == product(shape) * size_of(dtype)`.
///
/// Sending: the socket holds the share until the bytes are out, and drops it on an I/O thread: the owner's
/// deleter is the return notice. Receiving: the share keeps the received frame alive as long as the tensor is
/// kept. A tensor without an owner is copied when sent.
struct Tensor {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  Bytes data;
  std::shared_ptr<const void> owner;

  /// Takes over a vector: no copy when it is sent.
  template <class T>
  static Tensor own(std::vector<T> values, std::vector<std::int64_t> shape = {}) {
    auto held = std::make_shared<const std::vector<T>>(std::move(values));
    Tensor t = view(std::span<const T>(*held), std::move(shape));
    t.owner = std::move(held);
    return t;
  }
  /// Borrows; copied when sent. An empty shape means one dimension.
  template <class T>
  static Tensor view(std::span<const T> values, std::vector<std::int64_t> shape = {}) {
    if (shape.empty()) shape = {static_cast<std::int64_t>(values.size())};
    return {dtype_of<T>(), std::move(shape), bytes_of(values), nullptr};
  }
  /// The numbers as T, or an empty span when the type differs or the bytes are not aligned for T.
  template <class T>
  [[nodiscard]] std::span<const T> as() const {
    if (dtype != dtype_of<T>() || reinterpret_cast<std::uintptr_t>(data.data()) % alignof(T) != 0) return {};
    return {reinterpret_cast<const T*>(data.data()), data.size() / sizeof(T)};
  }
};

/// Memory to write a tensor into before it is sent: see PushBase::allocate().
struct TensorRoom {
  std::span<std::byte> bytes;  ///< 16-byte aligned at least
  std::shared_ptr<const void> owner;
  bool shared = false;  ///< receivers on this host can read it where it is

  template <class T>
  [[nodiscard]] std::span<T> as() const {
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  /// The room as a tensor of T; `values` as many as the shape says, from the start of the room. An empty
  /// shape means one dimension of all that fit. Once it was sent, the room must not be written any more: make
  /// another.
  template <class T>
  [[nodiscard]] Tensor tensor(std::vector<std::int64_t> shape = {}) const {
    std::size_t values = bytes.size() / sizeof(T);
    if (!shape.empty()) {
      values = 1;
      for (const std::int64_t n : shape) values *= static_cast<std::size_t>(n);
    }
    Tensor t = Tensor::view(std::span<const T>(as<T>().first(values)), std::move(shape));
    t.owner = owner;
    return t;
  }
};

namespace wire {
/// The payload of ext type 1: msgpack [frame index, dtype name, shape].
struct TensorRef {
  std::uint32_t frame = 0;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
};
inline constexpr std::int8_t kTensorExt = 1;
class Buffer;
/// The whole ext object.
void pack_tensor_ref(Buffer& out, std::uint32_t frame, const Tensor& tensor);
/// The reference in an ext payload; nullopt when malformed, of an unknown dtype, of more than 8 dimensions,
/// or with a size that overflows.
std::optional<TensorRef> unpack_tensor_ref(Bytes payload);
/// product(shape) * size_of(dtype); 0 when a dimension is negative or the product overflows.
std::size_t byte_size(const TensorRef& ref);
/// The tensor that `ref` means among the tensor frames of its batch (each raw bytes and an owner): a view
/// that shares the frame's owner. nullopt when there is no such frame or its size is not that of dtype and
/// shape.
std::optional<Tensor> resolve(const TensorRef& ref, std::span<const Tensor> frames);
}  // namespace wire
}  // namespace weft
