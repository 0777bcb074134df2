#include <weft/ps/call.hpp>

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include <weft/core/format.hpp>

namespace weft::ps {

void Call::begin(std::size_t width, std::span<float> out, OnRows on_rows) {
  parts_.clear();
  open_.clear();
  infos_.clear();
  owner_.reset();
  waiting_ = 0;
  width_ = width;
  out_ = out;
  on_rows_ = std::move(on_rows);
  status_ = Status::ok;
  text_.clear();
  min_clock_ = UINT64_MAX;
  clock_ = 0;
}

void Call::add(const Part& part) {
  parts_.push_back(part);
  open_.push_back(true);
  ++waiting_;
}

void Call::keep() {
  if (parts_.empty() || split_.shards() != 1) return;  // grouped by shard, and so copied already
  const std::span<const std::uint64_t> keys = parts_.front().request.keys;
  const std::span<const float> values = parts_.front().request.values;
  if (keys.data() == kept_keys_.data()) return;  // kept already
  // The pieces of one shard lie behind each other.
  kept_keys_.assign(keys.data(), parts_.back().request.keys.data() + parts_.back().request.keys.size());
  const bool copy = !values.empty() && !owner_;
  if (copy)
    kept_values_.assign(values.data(),
                        parts_.back().request.values.data() + parts_.back().request.values.size());
  for (Part& part : parts_) {
    part.request.keys = std::span(kept_keys_).subspan(part.first, part.request.keys.size());
    if (copy)
      part.request.values = std::span(kept_values_).subspan(part.first * width_, part.request.values.size());
  }
}

bool Call::waits_for(std::size_t part) const {
  return part < open_.size() && open_[part];
}

bool Call::settle(std::size_t part) {
  open_[part] = false;
  if (--waiting_ != 0) return false;
  owner_.reset();
  return true;
}

bool Call::on_reply(std::size_t part, const Reply& reply, Bytes values) {
  if (!waits_for(part)) return false;
  const std::uint32_t shard = parts_[part].shard;
  if (reply.status != Status::ok) {
    if (ok()) {
      status_ = reply.status;
      text_ = format("server {}: {}", shard, reply.text);
    }
    return settle(part);
  }
  min_clock_ = std::min(min_clock_, reply.min_clock);
  clock_ = std::max(clock_, reply.clock);
  if (!infos_.empty()) infos_[shard] = reply.info;
  if (const std::size_t expected = parts_[part].reply_bytes; expected != 0) {
    if (values.size() != expected) {
      return on_failure(part, format("sent {} values, expected {}", values.size() / sizeof(float),
                                     expected / sizeof(float)));
    }
    if (on_rows_) {
      try {
        show(parts_[part], values);
      } catch (const std::exception& e) {
        refuse_rows(part, e.what());
        throw;
      } catch (...) {
        refuse_rows(part, "what is no std::exception");
        throw;
      }
    } else if (!out_.empty()) {  // empty: the OnRows has thrown
      split_.place_rows(shard, parts_[part].first, values, width_, out_);
    }
  }
  return settle(part);
}

void Call::show(const Part& part, Bytes values) {
  const std::size_t count = values.size() / sizeof(float);
  const auto* at = reinterpret_cast<const float*>(values.data());
  if (reinterpret_cast<std::uintptr_t>(at) % alignof(float) != 0) {
    row_copy_.resize(count);
    std::memcpy(row_copy_.data(), values.data(), values.size());
    at = row_copy_.data();
  }
  on_rows_({part.request.keys, {at, count}});
}

void Call::refuse_rows(std::size_t part, std::string_view why) {
  on_rows_ = nullptr;
  (void)on_failure(part, format("what was shown its rows threw: {}", why));
}

bool Call::on_failure(std::size_t part, const std::string& sentence) {
  if (!waits_for(part)) return false;
  if (ok()) {
    status_ = Status::unreachable;
    text_ = format("server {}: {}", parts_[part].shard, sentence);
  }
  return settle(part);
}

}  // namespace weft::ps
