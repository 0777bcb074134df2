#include "faults.hpp"

#include <charconv>
#include <cmath>
#include <functional>
#include <optional>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

namespace weft::fault_proxy {
namespace {

constexpr double kPercent = 100;
constexpr std::uint64_t kLargestChunk = 1U << 20;

std::optional<double> number(std::string_view text) {
  double out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(out)) return std::nullopt;
  return out;
}

[[noreturn]] void refuse(std::string_view name, const Value& value, std::string_view expected) {
  const std::string found = value.is_string() ? value.as_string() : to_json(value);
  throw Error(Errc::invalid_argument,
              format("{}: expected {}, found {}", name, expected, weft::quoted(found)));
}

Duration span_of(std::string_view name, const Value& value) {
  const auto span = value.is_string() ? parse_duration(value.as_string()) : std::nullopt;
  if (!span || *span > std::chrono::hours(24)) refuse(name, value, "a time of at most 24h, like 20ms");
  return *span;
}

double rate_of(std::string_view name, const Value& value) {
  std::optional<double> out;
  if (value.is_number()) out = value.as_double();
  if (value.is_string()) {
    const std::string& text = value.as_string();
    out = text.ends_with('%') ? number(text.substr(0, text.size() - 1)) : number(text);
    if (out && text.ends_with('%')) *out /= kPercent;
  }
  if (!out || *out < 0 || *out > 1) refuse(name, value, "a part of the chunks, like 0.02 or 2%");
  return *out;
}

std::uint64_t bytes_of(std::string_view name, const Value& value, std::uint64_t least, std::uint64_t most) {
  std::optional<double> out;
  if (value.is_number()) out = value.as_double();
  if (value.is_string()) {
    out = number(value.as_string());
    if (!out) {
      if (const auto size = parse_size(value.as_string())) out = static_cast<double>(*size);
    }
  }
  if (!out || *out < static_cast<double>(least) || *out > static_cast<double>(most) ||
      *out != std::floor(*out)) {
    refuse(name, value, format("{} to {} bytes, like 100 or 64KiB", least, most));
  }
  return static_cast<std::uint64_t>(*out);
}

using Set = std::function<void(Faults&, std::string_view, const Value&)>;
struct Entry {
  FaultHelp help;
  Set set;
};

Set span(Duration Faults::*field) {
  return [field](Faults& f, std::string_view name, const Value& v) { f.*field = span_of(name, v); };
}
Set rate(double Faults::*field) {
  return [field](Faults& f, std::string_view name, const Value& v) { f.*field = rate_of(name, v); };
}
Set bytes(std::uint64_t Faults::*field, std::uint64_t least, std::uint64_t most) {
  return [=](Faults& f, std::string_view name, const Value& v) { f.*field = bytes_of(name, v, least, most); };
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all{
      {{"latency", "TIME", "each chunk waits so long, in each direction"}, span(&Faults::latency)},
      {{"jitter", "TIME", "and up to so much longer; bytes keep their order"}, span(&Faults::jitter)},
      {{"reset", "PART", "chunks in whose place the connection is reset, like 2%"}, rate(&Faults::reset)},
      {{"drop", "PART", "chunks that are swallowed in silence, with all behind them in their direction"},
       rate(&Faults::drop)},
      {{"drop-for", "TIME", "the connection is reset so long after such a chunk (1s)"},
       span(&Faults::drop_for)},
      {{"flip", "PART", "chunks in which one bit is inverted"}, rate(&Faults::flip)},
      {{"half-close", "PART", "chunks behind which their direction ends, while the other goes on"},
       rate(&Faults::half_close)},
      {{"slice", "BYTES", "written at a time; 1: every byte for itself"},
       bytes(&Faults::slice, 0, kLargestChunk)},
      {{"bandwidth", "BYTES", "a second, of each connection and direction"},
       bytes(&Faults::bandwidth, 0, std::uint64_t{1} << 40)},
      {{"blackhole-every", "TIME", "so often nothing passes and nobody is accepted"},
       span(&Faults::blackhole_every)},
      {{"blackhole-for", "TIME", "for a random time from zero to this (1s)"}, span(&Faults::blackhole_for)},
      {{"chunk", "BYTES", "that one read takes at most (16KiB)"}, bytes(&Faults::chunk, 1, kLargestChunk)}};
  return all;
}

}  // namespace

void Faults::set(std::string_view name, const Value& value) {
  std::vector<std::string> names;
  for (const Entry& entry : entries()) {
    if (entry.help.name == name) return entry.set(*this, name, value);
    names.emplace_back(entry.help.name);
  }
  const auto near = nearest(name, names);
  throw Error(Errc::invalid_argument, format("there is no fault {}; {}", weft::quoted(name),
                                             near ? format("did you mean {}?", weft::quoted(*near))
                                                  : "there are " + join_words(names)));
}

const std::vector<FaultHelp>& fault_help() {
  static const std::vector<FaultHelp> all = [] {
    std::vector<FaultHelp> out;
    for (const Entry& entry : entries()) out.push_back(entry.help);
    return out;
  }();
  return all;
}

Value to_value(const Faults& faults) {
  Value out;
  out["latency"] = format_duration(faults.latency);
  out["jitter"] = format_duration(faults.jitter);
  out["reset"] = faults.reset;
  out["drop"] = faults.drop;
  out["drop-for"] = format_duration(faults.drop_for);
  out["flip"] = faults.flip;
  out["half-close"] = faults.half_close;
  out["slice"] = faults.slice;
  out["bandwidth"] = faults.bandwidth;
  out["blackhole-every"] = format_duration(faults.blackhole_every);
  out["blackhole-for"] = format_duration(faults.blackhole_for);
  out["chunk"] = faults.chunk;
  return out;
}

Direction parse_direction(const Value& value) {
  if (value.is_null() || value == Value("both")) return Direction::both;
  if (value == Value("up")) return Direction::up;
  if (value == Value("down")) return Direction::down;
  refuse("direction", value, "up (to the target), down or both");
}

}  // namespace weft::fault_proxy
