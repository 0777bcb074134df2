// Typed records: any type that msgpack-cxx can pack, named by one macro.
//
//   struct Update {
//     std::uint64_t key = 0;
//     std::vector<float> gradient;
//     WEFT_RECORD(Update, key, gradient)
//   };
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <msgpack.hpp>

#include <weft/wire/batch.hpp>
#include <weft/wire/record_type.hpp>

/// Names a record type for the wire and packs its fields as a msgpack array, in this order. Put it last in
/// the struct, in its public part. Fields may be numbers, text, vectors, maps, optionals, tensors and other
/// such structs. Unpacking refuses an array of another length: a field that is missing never keeps an old
/// value.
#define WEFT_RECORD(Type, ...)                                                                       \
  static constexpr std::string_view weft_record_name() {                                             \
    return #Type;                                                                                    \
  }                                                                                                  \
  static constexpr std::string_view weft_record_fields() {                                           \
    return #__VA_ARGS__;                                                                             \
  }                                                                                                  \
  template <class WeftUse_>                                                                          \
  auto weft_visit(WeftUse_&& weft_use_) {                                                            \
    return weft_use_(__VA_ARGS__);                                                                   \
  }                                                                                                  \
  template <class WeftUse_>                                                                          \
  auto weft_visit(WeftUse_&& weft_use_) const {                                                      \
    return weft_use_(__VA_ARGS__);                                                                   \
  }                                                                                                  \
  template <class WeftPacker_>                                                                       \
  void msgpack_pack(WeftPacker_& weft_packer_) const {                                               \
    msgpack::type::make_define_array(__VA_ARGS__).msgpack_pack(weft_packer_);                        \
  }                                                                                                  \
  void msgpack_unpack(const msgpack::object& weft_object_) {                                         \
    weft::wire::detail::require_fields(weft_object_, weft::wire::detail::count_fields(__VA_ARGS__)); \
    msgpack::type::make_define_array(__VA_ARGS__).msgpack_unpack(weft_object_);                      \
  }

namespace weft {

/// The type's name for peers. Specialise it for types that cannot carry the macro.
template <class T>
RecordType record_type() {
  if constexpr (requires { T::weft_record_name(); }) {
    return {std::string(T::weft_record_name()),
            wire::type_fingerprint(T::weft_record_name(), T::weft_record_fields())};
  } else {
    return {};
  }
}

namespace wire {

/// Packs one record into the batch. A weft::Value, and any type that msgpack-cxx packs: the other integers,
/// text, containers, and structs with WEFT_RECORD.
template <class T>
void encode_record(BatchBuilder& batch, const T& record);

/// Unpacks one record. False when the object is not of T's shape (`out` is then unspecified); never throws.
/// Limits are passed to msgpack-cxx, so that a few bytes cannot claim gigabytes.
template <class T>
[[nodiscard]] bool decode_record(const RecordView& record, T& out);

/// The same with the record that `rest` begins with: it is taken off, and so is one that is refused. `rest`
/// is (the end of) a body that check_body has accepted, and not empty.
template <class T>
[[nodiscard]] bool decode_next(Bytes& rest, std::span<const Tensor> tensors, T& out);

/// True when check_record holds for whatever encode_record makes of a T.
template <class T>
constexpr bool always_sound();

/// True when decode_record leaves nothing of what `out` was before: one object may then serve many records.
template <class T>
constexpr bool decodes_whole();

}  // namespace wire
}  // namespace weft

#include <weft/wire/codec_impl.hpp>
