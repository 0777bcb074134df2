// Names of the enums, as logs, metrics and error sentences show them. Stable.
#include <array>

#include <weft/wire/header.hpp>

namespace weft::wire {
namespace {

template <std::size_t N, class Enum>
std::string_view name_of(const std::array<std::string_view, N>& names, Enum value) {
  const auto i = static_cast<std::size_t>(value);
  return i < N ? names[i] : std::string_view("unknown");
}

constexpr std::array<std::string_view, 11> kKinds{"unknown", "HELLO", "DATA",    "ACK",   "NACK",  "SYNC",
                                                  "PING",    "BYE",   "REQUEST", "REPLY", "CANCEL"};
constexpr std::array<std::string_view, 15> kCodes{
    "none",  "fenced", "gone",        "too_large", "unsupported", "type_mismatch", "full",           "denied",
    "retry", "dead",   "bad_request", "failed",    "timed_out",   "not_found",     "outcome_unknown"};
constexpr std::array<std::string_view, static_cast<std::size_t>(Rejection::count_)> kRejections{
    "none",           "bad_frame_count", "bad_magic",   "long_header", "malformed",       "too_deep",
    "long_string",    "bad_utf8",        "bad_kind",    "bad_option",  "must_understand", "unsorted_ranges",
    "trailing_bytes", "bad_topic",       "bad_body",    "bad_tensor",  "bad_shared",      "unexpected",
    "wrong_type",     "too_large",       "bad_checksum"};

}  // namespace

std::string_view to_string(Kind kind) {
  return name_of(kKinds, kind);
}
std::string_view to_string(Code code) {
  return name_of(kCodes, code);
}
std::string_view to_string(Rejection why) {
  return name_of(kRejections, why);
}

}  // namespace weft::wire
