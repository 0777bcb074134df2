// Hand: the records that the command has, or will get, in their order: which of them it is done with, and
// which one it had in its hands when it ended. Nothing here knows of processes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <weft/blocks/pull.hpp>

namespace weft::exec {

class Hand {
 public:
  using Settle = std::function<void(const Receipt&, Verdict)>;
  explicit Hand(Settle settle) : settle_(std::move(settle)) {}

  void add(Receipt receipt, std::string line) {
    records_.push_back({std::move(receipt), std::move(line)});
    bytes_ += records_.back().bytes();
  }
  /// The next line that it has not been given, or that behind so many others; null: there is none. give()
  /// says that they were.
  [[nodiscard]] const std::string* next(std::size_t behind = 0) const {
    return given_ + behind < records_.size() ? &records_[given_ + behind].line : nullptr;
  }
  void give(std::size_t count) { given_ += count; }
  [[nodiscard]] std::size_t given() const { return given_; }
  [[nodiscard]] std::size_t size() const { return records_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] bool empty() const { return records_.empty(); }

  /// The first `count` of those given have this outcome.
  void settle(std::size_t count, const Verdict& verdict = {}) {
    for (; count != 0 && given_ != 0; --count, --given_) {
      const Record record = std::move(records_.front());
      records_.pop_front();
      bytes_ -= record.bytes();
      settle_(record.receipt, verdict);
    }
  }
  /// The last `count` of those given have to be given again: the command did not get them.
  void take_back(std::size_t count = SIZE_MAX) { given_ -= std::min(count, given_); }
  /// Those that it has not been given have this outcome.
  void return_rest(const Verdict& verdict) {
    while (records_.size() > given_) {
      const Record record = std::move(records_.back());
      records_.pop_back();
      bytes_ -= record.bytes();
      settle_(record.receipt, verdict);
    }
  }

 private:
  struct Record {
    Receipt receipt;
    std::string line;
    // Of short lines the line is the least.
    [[nodiscard]] std::size_t bytes() const { return sizeof(Record) + line.size(); }
  };
  Settle settle_;
  std::deque<Record> records_;
  std::size_t given_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace weft::exec
