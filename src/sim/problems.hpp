// Problems: what did not hold in a run, the first ten of it.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace weft::sim {

class Problems {
 public:
  void add(std::string sentence) {
    if (sentences_.size() < kMost) sentences_.push_back(std::move(sentence));
  }
  [[nodiscard]] bool none() const { return sentences_.empty(); }
  [[nodiscard]] const std::vector<std::string>& sentences() const { return sentences_; }

 private:
  static constexpr std::size_t kMost = 10;
  std::vector<std::string> sentences_;
};

}  // namespace weft::sim
