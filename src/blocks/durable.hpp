// Durable: a port's side of its journal. Brings the writer's news to the loop's thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <weft/journal/journal.hpp>
#include <weft/transport/loop.hpp>

namespace weft::blocks {

class Durable {
 public:
  /// `news` runs on the loop's thread when more is durable, there is room again, or the journal has failed.
  Durable(Loop& loop, std::shared_ptr<Journal> journal, std::function<void()> news)
      : journal_(std::move(journal)), state_(std::make_shared<State>()) {
    if (!journal_) return;
    state_->news = std::move(news);
    subscription_ = journal_->subscribe([&loop, weak = std::weak_ptr<State>(state_)] {
      const auto state = weak.lock();
      if (!state || state->posted.exchange(true)) return;
      loop.post([weak] {
        const auto here = weak.lock();
        if (!here) return;
        here->posted = false;
        if (here->news) here->news();
      });
    });
  }
  ~Durable() { stop(); }
  Durable(const Durable&) = delete;
  Durable& operator=(const Durable&) = delete;

  void stop() {
    if (!journal_ || !state_) return;
    journal_->unsubscribe(subscription_);
    state_.reset();
  }

  [[nodiscard]] bool on() const { return journal_ != nullptr; }
  Journal* operator->() const { return journal_.get(); }
  [[nodiscard]] const std::shared_ptr<Journal>& journal() const { return journal_; }

 private:
  struct State {
    std::atomic<bool> posted = false;
    std::function<void()> news;
  };
  std::shared_ptr<Journal> journal_;
  std::shared_ptr<State> state_;
  std::size_t subscription_ = 0;
};

/// A hold on a journal that ends with its scope, also when a handler throws inside of it: else the journal,
/// which others share, would commit nothing any more.
class JournalHold {
 public:
  explicit JournalHold(std::shared_ptr<Journal> journal) : journal_(std::move(journal)) {
    if (journal_) journal_->hold();
  }
  ~JournalHold() {
    try {
      (void)release();
    } catch (...) {  // a second exception would end the process; the first one names the cause
    }
  }
  JournalHold(const JournalHold&) = delete;
  JournalHold& operator=(const JournalHold&) = delete;

  /// The regular end, at which the changes are submitted; ok without a journal.
  CommitStatus release() {
    const auto journal = std::exchange(journal_, nullptr);
    return journal ? journal->release() : CommitStatus::ok;
  }

 private:
  std::shared_ptr<Journal> journal_;
};

}  // namespace weft::blocks
