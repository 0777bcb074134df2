#include "journal/index.hpp"

namespace weft::journal {

void Index::link(Live& live, Place place, std::uint32_t value_bytes) {
  Segment& segment = segments_.at(place.segment);
  live.place = place;
  live.value_bytes = value_bytes;
  live.segment = &segment;
  live.before = segment.last;
  live.behind = nullptr;
  (segment.last ? segment.last->behind : segment.first) = &live;
  segment.last = &live;
  segment.live_bytes += place.length;
  ++segment.live_values;
  ++live_values_;
  live_value_bytes_ += value_bytes;
  live_record_bytes_ += place.length;
}

void Index::unlink(Live& live) {
  Segment& segment = *live.segment;
  (live.before ? live.before->behind : segment.first) = live.behind;
  (live.behind ? live.behind->before : segment.last) = live.before;
  segment.live_bytes -= live.place.length;
  --segment.live_values;
  --live_values_;
  live_value_bytes_ -= live.value_bytes;
  live_record_bytes_ -= live.place.length;
}

void Index::put(std::string_view space, Bytes key, Place place, std::uint32_t value_bytes) {
  auto in = spaces_.find(space);
  if (in == spaces_.end()) in = spaces_.try_emplace(std::string(space)).first;
  const auto [at, is_new] = in->second.try_emplace(std::string(as_text(key)));
  if (!is_new) {
    unlink(at->second);
  } else {
    at->second.space = &in->first;
    at->second.key = &at->first;
  }
  link(at->second, place, value_bytes);
}

void Index::move(Live& live, Place place) {
  unlink(live);
  link(live, place, live.value_bytes);
}

void Index::erase(std::string_view space, Bytes key) {
  const auto in = spaces_.find(space);
  if (in == spaces_.end()) return;
  const auto at = in->second.find(as_text(key));
  if (at == in->second.end()) return;
  unlink(at->second);
  in->second.erase(at);
  if (in->second.empty()) spaces_.erase(in);
}

void Index::forget(Live& live) {
  // Copies: what the value points to goes with it.
  const std::string space = *live.space;
  const std::string key = *live.key;
  erase(space, as_bytes(key));
}

const Keys* Index::keys(std::string_view space) const {
  const auto in = spaces_.find(space);
  return in == spaces_.end() ? nullptr : &in->second;
}

const Live* Index::find(std::string_view space, Bytes key) const {
  const Keys* in = keys(space);
  if (!in) return nullptr;
  const auto at = in->find(as_text(key));
  return at == in->end() ? nullptr : &at->second;
}

Segment& Index::add_segment(std::uint64_t number) {
  Segment& segment = segments_[number];
  segment.number = number;
  return segment;
}

void Index::remove_segment(std::uint64_t number) {
  const auto at = segments_.find(number);
  if (at == segments_.end()) return;
  while (at->second.first) forget(*at->second.first);
  total_bytes_ -= at->second.end;
  segments_.erase(at);
}

}  // namespace weft::journal
