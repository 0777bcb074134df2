// Handlers that end the block that calls them, in both ways, and what must hold behind that.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include <weft/blocks/options.hpp>
#include <weft/transport/loop.hpp>

#include "conformance.hpp"

namespace weft::own_end {

enum class End { closed, destroyed };
constexpr Delivery kPromises[] = {Delivery::best_effort, Delivery::at_least_once, Delivery::exactly_once};

/// Ends a block when its handler is called the first time.
template <class B>
struct Ender {
  std::unique_ptr<B>& block;
  End how;
  int calls = 0;

  void end() {
    if (++calls == 1) how == End::destroyed ? block.reset() : block->close();
  }
  /// A handler that ends the block, and looks at what it holds itself behind that.
  auto handler() {
    return [this, held = std::string(100, 'h')](auto&&...) {
      end();
      CHECK(held == std::string(100, 'h'));
    };
  }
  /// It was called, and is not called again.
  void check(Loop& loop) {
    REQUIRE(conformance::eventually(loop, [this] { return calls != 0; }));
    for (int i = 0; i < 10; ++i) (void)loop.run_once(Deadline::after(std::chrono::milliseconds(1)));
    CHECK(calls == 1);
  }
};

template <class F>
void for_each_end(const F& story) {
  for (const End how : {End::closed, End::destroyed}) {
    CAPTURE(static_cast<int>(how));
    story(how);
  }
}

/// For each promise as well.
template <class F>
void for_each_way(const F& story) {
  for (const Delivery delivery : kPromises) {
    CAPTURE(static_cast<int>(delivery));
    for_each_end([&](End how) { story(delivery, how); });
  }
}

}  // namespace weft::own_end
