#include <weft/wire/pack.hpp>

#include <array>

namespace weft::wire {

namespace detail {
namespace {

// What a lead byte says of its object.
struct Form {
  enum What : std::uint8_t { plain, sized, items, never };
  What what = never;
  std::uint8_t bytes = 0;   // plain: of the whole object; sized: beside the payload; items: of the head
  std::uint8_t length = 0;  // bytes of the length or count, behind the lead byte
  std::uint8_t pairs = 0;   // 1: a map, with two objects for each that it counts
};

constexpr std::array<Form, 256> kForms = [] {
  std::array<Form, 256> forms{};
  for (unsigned lead = 0; lead < 256; ++lead) {
    Form& form = forms[lead];
    if (lead < 0x80 || lead >= 0xE0) form = {Form::plain, 1};
    if (lead >= 0x80 && lead < 0x90) form = {Form::items, 1, 0, 1};
    if (lead >= 0x90 && lead < 0xA0) form = {Form::items, 1, 0, 0};
    if (lead >= 0xA0 && lead < 0xC0) form = {Form::plain, static_cast<std::uint8_t>(1 + (lead & 0x1F))};
  }
  for (const unsigned lead : {0xC0U, 0xC2U, 0xC3U}) forms[lead] = {Form::plain, 1};  // nil, false, true
  for (unsigned i = 0; i < 3; ++i) {
    const auto length = static_cast<std::uint8_t>(1U << i);
    forms[0xC4 + i] = {Form::sized, static_cast<std::uint8_t>(1 + length), length};  // bin
    forms[0xC7 + i] = {Form::sized, static_cast<std::uint8_t>(2 + length), length};  // ext
    forms[0xD9 + i] = {Form::sized, static_cast<std::uint8_t>(1 + length), length};  // str
  }
  for (unsigned i = 0; i < 2; ++i) {
    const auto length = static_cast<std::uint8_t>(2U << i);
    forms[0xCA + i] = {Form::plain, static_cast<std::uint8_t>(1 + (4U << i))};          // float
    forms[0xDC + i] = {Form::items, static_cast<std::uint8_t>(1 + length), length};     // array
    forms[0xDE + i] = {Form::items, static_cast<std::uint8_t>(1 + length), length, 1};  // map
  }
  for (unsigned i = 0; i < 4; ++i) {
    forms[0xCC + i] = {Form::plain, static_cast<std::uint8_t>(1 + (1U << i))};  // uint
    forms[0xD0 + i] = {Form::plain, static_cast<std::uint8_t>(1 + (1U << i))};  // int
  }
  for (unsigned i = 0; i < 5; ++i) {
    forms[0xD4 + i] = {Form::plain, static_cast<std::uint8_t>(2 + (1U << i))};  // fixext
  }
  return forms;
}();

// Bytes of the whole object for the lead bytes of plain ones; 0 for the others.
constexpr std::array<std::uint8_t, 256> kPlainBytes = [] {
  std::array<std::uint8_t, 256> bytes{};
  for (unsigned lead = 0; lead < 256; ++lead) {
    if (kForms[lead].what == Form::plain) bytes[lead] = kForms[lead].bytes;
  }
  return bytes;
}();

}  // namespace

Skip skip(const std::byte*& start, const std::byte* end, std::size_t depth) {
  depth = depth < kMaxRecordDepth ? depth : kMaxRecordDepth;
  const std::byte* at = start;
  std::array<std::uint64_t, kMaxRecordDepth> outer;  // objects still to come, a level each, of those around
  std::size_t level = 0;
  std::uint64_t due = 1;         // ... of this level
  std::uint64_t owed_outer = 0;  // sum of `outer`: each takes a byte at least
  for (;;) {
    for (; due != 0; --due) {
      if (at == end) return Skip::cut;
      const std::size_t bytes = kPlainBytes[static_cast<unsigned>(*at)];
      if (bytes == 0) break;
      if (static_cast<std::size_t>(end - at) < bytes) return Skip::cut;
      at += bytes;
    }
    if (due == 0) {
      if (level == 0) {
        start = at;
        return Skip::ok;
      }
      due = outer[--level];
      owed_outer -= due;
      continue;
    }
    --due;
    const auto lead = static_cast<unsigned>(*at);
    const Form form = kForms[lead];
    const auto left = static_cast<std::uint64_t>(end - at);
    if (left < form.bytes) return Skip::cut;
    if (form.what == Form::never) return Skip::cut;
    const std::uint64_t length = form.length == 0 ? lead & 0x0F : load_sized(at + 1, form.length);
    at += form.bytes;
    if (form.what == Form::sized) {
      if (left - form.bytes < length) return Skip::cut;
      at += length;
      continue;
    }
    const std::uint64_t items = length << form.pairs;
    if (owed_outer + due + items > left - form.bytes) return Skip::cut;
    if (level == depth) return Skip::deep;
    outer[level++] = due;
    owed_outer += due;
    due = items;
  }
}

// Where an object ends needs no levels, only the number of objects that are still to come.
bool skip_any(const std::byte*& start, const std::byte* end) {
  const std::byte* at = start;
  for (std::uint64_t due = 1; due != 0; --due) {
    const auto left = static_cast<std::uint64_t>(end - at);
    if (due > left) return false;  // each takes a byte at least
    const auto lead = static_cast<unsigned>(*at);
    const Form form = kForms[lead];
    if (form.what == Form::never || left < form.bytes) return false;
    const std::uint64_t length = form.length == 0 ? lead & 0x0F : load_sized(at + 1, form.length);
    at += form.bytes;
    if (form.what == Form::sized) {
      if (left - form.bytes < length) return false;
      at += length;
    } else if (form.what == Form::items) {
      due += length << form.pairs;
    }
  }
  start = at;
  return true;
}

}  // namespace detail

void Pack::ext(std::int8_t type, Bytes payload) {
  const std::size_t size = payload.size();
  if (size != 0 && size <= 16 && std::has_single_bit(size)) {
    lead(0xD4 + static_cast<unsigned>(std::countr_zero(size)));
  } else {
    sized(size, 0xC7);
  }
  lead(static_cast<std::uint8_t>(type));
  out_.append(payload);
}

bool Unpack::signed_uint(std::uint64_t& v) {
  if (at_ == end_ || *at_ < std::byte{0xD0} || *at_ > std::byte{0xD3}) return false;
  const std::byte* const start = at_;
  const auto found = sint();
  if (!found || *found < 0) {
    at_ = start;
    return false;
  }
  v = static_cast<std::uint64_t>(*found);
  return true;
}

std::optional<std::int64_t> Unpack::sint() {
  const auto number = [this]<class T>(T) -> std::optional<std::int64_t> {
    using U = std::make_unsigned_t<T>;
    if (left() < 1 + sizeof(T)) return std::nullopt;
    const auto v = static_cast<T>(detail::load<U>(at_ + 1));
    at_ += 1 + sizeof(T);
    return v;
  };
  if (at_ == end_) return std::nullopt;
  const auto lead = static_cast<unsigned>(*at_);
  switch (lead) {
    case 0xD0:
      return number(std::int8_t{});
    case 0xD1:
      return number(std::int16_t{});
    case 0xD2:
      return number(std::int32_t{});
    case 0xD3:
      return number(std::int64_t{});
    default:
      break;
  }
  if (lead >= 0xE0) {
    ++at_;
    return static_cast<std::int64_t>(lead) - 256;
  }
  if (lead >= 0x80 && (lead < 0xCC || lead > 0xCF)) return std::nullopt;
  const std::byte* const start = at_;
  const auto v = uint();
  if (v && *v <= static_cast<std::uint64_t>(INT64_MAX)) return static_cast<std::int64_t>(*v);
  at_ = start;
  return std::nullopt;
}

std::optional<double> Unpack::real_of_integer() {
  if (const auto v = uint()) return static_cast<double>(*v);
  if (const auto v = sint()) return static_cast<double>(*v);
  return std::nullopt;
}

std::optional<std::uint32_t> Unpack::container(unsigned fixed, unsigned first, std::size_t item_bytes) {
  if (at_ == end_) return std::nullopt;
  const auto lead = static_cast<unsigned>(*at_);
  std::size_t head = 1;
  std::uint32_t count = lead & 0x0F;
  if (lead == first && left() >= 3) {
    head = 3;
    count = detail::load<std::uint16_t>(at_ + 1);
  } else if (lead == first + 1 && left() >= 5) {
    head = 5;
    count = detail::load<std::uint32_t>(at_ + 1);
  } else if ((lead & 0xF0) != fixed) {
    return std::nullopt;
  }
  if (count > (left() - head) / item_bytes) return std::nullopt;
  at_ += head;
  return count;
}

std::optional<std::uint32_t> Unpack::long_array() {
  return container(0x90, 0xDC, 1);
}
std::optional<std::uint32_t> Unpack::map() {
  return container(0x80, 0xDE, 2);
}

std::optional<Unpack::Ext> Unpack::ext() {
  if (at_ == end_) return std::nullopt;
  const auto lead = static_cast<unsigned>(*at_);
  std::size_t head = 1;
  std::size_t size = 0;
  if (lead >= 0xD4 && lead <= 0xD8) {
    size = std::size_t{1} << (lead - 0xD4);
  } else if (lead >= 0xC7 && lead <= 0xC9) {
    const unsigned length = 1U << (lead - 0xC7);
    head += length;
    if (left() < head) return std::nullopt;
    size = detail::load_sized(at_ + 1, length);
  } else {
    return std::nullopt;
  }
  if (left() < head + 1 || left() - head - 1 < size) return std::nullopt;
  const Ext found{static_cast<std::int8_t>(at_[head]), Bytes{at_ + head + 1, size}};
  at_ += head + 1 + size;
  return found;
}

}  // namespace weft::wire
