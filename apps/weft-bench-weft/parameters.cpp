// A parameter server and its workers: pulls and pushes of sparse keys, and of whole dense tables.
#include <algorithm>
#include <cmath>
#include <span>

#include <weft/ps/client.hpp>
#include <weft/ps/server.hpp>

#include "ends.hpp"

namespace weft::bench_ends {
namespace {

constexpr std::uint64_t kSparseRows = 100'000;  // keys go round in these

/// A router gives up replies beyond its capacity: all that may be asked for at once has to fit.
PortOptions with_room(PortOptions options, const Work& work) {
  options.capacity_bytes = std::max(options.capacity_bytes, 2 * work.window * work.size);
  return options;
}

/// Both tables are learnt by w -= g, so that afterwards their sum tells what was pushed.
std::vector<ps::TableSpec> tables(const Work& work) {
  ps::TableSpec sparse{.name = "sparse", .kind = ps::TableKind::sparse, .aggregate = ps::Aggregate::sum};
  sparse.optimizer.learning_rate = 1;
  ps::TableSpec dense = sparse;
  const std::uint64_t floats = std::max<std::uint64_t>(1, work.size / sizeof(float));
  dense.name = "dense";
  dense.kind = ps::TableKind::dense;
  dense.width = static_cast<std::uint32_t>(std::min<std::uint64_t>(floats, ps::TableSpec::kMaxWidth));
  dense.rows = floats / dense.width;
  return {sparse, dense};
}

Figures serve(Context& context, const Work& work, const Say& say) {
  Loop loop(context);
  PortOptions options = with_room(bound_port(work, "params"), work);
  options.node = "server/0";
  ps::Server server(loop, options, {.workers = static_cast<std::uint32_t>(work.peers)}, tables(work));
  say(server.router().endpoints().at(0));
  ::bench::require(loop.run_until([&] { return server.shard().all_workers_done(); }, long_patience()),
                   "the workers did not finish");
  Figures figures;
  double pushed = 0;
  for (const ps::Table& table : server.shard().tables()) {
    const std::uint64_t rows = table.spec().kind == ps::TableKind::dense ? table.spec().rows : kSparseRows;
    std::vector<float> row(table.spec().width);
    for (std::uint64_t key = 0; key < rows; ++key) {
      table.read({&key, 1}, row);
      for (const float value : row) pushed -= static_cast<double>(value);
    }
  }
  figures.read = static_cast<std::uint64_t>(std::llround(pushed));
  drain(loop, server.router());
  return figures;
}

class Worker {
 public:
  Worker(Context& context, const Work& work)
      : work_(work),
        loop_(context),
        client_(loop_, worker_port(work),
                {.worker = static_cast<std::uint32_t>(work.index), .max_outstanding = work.window}) {
    client_.join(patience());
  }

  /// Pushes and pulls `keys` keys in one operation, `window` of them outstanding.
  Figures sparse() {
    const std::uint32_t table = client_.table("sparse");
    std::vector<std::uint64_t> keys(work_.keys);
    const std::vector<float> ones(work_.keys, 1.0F);
    outs_.assign(work_.window, std::vector<float>(work_.keys));
    const Figures figures = measure([&](std::uint64_t i, std::span<float> out, const ps::Client::Done& done) {
      for (std::size_t k = 0; k < keys.size(); ++k) keys[k] = (i * keys.size() + k) % kSparseRows;
      client_.push_pull(table, keys, ones, out, done);
      figures_.written += work_.keys;
    });
    ::bench::require(pulled_ != 0, "the pulled rows hold nothing");
    return figures;
  }

  Figures dense_push() {
    prepare_dense();
    const std::uint32_t table = client_.table("dense");
    const std::size_t floats = keys_.size() * client_.tables()[table].width;
    outs_.assign(work_.window, {});
    return measure([&](std::uint64_t, std::span<float>, const ps::Client::Done& done) {
      const TensorRoom ones = client_.allocate(floats);
      std::ranges::fill(ones.as<float>(), 1.0F);
      client_.push(table, keys_, ones.tensor<float>({static_cast<std::int64_t>(floats)}), done);
      figures_.written += floats;
    });
  }

  Figures dense_pull() {
    prepare_dense();
    const std::uint32_t table = client_.table("dense");
    outs_.assign(work_.window, std::vector<float>(keys_.size() * client_.tables()[table].width));
    const Figures figures = measure([&](std::uint64_t, std::span<float> out, const ps::Client::Done& done) {
      client_.pull(table, keys_, out, done);
    });
    ::bench::require(pulled_ == 0, "rows that nobody pushed are not zero");
    return figures;
  }

  /// The rows are read where they arrived, as the plain program does it.
  Figures dense_view() {
    prepare_dense();
    const std::uint32_t table = client_.table("dense");
    outs_.assign(work_.window, {});
    std::uint64_t shown = 0;
    const Figures figures = measure([&](std::uint64_t, std::span<float>, const ps::Client::Done& done) {
      client_.pull(
          table, keys_,
          [&](const ps::RowsView& rows) {
            shown += rows.values.size();
            pulled_ += ::bench::sum(rows.values.data(), rows.values.size_bytes());
          },
          done);
    });
    ::bench::require(pulled_ == 0, "rows that nobody pushed are not zero");
    ::bench::require(shown == work_.count * keys_.size() * client_.tables()[table].width,
                     "not all rows were shown");
    return figures;
  }

 private:
  static PortOptions worker_port(const Work& work) {
    PortOptions options = with_room(connected_port(work, "params"), work);
    options.node = "worker/" + std::to_string(work.index);
    return options;
  }

  void prepare_dense() {
    const std::uint64_t rows = client_.tables()[client_.table("dense")].rows;
    keys_.resize(rows);
    for (std::uint64_t r = 0; r < rows; ++r) keys_[r] = r;
  }

  /// `count` operations by `start(i, out, done)`, `window` outstanding; every slot has an `out` of its own.
  template <class Start>
  Figures measure(const Start& start) {
    std::uint64_t started = 0;
    std::uint64_t done = 0;
    const std::function<void(std::size_t)> next = [&](std::size_t slot) {
      if (started == work_.count) return;
      start(started++, outs_[slot], [&, slot](const ps::Result& result) {
        ::bench::require(result.ok(), "an operation failed");
        pulled_ += ::bench::sum(outs_[slot].data(), outs_[slot].size() * sizeof(float));
        ++done;
        next(slot);
      });
    };
    const TimePoint begin = Clock::now();
    for (std::size_t slot = 0; slot < work_.window; ++slot) next(slot);
    run_to(loop_, done, work_.count, "the server fell silent");
    figures_.seconds = ::bench::seconds_since(begin);
    ::bench::require(client_.finish(patience()).ok(), "the server did not let go");
    drain(loop_, client_.dealer());
    return figures_;
  }

  const Work& work_;
  Loop loop_;
  ps::Client client_;
  std::vector<std::uint64_t> keys_;
  std::vector<std::vector<float>> outs_;
  Figures figures_;
  std::uint64_t pulled_ = 0;  // sum of the words
};

}  // namespace

void add_parameters(Roles& roles, Context& context) {
  roles["server"] = [&](const Work& work, const Say& say) { return serve(context, work, say); };
  roles["sparse-worker"] = [&](const Work& work, const Say&) { return Worker(context, work).sparse(); };
  roles["push-worker"] = [&](const Work& work, const Say&) { return Worker(context, work).dense_push(); };
  roles["view-worker"] = [&](const Work& work, const Say&) { return Worker(context, work).dense_view(); };
  roles["pull-worker"] = [&](const Work& work, const Say&) { return Worker(context, work).dense_pull(); };
}

}  // namespace weft::bench_ends
