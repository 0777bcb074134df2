#include "blocks/inbox.hpp"

#include <utility>

namespace weft::blocks {

Inbox::Inbox() {
  records_.owner = this;
  records_.refuse = [](void* self, Bytes at) { static_cast<const Inbox*>(self)->refuse(at); };
}

void Inbox::refuse(Bytes at) const {
  const auto why = wire::next_object(at).empty() ? wire::Rejection::too_deep : wire::Rejection::wrong_type;
  if (on_bad_record && current_) on_bad_record(*current_, why);
}

// Makes the next batch current. Reports the one before as done first.
bool Inbox::open_next() {
  while (records_.rest.empty()) {
    end_current();
    if (cleared_) return false;
    if (!take_next()) return false;
    records_.rest = current_->body.view();
    records_.tensors = current_->tensors;
    records_.next_index = 0;
    records_.meta = {.peer = current_->peer,
                     .topic = current_->topic,
                     .epoch = current_->epoch,
                     .seq = current_->seq,
                     .index = 0,
                     .snapshot = current_->snapshot,
                     .attempt = current_->attempt,
                     .reset = current_->reset};
    if (on_begin) on_begin(*current_);
  }
  return true;
}

void Inbox::add(InboxItem item) {
  item.rank = ++arrivals_ - kOvertakes * item.priority;
  if (item.priority == kUsualPriority) return items_.push_back(std::move(item));
  ranks_ = true;
  const std::int64_t rank = item.rank;
  ranked_.emplace(rank, std::move(item));
}

bool Inbox::take_next() {
  if (!ranked_.empty() && (items_.empty() || ranked_.begin()->first < items_.front().rank)) {
    current_ = std::make_unique<InboxItem>(std::move(ranked_.begin()->second));
    ranked_.erase(ranked_.begin());
    return true;
  }
  if (items_.empty()) return false;
  current_ = std::make_unique<InboxItem>(std::move(items_.front()));
  items_.pop_front();
  return true;
}

void Inbox::deliver(std::size_t most) {
  if (!handler || delivering_ || (strict && broken_)) return;
  delivering_ = true;
  cleared_ = false;
  struct Reset {
    Inbox& self;
    ~Reset() {
      self.delivering_ = false;
      if (self.cleared_) self.clear();
    }
  } reset{*this};
  while (!paused_ && !cleared_ && most-- != 0 && open_next()) {
    records_.stop = paused_;
    broken_ = true;
    handler(records_);
    broken_ = false;
  }
  // The next batch, which would end this one, may be long in coming.
  if (!paused_ && !cleared_ && records_.rest.empty()) end_current();
}

bool Inbox::take_one(const Handler& take) {
  if (delivering_ || (strict && broken_)) return false;
  cleared_ = false;
  while (open_next()) {
    records_.stop = false;
    take(records_);
    if (records_.stop) return true;
  }
  return false;
}

void Inbox::finish() {
  if (!delivering_ && !broken_ && records_.rest.empty()) end_current();
}

void Inbox::end_current() {
  if (!current_) return;
  const std::unique_ptr<InboxItem> done = std::move(current_);
  broken_ = true;
  if (on_done) on_done(*done);
  broken_ = false;
}

void Inbox::pause(bool paused) {
  paused_ = paused;
  records_.stop = paused_ || cleared_;
}

void Inbox::drop(const std::function<bool(const InboxItem&)>& is_void) {
  std::erase_if(items_, is_void);
  std::erase_if(ranked_, [&](const auto& ranked) { return is_void(ranked.second); });
}

void Inbox::clear() {
  items_.clear();
  ranked_.clear();
  if (delivering_) {  // a handler closes its own block: its record must stay whole until it returns
    cleared_ = true;
    records_.stop = true;
    return;
  }
  records_.rest = {};
  current_.reset();
}

std::vector<Tensor> take_tensors(transport::Message& message, std::size_t first) {
  std::vector<Tensor> tensors;
  if (message.size() <= first) return tensors;
  tensors.reserve(message.size() - first);
  for (std::size_t i = first; i < message.size(); ++i) {
    auto held = std::make_shared<transport::Frame>(std::move(message[i]));
    const Bytes data = held->view();
    tensors.push_back({DType::u8, {static_cast<std::int64_t>(data.size())}, data, std::move(held)});
  }
  return tensors;
}

}  // namespace weft::blocks
