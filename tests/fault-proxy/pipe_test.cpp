// One direction of a connection: what comes out of it, and when.
#include <bit>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft-fault-proxy/pipe.hpp>
#include <weft/core/error.hpp>

using namespace weft;
using namespace weft::fault_proxy;
using namespace std::chrono_literals;

namespace {

const TimePoint kStart = TimePoint{} + 1h;

/// Everything that may be written at `now`.
std::string drain(Pipe& pipe, TimePoint now, std::vector<std::size_t>* sizes = nullptr) {
  std::string out;
  for (std::string_view bytes = pipe.ready(now); !bytes.empty(); bytes = pipe.ready(now)) {
    out += bytes;
    if (sizes) sizes->push_back(bytes.size());
    pipe.written(bytes.size(), now);
  }
  return out;
}

std::string outcome(const Faults& faults, std::uint64_t seed) {
  Counts counts;
  Pipe pipe(faults, counts, seed);
  std::string out;
  for (int i = 0; i < 200; ++i) {
    out += pipe.take(std::string(10, 'x'), kStart) ? drain(pipe, kStart + 1h) : "R";
  }
  return out;
}

}  // namespace

TEST_CASE("without faults a pipe passes every byte at once") {
  const Faults faults;
  Counts counts;
  Pipe pipe(faults, counts, 1);

  CHECK(pipe.take("hello ", kStart));
  CHECK(pipe.take("world", kStart));
  pipe.end(kStart);

  CHECK_FALSE(pipe.ends_now(kStart));
  CHECK(drain(pipe, kStart) == "hello world");
  CHECK(pipe.ends_now(kStart));
  CHECK(counts.chunks == 2);
  CHECK(counts.bytes_in == 11);
  CHECK(counts.bytes_out == 11);
}

TEST_CASE("latency holds a chunk back, and jitter keeps the order") {
  const Faults faults{.latency = 20ms, .jitter = 10ms};
  Counts counts;
  Pipe pipe(faults, counts, 1);
  for (char c = 'a'; c <= 'z'; ++c) CHECK(pipe.take(std::string(1, c), kStart));

  CHECK(drain(pipe, kStart + 19ms).empty());
  REQUIRE(pipe.next_time(kStart));
  CHECK(*pipe.next_time(kStart) >= kStart + 20ms);
  CHECK(drain(pipe, kStart + 30ms) == "abcdefghijklmnopqrstuvwxyz");
}

TEST_CASE("the same seed meets the same faults, another one others") {
  const Faults faults{.reset = 0.1, .flip = 0.2};

  CHECK(outcome(faults, 7) == outcome(faults, 7));
  CHECK(outcome(faults, 7) != outcome(faults, 8));
}

TEST_CASE("a further fault leaves the others where they were") {
  std::string with;
  std::string without;
  for (const bool flips : {false, true}) {
    for (const char c : outcome({.reset = 0.1, .flip = flips ? 1.0 : 0.0}, 3)) {
      (flips ? with : without) += c == 'R' ? 'R' : '.';
    }
  }

  CHECK(std::string(without).find('R') != std::string::npos);
  CHECK(with.size() == without.size());
}

TEST_CASE("a flip inverts one bit of a chunk") {
  const Faults faults{.flip = 1};
  Counts counts;
  Pipe pipe(faults, counts, 5);
  const std::string sent(100, '\0');
  CHECK(pipe.take(sent, kStart));

  int bits = 0;
  for (const char c : drain(pipe, kStart)) bits += std::popcount(static_cast<unsigned char>(c));

  CHECK(bits == 1);
  CHECK(counts.flips == 1);
}

TEST_CASE("a dropped chunk takes all behind it along, and the connection is reset later") {
  Faults faults{.drop_for = 300ms};
  Counts counts;
  Pipe pipe(faults, counts, 1);
  CHECK(pipe.take("before", kStart));
  faults.drop = 1;
  CHECK(pipe.take("dropped", kStart));
  faults.drop = 0;
  CHECK(pipe.take("behind", kStart));
  pipe.end(kStart);

  CHECK(drain(pipe, kStart) == "before");
  CHECK_FALSE(pipe.ends_now(kStart + 1h));
  REQUIRE(pipe.reset_at());
  CHECK(*pipe.reset_at() == kStart + 300ms);
  CHECK(counts.dropped_bytes == 13);
  CHECK(counts.drops == 1);
}

TEST_CASE("a half-close ends the direction behind the chunk") {
  const Faults faults{.half_close = 1};
  Counts counts;
  Pipe pipe(faults, counts, 1);
  CHECK(pipe.take("last", kStart));
  CHECK(pipe.take("lost", kStart));

  CHECK(drain(pipe, kStart) == "last");
  CHECK(pipe.ends_now(kStart));
  CHECK(counts.half_closes == 1);
  CHECK(counts.dropped_bytes == 4);
}

TEST_CASE("slices are as small as asked for") {
  const Faults faults{.slice = 1};
  Counts counts;
  Pipe pipe(faults, counts, 1);
  CHECK(pipe.take("abc", kStart));
  std::vector<std::size_t> sizes;

  CHECK(drain(pipe, kStart, &sizes) == "abc");

  CHECK(sizes == std::vector<std::size_t>{1, 1, 1});
}

TEST_CASE("a bounded bandwidth spreads the bytes over time") {
  const Faults faults{.bandwidth = 1000};
  Counts counts;
  Pipe pipe(faults, counts, 1);
  CHECK(pipe.take(std::string(1000, 'x'), kStart));

  std::size_t done = drain(pipe, kStart).size();
  CHECK(done < 100);
  TimePoint now = kStart;
  while (done < 1000) {
    REQUIRE(pipe.next_time(now));
    now = *pipe.next_time(now);
    done += drain(pipe, now).size();
  }

  CHECK(now > kStart + 900ms);
  CHECK(now < kStart + 1100ms);
}

TEST_CASE("faults are set by name, with units, and refused with what was expected") {
  Faults faults;
  faults.set("latency", "20ms");
  faults.set("reset", "2%");
  faults.set("flip", 0.5);
  faults.set("slice", 1);
  faults.set("bandwidth", "1MiB");

  CHECK(faults.latency == 20ms);
  CHECK(faults.reset == doctest::Approx(0.02));
  CHECK(faults.flip == doctest::Approx(0.5));
  CHECK(faults.slice == 1);
  CHECK(faults.bandwidth == 1048576);
  CHECK_THROWS_WITH_AS(faults.set("latancy", "1s"),
                       "there is no fault \"latancy\"; did you mean \"latency\"?", Error);
  CHECK_THROWS_WITH_AS(faults.set("reset", 2),
                       "reset: expected a part of the chunks, like 0.02 or 2%, found \"2\"", Error);
  CHECK_THROWS_WITH_AS(faults.set("latency", 20),
                       "latency: expected a time of at most 24h, like 20ms, found \"20\"", Error);
  CHECK_THROWS_AS(faults.set("chunk", 0), Error);
}
