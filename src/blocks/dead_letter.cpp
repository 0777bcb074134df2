#include <weft/blocks/dead_letter.hpp>

#include <weft/blocks/raw.hpp>
#include <weft/wire/limits.hpp>
#include <weft/wire/pack.hpp>

namespace weft {

void add_dead_letter(wire::BatchBuilder& batch, std::string_view link, const DeadLetter& letter) {
  batch.add([&](wire::Buffer& out) {
    wire::Pack pack(out);
    pack.map(7);
    pack.str("reason");
    pack.str(letter.reason);
    pack.str("attempts");
    pack.uint(letter.attempts);
    pack.str("link");
    pack.str(link);
    pack.str("first_sent");
    pack.uint(letter.accepted_micros);
    pack.str("died");
    pack.uint(letter.died_micros);
    pack.str("receiver");
    pack.str(letter.receiver);
    pack.str("record");
    if (wire::Unpack(letter.record.packed).object(wire::kMaxRecordDepth - 1)) {
      write_forwarded(batch, out, letter.record);
    } else {
      pack.bin(letter.record.packed);
    }
  });
}

}  // namespace weft
