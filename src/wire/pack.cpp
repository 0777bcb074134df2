#include <weft/wire/pack.hpp>

#include <array>

namespace weft::wire {

namespace detail {
namespace {

// What follows the lead bytes 0xC0 to 0xDF: `length` bytes of length or count, then payload.
struct Form {
  std::uint8_t length;  // bytes of a length field, 0 for fixed sizes
  std::uint16_t fixed;  // payload bytes beside what the length says
  enum What : std::uint8_t { plain, array, map, never } what;
};
constexpr std::array<Form, 32> kForms{{
    {0, 0, Form::plain},  {0, 0, Form::never}, {0, 0, Form::plain},
    {0, 0, Form::plain},                                             // nil, -, false, true
    {1, 0, Form::plain},  {2, 0, Form::plain}, {4, 0, Form::plain},  // bin
    {1, 1, Form::plain},  {2, 1, Form::plain}, {4, 1, Form::plain},  // ext
    {0, 4, Form::plain},  {0, 8, Form::plain},                       // float
    {0, 1, Form::plain},  {0, 2, Form::plain}, {0, 4, Form::plain},
    {0, 8, Form::plain},  // uint
    {0, 1, Form::plain},  {0, 2, Form::plain}, {0, 4, Form::plain},
    {0, 8, Form::plain},  // int
    {0, 2, Form::plain},  {0, 3, Form::plain}, {0, 5, Form::plain},
    {0, 9, Form::plain},                                             // fixext 1, 2, 4, 8
    {0, 17, Form::plain},                                            // fixext 16
    {1, 0, Form::plain},  {2, 0, Form::plain}, {4, 0, Form::plain},  // str
    {2, 0, Form::array},  {4, 0, Form::array}, {2, 0, Form::map},
    {4, 0, Form::map},
}};

// One object without what it contains: its payload bytes are skipped, its items counted.
struct Step {
  bool ok = false;
  bool container = false;
  std::uint64_t items = 0;
};
Step step(const std::byte*& at, const std::byte* end) {
  const auto lead = static_cast<unsigned>(*at++);
  if (lead < 0x80 || lead >= 0xE0) return {.ok = true};
  if (lead < 0x90) return {.ok = true, .container = true, .items = 2ULL * (lead & 0x0F)};
  if (lead < 0xA0) return {.ok = true, .container = true, .items = lead & 0x0F};
  std::uint64_t payload = lead & 0x1F;  // fixstr
  if (lead >= 0xC0) {
    const Form form = kForms[lead - 0xC0];
    if (form.what == Form::never || end - at < form.length) return {};
    payload = form.fixed;
    if (form.length != 0) {
      const std::uint64_t length = load_sized(at, form.length);
      at += form.length;
      if (form.what == Form::array) return {.ok = true, .container = true, .items = length};
      if (form.what == Form::map) return {.ok = true, .container = true, .items = 2 * length};
      payload += length;
    }
  }
  if (static_cast<std::uint64_t>(end - at) < payload) return {};
  at += payload;
  return {.ok = true};
}

}  // namespace

Skip skip(const std::byte*& at, const std::byte* end, std::size_t depth) {
  depth = depth < kMaxRecordDepth ? depth : kMaxRecordDepth;
  std::array<std::uint64_t, kMaxRecordDepth + 1> due;  // objects still to come, a level each
  due[0] = 1;
  std::uint64_t owed = 1;  // their sum: each takes a byte at least
  for (std::size_t level = 0;;) {
    while (due[level] == 0) {
      if (level == 0) return Skip::ok;
      --level;
    }
    if (at == end) return Skip::cut;
    --due[level];
    --owed;
    const Step seen = step(at, end);
    if (!seen.ok) return Skip::cut;
    if (!seen.container) continue;
    owed += seen.items;
    if (owed > static_cast<std::uint64_t>(end - at)) return Skip::cut;
    if (level == depth) return Skip::deep;
    due[++level] = seen.items;
  }
}

}  // namespace detail

void Pack::sint(std::int64_t v) {
  if (v >= 0) return uint(static_cast<std::uint64_t>(v));
  const auto bits = static_cast<std::uint64_t>(v);
  if (v >= -32) return lead(static_cast<unsigned>(bits & 0xFF));
  if (v >= INT8_MIN) return detail::put(out_, 0xD0, static_cast<std::uint8_t>(bits));
  if (v >= INT16_MIN) return detail::put(out_, 0xD1, static_cast<std::uint16_t>(bits));
  if (v >= INT32_MIN) return detail::put(out_, 0xD2, static_cast<std::uint32_t>(bits));
  detail::put(out_, 0xD3, bits);
}

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

std::optional<double> Unpack::real() {
  if (at_ == end_) return std::nullopt;
  const auto lead = static_cast<unsigned>(*at_);
  if (lead == 0xCA && left() >= 5) {
    const auto bits = detail::load<std::uint32_t>(at_ + 1);
    at_ += 5;
    return std::bit_cast<float>(bits);
  }
  if (lead == 0xCB && left() >= 9) {
    const auto bits = detail::load<std::uint64_t>(at_ + 1);
    at_ += 9;
    return std::bit_cast<double>(bits);
  }
  if (const auto v = uint()) return static_cast<double>(*v);
  if (const auto v = sint()) return static_cast<double>(*v);
  return std::nullopt;
}

std::optional<bool> Unpack::boolean() {
  if (at_ == end_ || (*at_ != std::byte{0xC2} && *at_ != std::byte{0xC3})) return std::nullopt;
  return *at_++ == std::byte{0xC3};
}

bool Unpack::nil() {
  if (at_ == end_ || *at_ != std::byte{0xC0}) return false;
  ++at_;
  return true;
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

std::optional<std::uint32_t> Unpack::array() {
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
