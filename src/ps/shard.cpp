// What a shard does with a request: checks it, applies it, answers or parks it.
#include <weft/ps/shard.hpp>

#include <algorithm>
#include <cmath>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::ps {
namespace {

using State = StalenessClock::State;

bool writes(Op op) {
  return op == Op::push || op == Op::push_pull || op == Op::assign;
}
bool reads(Op op) {
  return op == Op::pull || op == Op::push_pull;
}

void require_option(bool holds, std::string_view field, std::uint64_t found, std::string_view expected) {
  if (holds) return;
  throw Error(Errc::invalid_argument,
              format("shard option {}: expected {}, found {}", field, expected, found));
}

}  // namespace

void ShardOptions::check() const {
  require_option(count >= 1 && count <= 65'536, "count", count, "1 to 65536");
  require_option(index < count, "index", index, format("a number below the count of shards, {}", count));
  require_option(workers <= StalenessClock::kMaxWorkers, "workers", workers,
                 format("at most {}", StalenessClock::kMaxWorkers));
}

Shard::Shard(const ShardOptions& options, std::vector<TableSpec> tables)
    : options_((options.check(), options)), clock_(options.workers) {
  workers_.resize(options.workers);
  tables_.reserve(tables.size());
  for (TableSpec& spec : tables) {
    buffers_.emplace_back(spec.width);
    TableStats& entry = stats_.tables.emplace_back();
    entry.name = spec.name;
    tables_.emplace_back(std::move(spec), options.index, options.count);
  }
  stats_.shard = options.index;
}

Reply Shard::reply_to(std::uint64_t ticket, std::uint32_t worker) const {
  Reply reply;
  reply.ticket = ticket;
  reply.clock = worker == kObserver ? clock_.max_clock() : clock_.clock(worker);
  reply.min_clock = clock_.min_clock();
  return reply;
}

void Shard::refuse(std::uint64_t ticket, const Request& request, Status status, std::string text,
                   Replies& out) {
  ++stats_.refused;
  Reply reply = reply_to(ticket, request.worker);
  reply.status = status;
  reply.text = std::move(text);
  out.push_back(std::move(reply));
}

void Shard::on_request(std::uint64_t ticket, const Request& request, Replies& out) {
  const auto op = static_cast<std::uint8_t>(request.op);
  if (op < static_cast<std::uint8_t>(Op::join) || op > kLastOp) {
    return refuse(ticket, request, Status::bad_request, format("operation {} does not exist", op), out);
  }
  if (request.op == Op::stats) {
    Reply reply = reply_to(ticket, request.worker);
    reply.info = stats().to_value();
    out.push_back(std::move(reply));
    return;
  }
  if (request.op == Op::join) return join(ticket, request, out);
  if (refuse_asker(ticket, request, out)) return;
  if (reads(request.op) || writes(request.op)) {
    if (refuse_keys(ticket, request, out)) return;
    if (writes(request.op) && refuse_values(ticket, request, out)) return;
  }
  // A request's clock is what its worker knows for certain; it may be ahead of a clock message that was lost.
  const std::uint64_t min_before = clock_.min_clock();
  clock_.advance(request.worker, request.clock);
  if (clock_.min_clock() != min_before) progress(out);

  switch (request.op) {
    case Op::push:
    case Op::push_pull:
    case Op::assign:
      return write(ticket, request, out);
    case Op::pull:
      return pull(ticket, request, out);
    case Op::barrier:
      return barrier(ticket, request, out);
    case Op::finish:
    case Op::leave:
      return stop(ticket, request, out);
    default:
      out.push_back(reply_to(ticket, request.worker));
  }
}

bool Shard::refuse_asker(std::uint64_t ticket, const Request& request, Replies& out) {
  const bool names_life = request.op != Op::barrier && request.number != 0 && options_.incarnation != 0;
  if (names_life && request.number != options_.incarnation) {
    refuse(ticket, request, Status::not_joined,
           format("server {} is not the process that was joined: it was started again, and its rows are gone",
                  options_.index),
           out);
    return true;
  }
  if (request.worker == kObserver) {
    if (request.op == Op::pull) return false;
    refuse(ticket, request, Status::not_joined,
           format("an observer may pull and ask for stats; {} needs a worker that has joined",
                  to_string(request.op)),
           out);
    return true;
  }
  const State state = clock_.state(request.worker);
  if (state != State::running && state != State::finished) {
    refuse(ticket, request, Status::not_joined,
           format("worker {} {}; it must join before {}", request.worker,
                  state == State::dead ? "was declared dead" : "has not joined", to_string(request.op)),
           out);
    return true;
  }
  const std::uint64_t epoch = workers_[request.worker].epoch;
  if (request.epoch != epoch) {
    const bool old = request.epoch < epoch;
    refuse(ticket, request, old ? Status::fenced : Status::not_joined,
           format("worker {} is here with epoch {}, this request has epoch {}{}", request.worker, epoch,
                  request.epoch, old ? ": another process has taken its place" : "; it must join first"),
           out);
    return true;
  }
  if (state == State::finished && writes(request.op)) {
    refuse(ticket, request, Status::finished,
           format("worker {} has finished; {} is not allowed after finish", request.worker,
                  to_string(request.op)),
           out);
    return true;
  }
  return false;
}

bool Shard::refuse_keys(std::uint64_t ticket, const Request& request, Replies& out) {
  if (request.table >= tables_.size()) {
    refuse(ticket, request, Status::unknown_table,
           format("table {} does not exist; this server has {} tables", request.table, tables_.size()), out);
    return true;
  }
  const Table& table = tables_[request.table];
  if (reads(request.op) &&
      request.keys.size() > options_.max_reply_bytes / sizeof(float) / table.spec().width) {
    refuse(ticket, request, Status::bad_request,
           format("{} keys of table {} need a reply of more than {} bytes; ask for fewer at a time",
                  request.keys.size(), table.spec().name, options_.max_reply_bytes),
           out);
    return true;
  }
  if (auto fault = table.key_fault(request.keys)) {
    refuse(ticket, request, Status::bad_request, *fault, out);
    return true;
  }
  return false;
}

bool Shard::refuse_values(std::uint64_t ticket, const Request& request, Replies& out) {
  const Table& table = tables_[request.table];
  const std::size_t width = table.spec().width;
  // Division, because keys times width could wrap around for a hostile length.
  if (request.values.size() % width != 0 || request.values.size() / width != request.keys.size()) {
    refuse(ticket, request, Status::bad_request,
           format("{} keys of table {} (width {}) came with {} values", request.keys.size(),
                  table.spec().name, width, request.values.size()),
           out);
    return true;
  }
  const OptimizerSpec& rule = table.spec().optimizer;
  const float most = request.op == Op::assign ? rule.most_weight() : rule.most_gradient();
  if (!all_within(request.values, most)) {
    const auto bad = std::find_if_not(request.values.begin(), request.values.end(),
                                      [most](float x) { return std::fabs(x) <= most; });
    const auto at = static_cast<std::size_t>(bad - request.values.begin());
    const std::string why =
        !std::isfinite(*bad) ? std::string("only finite numbers are taken")
        : request.op == Op::assign
            ? format("with its learning_rate and beta, {} takes weights up to {}", to_string(rule.kind), most)
            : format(
                  "{} squares gradients and takes them up to {}; is a value of the data that large? Scale "
                  "it, "
                  "or leave it out",
                  to_string(rule.kind), most);
    refuse(ticket, request, Status::bad_request,
           format("value {} of key {} of table {} is {}; {}", at % width, request.keys[at / width],
                  table.spec().name, *bad, why),
           out);
    return true;
  }
  if (request.seq == 0) {
    refuse(ticket, request, Status::bad_request, "a push or assign needs a sequence number from 1", out);
    return true;
  }
  return refuse_full(ticket, request, out);
}

bool Shard::refuse_full(std::uint64_t ticket, const Request& request, Replies& out) {
  const TableSpec& spec = tables_[request.table].spec();
  if (!tables_[request.table].has_room(request.keys)) {
    refuse(ticket, request, Status::full,
           format("table {} holds {} rows here and may hold {}; raise max_rows or add servers", spec.name,
                  tables_[request.table].rows(), spec.max_rows),
           out);
    return true;
  }
  const std::size_t size = request.keys.size_bytes() + request.values.size_bytes();
  if (spec.consistency == Consistency::bsp && request.op != Op::assign &&
      buffered_bytes_ + size > options_.max_buffered_bytes) {
    refuse(
        ticket, request, Status::full,
        format("the pushes of unfinished clocks need more than {} bytes; pull between pushes, or add servers",
               options_.max_buffered_bytes),
        out);
    return true;
  }
  return false;
}

void Shard::join(std::uint64_t ticket, const Request& request, Replies& out) {
  if (request.worker == kObserver) {
    Reply reply = reply_to(ticket, kObserver);
    reply.info = join_info();
    out.push_back(std::move(reply));
    return;
  }
  if (request.worker >= StalenessClock::kMaxWorkers) {
    return refuse(ticket, request, Status::bad_request,
                  format("worker {} is out of range: expected 0 to {}", request.worker,
                         StalenessClock::kMaxWorkers - 1),
                  out);
  }
  if (request.worker >= workers_.size()) workers_.resize(request.worker + 1);
  Worker& worker = workers_[request.worker];
  if (request.epoch < worker.epoch) {
    return refuse(ticket, request, Status::fenced,
                  format("worker {} has joined with epoch {}, this join has epoch {}", request.worker,
                         worker.epoch, request.epoch),
                  out);
  }
  if (request.epoch > worker.epoch) {
    forget_parked(request.worker, &out);
    drop_unfinished(request.worker);
    worker = Worker{request.epoch, stats_.barrier, {}};
  }
  joined_ = true;
  clock_.join(request.worker);
  clock_.advance(request.worker, request.clock);
  Reply reply = reply_to(ticket, request.worker);
  reply.info = join_info();
  out.push_back(std::move(reply));
  progress(out);
}

Value Shard::join_info() const {
  Value info;
  info["shard"] = options_.index;
  info["shards"] = options_.count;
  info["workers"] = options_.workers;
  info["barrier"] = stats_.barrier;
  info["incarnation"] = options_.incarnation;
  if (const std::string who = missing(); !who.empty()) info["missing"] = who;
  Value& tables = info["tables"] = Value::map();
  for (const Table& table : tables_) tables[table.spec().name] = table.spec().to_value();
  return info;
}

void Shard::stop(std::uint64_t ticket, const Request& request, Replies& out) {
  if (request.op == Op::leave) forget_parked(request.worker, &out);
  clock_.stop(request.worker, request.op == Op::leave ? State::left : State::finished);
  out.push_back(reply_to(ticket, request.worker));
  progress(out);
}

void Shard::write(std::uint64_t ticket, const Request& request, Replies& out) {
  SequenceWindow& seen = workers_[request.worker].seen;
  Slots slots;
  if (seen.seen(request.seq)) {
    ++stats_.duplicates;
  } else {
    seen.mark(request.seq);
    if (request.op == Op::assign) {
      ++stats_.assigns;
      tables_[request.table].assign(request.keys, request.values);
    } else {
      slots = apply_push(request);
    }
  }
  if (request.op == Op::push_pull) return pull(ticket, request, out, slots);
  out.push_back(reply_to(ticket, request.worker));
}

Shard::Slots Shard::apply_push(const Request& request) {
  Table& table = tables_[request.table];
  ++stats_.pushes;
  stats_.tables[request.table].keys_pushed += request.keys.size();
  if (table.spec().consistency != Consistency::bsp) {
    return table.update(request.keys, request.values, push_scale(table.spec()));
  }
  const std::uint64_t clock = clock_.clock(request.worker);
  if (request.clock < clock) ++stats_.late_pushes;
  // Rows are made now, so that a full table is an error for the push that fills it and not for the clock.
  table.make_rows(request.keys);
  ClockBuffer& buffer = buffers_[request.table];
  const std::size_t before = buffer.bytes();
  buffer.add(clock, request.worker, request.seq, request.keys, request.values);
  buffered_bytes_ += buffer.bytes() - before;
  return {};
}

float Shard::push_scale(const TableSpec& spec) const {
  if (spec.aggregate == Aggregate::sum) return 1;
  const std::uint32_t workers = options_.workers > 0 ? options_.workers : clock_.in_state(State::running);
  return 1.0F / static_cast<float>(std::max(workers, 1U));
}

void Shard::pull(std::uint64_t ticket, const Request& request, Replies& out, Slots slots) {
  const bool observer = request.worker == kObserver;
  const std::uint64_t clock = observer ? 0 : clock_.clock(request.worker);
  const bool waits = !observer && clock_.state(request.worker) == State::running &&
                     !clock_.admits(clock, tables_[request.table].spec().bound());
  if (waits) return park(ticket, request, out);
  answer_pull(ticket, request.table, request.worker, clock, request.keys, out, slots);
}

void Shard::answer_pull(std::uint64_t ticket, std::uint32_t table, std::uint32_t worker, std::uint64_t clock,
                        std::span<const std::uint64_t> keys, Replies& out, Slots slots) {
  Reply reply = reply_to(ticket, worker);
  const auto read = [&](std::span<float> to) {
    slots.empty() ? tables_[table].read(keys, to) : tables_[table].read_at(slots, to);
  };
  const std::size_t numbers = keys.size() * tables_[table].spec().width;
  if (rooms_ && numbers * sizeof(float) >= kFrameFrom) {
    const TensorRoom room = rooms_(numbers * sizeof(float));
    read(room.as<float>().first(numbers));
    reply.frame = room.tensor<float>();
  } else {
    reply.values.resize(numbers);
    read(reply.values);
  }
  TableStats& entry = stats_.tables[table];
  if (worker != kObserver && clock_.state(worker) == State::running && clock > clock_.min_clock()) {
    entry.max_gap = std::max(entry.max_gap, clock - clock_.min_clock());
  }
  entry.keys_pulled += keys.size();
  ++stats_.pulls;
  out.push_back(std::move(reply));
}

void Shard::barrier(std::uint64_t ticket, const Request& request, Replies& out) {
  Worker& worker = workers_[request.worker];
  worker.barrier = std::max(worker.barrier, request.number);
  if (!barrier_open(request.number)) return park(ticket, request, out);
  stats_.barrier = std::max(stats_.barrier, request.number);
  out.push_back(reply_to(ticket, request.worker));
  release(std::nullopt, out);
}

}  // namespace weft::ps
