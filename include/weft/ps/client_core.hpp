// ClientCore: a worker's side of the parameter server, without its sockets.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weft/ps/call.hpp>
#include <weft/ps/table_spec.hpp>

namespace weft::ps {

struct ClientOptions {
  std::uint32_t shards = 1;          ///< servers; shard i is server i
  std::uint32_t worker = kObserver;  ///< index of this worker, or an observer
  std::uint64_t epoch = 0;           ///< rises with every start of this worker
};

/// Knows the tables (from the servers, by join), splits operations by the shard map, numbers the writes and
/// counts the clock. Every operation prepares a Call. The parts of one shard must reach it in the order in
/// which the calls were prepared: one ordered stream a shard gives read-my-writes. One thread.
///
/// Preparing throws Error{invalid_argument} for what cannot be asked: an unknown table, lengths that do not
/// match, a key outside of a dense table.
class ClientCore {
 public:
  explicit ClientCore(const ClientOptions& options);

  /// First call of a worker or observer: asks every shard. After it is done, accept_join() learns tables and
  /// clock. A worker that a server took for dead joins again with it, and keeps its clock.
  void join(Call& call);
  /// Takes what the join brought. Throws Error{protocol} when the servers disagree about tables or about how
  /// many they are, Error{peer_lost} when a part failed, or when a server was restarted since the last join
  /// and so has lost its rows: lost() says so from then on, and nothing more may be asked.
  void accept_join(const Call& call);
  /// Not empty: which server has lost its rows. They do not come back, so this does not change any more.
  [[nodiscard]] const std::string& lost() const { return lost_; }
  /// Which of the expected workers had not come to some server when this one joined: "worker 2 has", "workers
  /// 2 and 3 have"; empty: none.
  [[nodiscard]] const std::string& missing() const { return missing_; }
  /// Tables given by hand, for a test.
  void set_tables(std::vector<TableSpec> tables) { tables_ = std::move(tables); }

  /// The table's id. Throws Error{not_found} that offers the nearest name.
  [[nodiscard]] std::uint32_t table(std::string_view name) const;
  [[nodiscard]] const std::vector<TableSpec>& tables() const { return tables_; }

  /// out[i * width + k] becomes the value of keys[i]; out.size() == keys.size() * width.
  void pull(Call& call, std::uint32_t table, std::span<const std::uint64_t> keys, std::span<float> out);
  /// The rows are shown as they come, in any order; each key once.
  void pull(Call& call, std::uint32_t table, std::span<const std::uint64_t> keys, OnRows on_rows);
  /// values[i * width + k] is the gradient of keys[i]. In a bsp table a key may repeat; its gradients are
  /// summed.
  void push(Call& call, std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values);
  /// push, then pull of the same keys, in one round trip. (In a bsp table the pull does not see this push,
  /// which counts when the clock is over.)
  void push_pull(Call& call, std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values,
                 std::span<float> out);
  /// Sets rows. In every consistency it holds at once.
  void assign(Call& call, std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values);
  /// Ends the present clock: clock() is one more when this returns.
  void clock(Call& call);
  void barrier(Call& call);
  /// A barrier that failed is asked for again under its number, or this worker would be ahead of the others
  /// by one for ever.
  void barrier_failed(const Call& call);
  void stats(Call& call);
  void finish(Call& call);
  void leave(Call& call);

  /// The server that holds the row. Throws as the operations do.
  [[nodiscard]] std::uint32_t shard_of(std::uint32_t table, std::uint64_t key) const;

  /// Clocks that this worker has finished.
  [[nodiscard]] std::uint64_t clock() const { return clock_; }
  [[nodiscard]] const ClientOptions& options() const { return options_; }
  /// Workers that the servers expect; known after accept_join().
  [[nodiscard]] std::uint32_t workers() const { return workers_; }

 private:
  [[nodiscard]] Request request(Op op) const;
  void to_all(Call& call, const Request& request);
  void keyed(Call& call, Op op, std::uint32_t table, std::span<const std::uint64_t> keys,
             const Values& values, std::span<float> out, OnRows on_rows = nullptr);
  const TableSpec& checked(std::uint32_t table, std::span<const std::uint64_t> keys) const;

  ClientOptions options_;
  std::vector<TableSpec> tables_;
  std::vector<std::uint64_t> incarnations_;  ///< by shard, of the first join; 0: not known
  std::string lost_;
  std::string missing_;
  std::uint64_t clock_ = 0;
  std::uint64_t seq_ = 0;
  std::uint64_t barrier_ = 0;
  std::uint32_t workers_ = 0;
};

}  // namespace weft::ps
