// FlushDenormals: while it lives, this thread's float arithmetic takes and gives zeros for numbers below the
// normal ones. A row whose gradients have ended decays into such numbers and stays there; each costs a
// hundred times as much as a normal one, and none can be told from zero in a weight.
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#elif defined(__aarch64__)
#include <cstdint>
#endif

namespace weft::ps {

class FlushDenormals {
 public:
#if defined(__SSE2__)
  FlushDenormals() : before_(_mm_getcsr()) {
    _mm_setcsr(before_ | kFlushResults | kZeroOperands);
  }
  ~FlushDenormals() {
    _mm_setcsr(before_);
  }
#elif defined(__aarch64__)
  FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(before_ | kFlush));
  }
  ~FlushDenormals() {
    asm volatile("msr fpcr, %0" : : "r"(before_));
  }
#else
  FlushDenormals() = default;
  ~FlushDenormals() = default;
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__SSE2__)
  static constexpr unsigned kFlushResults = 0x8000, kZeroOperands = 0x0040;
  unsigned before_;
#elif defined(__aarch64__)
  static constexpr std::uint64_t kFlush = 1ULL << 24;
  std::uint64_t before_ = 0;
#endif
};

}  // namespace weft::ps
