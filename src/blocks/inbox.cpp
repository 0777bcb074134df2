#include "blocks/inbox.hpp"

#include <utility>

namespace weft::blocks {

// Makes the next batch current. Reports the one before as done first.
bool Inbox::open_next() {
  while (!again_ && (!reader_ || reader_->done())) {
    if (current_) {
      reader_.reset();
      const std::unique_ptr<InboxItem> done = std::move(current_);
      if (on_done) on_done(*done);
      if (cleared_) return false;
    }
    if (items_.empty()) return false;
    current_ = std::make_unique<InboxItem>(std::move(items_.front()));
    items_.pop_front();
    reader_.emplace(current_->body.view());
    index_ = 0;
    if (on_begin) on_begin(*current_);
  }
  return true;
}

bool Inbox::hand_out(const Handler& to) {
  const Bytes record = again_ ? *std::exchange(again_, std::nullopt) : reader_->next();
  const wire::RecordView view{record, current_->tensors};
  postponed_ = false;
  const Meta meta{.peer = current_->peer,
                  .topic = current_->topic,
                  .epoch = current_->epoch,
                  .seq = current_->seq,
                  .index = index_++,
                  .snapshot = current_->snapshot,
                  .attempt = current_->attempt,
                  .reset = std::exchange(current_->reset, false)};
  const bool taken = to(view, meta);
  if (postponed_ && !cleared_) {
    again_ = record;
    --index_;
    current_->reset = meta.reset;
    return true;
  }
  if (taken) return true;
  if (on_bad_record && current_) on_bad_record(*current_);
  return false;
}

void Inbox::deliver() {
  if (!handler || delivering_) return;
  delivering_ = true;
  cleared_ = false;
  struct Reset {
    Inbox& self;
    ~Reset() {
      self.delivering_ = false;
      if (self.cleared_) self.clear();
    }
  } reset{*this};
  while (!paused_ && !cleared_ && open_next()) (void)hand_out(handler);
}

bool Inbox::take_one(const Handler& take) {
  if (delivering_) return false;
  cleared_ = false;
  while (open_next()) {
    if (hand_out(take)) return true;
  }
  return false;
}

void Inbox::finish() {
  if (delivering_ || again_ || !current_ || !reader_ || !reader_->done()) return;
  const std::unique_ptr<InboxItem> done = std::move(current_);
  reader_.reset();
  if (on_done) on_done(*done);
}

void Inbox::pause(bool paused) {
  paused_ = paused;
}

void Inbox::clear() {
  items_.clear();
  if (delivering_) {  // a handler closes its own block: its record must stay whole until it returns
    cleared_ = true;
    return;
  }
  again_.reset();
  reader_.reset();
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
