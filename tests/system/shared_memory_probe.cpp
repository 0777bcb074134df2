// A sender and receivers of large tensors that share memory, as processes of their own, for scripts that kill
// them.
//
//   shared_memory_probe push COUNT [JOURNAL]       prints its endpoint, sends COUNT numbered tensors
//   at-least-once
//                                                  and waits until they are processed; then prints what it
//                                                  sent and what of its memory is still held
//   shared_memory_probe pull ENDPOINT NODE KEEP    prints each number that it processes, and keeps the last
//   KEEP
//                                                  tensors; says when its sender is gone and whether they are
//                                                  whole; at the sender's BYE it drops them and prints what
//                                                  came, and how many pieces of shared memory it still maps
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/journal/journal.hpp>

using namespace std::chrono_literals;
using namespace weft;

namespace {

constexpr std::size_t kValues = 50'000;
constexpr auto kPatience = 100s;

PortOptions options_of(std::string name, std::string node) {
  PortOptions options{.name = std::move(name), .node = std::move(node)};
  options.delivery = Delivery::at_least_once;
  options.shared_memory = SharedMemory::on;
  options.heartbeat = 100ms;
  options.window_bytes = 4 << 20;
  return options;
}

std::size_t shared_mappings() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);)
    count += line.find("memfd:weft") != std::string::npos ? 1 : 0;
  return count;
}

int push(std::uint64_t count, const char* journal) {
  Loop loop;
  PortOptions options = options_of("out", "sender/0");
  options.bind = {"tcp://127.0.0.1:*"};
  if (journal) options.journal = Journal::open({.path = journal});
  Push<> push(loop, options);
  std::printf("%s\n", push.endpoints()[0].c_str());
  std::fflush(stdout);
  (void)push.wait_for_peers(1, Deadline::after(kPatience));
  for (std::uint64_t i = push.accepted_total(); i < count; ++i) {
    auto room = push.allocate(kValues * sizeof(float));
    std::iota(room.as<float>().begin(), room.as<float>().end(), static_cast<float>(i));
    const Tensor tensor = room.tensor<float>();
    const std::string number = std::to_string(i);
    while (push.send(as_bytes(number), {&tensor, 1}, Deadline::after(kPatience)) != SendStatus::ok) {
      if (push.stats().peers_up == 0) (void)push.wait_for_peers(1, Deadline::after(kPatience));
    }
  }
  const bool settled = push.settle(Deadline::after(kPatience));
  // What living receivers keep they keep; what a dead one held has come back.
  const auto stats = push.stats();
  std::printf("settled=%d processed=%llu lent=%llu used=%llu refused=%llu\n", settled ? 1 : 0,
              static_cast<unsigned long long>(push.accepted_total()),
              static_cast<unsigned long long>(stats.sent_shared_bytes),
              static_cast<unsigned long long>(stats.shared_memory_used),
              static_cast<unsigned long long>(stats.rejected_messages));
  std::fflush(stdout);
  push.begin_drain();
  return loop.run_until([&] { return push.drained(); }, Deadline::after(kPatience)) && settled ? 0 : 1;
}

int pull(const char* endpoint, const char* node, std::size_t keep) {
  Loop loop;
  PortOptions options = options_of("in", node);
  options.connect = {endpoint};
  options.dead_after = 1s;
  Pull<> pull(loop, options);
  std::deque<std::pair<std::uint64_t, Tensor>> kept;
  std::uint64_t got = 0, wrong = 0;
  bool finished = false;
  const auto whole = [](std::uint64_t number, const Tensor& tensor) {
    const auto values = tensor.as<float>();
    float next = static_cast<float>(number);
    return values.size() == kValues && std::ranges::all_of(values, [&](float v) { return v == next++; });
  };
  pull.on_record([&](const RawRecord& r, const Meta&) {
    const std::uint64_t number = std::strtoull(std::string(r.text()).c_str(), nullptr, 10);
    auto tensors = r.tensors();
    ++got;
    wrong += !tensors.empty() && whole(number, tensors[0]) ? 0 : 1;
    kept.emplace_back(number, std::move(tensors[0]));
    while (kept.size() > keep) kept.pop_front();
    std::printf("%llu\n", static_cast<unsigned long long>(number));
    std::fflush(stdout);
  });
  pull.on_peer([&](const PeerEvent& event) {
    finished = finished || event.what == PeerEvent::What::finished;
    if (event.what != PeerEvent::What::dead) return;
    const bool good = std::ranges::all_of(kept, [&](const auto& k) { return whole(k.first, k.second); });
    std::printf("dead kept=%zu whole=%d\n", kept.size(), good ? 1 : 0);
    kept.clear();
    std::printf("maps=%zu\n", shared_mappings());
    std::fflush(stdout);
  });
  const bool ended = loop.run_until([&] { return finished; }, Deadline::after(kPatience));
  const bool good = std::ranges::all_of(kept, [&](const auto& k) { return whole(k.first, k.second); });
  kept.clear();
  const auto stats = pull.stats();
  std::printf("ended=%d got=%llu wrong=%llu kept=%d shared=%llu refused=%llu maps=%zu\n", ended ? 1 : 0,
              static_cast<unsigned long long>(got), static_cast<unsigned long long>(wrong), good ? 1 : 0,
              static_cast<unsigned long long>(stats.received_shared_bytes),
              static_cast<unsigned long long>(stats.rejected_messages), shared_mappings());
  return ended ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "push" && argc >= 3)
    return push(std::strtoull(argv[2], nullptr, 10), argc > 3 ? argv[3] : nullptr);
  if (verb == "pull" && argc == 5) return pull(argv[2], argv[3], std::strtoull(argv[4], nullptr, 10));
  std::fprintf(stderr, "usage: shared_memory_probe push COUNT [JOURNAL] | pull ENDPOINT NODE KEEP\n");
  return 2;
}
