// What a dead letter is on the wire: a record of its own, for ports that take any record.
#pragma once

#include <string_view>

#include <weft/blocks/block.hpp>
#include <weft/wire/batch.hpp>

namespace weft {

/// Appends the dead letter to a batch as one record, a msgpack map:
/// {"reason": str, "attempts": uint, "link": str, "first_sent": uint, "died": uint, "receiver": str,
///  "record": the record as it was sent}. Times are microseconds since 1970. Tensors of the record come
/// along. A record that is nested as deep as a record may be would be too deep in the map: it is a bin of its
/// msgpack bytes.
void add_dead_letter(wire::BatchBuilder& batch, std::string_view link, const DeadLetter& letter);

}  // namespace weft
