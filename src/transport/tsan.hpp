// Tells ThreadSanitizer that a zero-copy buffer changes hands: libzmq is not instrumented, so its queues do
// not count.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define WEFT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEFT_TSAN 1
#endif
#endif

#ifdef WEFT_TSAN
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace weft::transport {

inline void tsan_handed_over([[maybe_unused]] void* address) {
#ifdef WEFT_TSAN
  __tsan_release(address);
#endif
}

inline void tsan_taken_over([[maybe_unused]] void* address) {
#ifdef WEFT_TSAN
  __tsan_acquire(address);
#endif
}

}  // namespace weft::transport
