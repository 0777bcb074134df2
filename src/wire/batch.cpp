#include <weft/wire/batch.hpp>

#include <utility>

namespace weft::wire {

BatchBuilder::BatchBuilder(std::shared_ptr<BufferPool> pool, std::size_t reserve)
    : pool_(std::move(pool)), reserve_(reserve) {}

void BatchBuilder::add_packed(Bytes object) {
  begin();
  body_.append(object);
  ++count_;
}

std::uint32_t BatchBuilder::add_tensor(Tensor tensor) {
  if (!tensor.owner && !tensor.data.empty()) {
    auto copy = std::make_shared<Buffer>(pool_->take(tensor.data.size()));
    copy->append(tensor.data);
    tensor.data = copy->view();
    tensor.owner = std::move(copy);
  }
  tensor_bytes_ += tensor.data.size();
  tensors_.push_back(std::move(tensor));
  return static_cast<std::uint32_t>(tensors_.size() - 1);
}

void BatchBuilder::roll_back(const Mark& mark) {
  body_.truncate(mark.body);
  count_ = mark.count;
  while (tensors_.size() > mark.tensors) {
    tensor_bytes_ -= tensors_.back().data.size();
    tensors_.pop_back();
  }
}

BatchBuilder::Batch BatchBuilder::take() {
  Batch out;
  out.count = std::exchange(count_, 0);
  out.bytes = bytes();
  out.tensors = std::exchange(tensors_, {});
  tensor_bytes_ = 0;
  if (body_.size() * 4 < body_.capacity()) {
    // A small batch leaves in a block of its size: many of them may wait in queues, and the large one stays
    // warm here.
    out.body = pool_->take(body_.size());
    out.body.append(body_.view());
    body_.clear();
  } else {
    out.body = std::move(body_);
  }
  return out;
}

Rejection check_body(Bytes body, std::uint64_t count) {
  if (count > body.size()) return Rejection::bad_body;  // each record takes a byte at least
  const std::byte* at = body.data();
  const std::byte* const end = at + body.size();
  bool deep = false;
  for (std::uint64_t i = 0; i < count; ++i) {
    // Most records are short: a bin, as raw ones are.
    if (end - at >= 2 && at[0] == std::byte{0xC4} && end - at - 2 >= static_cast<int>(at[1])) {
      at += 2 + static_cast<std::size_t>(at[1]);
      continue;
    }
    const std::byte* const start = at;
    const auto why = detail::skip(at, end, kMaxRecordDepth);
    if (why == detail::Skip::ok) continue;
    at = start;
    if (why != detail::Skip::deep || !detail::skip_any(at, end)) return Rejection::bad_body;
    deep = true;
  }
  if (at != end) return Rejection::bad_body;
  return deep ? Rejection::too_deep : Rejection::none;
}

Rejection check_record(Bytes object) {
  return check_body(object, 1);
}

}  // namespace weft::wire
