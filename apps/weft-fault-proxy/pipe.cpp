#include "pipe.hpp"

#include <algorithm>

namespace weft::fault_proxy {
namespace {

constexpr double kTwoTo53 = 9007199254740992.0;
constexpr unsigned kBits = 8;
constexpr std::uint64_t kTicksASecond = 100;  // a bounded bandwidth passes in pieces of 10 ms

}  // namespace

Value to_value(const Counts& counts) {
  Value out;
  out["connections"] = counts.connections;
  out["refused"] = counts.refused;
  out["chunks"] = counts.chunks;
  out["bytes_in"] = counts.bytes_in;
  out["bytes_out"] = counts.bytes_out;
  out["writes"] = counts.writes;
  out["resets"] = counts.resets;
  out["drops"] = counts.drops;
  out["dropped_bytes"] = counts.dropped_bytes;
  out["flips"] = counts.flips;
  out["half_closes"] = counts.half_closes;
  out["blackholes"] = counts.blackholes;
  return out;
}

bool Pipe::hits(double part) {
  return static_cast<double>(engine_() >> 11) / kTwoTo53 < part;
}

void Pipe::flip_one_bit(std::string& chunk, std::uint64_t random) {
  const std::uint64_t bit = random % (chunk.size() * kBits);
  chunk[bit / kBits] = static_cast<char>(chunk[bit / kBits] ^ (1 << (bit % kBits)));
  ++counts_.flips;
}

TimePoint Pipe::due(TimePoint now, std::uint64_t random) {
  const auto jitter = static_cast<std::uint64_t>(faults_.jitter.count());
  const Duration extra(jitter == 0 ? 0 : static_cast<Duration::rep>(random % (jitter + 1)));
  last_due_ = std::max(last_due_, now + faults_.latency + extra);
  return last_due_;
}

bool Pipe::take(std::string chunk, TimePoint now) {
  if (chunk.empty()) return true;
  ++counts_.chunks;
  counts_.bytes_in += chunk.size();
  // As many numbers are drawn for each chunk, so that one fault more leaves the others where they were.
  const std::uint64_t bit = engine_();
  const std::uint64_t wait = engine_();
  const bool reset = hits(faults_.reset);
  const bool drop = hits(faults_.drop);
  const bool flip = hits(faults_.flip);
  const bool close = hits(faults_.half_close);
  if (silent_ || closed_) {
    counts_.dropped_bytes += chunk.size();
    return true;
  }
  if (reset) return false;
  if (drop) {
    counts_.dropped_bytes += chunk.size();
    fall_silent(now);
    return true;
  }
  if (flip) flip_one_bit(chunk, bit);
  held_ += chunk.size();
  items_.push_back({.due = due(now, wait), .bytes = std::move(chunk)});
  if (close) close_behind(now);
  return true;
}

void Pipe::end(TimePoint now) {
  // One that swallows does not tell that its sender has gone, either.
  if (silent_ || closed_) return;
  closed_ = true;
  items_.push_back({.due = due(now, 0), .bytes = {}, .fin = true});
}

void Pipe::fall_silent(TimePoint now) {
  if (silent_ || closed_) return;
  silent_ = true;
  reset_at_ = now + faults_.drop_for;
  ++counts_.drops;
}

void Pipe::close_behind(TimePoint now) {
  if (silent_ || closed_) return;
  ++counts_.half_closes;
  end(now);
}

std::size_t Pipe::most_at_once() const {
  std::size_t most = items_.front().bytes.size() - offset_;
  if (faults_.slice != 0) most = std::min<std::size_t>(most, faults_.slice);
  if (faults_.bandwidth != 0) most = std::min<std::size_t>(most, faults_.bandwidth / kTicksASecond + 1);
  return most;
}

std::string_view Pipe::ready(TimePoint now) const {
  if (items_.empty() || items_.front().fin || items_.front().due > now) return {};
  if (faults_.bandwidth != 0 && next_write_ > now) return {};
  return std::string_view(items_.front().bytes).substr(offset_, most_at_once());
}

void Pipe::written(std::size_t bytes, TimePoint now) {
  ++counts_.writes;
  counts_.bytes_out += bytes;
  held_ -= bytes;
  offset_ += bytes;
  if (offset_ == items_.front().bytes.size()) {
    items_.pop_front();
    offset_ = 0;
  }
  if (faults_.bandwidth == 0) return;
  const double seconds = static_cast<double>(bytes) / static_cast<double>(faults_.bandwidth);
  next_write_ = std::max(next_write_, now) +
                std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

bool Pipe::ends_now(TimePoint now) const {
  return !ended_ && !items_.empty() && items_.front().fin && items_.front().due <= now;
}

std::optional<TimePoint> Pipe::next_time(TimePoint now) const {
  std::optional<TimePoint> out = reset_at_;
  if (items_.empty() || ended_) return out;
  TimePoint when = items_.front().due;
  if (faults_.bandwidth != 0) when = std::max(when, next_write_);
  if (when > now) out = out ? std::min(*out, when) : when;
  return out;
}

}  // namespace weft::fault_proxy
