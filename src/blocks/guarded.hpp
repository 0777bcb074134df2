// What a block calls handlers with: they may throw, and may end the block that calls them.
#pragma once

#include <exception>
#include <memory>
#include <utility>

namespace weft::blocks {

/// Calls handlers one after the other, each of them, although one may throw; rethrow() then throws what the
/// first of those threw.
class CallAll {
 public:
  template <class F>
  void call(F&& handler) {
    try {
      handler();
    } catch (...) {
      if (!first_) first_ = std::current_exception();
    }
  }
  void rethrow() {
    if (first_) std::rethrow_exception(std::exchange(first_, nullptr));
  }

 private:
  std::exception_ptr first_;
};

/// Sets a flag of a block for as long as a call runs, however that ends; the block may be gone by then.
class Busy {
 public:
  Busy(bool& flag, const std::shared_ptr<bool>& alive) : flag_(flag), alive_(alive) { flag_ = true; }
  ~Busy() {
    if (!alive_.expired()) flag_ = false;
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  bool& flag_;
  std::weak_ptr<bool> alive_;
};

}  // namespace weft::blocks
