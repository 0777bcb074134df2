#include <weft/core/text.hpp>
#include <weft/wire/header.hpp>
#include <weft/wire/pack.hpp>

#include "wire/option_table.hpp"

namespace weft::wire {
namespace {

// Header array and options map are the first two levels.
constexpr std::size_t kOptionDepth = kMaxHeaderDepth - 2;

bool is_ascii(std::string_view text) {
  std::uint64_t seen = 0;
  while (text.size() >= sizeof seen) {
    std::uint64_t eight;
    std::memcpy(&eight, text.data(), sizeof eight);
    seen |= eight;
    text.remove_prefix(sizeof eight);
  }
  for (const char c : text) seen |= static_cast<unsigned char>(c);
  return (seen & 0x8080808080808080ULL) == 0;
}

// Skips any value that an option may have; else says what is wrong with it.
Rejection skip_value(Unpack& in, std::size_t depth = kOptionDepth) {
  if (const auto found = in.bytes())
    return found->size() > kMaxStringBytes ? Rejection::long_string : Rejection::none;
  if (const auto found = in.ext()) {
    return found->payload.size() > kMaxStringBytes ? Rejection::long_string : Rejection::none;
  }
  std::optional<std::uint64_t> items = in.array();
  if (!items) {
    if (const auto pairs = in.map()) items = 2ULL * *pairs;
  }
  if (!items) return in.object(0) ? Rejection::none : Rejection::malformed;
  if (depth == 0) return Rejection::too_deep;
  for (std::uint64_t i = 0; i < *items; ++i) {
    if (const Rejection why = skip_value(in, depth - 1); why != Rejection::none) return why;
  }
  return Rejection::none;
}

// Reads one option's value into its field; false when it is not what it should be.
class Reader {
 public:
  Reader(Unpack& in, unsigned key) : in_(in), key_(key) {}

  template <class T>
  bool number(T& field, std::uint64_t most) {
    const auto v = in_.uint();
    if (!v || *v > most) return false;
    field = static_cast<T>(*v);
    return true;
  }
  bool text(std::string_view& field) {
    const auto v = in_.str();
    if (!v || v->size() > kMaxStringBytes) return false;
    field = *v;
    return true;
  }
  bool binary(Bytes& field, std::size_t exact) {
    const auto v = in_.bytes();
    if (!v || v->size() > kMaxStringBytes || (exact != 0 && v->size() != exact)) return false;
    field = *v;
    return true;
  }
  template <class T>
  bool pair(T& first, T& second) {
    constexpr std::uint64_t most = std::numeric_limits<T>::max();
    if (in_.array() != 2U || !number(first, most) || !number(second, most)) return false;
    if (key_ == Options::chunk) return first < second;
    if (key_ == Options::version) return first <= second;
    return true;
  }
  template <class Array>
  bool ranges(std::size_t& count, Array& flat) {
    const auto items = in_.array();
    if (!items || *items % 2 != 0 || *items > flat.size()) return false;
    for (std::uint32_t i = 0; i < *items; ++i) {
      if (!number(flat[i], std::numeric_limits<std::uint64_t>::max())) return false;
    }
    count = *items / 2;
    sorted_ = true;
    for (std::size_t i = 0; i < *items; ++i) {
      // first <= last within a pair, last < first from one pair to the next
      if (i > 0 && (i % 2 == 0 ? flat[i] <= flat[i - 1] : flat[i] < flat[i - 1])) sorted_ = false;
    }
    return sorted_;
  }
  bool texts(Bytes& field) {
    return packed_array(field, [this] {
      const auto v = in_.str();
      return v && v->size() <= kMaxStringBytes;
    });
  }
  bool numbers(Bytes& field) {
    return packed_array(field, [this] { return in_.uint().has_value(); });
  }
  [[nodiscard]] bool sorted() const { return sorted_; }

 private:
  template <class Item>
  bool packed_array(Bytes& field, Item item) {
    const std::byte* const start = in_.rest().data();
    const auto items = in_.array();
    if (!items) return false;
    for (std::uint32_t i = 0; i < *items; ++i) {
      if (!item()) return false;
    }
    field = {start, in_.rest().data()};
    return true;
  }

  Unpack& in_;
  unsigned key_;
  bool sorted_ = true;
};

class OptionsDecoder {
 public:
  OptionsDecoder(Unpack& in, Options& out) : in_(in), out_(out) {}

  Rejection decode() {
    out_.present = 0;
    out_.range_count = 0;
    out_.missing_count = 0;
    const auto pairs = in_.map();
    if (!pairs) return Rejection::malformed;
    if (*pairs > kMaxOptions) return Rejection::malformed;
    for (std::uint32_t i = 0; i < *pairs; ++i) {
      if (const Rejection why = one(); why != Rejection::none) return why;
    }
    const bool parallel = !out_.has(Options::topics) || !out_.has(Options::sequences) ||
                          Unpack(out_.topics_v).array() == Unpack(out_.sequences_v).array();
    return parallel ? Rejection::none : Rejection::bad_option;
  }

 private:
  Rejection one() {
    const auto key = in_.uint();
    if (!key) return in_.sint() ? Rejection::must_understand : Rejection::malformed;
    if (*key == 0) return Rejection::malformed;
    return *key <= kLastOption ? known(static_cast<Options::Key>(*key)) : unknown(*key);
  }

  Rejection known(Options::Key key) {
    if (out_.has(key)) return Rejection::bad_option;
    Unpack value = in_;
    Reader reader(in_, key);
    if (visit_option(out_, key, reader)) {
      out_.mark(key);
      return Rejection::none;
    }
    if (!reader.sorted()) return Rejection::unsorted_ranges;
    const Rejection why = skip_value(value);
    return why != Rejection::none ? why : Rejection::bad_option;
  }

  Rejection unknown(std::uint64_t key) {
    for (std::size_t i = 0; i < unknown_count_; ++i) {
      if (unknown_[i] == key) return Rejection::bad_option;
    }
    unknown_[unknown_count_++] = key;
    return skip_value(in_);
  }

  Unpack& in_;
  Options& out_;
  std::array<std::uint64_t, kMaxOptions> unknown_;  // only the first unknown_count_ are set
  std::size_t unknown_count_ = 0;
};

}  // namespace

bool has_magic(Bytes frame) {
  return frame.size() >= sizeof kMagic && detail::load<std::uint32_t>(frame.data()) == kMagic;
}

Rejection decode(Bytes frame, Header& out) {
  if (frame.size() > kMaxHeaderBytes) return Rejection::long_header;
  if (!has_magic(frame)) return Rejection::bad_magic;
  Unpack in(frame.subspan(sizeof kMagic));

  const auto kind = in.uint();
  if (!kind) return Rejection::malformed;
  if (*kind < static_cast<unsigned>(Kind::hello) || *kind > static_cast<unsigned>(Kind::cancel)) {
    return Rejection::bad_kind;
  }
  const auto stream = in.str();
  if (!stream) return Rejection::malformed;
  if (stream->size() > kMaxStringBytes) return Rejection::long_string;
  if (!is_ascii(*stream) && !is_utf8(*stream)) return Rejection::bad_utf8;
  const auto epoch = in.uint();
  if (!epoch) return Rejection::malformed;
  const auto seq = in.uint();
  if (!seq) return Rejection::malformed;

  out.kind = static_cast<Kind>(*kind);
  out.stream = *stream;
  out.epoch = *epoch;
  out.seq = *seq;
  if (const Rejection why = OptionsDecoder(in, out.options).decode(); why != Rejection::none) return why;
  return in.done() ? Rejection::none : Rejection::trailing_bytes;
}

}  // namespace weft::wire
