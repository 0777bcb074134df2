#include <bit>

#include <weft/wire/header.hpp>
#include <weft/wire/pack.hpp>

#include "wire/option_table.hpp"

namespace weft::wire {
namespace {

/// Cuts to `most` bytes without splitting a UTF-8 sequence.
std::string_view cut(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  return text.substr(0, most);
}

// The option `seal`, whose number is filled in when the whole message is known.
constexpr std::size_t kSealOption = 2 + sizeof(std::uint64_t);

void write_seal(Buffer& out) {
  Pack(out).uint(Options::seal);
  detail::put(out, 0xCF, std::uint64_t{0});
}

void write_start(Buffer& out, Kind kind, std::string_view stream, std::uint64_t epoch) {
  detail::put(out, kMagic >> 24, static_cast<std::uint16_t>(kMagic >> 8));
  *out.extend(1) = static_cast<std::byte>(kMagic & 0xFF);
  Pack pack(out);
  pack.uint(static_cast<std::uint8_t>(kind));
  pack.str(stream);
  pack.uint(epoch);
}

// Writes one option's value; false, with an unspecified part of it written, when it is beyond its bound.
class Writer {
 public:
  Writer(Buffer& out, unsigned key) : pack_(out), is_text_(key == Options::text), key_(key) {}

  template <class T>
  bool number(T value, std::uint64_t most) {
    const auto v = static_cast<std::uint64_t>(value);
    pack_.uint(v);
    return v <= most;
  }
  bool text(std::string_view v) {
    if (is_text_) v = cut(v, kMaxTextBytes);
    pack_.str(v);
    return v.size() <= kMaxStringBytes;
  }
  bool binary(Bytes v, std::size_t exact) {
    pack_.bin(v);
    return exact != 0 ? v.size() == exact : v.size() <= kMaxStringBytes;
  }
  template <class T>
  bool pair(T first, T second) {
    pack_.array(2);
    pack_.uint(first);
    pack_.uint(second);
    if (key_ == Options::chunk) return first < second;
    if (key_ == Options::version) return first <= second;
    return true;
  }
  template <class Array>
  bool ranges(std::size_t count, const Array& flat) {
    if (count > kMaxRanges) return false;
    pack_.array(2 * count);
    for (std::size_t i = 0; i < 2 * count; ++i) pack_.uint(flat[i]);
    return true;
  }
  bool texts(Bytes packed) { return packed_array(packed); }
  bool numbers(Bytes packed) { return packed_array(packed); }

 private:
  bool packed_array(Bytes packed) {
    pack_.raw(packed);
    return !packed.empty();
  }

  Pack pack_;
  bool is_text_;
  unsigned key_;
};

// Writes the options of `wanted`; returns those that it had to leave out (the count in the map's head is then
// wrong).
std::uint64_t write_options(const Options& options, std::uint64_t wanted, Buffer& out, std::size_t room_ends,
                            bool sealed) {
  std::uint64_t left_out = 0;
  Pack pack(out);
  pack.map(static_cast<std::size_t>(std::popcount(wanted)) + (sealed ? 1 : 0));
  for (std::uint64_t rest = wanted; rest != 0; rest &= rest - 1) {
    const auto key = static_cast<unsigned>(std::countr_zero(rest));
    const std::size_t before = out.size();
    pack.uint(key);
    if (visit_option(options, key, Writer(out, key)) && out.size() <= room_ends) continue;
    out.truncate(before);
    left_out |= std::uint64_t{1} << key;
  }
  if (sealed) write_seal(out);
  return left_out;
}

}  // namespace

bool encode(const Header& header, Buffer& out, bool sealed) {
  sealed = sealed || header.options.has(Options::seal);
  const std::size_t start = out.size();
  const std::string_view stream = cut(header.stream, kMaxStringBytes);
  write_start(out, header.kind, stream, header.epoch);
  Pack(out).uint(header.seq);

  const std::size_t options_at = out.size();
  const std::size_t room_ends = start + kMaxHeaderBytes - (sealed ? kSealOption : 0);
  std::uint64_t wanted = header.options.present & kKnownOptions & ~(std::uint64_t{1} << Options::seal);
  while (const std::uint64_t left_out = write_options(header.options, wanted, out, room_ends, sealed)) {
    wanted &= ~left_out;
    out.truncate(options_at);
  }
  wanted |= header.options.present & std::uint64_t{1} << Options::seal;
  return wanted == header.options.present && stream.size() == header.stream.size();
}

DataHeader::DataHeader(Kind kind, std::string_view stream, std::uint64_t epoch, bool sealed)
    : sealed_(sealed) {
  write_start(prefix_, kind, cut(stream, kMaxStringBytes), epoch);
}

void DataHeader::encode(std::uint64_t seq, std::uint64_t count, Buffer& out, std::uint64_t fingerprint,
                        std::uint32_t flags, std::uint64_t processed) const {
  constexpr std::size_t longest_tail = 50 + kSealOption;
  out.reserve(out.size() + prefix_.size() + longest_tail);
  out.append(prefix_.view());
  Pack pack(out);
  pack.uint(seq);
  const bool more = sealed_ || (flags | fingerprint | processed) != 0;
  pack.map(more ? 1U + (flags != 0 ? 1U : 0U) + (fingerprint != 0 ? 1U : 0U) + (processed != 0 ? 1U : 0U) +
                      (sealed_ ? 1U : 0U)
                : 1U);
  pack.uint(Options::count);
  pack.uint(count);
  if (!more) return;
  if (flags != 0) {
    pack.uint(Options::flags);
    pack.uint(flags);
  }
  if (fingerprint != 0) {
    pack.uint(Options::fingerprint);
    pack.uint(fingerprint);
  }
  if (processed != 0) {
    pack.uint(Options::processed);
    pack.uint(processed);
  }
  if (sealed_) write_seal(out);
}

}  // namespace weft::wire
