// How records are read from and written to their bytes, field by field, without a tree of objects between.
// What it does not know goes through msgpack-cxx. Included by codec.hpp only.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <weft/wire/codec_bounded.hpp>
#include <weft/wire/codec_impl.hpp>
#include <weft/wire/codec_kinds.hpp>

namespace weft::wire::detail {

// ---- reading ----

/// Reads one object after another into values. Each call is false, and the value unspecified, when the next
/// object is not of the value's shape. `depth`: arrays that may still be inside each other.
class FieldReader {
 public:
  FieldReader(Bytes bytes, std::span<const Tensor> tensors) : in_(bytes), tensors_(tensors) {}
  [[nodiscard]] Bytes rest() const { return in_.rest(); }
  [[nodiscard]] bool done() const { return in_.done(); }

  template <class T>
  bool read(T& out, std::size_t depth = kMaxRecordDepth) {
    if constexpr (!is_direct<T>()) {
      return read_object(out, depth);
    } else if constexpr (Record<T>) {
      return out.weft_visit([&](auto&... fields) {
        return depth > 0 && in_.array() == sizeof...(fields) && (read(fields, depth - 1) && ...);
      });
    } else if constexpr (Number<T>) {
      return read_number(out);
    } else if constexpr (std::same_as<T, std::string> || std::same_as<T, std::string_view>) {
      Bytes found;
      if (!in_.read_bytes(found)) return false;
      out = as_text(found);
      return true;
    } else if constexpr (std::same_as<T, Tensor>) {
      return read_tensor(in_, tensors_, out);
    } else if constexpr (std::same_as<T, Value>) {
      auto found = in_.value(depth);
      if (found) out = std::move(*found);
      return found.has_value();
    } else if constexpr (is_optional<T>) {
      out.reset();
      return in_.nil() || read(out.emplace(), depth);
    } else if constexpr (is_array<T>) {
      if constexpr (Octet<typename T::value_type>) return read_octets(out);
      if (depth == 0 || in_.array() != out.size()) return false;
      for (auto& item : out) {
        if (!read(item, depth - 1)) return false;
      }
      return true;
    } else {
      return read_vector(out, depth);
    }
  }

 private:
  template <class T>
  bool read_number(T& out) {
    if constexpr (std::same_as<T, bool>) {
      const auto found = in_.boolean();
      if (found) out = *found;
      return found.has_value();
    } else if constexpr (std::floating_point<T>) {
      const auto found = in_.real();
      if (found) out = static_cast<T>(*found);
      return found.has_value();
    } else {
      const auto found = [&] {
        if constexpr (std::is_signed_v<T>) {
          return in_.sint();
        } else {
          return in_.uint();
        }
      }();
      if (!found) return false;
      out = static_cast<T>(*found);
      return static_cast<std::remove_cvref_t<decltype(*found)>>(out) == *found;
    }
  }

  // Fewer bytes than the array has leave zeros behind them.
  template <class T, std::size_t N>
  bool read_octets(std::array<T, N>& out) {
    Bytes found;
    if (!in_.read_bytes(found) || found.size() > N) return false;
    if constexpr (N != 0) {
      if (found.size() == N) {
        std::memcpy(out.data(), found.data(), N);
      } else {
        out.fill(T{});
        if (!found.empty()) std::memcpy(out.data(), found.data(), found.size());
      }
    }
    return true;
  }

  template <class T>
  bool read_vector(std::vector<T>& out, std::size_t depth) {
    if constexpr (Octet<T>) {
      Bytes found;
      if (!in_.read_bytes(found)) return false;
      out.resize(found.size());
      if (!found.empty()) std::memcpy(out.data(), found.data(), found.size());
      return true;
    } else {
      if (depth == 0) return false;
      const auto count = in_.array();
      if (!count) return false;
      // Items that are larger than their bytes are made as they turn out to be there.
      constexpr std::size_t at_once = 1024;
      out.clear();
      out.reserve(sizeof(T) <= sizeof(double) ? *count : std::min<std::size_t>(*count, at_once));
      for (std::uint32_t i = 0; i < *count; ++i) {
        if (!read(out.emplace_back(), depth - 1)) return false;
      }
      return true;
    }
  }

  template <class T>
  bool read_object(T& out, std::size_t depth) {
    const auto object = in_.object(depth);
    if (!object) return false;
    const Scoped<std::span<const Tensor>> scope(unpacking, tensors_);
    return with_object(
        *object, [](const msgpack::object& o, void* to) { o.convert(*static_cast<T*>(to)); }, &out);
  }

  Unpack in_;
  std::span<const Tensor> tensors_;
};

// ---- writing ----

/// Writes values one after another behind what is in a batch.
class FieldWriter {
 public:
  explicit FieldWriter(BatchBuilder& batch) : batch_(batch), out_(batch.body()) {}

  template <class T>
  void write(const T& value) {
    if constexpr (!is_direct<T>()) {
      const Scoped<BatchBuilder*> scope(packing, &batch_);
      msgpack::packer<Buffer>(out_).pack(value);
    } else if constexpr (is_bounded<T>()) {
      std::byte* const at = out_.room(most_bytes<T>());
      out_.advance(static_cast<std::size_t>(store_bounded(at, value) - at));
    } else if constexpr (Record<const T>) {
      value.weft_visit([&](const auto&... fields) {
        Pack(out_).array(sizeof...(fields));
        (write(fields), ...);
        return true;
      });
    } else if constexpr (Number<T>) {
      write_number(value);
    } else if constexpr (std::same_as<T, std::string> || std::same_as<T, std::string_view>) {
      Pack(out_).str(value);
    } else if constexpr (std::same_as<T, Tensor>) {
      pack_tensor_ref(out_, batch_.add_tensor(value), value);
    } else if constexpr (std::same_as<T, Value>) {
      Pack(out_).value(value);
    } else if constexpr (is_optional<T>) {
      value ? write(*value) : Pack(out_).nil();
    } else {
      write_items(value);
    }
  }

 private:
  template <class T>
  void write_number(T value) {
    Pack pack(out_);
    if constexpr (std::same_as<T, bool>) {
      pack.boolean(value);
    } else if constexpr (std::same_as<T, float>) {
      put(out_, 0xCA, std::bit_cast<std::uint32_t>(value));
    } else if constexpr (std::same_as<T, double>) {
      pack.real(value);
    } else if constexpr (std::is_signed_v<T>) {
      pack.sint(value);
    } else {
      pack.uint(value);
    }
  }

  template <class Items>
  void write_items(const Items& items) {
    if constexpr (Octet<typename Items::value_type>) {
      Pack(out_).bin({reinterpret_cast<const std::byte*>(items.data()), items.size()});
    } else {
      Pack(out_).array(items.size());
      for (const auto& item : items) write(item);
    }
  }

  BatchBuilder& batch_;
  Buffer& out_;
};

}  // namespace weft::wire::detail

namespace weft::wire {

template <class T>
void encode_record(BatchBuilder& batch, const T& record) {
  const auto before = batch.mark();
  try {
    detail::FieldWriter(batch).write(record);
  } catch (...) {
    batch.roll_back(before);  // half a record would spoil the whole batch
    throw;
  }
  batch.count_one();
}

template <class T>
bool decode_record(const RecordView& record, T& out) {
  detail::FieldReader in(record.packed, record.tensors);
  try {
    return in.read(out) && in.done();
  } catch (...) {
    return false;
  }
}

template <class T>
bool decode_next(Bytes& rest, std::span<const Tensor> tensors, T& out) {
  const Bytes all = rest;
  try {
    detail::FieldReader in(all, tensors);
    if (in.read(out)) {
      rest = in.rest();
      return true;
    }
  } catch (...) {  // no memory for it, or a type's own reading has refused it
  }
  rest = all;
  (void)next_object(rest);
  return false;
}

template <class T>
constexpr bool always_sound() {
  return detail::is_shallow<T>();
}

template <class T>
constexpr bool decodes_whole() {
  return detail::is_whole<T>();
}

}  // namespace weft::wire
