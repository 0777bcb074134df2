#include <weft/ps/call.hpp>

#include <algorithm>

#include <weft/core/format.hpp>

namespace weft::ps {

void Call::begin(std::uint32_t shards, std::size_t width, std::span<float> out) {
  parts_.clear();
  open_.assign(shards, false);
  infos_.assign(shards, Value());
  waiting_ = 0;
  width_ = width;
  out_ = out;
  status_ = Status::ok;
  text_.clear();
  min_clock_ = UINT64_MAX;
  clock_ = 0;
}

void Call::add(std::uint32_t shard, const Request& request) {
  parts_.push_back({shard, request});
  open_[shard] = true;
  ++waiting_;
}

bool Call::waits_for(std::uint32_t shard) const {
  return shard < open_.size() && open_[shard];
}

bool Call::settle(std::uint32_t shard) {
  open_[shard] = false;
  return --waiting_ == 0;
}

bool Call::on_reply(std::uint32_t shard, const Reply& reply, Bytes values) {
  if (!waits_for(shard)) return false;
  if (reply.status != Status::ok) {
    if (ok()) {
      status_ = reply.status;
      text_ = format("server {}: {}", shard, reply.text);
    }
    return settle(shard);
  }
  min_clock_ = std::min(min_clock_, reply.min_clock);
  clock_ = std::max(clock_, reply.clock);
  infos_[shard] = reply.info;
  if (!out_.empty()) {
    const std::size_t expected = split_.keys(shard).size() * width_;
    if (values.size() != expected * sizeof(float)) {
      return on_failure(shard,
                        format("sent {} values, expected {}", values.size() / sizeof(float), expected));
    }
    split_.place_rows(shard, values, width_, out_);
  }
  return settle(shard);
}

bool Call::on_failure(std::uint32_t shard, const std::string& sentence) {
  if (!waits_for(shard)) return false;
  if (ok()) {
    status_ = Status::unreachable;
    text_ = format("server {}: {}", shard, sentence);
  }
  return settle(shard);
}

}  // namespace weft::ps
