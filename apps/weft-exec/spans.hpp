// Spans: which bytes of a stream are of one kind.
#pragma once

#include <cstdint>
#include <deque>

namespace weft::exec {

/// Those that follow each other are one span, so that it is small however many lines it is about.
class Spans {
 public:
  /// `begin` is not before the end of what was added last.
  void add(std::uint64_t begin, std::uint64_t end) {
    if (!spans_.empty() && spans_.back().end == begin) {
      spans_.back().end = end;
    } else {
      spans_.push_back({begin, end});
    }
    bytes_ += end - begin;
  }
  /// Forgets what lies before this place.
  void pass(std::uint64_t place) {
    while (!spans_.empty() && spans_.front().begin < place) {
      Span& first = spans_.front();
      const std::uint64_t end = first.end < place ? first.end : place;
      bytes_ -= end - first.begin;
      first.begin = end;
      if (first.begin == first.end) spans_.pop_front();
    }
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  struct Span {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  std::deque<Span> spans_;
  std::uint64_t bytes_ = 0;
};

}  // namespace weft::exec
