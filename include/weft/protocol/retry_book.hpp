// RetryBook: requests that are tried until they have an answer: what to send to whom, when to try again, and
// when to give up. Pure: time comes in, decisions go out; a Dealer and a simulator drive it alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include <weft/core/terms.hpp>
#include <weft/core/time.hpp>
#include <weft/protocol/replicas.hpp>
#include <weft/protocol/retry.hpp>
#include <weft/wire/header.hpp>

namespace weft::protocol {

struct RetryBookOptions {
  /// at_least_once: any replica may be tried. exactly_once: the one that was offered the request first, which
  /// tells a repetition by its number. Not for best_effort.
  Delivery delivery = Delivery::at_least_once;
  Distribute distribute = Distribute::balance;
  RetryOptions retry = {};
  CircuitOptions circuit = {};
  Duration attempt_timeout = std::chrono::seconds(2);  ///< an attempt without an answer has failed
  std::uint32_t max_attempts = 0;                      ///< at_least_once; 0: until the deadline
};

class RetryBook {
 public:
  using Ticket = std::uint64_t;  ///< a request, as the asker names it; rises; not 0
  using Id = ReplicaSet::Id;     ///< a replica; not 0

  explicit RetryBook(const RetryBookOptions& options);

  // ---- replicas ----

  /// A replica is known. `name` is what Target::only compares; `key` is what hash distribution does.
  void add(Id id, std::uint64_t name, std::uint64_t key);
  /// Only one that has nothing on its way; false otherwise.
  bool remove(Id id);
  /// HELLO was exchanged (again): what is on its way there may have been lost with the connection and is sent
  /// again at once, under the same numbers. Numbers up to `used` are not given to new requests.
  void up(Id id, std::uint64_t used);

  // ---- requests ----

  struct Target {
    std::uint64_t only = 0;            ///< replicas of this name and no others; 0: any
    std::optional<std::uint64_t> key;  ///< Distribute::hash
  };
  void open(Ticket ticket, TimePoint deadline, const Target& target);

  struct Placement {
    Id replica = 0;
    std::uint64_t number = 0;
  };
  /// Ends a request that is open; returns where it was sent.
  std::vector<Placement> cancel(Ticket ticket);

  // ---- sending ----

  /// A replica as it is at this moment.
  struct View {
    bool usable = false;  ///< up, takes new work
    bool living = false;  ///< keeps its keys: up or silent for a while
    bool room = false;    ///< credit for one more, and its own bound of records allows it
    bool window = true;   ///< time for one more, as measured: counts where others could take it as well
  };
  using See = std::function<View(Id)>;
  struct Send {
    Ticket ticket = 0;
    Id replica = 0;
    std::uint64_t number = 0;   ///< consecutive for new requests of one replica
    std::uint32_t attempt = 1;  ///< 1, 2, ...: how often it was sent
  };
  using Sink = std::function<void(const Send&)>;
  /// Calls `sink` for each request that is to be sent now, oldest first; each is on its way after that.
  void pump(TimePoint now, const See& see, const Sink& sink);
  /// Below this number the replica will not see a request again.
  [[nodiscard]] std::uint64_t settled_below(Id id) const;

  // ---- ends ----

  /// A reply. The request that ends with it; nullopt: it has ended before (late), or never was.
  std::optional<Ticket> reply(Id id, std::uint64_t number);

  struct End {
    enum class Why {
      deadline,     ///< no answer by then, and nothing that could have been done unseen
      exhausted,    ///< max_attempts have failed
      unknown,      ///< exactly_once: it was offered, and whether it has been done cannot be told
      remote_error  ///< of error(): the replica's answer, to be passed on
    };
    Ticket ticket = 0;
    Why why = Why::deadline;
    std::uint32_t attempts = 0;  ///< how often it was sent
    Id last = 0;                 ///< where to; 0: never sent
  };
  /// False: a reply with that number is late.
  [[nodiscard]] bool expects(Id id, std::uint64_t number) { return at_number(id, number) != requests_.end(); }
  /// An error reply. nullopt: late, or it will be tried again.
  std::optional<End> error(Id id, std::uint64_t number, wire::Code code, TimePoint now);
  /// The replica is gone: what was on its way there is tried again, elsewhere if that is allowed.
  /// `life_over`: what it did and had not made durable is forgotten with it.
  std::vector<End> down(Id id, bool life_over, TimePoint now);
  /// Time has come; see next_tick().
  std::vector<End> tick(TimePoint now);
  [[nodiscard]] TimePoint next_tick(TimePoint now) const;

  // ---- looking ----

  [[nodiscard]] std::size_t size() const { return requests_.size(); }
  [[nodiscard]] bool contains(Ticket ticket) const { return requests_.contains(ticket); }
  /// Requests that are not on their way now.
  [[nodiscard]] std::size_t waiting() const { return requests_.size() - flying_; }
  [[nodiscard]] bool ready() const { return !free_.empty() || !tied_.empty(); }
  /// Open requests that were sent to that replica and may still be answered by it.
  [[nodiscard]] std::size_t open_at(Id id) const;
  [[nodiscard]] const ReplicaSet& replicas() const { return replicas_; }
  [[nodiscard]] std::uint64_t retries() const { return retries_; }
  [[nodiscard]] std::optional<Target> target(Ticket ticket) const;

 private:
  enum class State { ready, flying, resting };
  struct Request {
    Target target;
    TimePoint deadline;
    State state = State::ready;
    TimePoint when = TimePoint::max();  // its time-out, or the end of its rest
    Id at = 0;                          // flying: where; ready: where it must be sent again, unless 0
    Id bound = 0;
    Id last = 0;
    std::uint32_t sends = 0;
    std::uint32_t failed = 0;  // attempts
    std::vector<Placement> placements;
  };
  struct Replica {
    std::uint64_t name = 0;
    std::uint64_t key = 0;
    std::deque<Ticket> sent;  // by number, from `first` on; 0: ended
    std::uint64_t first = 1;
    std::size_t open = 0;
  };
  using Requests = std::unordered_map<Ticket, Request>;

  Id choose(const Request& request, TimePoint now, const See& see);
  Id choose_free(const Request& request, TimePoint now, const See& see);
  Id owner(std::uint64_t key, const See& see) const;
  std::set<Ticket>& queue_of(const Request& request);
  void launch(Ticket ticket, Request& request, Id id, TimePoint now, const Sink& sink);
  void make_ready(Ticket ticket, Request& request);
  void leave(Ticket ticket, Request& request);
  void plan(Ticket ticket, Request& request, TimePoint when);
  /// The attempt has failed; the end, when it was the last one.
  std::optional<End> fail(Ticket ticket, Request& request, bool at_once, TimePoint now);
  End end_of(Ticket ticket, const Request& request, End::Why why) const;
  [[nodiscard]] bool exact() const { return options_.delivery == Delivery::exactly_once; }
  void place_gone(Id id, std::uint64_t number);
  void close(Requests::iterator at);
  Requests::iterator at_number(Id id, std::uint64_t number);

  RetryBookOptions options_;
  RetryPolicy policy_;
  ReplicaSet replicas_;
  std::map<Id, Replica> lanes_;
  Requests requests_;
  std::set<Ticket> free_;  // ready, for any replica
  std::set<Ticket> tied_;  // ready, for one replica or a key's owner
  std::set<std::pair<TimePoint, Ticket>> timers_;
  std::set<std::pair<TimePoint, Ticket>> deadlines_;
  std::uint64_t highest_ = 0;  // number ever given
  std::size_t flying_ = 0;
  std::uint64_t retries_ = 0;
  Id last_choice_ = 0;
};

}  // namespace weft::protocol
