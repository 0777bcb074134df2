// One end of a benchmark, as a user would write it.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <vector>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>
#include <weft/core/error.hpp>

#include "verbs.hpp"

namespace weft::cli {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);
constexpr std::size_t kTensorFrom = 64 * 1024;  // a record that large travels as a frame of its own

double seconds_since(TimePoint start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Every byte is looked at: a rate of handles is not a rate of records.
std::uint64_t sum(Bytes bytes) {
  std::uint64_t total = 0;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    total += word;
  }
  for (; i < bytes.size(); ++i) total += static_cast<std::uint64_t>(bytes[i]);
  return total;
}

void stamp(std::vector<std::byte>& record, std::uint64_t number) {
  std::memcpy(record.data(), &number, std::min<std::size_t>(record.size(), 8));
}

void say_endpoint(const Block& block) {
  std::printf("%s\n", block.endpoints().at(0).c_str());
  std::fflush(stdout);
}

void expect(bool done, const char* what) {
  if (!done) throw Error(Errc::timed_out, std::string("benchmark: ") + what);
}

void pull(const std::string& endpoint, std::uint64_t count) {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = {endpoint}});
  say_endpoint(pull);
  std::uint64_t got = 0;
  std::uint64_t total = 0;
  TimePoint start;
  TimePoint end;
  pull.on_record([&](const RawRecord& record, const Meta&) {
    if (got == 0) start = Clock::now();
    const auto tensors = record.packed().size() < 64 ? record.tensors() : std::vector<Tensor>();
    total += tensors.empty() ? sum(record.bytes()) : sum(tensors[0].data);
    if (++got == count) end = Clock::now();
  });
  while (got < count) {
    const std::uint64_t before = got;
    expect(loop.run_until([&] { return got > before; }, Deadline::after(kPatience)),
           "the sender fell silent");
  }
  // The sender leaves first: it waits for our acknowledgement.
  pull.begin_drain();
  (void)loop.run_until([&] { return pull.drained(); }, Deadline::after(kPatience));
  std::printf("{\"seconds\": %.9f, \"checksum\": %llu}\n", std::chrono::duration<double>(end - start).count(),
              static_cast<unsigned long long>(total));
}

void push(const std::string& endpoint, std::uint64_t size, std::uint64_t count) {
  Loop loop;
  Push<> push(loop, {.name = "out", .connect = {endpoint}});
  expect(push.wait_for_peers(1, Deadline::after(kPatience)), "the receiver did not answer");
  std::vector<std::byte> record(size, std::byte{1});
  const Deadline deadline = Deadline::after(std::chrono::minutes(10));
  for (std::uint64_t i = 0; i < count; ++i) {
    SendStatus status = SendStatus::ok;
    if (size < kTensorFrom) {
      stamp(record, i);
      status = push.send(record, deadline);
    } else {
      std::vector<std::uint8_t> large(size, 1);
      std::memcpy(large.data(), &i, 8);
      const Tensor tensor = Tensor::own(std::move(large));
      status = push.send(Bytes{}, {&tensor, 1}, deadline);
    }
    expect(status == SendStatus::ok, "the receiver stopped reading");
  }
  expect(push.settle(Deadline::after(kPatience)), "the receiver did not acknowledge");
}

void router(const std::string& endpoint, std::uint64_t count) {
  Loop loop;
  Router<> router(loop, {.name = "answers", .bind = {endpoint}});
  say_endpoint(router);
  std::uint64_t answered = 0;
  router.on_request([&](const RawRecord& query, Responder<Raw> respond) {
    respond.reply(query.bytes());
    ++answered;
  });
  while (answered < count) {
    const std::uint64_t before = answered;
    expect(loop.run_until([&] { return answered > before; }, Deadline::after(kPatience)),
           "the asker fell silent");
  }
  router.begin_drain();
  (void)loop.run_until([&] { return router.drained(); }, Deadline::after(kPatience));
}

void dealer(const std::string& endpoint, std::uint64_t size, std::uint64_t count) {
  Loop loop;
  Dealer<> dealer(loop, {.name = "ask", .connect = {endpoint}});
  expect(dealer.wait_for_peers(1, Deadline::after(kPatience)), "the router did not answer");
  std::vector<std::byte> record(size, std::byte{1});
  std::vector<double> micros;
  micros.reserve(count);
  std::uint64_t total = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    stamp(record, i);
    const TimePoint start = Clock::now();
    const auto reply = dealer.ask(record, Deadline::after(kPatience, start));
    micros.push_back(seconds_since(start) * 1e6);
    expect(reply.ok(), "a request got no reply");
    total += sum(reply.record->bytes());
  }
  std::ranges::sort(micros);
  std::printf("{\"p50\": %.3f, \"p99\": %.3f, \"checksum\": %llu}\n", micros[micros.size() / 2],
              micros[micros.size() * 99 / 100], static_cast<unsigned long long>(total));
  std::fflush(stdout);
  dealer.begin_drain();
  (void)loop.run_until([&] { return dealer.drained(); }, Deadline::after(kPatience));
}

}  // namespace

int run_verb(const BenchPeer& peer) {
  if (peer.role == "pull") {
    pull(peer.endpoint, peer.count);
  } else if (peer.role == "push") {
    push(peer.endpoint, peer.size, peer.count);
  } else if (peer.role == "router") {
    router(peer.endpoint, peer.count);
  } else if (peer.role == "dealer") {
    dealer(peer.endpoint, peer.size, peer.count);
  } else {
    throw Error(Errc::invalid_argument, "the role is push, pull, dealer or router");
  }
  return 0;
}

}  // namespace weft::cli
