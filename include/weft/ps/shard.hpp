// Shard: one server's part of all tables as a pure request machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <weft/ps/clock_buffer.hpp>
#include <weft/ps/messages.hpp>
#include <weft/ps/sequence_window.hpp>
#include <weft/ps/shard_stats.hpp>
#include <weft/ps/staleness_clock.hpp>
#include <weft/ps/table.hpp>

namespace weft::ps {

struct ShardOptions {
  std::uint32_t index = 0;    ///< which shard this is, below `count`
  std::uint32_t count = 1;    ///< shards of the server group, 1 .. 65,536
  std::uint32_t workers = 1;  ///< workers that are expected: nobody runs ahead of one that has not joined yet
  std::uint64_t incarnation = 0;    ///< rises with every start of this server; the join reply tells it
  std::size_t max_parked = 65'536;  ///< parked requests
  std::size_t max_parked_bytes = 256U << 20U;  ///< keys of parked requests
  std::size_t max_buffered_bytes = 1U << 30U;  ///< bsp: pushes of unfinished clocks, all tables
  std::size_t max_reply_bytes = 256U << 20U;   ///< values of one reply

  /// Throws Error{invalid_argument} that names field, value and bound.
  void check() const;
};

/// No sockets, threads or clocks: the binding hands each request in with a ticket of its own choice and sends
/// the replies that come out, for this ticket or for earlier ones that were parked. Requests of one worker
/// must be handed in as it sent them; then a pull sees every push that its worker sent before. One thread.
///
/// Consistency (c is the request's clock, m the minimum clock of the workers that have not stopped):
/// - asp: a pull is answered at once; a push is applied at once.
/// - ssp: a pull is answered when m >= c - staleness; a push is applied at once.
/// - bsp: a pull is answered when m >= c, and then sees exactly the updates of the clocks before c; the
/// pushes of a
///   clock are summed in worker order and applied, once a key, when every worker has finished the clock.
/// With aggregate mean, asp and ssp scale a gradient by 1 / workers; bsp divides the sum by the number of
/// workers that took part in the clock.
///
/// Bad requests get an error reply and are counted; nothing of them is applied.
class Shard {
 public:
  /// Throws Error{invalid_argument} for options out of range.
  Shard(const ShardOptions& options, std::vector<TableSpec> tables);

  /// Where the values of large replies are written, as the frames that they travel in: `rooms` makes room for
  /// so many bytes. Without it they are in Reply::values as small ones are.
  using Rooms = std::function<TensorRoom(std::size_t bytes)>;
  void write_into(Rooms rooms) { rooms_ = std::move(rooms); }

  /// Appends to `out` the replies that this request answers: its own, unless it is parked, and those that it
  /// releases.
  void on_request(std::uint64_t ticket, const Request& request, std::vector<Reply>& out);
  /// The worker is lost: it holds nobody any more, its parked requests are forgotten, and so are its bsp
  /// pushes of the clock that it did not finish. It may join again.
  void on_worker_dead(std::uint32_t worker, std::vector<Reply>& out);
  /// Forgets the parked request, if there is one: its asker is gone.
  void cancel(std::uint64_t ticket);

  [[nodiscard]] ShardStats stats() const;
  /// Workers that are expected and have never joined: "worker 2 has", "workers 2 and 3 have"; empty: none.
  [[nodiscard]] std::string missing() const;
  [[nodiscard]] std::uint32_t expected_workers() const { return options_.workers; }
  [[nodiscard]] const StalenessClock& clock() const { return clock_; }
  [[nodiscard]] const std::vector<Table>& tables() const { return tables_; }
  /// True when at least one worker was here and all of them, expected ones too, have finished, left or died.
  [[nodiscard]] bool all_workers_done() const;

 private:
  struct Worker {
    std::uint64_t epoch = 0;
    std::uint64_t barrier = 0;
    SequenceWindow seen = {};
  };
  struct Parked {
    std::uint64_t ticket;
    Op op;
    std::uint32_t table;
    std::uint32_t worker;
    std::uint64_t clock;
    std::uint64_t number;
    std::vector<std::uint64_t> keys;
  };
  using Replies = std::vector<Reply>;
  /// Where the rows of a request lie, when that is known already; else empty.
  using Slots = std::span<const std::uint32_t>;

  void join(std::uint64_t ticket, const Request& request, Replies& out);
  void stop(std::uint64_t ticket, const Request& request, Replies& out);
  void write(std::uint64_t ticket, const Request& request, Replies& out);
  void pull(std::uint64_t ticket, const Request& request, Replies& out, Slots slots = {});
  void barrier(std::uint64_t ticket, const Request& request, Replies& out);

  bool refuse_asker(std::uint64_t ticket, const Request& request, Replies& out);
  bool refuse_keys(std::uint64_t ticket, const Request& request, Replies& out);
  bool refuse_values(std::uint64_t ticket, const Request& request, Replies& out);
  bool refuse_full(std::uint64_t ticket, const Request& request, Replies& out);
  void refuse(std::uint64_t ticket, const Request& request, Status status, std::string text, Replies& out);
  [[nodiscard]] Reply reply_to(std::uint64_t ticket, std::uint32_t worker) const;
  [[nodiscard]] Value join_info() const;

  Slots apply_push(const Request& request);
  [[nodiscard]] float push_scale(const TableSpec& spec) const;
  void park(std::uint64_t ticket, const Request& request, Replies& out);
  void answer_pull(std::uint64_t ticket, std::uint32_t table, std::uint32_t worker, std::uint64_t clock,
                   std::span<const std::uint64_t> keys, Replies& out, Slots slots = {});
  [[nodiscard]] bool barrier_open(std::uint64_t number) const;
  void forget_parked(std::uint32_t worker, Replies* out);
  void drop_unfinished(std::uint32_t worker);

  /// After any change of clocks: applies the bsp clocks that are over, in order, and answers what may go on.
  void progress(Replies& out);
  [[nodiscard]] std::optional<std::uint64_t> next_clock_over() const;
  void apply_clock(std::uint64_t clock);
  void release(std::optional<std::uint64_t> bsp_up_to, Replies& out);

  ShardOptions options_;
  StalenessClock clock_;
  std::vector<Table> tables_;
  std::vector<ClockBuffer> buffers_;  ///< by table
  std::vector<Worker> workers_;
  std::vector<Parked> parked_;  ///< in order of arrival
  std::size_t parked_bytes_ = 0;
  std::size_t buffered_bytes_ = 0;
  bool joined_ = false;
  Rooms rooms_;
  ShardStats stats_;
};

}  // namespace weft::ps
