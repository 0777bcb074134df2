#include <weft/ps/client_core.hpp>

#include <algorithm>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

namespace weft::ps {

ClientCore::ClientCore(const ClientOptions& options) : options_(options) {
  if (options.shards == 0)
    throw Error(Errc::invalid_argument, "client option shards: expected at least 1, found 0");
  incarnations_.resize(options_.shards);
}

Request ClientCore::request(Op op) const {
  Request request;
  request.op = op;
  request.worker = options_.worker;
  request.epoch = options_.epoch;
  request.clock = clock_;
  return request;
}

void ClientCore::to_all(Call& call, const Request& request) {
  call.begin(1, {}, nullptr);
  call.infos_.resize(options_.shards);
  for (std::uint32_t shard = 0; shard < options_.shards; ++shard) {
    Call::Part part{.shard = shard, .first = 0, .request = request, .reply_bytes = 0};
    if (request.op != Op::barrier) part.request.number = incarnations_[shard];
    call.add(part);
  }
}

void ClientCore::join(Call& call) {
  to_all(call, request(Op::join));
}

void ClientCore::accept_join(const Call& call) {
  if (!call.ok()) {
    const std::string who =
        options_.worker == kObserver ? "an observer" : format("worker {}", options_.worker);
    throw Error(Errc::peer_lost, format("{} could not join: {}", who, call.text()));
  }
  if (!lost_.empty()) throw Error(Errc::peer_lost, lost_);
  missing_.clear();
  const Value& tables = call.infos().front().get("tables");
  for (std::uint32_t shard = 0; shard < options_.shards; ++shard) {
    const Value& info = call.infos()[shard];
    if (info.get("shard") != Value(shard) || info.get("shards") != Value(options_.shards)) {
      throw Error(Errc::protocol, format("server {} says that it is server {} of {}, expected {} of {}",
                                         shard, info.get("shard").is_int() ? info.get("shard").as_int() : -1,
                                         info.get("shards").is_int() ? info.get("shards").as_int() : -1,
                                         shard, options_.shards));
    }
    if (info.get("tables") != tables) {
      throw Error(Errc::protocol,
                  format("servers 0 and {} have different tables; all need the same `tables:`", shard));
    }
    const Value& told = info.get("incarnation");
    const std::uint64_t incarnation = told.is_int() ? told.as_uint() : 0;
    const bool first = incarnations_[shard] == 0;
    if (!first && incarnation != incarnations_[shard]) {
      lost_ = format("server {} was started again and has lost its rows", shard);
      throw Error(Errc::peer_lost, lost_);
    }
    incarnations_[shard] = incarnation;
    // Later this worker's own count stands: a barrier that some servers have opened is asked of all again.
    const Value& barrier = info.get("barrier");
    if (first && barrier.is_int()) barrier_ = std::max(barrier_, barrier.as_uint());
    if (missing_.empty() && info.get("missing").is_string()) missing_ = info.get("missing").as_string();
    const Value& workers = info.get("workers");
    if (workers.is_int()) workers_ = static_cast<std::uint32_t>(workers.as_uint());
  }
  tables_ = parse_tables(tables);
  clock_ = std::max(clock_, call.clock());
}

std::uint32_t ClientCore::table(std::string_view name) const {
  std::vector<std::string> names;
  for (std::uint32_t id = 0; id < tables_.size(); ++id) {
    if (tables_[id].name == name) return id;
    names.push_back(tables_[id].name);
  }
  const auto near = nearest(name, names);
  throw Error(Errc::not_found,
              format("the servers have no table {}; they have {}{}", weft::quoted(name), join_words(names),
                     near ? format(" (did you mean {}?)", *near) : std::string()));
}

const TableSpec& ClientCore::checked(std::uint32_t table, std::span<const std::uint64_t> keys) const {
  if (table >= tables_.size()) {
    throw Error(Errc::invalid_argument,
                format("table {} does not exist; there are {}", table, tables_.size()));
  }
  const TableSpec& spec = tables_[table];
  if (spec.kind == TableKind::dense) {
    const auto bad =
        std::find_if(keys.begin(), keys.end(), [&](std::uint64_t key) { return key >= spec.rows; });
    if (bad != keys.end()) {
      throw Error(Errc::invalid_argument, format("key {} is outside of dense table {}: it has rows 0 to {}",
                                                 *bad, spec.name, spec.rows - 1));
    }
  }
  return spec;
}

std::uint32_t ClientCore::shard_of(std::uint32_t table, std::uint64_t key) const {
  const TableSpec& spec = checked(table, {&key, 1});
  if (spec.kind == TableKind::dense) return dense_shard(spec.rows, options_.shards, key);
  return jump_hash(key, options_.shards);
}

void ClientCore::keyed(Call& call, Op op, std::uint32_t table, std::span<const std::uint64_t> keys,
                       const Values& values, std::span<float> out, OnRows on_rows) {
  const TableSpec& spec = checked(table, keys);
  const std::size_t expected = keys.size() * spec.width;
  const bool writes = op != Op::pull;
  const bool reads = op == Op::pull || op == Op::push_pull;
  if ((writes && values.numbers.size() != expected) || (reads && !on_rows && out.size() != expected)) {
    throw Error(Errc::invalid_argument,
                format("{} of {} keys of table {} (width {}) needs {} values, found {}", to_string(op),
                       keys.size(), spec.name, spec.width, expected,
                       writes && values.numbers.size() != expected ? values.numbers.size() : out.size()));
  }
  Request whole = request(op);
  whole.table = table;
  const bool shows = static_cast<bool>(on_rows);
  call.begin(spec.width, reads ? out : std::span<float>(), std::move(on_rows));
  call.split_.split(spec, options_.shards, keys);
  std::span<const float> grouped = values.numbers;
  if (writes && options_.shards > 1) {
    call.grouped_.resize(values.numbers.size());
    call.split_.group_rows(values.numbers, spec.width, call.grouped_);
    grouped = call.grouped_;
  } else if (writes) {
    call.owner_ = values.owner;
  }
  const std::size_t row_bytes = spec.width * sizeof(float);
  // Rounded up, so that the keys do not make a piece of wide rows a row shorter.
  const std::size_t rows = (Call::kPieceBytes + row_bytes) / (row_bytes + sizeof(std::uint64_t));
  std::uint64_t most = 0;  // pieces of a shard
  for (std::uint32_t shard = 0; shard < options_.shards; ++shard) {
    const std::span<const std::uint64_t> all = call.split_.keys(shard);
    std::uint64_t pieces = 0;
    for (std::size_t first = 0; first < all.size(); first += rows) {
      Call::Part part{.shard = shard, .first = first, .request = whole, .reply_bytes = 0};
      part.request.number = incarnations_[shard];
      part.request.keys = all.subspan(first, std::min(rows, all.size() - first));
      const std::size_t count = part.request.keys.size();
      ++pieces;
      if (writes) {
        part.request.seq = seq_ + pieces;
        part.request.values =
            grouped.subspan((call.split_.offset(shard) + first) * spec.width, count * spec.width);
      }
      if (reads) part.reply_bytes = count * row_bytes;
      call.add(part);
    }
    most = std::max(most, pieces);
  }
  if (writes) seq_ += most;
  if (shows) call.keep();  // the keys are shown beside their rows
}

void ClientCore::pull(Call& call, std::uint32_t table, std::span<const std::uint64_t> keys, OnRows on_rows) {
  keyed(call, Op::pull, table, keys, {}, {}, std::move(on_rows));
}

void ClientCore::pull(Call& call, std::uint32_t table, std::span<const std::uint64_t> keys,
                      std::span<float> out) {
  keyed(call, Op::pull, table, keys, {}, out);
}

void ClientCore::push(Call& call, std::uint32_t table, std::span<const std::uint64_t> keys,
                      const Values& values) {
  keyed(call, Op::push, table, keys, values, {});
}

void ClientCore::push_pull(Call& call, std::uint32_t table, std::span<const std::uint64_t> keys,
                           const Values& values, std::span<float> out) {
  keyed(call, Op::push_pull, table, keys, values, out);
}

void ClientCore::assign(Call& call, std::uint32_t table, std::span<const std::uint64_t> keys,
                        const Values& values) {
  keyed(call, Op::assign, table, keys, values, {});
}

void ClientCore::clock(Call& call) {
  ++clock_;
  to_all(call, request(Op::clock));
}

void ClientCore::barrier(Call& call) {
  Request asked = request(Op::barrier);
  asked.number = ++barrier_;
  to_all(call, asked);
}

void ClientCore::barrier_failed(const Call& call) {
  const std::uint64_t number = call.parts().front().request.number;
  barrier_ = std::min(barrier_, number - 1);
}

void ClientCore::stats(Call& call) {
  to_all(call, request(Op::stats));
}
void ClientCore::finish(Call& call) {
  to_all(call, request(Op::finish));
}
void ClientCore::leave(Call& call) {
  to_all(call, request(Op::leave));
}

}  // namespace weft::ps
