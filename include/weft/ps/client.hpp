// Client: a worker or an observer of a parameter server, in any program that has a Loop.
//
//   weft::ps::Client client(loop, {.connect = {"tcp://127.0.0.1:5555"}}, {.worker = 0});
//   client.join(weft::Deadline::after(5s));
//   const auto weights = client.table("weights");
//   auto pulled = client.pull(weights, keys, values, weft::Deadline::after(5s));
//   if (!pulled.ok()) complain(pulled.text);
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/time.hpp>
#include <weft/ps/client_core.hpp>
#include <weft/ps/link.hpp>
#include <weft/transport/loop.hpp>

namespace weft {
class Node;
}

namespace weft::ps {

/// Which servers a client asks, and as whom.
struct ClientSettings {
  std::uint32_t shards = 1;          ///< servers; 1 - 65,536
  std::uint32_t worker = kObserver;  ///< index of this worker, or an observer: pulls and stats only
  std::uint64_t epoch = 0;        ///< of this process: must rise with each start. 0: wall-clock microseconds
  std::string server = "server";  ///< shard i is the node "<server>/i"
  /// How long an operation without a deadline of its own may take. A pull that waits for a slower worker
  /// counts.
  Duration timeout = std::chrono::minutes(2);
  std::size_t max_outstanding = 64;  ///< operations on their way to one server at once; 1 - 100,000

  /// Throws Error{invalid_argument} that names field, value and bound.
  void check() const;
};

/// What became of an operation.
struct [[nodiscard]] Result {
  Status status = Status::unreachable;
  std::string text;  ///< unless ok: a sentence that names the server, and its state when it did not answer
  std::uint64_t clock = 0;      ///< this worker's clock, as the servers know it
  std::uint64_t min_clock = 0;  ///< of the slowest worker, as the server that knows the least has it
  std::vector<Value> infos;     ///< stats and join only: by shard
  [[nodiscard]] bool ok() const { return status == Status::ok; }
};

/// Every operation comes in two styles. With a Done it returns at once and `done` is called on the loop's
/// thread exactly once (before the call returns only when nothing was sent). With a Deadline it runs the loop
/// until the operation has ended; not for use inside handlers.
///
/// Operations are sent in the order in which they are called and each server handles them in that order, so a
/// pull sees every push that was called before it, answered or not: pushes need not be waited for. An empty
/// Done keeps the first failure for flush().
///
/// Keys, and values that are pushed, are read before the call returns, and are the caller's again; but a
/// tensor with an owner is sent without a copy where it can be, and must not be written any more until its
/// owner is released. `out` is written until the operation has ended. values[i * width + k] belongs to
/// keys[i].
///
/// An operation of more than a MiB for one server is sent in pieces, each a request that is handled by
/// itself: one that fails ends the operation, and those before it have been done. At most 4 MiB of each
/// server's requests and replies are on their way; what is called beyond that waits here, in its order, and
/// for no longer than its deadline.
///
/// What cannot be asked (an unknown table, lengths that do not match, a key outside of a dense table) throws
/// Error{invalid_argument}; everything else is a Result.
///
/// What a Done or an OnRows throws leaves the loop's run*(), or the call that runs it; the client goes on.
/// The pull of that OnRows fails.
///
/// Owned and used by the loop's thread. After the Client is gone no Done is called any more.
class Client {
 public:
  using Done = std::function<void(const Result&)>;

  /// With a port of its own.
  Client(Loop& loop, PortOptions port, ClientSettings settings);
  /// On a port that a Node has opened. It must outlive the client.
  Client(ParamsDealer& dealer, ClientSettings settings);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// What the topology says of a node's port: how many servers there are and how they are called, and the
  /// replica number as the worker's index.
  static ClientSettings settings_for(const Node& node, std::string_view port);

  /// First of all: meets the servers, learns their tables and, for a worker, where its clock stands. Also the
  /// way back for a worker that a server took for dead (status not_joined).
  void join(Done done);
  /// As above; throws Error{peer_lost} that names the server, Error{protocol} when the servers disagree.
  /// A server that was started again has lost its rows: from the join that finds this out, every operation of
  /// this client ends at once with Status::unusable.
  void join(Deadline deadline);

  /// The id of a table. Throws Error{not_found} that offers the nearest name.
  [[nodiscard]] std::uint32_t table(std::string_view name) const { return core_.table(name); }
  [[nodiscard]] const std::vector<TableSpec>& tables() const { return core_.tables(); }

  void pull(std::uint32_t table, std::span<const std::uint64_t> keys, std::span<float> out, Done done);
  Result pull(std::uint32_t table, std::span<const std::uint64_t> keys, std::span<float> out,
              Deadline deadline);
  /// Without a copy: `on_rows` is shown the rows where they arrived, in pieces of any size and order, each
  /// key once, and may read them until it returns. Rows may have been shown when the operation fails. It must
  /// not destroy the client, nor run the loop: the next rows may come to the same place. What it owns is let
  /// go when the pull has ended.
  void pull(std::uint32_t table, std::span<const std::uint64_t> keys, OnRows on_rows, Done done);
  Result pull(std::uint32_t table, std::span<const std::uint64_t> keys, OnRows on_rows, Deadline deadline);
  /// Gradients, through the optimiser of the table.
  void push(std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values, Done done);
  Result push(std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values,
              Deadline deadline);
  void push_pull(std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values,
                 std::span<float> out, Done done);
  Result push_pull(std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values,
                   std::span<float> out, Deadline deadline);
  /// Sets rows, in every consistency at once.
  void assign(std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values, Done done);
  Result assign(std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values,
                Deadline deadline);
  /// Memory for so many values, to be written and then given to push, push_pull or assign as a tensor, which
  /// are not copied then; servers on this host that share memory read them where they are.
  [[nodiscard]] TensorRoom allocate(std::size_t values) { return dealer_->allocate(values * sizeof(float)); }
  /// Ends this worker's present clock.
  void clock(Done done);
  Result clock(Deadline deadline);
  /// Ends when every worker that has not finished has called as many barriers.
  void barrier(Done done);
  Result barrier(Deadline deadline);
  /// Counters of every shard, in Result::infos.
  void stats(Done done);
  Result stats(Deadline deadline);
  /// This worker pushes no more and holds nobody any more; it may still pull and use barriers.
  void finish(Done done);
  Result finish(Deadline deadline);
  /// This worker is going away.
  void leave(Done done);
  Result leave(Deadline deadline);

  /// Runs the loop until nothing is on its way. The first failure of an operation without a Done since the
  /// last flush, else ok.
  Result flush(Deadline deadline);

  /// Operations on their way.
  [[nodiscard]] std::size_t outstanding() const { return outstanding_; }
  /// False: a further operation with a Done may end at once with Status::full, for each server has a bound of
  /// its own. Those with a Deadline wait. A server at its bound that has said nothing for a quarter of a
  /// second does not count while another one has room: it shall not stop what goes to that one, and what
  /// needs it ends as full. One operation on its own: ask for its keys.
  [[nodiscard]] bool has_room() const;
  /// The same for an operation on these keys: true means that it is taken.
  [[nodiscard]] bool has_room(std::uint32_t table, std::span<const std::uint64_t> keys) const;
  /// Clocks that this worker has ended.
  [[nodiscard]] std::uint64_t clocks() const { return core_.clock(); }
  /// Workers that the servers expect; known after join.
  [[nodiscard]] std::uint32_t workers() const { return core_.workers(); }
  /// Expected workers that had not come when this one joined: "worker 2 has"; empty: none.
  [[nodiscard]] const std::string& missing() const { return core_.missing(); }
  [[nodiscard]] const ClientSettings& settings() const { return settings_; }
  [[nodiscard]] ParamsDealer& dealer() { return *dealer_; }

 private:
  struct Slot;
  enum class Kind { plain, join, stats, barrier };
  /// The part of an operation that waits for its turn at its server. Stale when the slot has gone on.
  struct Waiting {
    std::shared_ptr<Slot> slot;
    std::uint64_t generation = 0;
    std::size_t part = 0;
    Deadline deadline;
  };
  /// What is on its way to and from one server, and what waits behind it.
  struct Lane {
    std::size_t bytes = 0;
    std::deque<Waiting> waiting;
    std::size_t open = 0;  ///< operations that it has not answered all parts of
    TimePoint heard = {};  ///< when it answered last, or had nothing open
  };
  /// Which servers an operation concerns.
  enum class Reach { keys, all };
  /// Whose memory keys and values are while their operation is under way.
  enum class Borrow { until_return, until_end };

  // `prepare` makes a call ready; it may throw.
  template <class Prepare>
  std::shared_ptr<Slot> take(Kind kind, const Prepare& prepare, Done done);
  void start(const std::shared_ptr<Slot>& slot, Deadline deadline, Borrow borrow);
  [[nodiscard]] bool admits(const Lane& lane, std::size_t bytes) const;
  void send(const std::shared_ptr<Slot>& slot, std::size_t part, Deadline deadline);
  void pump();
  void send_waiting();
  void pump_soon();
  template <class Prepare>
  void begin(Kind kind, Reach reach, const Prepare& prepare, Done done);
  template <class Prepare>
  Result run(Kind kind, Reach reach, const Prepare& prepare, Deadline deadline);
  [[nodiscard]] std::optional<std::uint32_t> full_lane() const;
  [[nodiscard]] std::optional<std::uint32_t> full_lane(const Slot& slot) const;
  void enter_lanes(Slot& slot);
  void leave_lane(const Slot& slot, std::uint32_t shard);
  void put_back(const std::shared_ptr<Slot>& slot);
  void refuse(const Done& done, Status status, std::string text);
  [[nodiscard]] std::string full_text(std::uint32_t shard) const;
  void settle(const std::shared_ptr<Slot>& slot, bool over);
  void on_end(const std::shared_ptr<Slot>& slot, std::uint64_t generation, std::size_t part,
              const ParamsDealer::End& end);
  bool drop_waiting(const std::shared_ptr<Slot>& slot, const std::string& sentence);
  void plan_expiry(TimePoint when);
  void expire();
  [[nodiscard]] const Waiting* first_expired(TimePoint now) const;
  void expire_waiting(TimePoint now);
  [[nodiscard]] std::string why_unsent(std::uint32_t shard) const;
  [[nodiscard]] std::string still_open(Deadline deadline) const;
  void conclude(const std::shared_ptr<Slot>& slot);
  void abandon(const std::shared_ptr<Slot>& slot, const std::string& sentence);

  std::unique_ptr<ParamsDealer> own_;
  ParamsDealer* dealer_;
  ClientSettings settings_;
  ClientCore core_;
  std::vector<std::string> servers_;  ///< node names, by shard
  std::vector<Lane> lanes_;           ///< by shard
  std::size_t waiting_ = 0;           ///< in all lanes
  std::size_t bytes_ = 0;             ///< in all lanes
  bool pumping_ = false;
  Loop::TimerId timer_ = 0;                ///< 0: none
  TimePoint timer_at_ = TimePoint::max();  ///< by then a part that waits may be too late
  std::vector<std::shared_ptr<Slot>> free_;
  std::size_t outstanding_ = 0;
  Result first_failure_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weft::ps
