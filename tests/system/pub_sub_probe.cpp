// A publisher and subscribers as processes of their own, for scripts that stop and kill them.
//
//   pub_sub_probe pub RATE SECONDS TOPICS   publishes numbers without gaps (RATE 0: as fast as it can);
//   prints its
//                                           endpoint, then what it published and the state that this leaves
//   pub_sub_probe sub ENDPOINT NODE         follows it to its end; says when the first live record is there,
//   and in
//                                           the end what came and the state
//   pub_sub_probe join ENDPOINT COUNT       joins so often, sixteen at a time; prints what went wrong
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <weft/blocks/pub.hpp>
#include <weft/blocks/sub.hpp>

using namespace std::chrono_literals;
using namespace weft;

namespace {

constexpr std::size_t kJoinsAtOnce = 16;
constexpr std::uint64_t kBurst = 1000;  // records between two looks at the sockets
constexpr auto kPatience = 120s;

using State = std::map<std::string, std::uint64_t>;

/// The last value of every topic as one number, so that two states can be compared by eye.
std::string digest(const State& state) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const auto& [topic, value] : state) {
    for (const char c : topic + "=" + std::to_string(value) + ";") {
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
  }
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

/// Each record is its topic's number, one more than the one before. Anything else must be a snapshot, or
/// marked.
struct Follower {
  State state;
  std::uint64_t records = 0, silent = 0, resets = 0, snapshots = 0, live = 0;
  explicit Follower(Sub<>& sub) {
    sub.on_record([this](const RawRecord& r, const Meta& meta) {
      const std::uint64_t value = std::strtoull(std::string(r.text()).c_str(), nullptr, 10);
      const auto [at, fresh] = state.try_emplace(std::string(meta.topic), value);
      const bool follows = fresh || value == at->second + 1 || (meta.snapshot && value >= at->second);
      // With snapshots a topic begins with one, or with its first record.
      const bool begins = !fresh || meta.snapshot || value == 1;
      if (!meta.reset && !(follows && begins)) ++silent;
      resets += meta.reset ? 1 : 0;
      snapshots += meta.snapshot ? 1 : 0;
      live += meta.snapshot ? 0 : 1;
      at->second = value;
      ++records;
    });
  }
};

PortOptions subscriber(const std::string& endpoint, std::string node) {
  return {.name = "in",
          .node = std::move(node),
          .connect = {endpoint},
          .delivery = Delivery::at_least_once,
          .keep_last = true};
}

int publish(std::uint64_t rate, double seconds, std::uint64_t topics) {
  Loop loop;
  Pub<> pub(loop, {.name = "out",
                   .node = "pub/0",
                   .bind = {"tcp://127.0.0.1:*"},
                   .heartbeat = 200ms,
                   .delivery = Delivery::at_least_once,
                   .retain_bytes = 64 << 20,
                   .keep_last = true});
  std::vector<std::string> names;
  for (std::uint64_t i = 0; i < topics; ++i) names.push_back("t/" + std::to_string(i));
  State state;
  std::uint64_t sent = 0;
  const auto burst = [&](std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::string& topic = names[sent++ % names.size()];
      (void)pub.publish(topic, as_bytes(std::to_string(++state[topic])));
    }
    pub.flush();
  };
  std::printf("%s\n", pub.endpoints().front().c_str());
  std::fflush(stdout);
  if (!pub.wait_for_peers(1, Deadline::after(kPatience))) return std::puts("nobody subscribed"), 1;
  const auto begin = Clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  while (passed() < seconds) {
    if (rate == 0) {
      burst(kBurst);
      (void)loop.run_once(Deadline::at(TimePoint::min()));
      continue;
    }
    const auto due = static_cast<std::uint64_t>(passed() * static_cast<double>(rate));
    if (due > sent) burst(due - sent);
    (void)loop.run_once(Deadline::after(1ms));
  }
  const double took = passed();
  std::printf("rate=%.0f\n", static_cast<double>(sent) / took);
  std::fflush(stdout);
  pub.begin_drain();
  const bool drained = loop.run_until([&] { return pub.drained(); }, Deadline::after(kPatience));
  const PortStats stats = pub.stats();
  std::printf("published=%llu rate=%.0f replayed=%llu snapshots=%llu drained=%d state=%s\n",
              static_cast<unsigned long long>(sent), static_cast<double>(sent) / took,
              static_cast<unsigned long long>(stats.replayed_batches),
              static_cast<unsigned long long>(stats.snapshots), drained ? 1 : 0, digest(state).c_str());
  return drained ? 0 : 1;
}

int subscribe(const std::string& endpoint, const std::string& node) {
  Loop loop;
  Sub<> sub(loop, subscriber(endpoint, node));
  Follower follower(sub);
  bool finished = false;
  sub.on_peer(
      [&](const PeerEvent& event) { finished = finished || event.what == PeerEvent::What::finished; });
  // Who stops or kills this process wants it to be amid the stream.
  if (loop.run_until([&] { return follower.live != 0 || finished; }, Deadline::after(kPatience))) {
    std::puts("follows");
    std::fflush(stdout);
  }
  (void)loop.run_until([&] { return finished; }, Deadline::after(kPatience));
  const PortStats stats = sub.stats();
  std::printf(
      "records=%llu silent=%llu resets=%llu snapshots=%llu missed=%llu replayed=%llu filled=%llu state=%s\n",
      static_cast<unsigned long long>(follower.records), static_cast<unsigned long long>(follower.silent),
      static_cast<unsigned long long>(follower.resets), static_cast<unsigned long long>(follower.snapshots),
      static_cast<unsigned long long>(stats.missed_batches),
      static_cast<unsigned long long>(stats.replayed_batches),
      static_cast<unsigned long long>(stats.gaps_filled), digest(follower.state).c_str());
  return finished ? 0 : 1;
}

struct Joiner {
  Sub<> sub;
  Follower follower;
  Joiner(Loop& loop, const std::string& endpoint, std::uint64_t number)
      : sub(loop, subscriber(endpoint, "join/" + std::to_string(number))), follower(sub) {}
};

int join(const std::string& endpoint, std::uint64_t count) {
  Loop loop;
  std::uint64_t joined = 0, begun = 0, silent = 0, missed = 0, resets = 0, replayed = 0, records = 0;
  std::vector<std::unique_ptr<Joiner>> open;
  while (joined < count) {
    while (open.size() < kJoinsAtOnce && begun < count) {
      open.push_back(std::make_unique<Joiner>(loop, endpoint, begun++));
    }
    const auto done = [](const auto& one) { return one->follower.live >= 200; };
    const bool good =
        loop.run_until([&] { return std::ranges::any_of(open, done); }, Deadline::after(kPatience));
    if (!good) return std::printf("only %llu joined\n", static_cast<unsigned long long>(joined)), 1;
    std::erase_if(open, [&](const auto& one) {
      if (!done(one)) return false;
      const PortStats stats = one->sub.stats();
      ++joined;
      silent += one->follower.silent;
      resets += one->follower.resets;
      records += one->follower.records;
      missed += stats.missed_batches;
      replayed += stats.replayed_batches;
      return true;
    });
  }
  std::printf("joins=%llu silent=%llu missed=%llu resets=%llu replayed=%llu records=%llu\n",
              static_cast<unsigned long long>(joined), static_cast<unsigned long long>(silent),
              static_cast<unsigned long long>(missed), static_cast<unsigned long long>(resets),
              static_cast<unsigned long long>(replayed), static_cast<unsigned long long>(records));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto number = [&](std::size_t i) { return std::strtoull(words[i].c_str(), nullptr, 10); };
  if (words.size() == 4 && words[0] == "pub")
    return publish(number(1), std::strtod(words[2].c_str(), nullptr), number(3));
  if (words.size() == 3 && words[0] == "sub") return subscribe(words[1], words[2]);
  if (words.size() == 3 && words[0] == "join") return join(words[1], number(2));
  return std::puts("usage: pub_sub_probe pub RATE SECONDS TOPICS | sub ENDPOINT NODE | join ENDPOINT COUNT"),
         2;
}
