// What a block calls handlers with: they may throw, replace themselves, and close or destroy the block that
// calls them.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/log.hpp>
#include <weft/transport/loop.hpp>

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

/// Sets a flag for as long as a call runs, however that ends.
class Busy {
 public:
  explicit Busy(bool& flag) : flag_(flag) { flag_ = true; }
  ~Busy() { flag_ = false; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  bool& flag_;
};

/// The calls of a block from which code of its user is called, and that are on the stack.
struct Calls {
  int depth = 0;
  bool orphaned = false;  // the block is gone
};

/// One of them. Should the block be destroyed inside, what it is made of stays until the loop's turn is over.
class InCall {
 public:
  explicit InCall(Calls& calls) : calls_(calls) { ++calls_.depth; }
  ~InCall() { --calls_.depth; }
  InCall(const InCall&) = delete;
  InCall& operator=(const InCall&) = delete;

 private:
  Calls& calls_;
};

/// A handler as a block keeps it: it stays whole while it runs, also when it is replaced, and so does the
/// block. One that has gone calls nobody.
template <class R, class... A>
std::function<R(A...)> guarded(Calls& calls, std::function<R(A...)> handler) {
  if (!handler) return nullptr;
  return [&calls, kept = std::make_shared<std::function<R(A...)>>(std::move(handler))](A... args) -> R {
    if constexpr (std::is_void_v<R>) {
      if (calls.orphaned) return;
    }
    const InCall call(calls);
    // A copy, and not a reference: the handler may be replaced, and end, in here.
    const auto running = kept;  // NOLINT(performance-unnecessary-copy-initialization)
    return (*running)(std::forward<A>(args)...);
  };
}

/// In a block's destructor: closes it, and keeps what it is made of while it may be on the stack: to the end
/// of the loop's turn, and while calls of it run outside of one. It is not enough to look at these calls:
/// what holds the block may be a callback that is itself destroyed behind its call, and a journal's commit
/// calls other ports. What a handler throws that is told of the end is said in the log: a destructor has
/// nobody to throw it to.
template <class Impl, class Close>
void end_block(std::unique_ptr<Impl>& impl, Close&& close) {
  Impl& ending = *impl;
  const auto say = [&](std::string_view what) {
    ending.options.log.error(format("{}: a handler threw as its port ended: {}", ending.hub.stream(), what));
  };
  try {
    close();
  } catch (const std::exception& error) {
    say(error.what());
  } catch (...) {
    say("not an exception of the standard library");
  }
  ending.hub.calls().orphaned = true;
  ending.hub.loop().retire(
      [kept = std::shared_ptr<Impl>(std::move(impl))] { return kept->hub.calls().depth == 0; });
}

}  // namespace weft::blocks
