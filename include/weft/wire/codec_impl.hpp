// How msgpack-cxx packs and unpacks records and tensors. Included by codec.hpp only.
#pragma once

#include <array>
#include <bit>
#include <type_traits>

#include <weft/wire/codec.hpp>

namespace weft::wire::detail {

/// Where the tensors of the record at hand go to or come from. msgpack-cxx's adaptors take no context.
inline constinit thread_local BatchBuilder* packing = nullptr;
inline constinit thread_local std::span<const Tensor> unpacking;

/// Sets a variable and puts its old value back: coding may nest.
template <class T>
class Scoped {
 public:
  Scoped(T& place, T value) : place_(place), before_(place) { place = value; }
  ~Scoped() { place_ = before_; }
  Scoped(const Scoped&) = delete;
  Scoped& operator=(const Scoped&) = delete;

 private:
  T& place_;
  T before_;
};

/// Parses one checked object without copying its strings and calls `use(const msgpack::object&)`. False when
/// the bytes are not one object within the limits, or when `use` throws.
bool with_object(Bytes packed, void (*use)(const msgpack::object&, void*), void* context) noexcept;

/// The next object as a reference to one of the frames.
inline bool read_tensor(Unpack& in, std::span<const Tensor> frames, Tensor& out) {
  const auto ext = in.ext();
  if (!ext || ext->type != kTensorExt) return false;
  const auto ref = unpack_tensor_ref(ext->payload);
  auto found = ref ? resolve(*ref, frames) : std::nullopt;
  if (found) out = std::move(*found);
  return found.has_value();
}

/// msgpack-cxx's own reading of a struct takes any number of fields and leaves the others as they were.
template <class... Fields>
constexpr std::uint32_t count_fields(const Fields&...) {
  return sizeof...(Fields);
}
inline void require_fields(const msgpack::object& o, std::uint32_t count) {
  if (o.type != msgpack::type::ARRAY || o.via.array.size != count) throw msgpack::type_error();
}

}  // namespace weft::wire::detail

// The library packs a real number without a fraction as an integer, which loses the sign of -0.0 and converts
// 2^64 beyond the range of its type. Here a float stays a float: what is on the wire depends on the type, not
// on the value.
template <>
inline msgpack::packer<weft::wire::Buffer>& msgpack::packer<weft::wire::Buffer>::pack_float(float d) {
  std::array<char, 5> bytes;
  weft::wire::detail::store(bytes.data(), 0xCA, std::bit_cast<std::uint32_t>(d));
  return pack_bin_body(bytes.data(), bytes.size());
}
template <>
inline msgpack::packer<weft::wire::Buffer>& msgpack::packer<weft::wire::Buffer>::pack_double(double d) {
  std::array<char, 9> bytes;
  weft::wire::detail::store(bytes.data(), 0xCB, std::bit_cast<std::uint64_t>(d));
  return pack_bin_body(bytes.data(), bytes.size());
}

namespace msgpack {
MSGPACK_API_VERSION_NAMESPACE(MSGPACK_DEFAULT_API_NS) {
  namespace adaptor {

  template <>
  struct pack<weft::Tensor> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const weft::Tensor& tensor) const {
      weft::wire::BatchBuilder* batch = weft::wire::detail::packing;
      // Outside a batch there is no frame to refer to.
      if (!batch) throw msgpack::type_error();
      weft::wire::pack_tensor_ref(batch->body(), batch->add_tensor(tensor), tensor);
      return out;
    }
  };

  template <>
  struct convert<weft::Tensor> {
    const msgpack::object& operator()(const msgpack::object& o, weft::Tensor& tensor) const {
      if (o.type != msgpack::type::EXT || o.via.ext.type() != weft::wire::kTensorExt)
        throw msgpack::type_error();
      const auto ref = weft::wire::unpack_tensor_ref(
          {reinterpret_cast<const std::byte*>(o.via.ext.data()), std::size_t{o.via.ext.size}});
      auto found = ref ? weft::wire::resolve(*ref, weft::wire::detail::unpacking) : std::nullopt;
      if (!found) throw msgpack::type_error();
      tensor = std::move(*found);
      return o;
    }
  };

  template <>
  struct pack<weft::Value> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const weft::Value& value) const {
      weft::wire::Buffer packed;
      weft::wire::Pack(packed).value(value);
      // The one call of the packer that writes bytes as they are.
      out.pack_bin_body(reinterpret_cast<const char*>(packed.data()),
                        static_cast<std::uint32_t>(packed.size()));
      return out;
    }
  };

  template <>
  struct convert<weft::Value> {
    const msgpack::object& operator()(const msgpack::object& o, weft::Value& value) const {
      weft::wire::Buffer packed;
      msgpack::packer<weft::wire::Buffer>(packed).pack(o);
      auto found = weft::wire::Unpack(packed.view()).value();
      if (!found) throw msgpack::type_error();
      value = std::move(*found);
      return o;
    }
  };

  }  // namespace adaptor
}  // MSGPACK_API_VERSION_NAMESPACE
}  // namespace msgpack

// Behind what it builds on, whichever of these headers is opened first.
#include <weft/wire/codec_direct.hpp>
