// ReplayReader: a subscriber's side of one publisher without gaps, without sockets, clocks or threads.
//
// Live batches, replayed ones, snapshots and the publisher's word of what exists go in; batches in order come
// out, and so does what to ask the publisher for, and when. It is told the time. What it holds is bounded in
// bytes and batches, what it asks for is bounded in number, and every wait in it ends: a question is asked
// again with back-off, and a hole that stays open for `give_up` is left behind and counted.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <weft/core/time.hpp>
#include <weft/protocol/topic_cursor.hpp>

namespace weft::protocol {

struct ReplayReaderOptions {
  std::uint64_t hold_bytes = 2ULL << 20;  ///< of batches that wait for a hole before them
  std::uint64_t hold_batches = 1024;
  std::uint32_t max_topics = 65536;
  /// Each topic begins behind this sequence. nullopt: where the publisher stood when we subscribed.
  std::optional<std::uint64_t> start = std::nullopt;
  bool from_oldest = false;   ///< what is gone before the first batch is not missed
  bool snapshots = false;     ///< ask for snapshots, at the start and where a range is gone
  bool restarted = false;     ///< an earlier incarnation was followed before: `start` is 0, then
  std::uint32_t fetches = 4;  ///< questions at once
  Duration first_retry = std::chrono::seconds(1);
  Duration last_retry = std::chrono::seconds(5);
  Duration give_up = std::chrono::seconds(30);
  /// What was announced another way than the data comes may be on its way still.
  Duration grace = std::chrono::milliseconds(100);
};

struct ReplayCounts {
  std::uint64_t missed = 0;     ///< batches that were given up
  std::uint64_t replayed = 0;   ///< batches that came by replay and were wanted
  std::uint64_t filled = 0;     ///< holes that replay has closed
  std::uint64_t snapshots = 0;  ///< topics that began with a snapshot, or were replaced by one
};

/// "Where did each topic stand when `mark` batches had been published, and what are the snapshots?"
struct ReplayJoin {
  std::uint32_t number = 0;
  std::uint64_t mark = 0;   ///< UINT64_MAX: all that have been
  std::uint64_t token = 0;  ///< where the answer before ended; 0: from the start
  bool snapshots = false;
  std::vector<std::string_view> topics = {};  ///< these only, by name; empty: all
};

/// "Give me these batches of that topic."
struct ReplayFetch {
  std::uint32_t number = 0;
  std::string_view topic;
  std::vector<Range> ranges = {};
};

/// What a reader asks. Names view the reader.
struct ReplayStep {
  std::optional<ReplayJoin> join = {};
  std::vector<ReplayFetch> fetches = {};
};

template <class Payload>
class ReplayReader {
 public:
  enum class Verdict {
    next,       ///< apply it, then ask next()
    held,       ///< give it to hold()
    duplicate,  ///< drop it
    no_room,    ///< drop it; it will be fetched
    no_topic,   ///< drop it: too many topics
  };
  struct Arrival {
    Verdict verdict = Verdict::duplicate;
    bool reset = false;  ///< not the continuation of what was applied before
  };
  struct Ready {
    std::string_view topic;
    std::uint64_t seq = 0;
    bool reset = false;
    Payload payload;
  };

  explicit ReplayReader(const ReplayReaderOptions& options) : options_(options) {
    // All that the new incarnation has sent is new to who followed the one before.
    if (options_.restarted) options_.start = 0;
  }

  // ---- the publisher's connection ----

  /// It answers. Questions may be asked.
  void resume();
  /// It does not answer: what was asked is asked again after resume().
  void pause();
  /// It never comes back: what is missing is missed, and next() gives all that is held.
  void abandon(TimePoint now);
  /// Our subscriptions are active; `mark` batches had been published when they became so. From here on either
  /// a batch comes or a hole shows. Called again after a reconnection.
  void subscribed(std::uint64_t mark, TimePoint now);

  // ---- what comes ----

  Arrival arrive(std::string_view topic, std::uint64_t seq, std::uint64_t bytes, bool replayed,
                 TimePoint now);
  void hold(std::string_view topic, std::uint64_t seq, std::uint64_t bytes, Payload payload, TimePoint now);
  /// The next held batch that is in order now. Its topic views this reader.
  std::optional<Ready> next(TimePoint now);
  /// The publisher has sent up to `seq`. `in_band`: said behind the data itself, so what is not here is lost.
  void announce(std::string_view topic, std::uint64_t seq, bool in_band, TimePoint now);

  // ---- answers ----

  /// In answer to a Join: the topic stood there.
  void position(std::string_view topic, std::uint64_t seq);
  /// In answer to a Join: part of a snapshot that covers `seq`. `duplicate`: not wanted.
  Arrival snapshot(std::string_view topic, std::uint64_t seq);
  /// The answer to a Join ends here; `token` != 0: it goes on there.
  void join_answered(std::uint32_t number, std::uint64_t token, TimePoint now);
  /// The answer to a Fetch ends here. `gone`: part of it is not retained any more.
  void fetch_answered(std::uint32_t number, std::string_view topic, std::uint64_t last,
                      std::uint64_t first_retained, bool gone, TimePoint now);

  // ---- time ----

  /// What to ask now.
  ReplayStep tick(TimePoint now);
  /// When to call tick() at the latest.
  [[nodiscard]] TimePoint next_tick() const;

  /// Nothing is missing as far as is known.
  [[nodiscard]] bool complete() const {
    return joined_ && !sync_.active && overrun_.empty() && waiting_.empty() && asked_.empty() &&
           ready_.empty();
  }
  [[nodiscard]] bool joined() const { return joined_; }
  /// The last sequence of the topic that was handed on, covered by a snapshot or given up. nullopt: it is not
  /// known where it begins.
  [[nodiscard]] std::optional<std::uint64_t> last(std::string_view topic) const {
    const auto found = topics_.find(topic);
    if (found == topics_.end() || !found->second.cursor.placed()) return std::nullopt;
    return found->second.cursor.last();
  }
  [[nodiscard]] std::uint64_t held_bytes() const { return held_bytes_; }
  [[nodiscard]] std::uint64_t held_batches() const { return held_batches_; }
  [[nodiscard]] const ReplayCounts& counts() const { return counts_; }

 private:
  enum class Ask : std::uint8_t { idle, waiting, asked };
  struct Topic {
    TopicCursor<Payload> cursor;
    const std::string* name = nullptr;
    std::size_t index = 0;  // in the order in which topics came
    bool fresh = true;      // nothing of it was applied
    bool reset = false;
    bool hole = false;
    bool overrun = false;  // its hole cannot be filled: a snapshot is to replace it
    bool in_ready = false;
    Ask ask = Ask::idle;
    TimePoint when{};  // to ask, or to stop waiting for the answer
    TimePoint gives_up{};
    Duration back_off{};
    std::uint32_t number = 0;
    std::uint64_t replays = 0;       // since it was asked
    std::uint64_t asked_behind = 0;  // its last one then
    std::uint64_t first_retained = 0;
    std::optional<std::uint64_t> position;
    std::optional<std::uint64_t> snapshot;
    std::uint64_t counted_bytes = 0, counted_batches = 0;
  };
  struct Sync {
    bool active = false;
    bool full = false;
    bool asked = false;
    std::uint32_t number = 0;
    std::uint64_t token = 0;
    TimePoint when{};
    Duration back_off{};
    std::vector<Topic*> topics;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  struct Sooner {  // at the same time, in an order that is the same in every run
    bool operator()(const std::pair<TimePoint, Topic*>& a, const std::pair<TimePoint, Topic*>& b) const {
      return a.first != b.first ? a.first < b.first : a.second->index < b.second->index;
    }
  };
  using Queue = std::set<std::pair<TimePoint, Topic*>, Sooner>;

  // The top half of the numbers is out of reach of an honest stream.
  static bool sane(std::uint64_t seq) { return seq < UINT64_MAX / 2; }
  Topic* find(std::string_view name);
  Topic* find_or_add(std::string_view name);
  void update(Topic& topic, TimePoint when, TimePoint now);
  void ask_at(Topic& topic, Ask ask, TimePoint when);
  void overrun(Topic& topic, std::uint64_t first_retained, TimePoint now);
  void skip(Topic& topic, std::uint64_t first_retained, TimePoint now);
  void begin_sync(bool full, TimePoint now);
  void end_sync(TimePoint now);
  void settle(Topic& topic, bool full, TimePoint now);
  Duration doubled(Duration span) const { return std::min(2 * span, options_.last_retry); }
  bool take_reset(Topic& topic) {
    topic.fresh = false;
    return std::exchange(topic.reset, false);
  }

  ReplayReaderOptions options_;
  std::unordered_map<std::string, Topic, Hash, std::equal_to<>> topics_;
  Queue waiting_, asked_;
  std::deque<Topic*> ready_;
  std::deque<Topic*> overrun_;  // not yet in a sync
  Sync sync_;
  bool paused_ = true;
  bool joined_ = false;
  bool abandoned_ = false;
  std::optional<std::uint64_t> mark_;
  std::uint32_t next_number_ = 1;
  std::uint64_t held_bytes_ = 0, held_batches_ = 0;
  ReplayCounts counts_;
};

}  // namespace weft::protocol

#include <weft/protocol/replay_join_impl.hpp>
#include <weft/protocol/replay_reader_impl.hpp>
