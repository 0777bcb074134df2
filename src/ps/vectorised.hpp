// WEFT_VECTORISED: compiles a function once more for processors with wider vectors; the loader chooses.
//
// What it calls must be inlined to take part. Not under sanitizers: the choice is made before their run-time
// library is ready, and so are its checks.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WEFT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define WEFT_SANITIZED 1
#endif
#endif

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__has_attribute) && !defined(WEFT_SANITIZED)
#if __has_attribute(target_clones)
#define WEFT_VECTORISED __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef WEFT_VECTORISED
#define WEFT_VECTORISED
#endif

#define WEFT_INLINED [[gnu::always_inline]] inline
