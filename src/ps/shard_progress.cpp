// How a shard goes on when clocks change: bsp clocks are applied, parked requests are answered.
#include <algorithm>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/ps/shard.hpp>

namespace weft::ps {
namespace {

using State = StalenessClock::State;

}  // namespace

void Shard::park(std::uint64_t ticket, const Request& request, Replies& out) {
  const std::size_t bytes = request.op == Op::barrier ? 0 : request.keys.size_bytes();
  if (parked_.size() >= options_.max_parked || parked_bytes_ + bytes > options_.max_parked_bytes) {
    return refuse(ticket, request, Status::full,
                  format("{} requests with {} bytes of keys are parked already; wait for their replies",
                         parked_.size(), parked_bytes_),
                  out);
  }
  Parked parked{ticket,         request.op, request.table, request.worker, clock_.clock(request.worker),
                request.number, {}};
  if (request.op != Op::barrier) parked.keys.assign(request.keys.begin(), request.keys.end());
  parked_bytes_ += bytes;
  parked_.push_back(std::move(parked));
  ++stats_.waited;
  stats_.most_parked = std::max<std::uint64_t>(stats_.most_parked, parked_.size());
}

void Shard::cancel(std::uint64_t ticket) {
  std::erase_if(parked_, [&](const Parked& parked) {
    if (parked.ticket != ticket) return false;
    parked_bytes_ -= parked.keys.size() * sizeof(std::uint64_t);
    return true;
  });
}

/// With `out`, each forgotten request is answered: its asker has been replaced or has left.
void Shard::forget_parked(std::uint32_t worker, Replies* out) {
  std::erase_if(parked_, [&](const Parked& parked) {
    if (parked.worker != worker) return false;
    parked_bytes_ -= parked.keys.size() * sizeof(std::uint64_t);
    if (out) {
      Request asked;
      asked.worker = worker;
      refuse(parked.ticket, asked, Status::fenced,
             format("worker {} left or was replaced while this request was waiting", worker), *out);
    }
    return true;
  });
}

void Shard::drop_unfinished(std::uint32_t worker) {
  for (ClockBuffer& buffer : buffers_) {
    const std::size_t before = buffer.bytes();
    stats_.discarded_pushes += buffer.drop(worker, clock_.clock(worker));
    buffered_bytes_ -= before - buffer.bytes();
  }
}

void Shard::on_worker_dead(std::uint32_t worker, Replies& out) {
  const State state = clock_.state(worker);
  if (state == State::unknown || state == State::dead || state == State::left) return;
  forget_parked(worker, nullptr);
  if (state != State::finished) drop_unfinished(worker);
  clock_.stop(worker, State::dead);
  progress(out);
}

bool Shard::barrier_open(std::uint64_t number) const {
  for (std::uint32_t worker = 0; worker < clock_.size(); ++worker) {
    const State state = clock_.state(worker);
    const bool needed = state == State::expected || state == State::running;
    if (needed && workers_[worker].barrier < number) return false;
  }
  return true;
}

std::optional<std::uint64_t> Shard::next_clock_over() const {
  std::optional<std::uint64_t> lowest;
  for (const ClockBuffer& buffer : buffers_) {
    const auto clock = buffer.first_clock();
    if (clock && clock_.passed(*clock) && (!lowest || *clock < *lowest)) lowest = clock;
  }
  return lowest;
}

void Shard::progress(Replies& out) {
  while (const auto clock = next_clock_over()) {
    apply_clock(*clock);
    // A pull of the next clock must not see later ones, which may be over as well.
    release(*clock + 1, out);
  }
  release(std::nullopt, out);
}

void Shard::apply_clock(std::uint64_t clock) {
  for (std::size_t t = 0; t < tables_.size(); ++t) {
    ClockBuffer& buffer = buffers_[t];
    if (buffer.first_clock() != clock) continue;
    const std::vector<std::uint32_t> pushed = buffer.workers(clock);
    std::uint32_t took_part = 0;
    for (std::uint32_t worker = 0; worker < clock_.size(); ++worker) {
      if (clock_.clock(worker) > clock || std::binary_search(pushed.begin(), pushed.end(), worker))
        ++took_part;
    }
    const std::size_t before = buffer.bytes();
    const ClockBuffer::Sum sum = buffer.take(clock);
    buffered_bytes_ -= before - buffer.bytes();
    const bool mean = tables_[t].spec().aggregate == Aggregate::mean;
    tables_[t].update(sum.keys, sum.gradients, mean ? 1.0F / static_cast<float>(took_part) : 1.0F);
  }
}

/// Answers the parked requests that may go on; with `bsp_up_to`, pulls of bsp tables only up to that clock.
void Shard::release(std::optional<std::uint64_t> bsp_up_to, Replies& out) {
  if (parked_.empty()) return;
  const auto may_go = [&](const Parked& parked) {
    if (parked.op == Op::barrier) return barrier_open(parked.number);
    const TableSpec& spec = tables_[parked.table].spec();
    if (bsp_up_to && spec.consistency == Consistency::bsp && parked.clock > *bsp_up_to) return false;
    return clock_.state(parked.worker) != State::running || clock_.admits(parked.clock, spec.bound());
  };
  std::vector<Parked> waiting;
  for (Parked& parked : parked_) {
    if (!may_go(parked)) {
      waiting.push_back(std::move(parked));
      continue;
    }
    parked_bytes_ -= parked.keys.size() * sizeof(std::uint64_t);
    if (parked.op == Op::barrier) {
      stats_.barrier = std::max(stats_.barrier, parked.number);
      out.push_back(reply_to(parked.ticket, parked.worker));
    } else {
      answer_pull(parked.ticket, parked.table, parked.worker, parked.clock, parked.keys, out);
    }
  }
  parked_ = std::move(waiting);
}

std::string Shard::missing() const {
  constexpr std::uint32_t kNamed = 8;
  const std::uint32_t count = clock_.in_state(State::expected);
  std::vector<std::string> who;
  for (std::uint32_t worker = 0; worker < clock_.size() && who.size() < kNamed; ++worker) {
    if (clock_.state(worker) == State::expected) who.push_back(std::to_string(worker));
  }
  if (count == 0) return "";
  if (count == 1) return format("worker {} has", who.front());
  if (count > kNamed) who.push_back(format("{} more", count - kNamed));
  return format("workers {} have", join_words(who));
}

bool Shard::all_workers_done() const {
  return joined_ && clock_.holders() == 0;
}

ShardStats Shard::stats() const {
  ShardStats stats = stats_;
  stats.parked = parked_.size();
  stats.min_clock = clock_.min_clock();
  stats.max_clock = clock_.max_clock();
  stats.workers_running = clock_.in_state(State::running);
  stats.workers_expected = clock_.in_state(State::expected);
  stats.workers_finished = clock_.in_state(State::finished) + clock_.in_state(State::left);
  stats.workers_dead = clock_.in_state(State::dead);
  for (std::size_t t = 0; t < tables_.size(); ++t) {
    stats.tables[t].rows = tables_[t].rows();
    stats.tables[t].bytes = tables_[t].bytes();
    stats.tables[t].updates = tables_[t].updates();
    stats.max_gap = std::max(stats.max_gap, stats.tables[t].max_gap);
  }
  return stats;
}

}  // namespace weft::ps
