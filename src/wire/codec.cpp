#include <weft/wire/codec.hpp>

namespace weft::wire::detail {
namespace {

// Strings stay where they are: the record's bytes outlive the object.
bool refer(msgpack::type::object_type, std::size_t, void*) {
  return true;
}

// Kept between records, so that most need no allocation; taken away while in use, since converting may decode
// again.
constexpr std::size_t kZoneChunk = 4096;
thread_local std::unique_ptr<msgpack::zone> spare_zone;

}  // namespace

bool with_object(Bytes packed, void (*use)(const msgpack::object&, void*), void* context) noexcept {
  // Checked before it is parsed: from here on no count claims more than the bytes that are there.
  Unpack in(packed);
  if (!in.object() || !in.done()) return false;
  try {
    std::unique_ptr<msgpack::zone> zone = std::move(spare_zone);
    if (!zone) zone = std::make_unique<msgpack::zone>(kZoneChunk);
    const std::size_t most = packed.size();
    const msgpack::unpack_limit limit(most, most, most, most, most, kMaxRecordDepth + 1);
    std::size_t offset = 0;
    bool referenced = false;
    const msgpack::object object = msgpack::unpack(*zone, reinterpret_cast<const char*>(packed.data()), most,
                                                   offset, referenced, &refer, nullptr, limit);
    use(object, context);
    zone->clear();
    spare_zone = std::move(zone);
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace weft::wire::detail
