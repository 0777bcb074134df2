#include <weft/ps/client.hpp>

#include <algorithm>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/node/node.hpp>

namespace weft::ps {
namespace {

void require_setting(bool holds, std::string_view field, std::uint64_t found, std::string_view expected) {
  if (holds) return;
  throw Error(Errc::invalid_argument,
              format("client setting {}: expected {}, found {}", field, expected, found));
}

ClientOptions core_options(const ClientSettings& settings) {
  settings.check();
  return {settings.shards, settings.worker, settings.epoch != 0 ? settings.epoch : wall_micros()};
}

std::unique_ptr<ParamsDealer> open_port(Loop& loop, PortOptions options) {
  // Every request names its server; one that is not up yet is waited for.
  if (options.distribute == Distribute::explicit_) options.distribute = Distribute::balance;
  return std::make_unique<ParamsDealer>(loop, std::move(options));
}

}  // namespace

/// An operation. The generation tells the replies of the present one from late ones of its predecessors.
struct Client::Slot {
  Call call;
  Kind kind = Kind::plain;
  Done done;
  std::uint64_t generation = 0;
};

void ClientSettings::check() const {
  require_setting(shards >= 1 && shards <= 65'536, "shards", shards, "1 to 65536");
  require_setting(worker == kObserver || worker < 65'536, "worker", worker, "an index below 65536");
  require_setting(max_outstanding >= 1 && max_outstanding <= 100'000, "max_outstanding", max_outstanding,
                  "1 to 100000");
  if (timeout <= Duration::zero())
    throw Error(Errc::invalid_argument, "client setting timeout: expected more than 0s");
}

Client::Client(Loop& loop, PortOptions port, ClientSettings settings)
    : own_(open_port(loop, std::move(port))),
      dealer_(own_.get()),
      settings_(std::move(settings)),
      core_(core_options(settings_)) {
  for (std::uint32_t i = 0; i < settings_.shards; ++i)
    servers_.push_back(format("{}/{}", settings_.server, i));
  first_failure_.status = Status::ok;
}

Client::Client(ParamsDealer& dealer, ClientSettings settings)
    : dealer_(&dealer), settings_(std::move(settings)), core_(core_options(settings_)) {
  for (std::uint32_t i = 0; i < settings_.shards; ++i)
    servers_.push_back(format("{}/{}", settings_.server, i));
  first_failure_.status = Status::ok;
}

Client::~Client() = default;

ClientSettings Client::settings_for(const Node& node, std::string_view port) {
  const auto links = node.links_of(port);
  if (links.size() != 1) {
    throw Error(Errc::invalid_argument,
                format("port {} of {} needs exactly one link to its servers, found {}", port,
                       node.plan().id.text(), links.size()));
  }
  ClientSettings settings;
  settings.shards = links.front()->to_replicas;
  // A node that was started by hand does not know how its peers are called: servers have the usual name then.
  if (links.front()->to_node != "*") settings.server = links.front()->to_node;
  settings.worker = node.plan().id.replica;
  settings.epoch = node.port_options(port).epoch;
  return settings;
}

// ---- operations on their way ----

void Client::start(Kind kind, const Prepare& prepare, Deadline deadline, Done done) {
  std::shared_ptr<Slot> slot;
  if (free_.empty()) {
    slot = std::make_shared<Slot>();
  } else {
    slot = std::move(free_.back());
    free_.pop_back();
  }
  try {
    prepare(slot->call);
  } catch (...) {
    free_.push_back(std::move(slot));
    throw;
  }
  slot->kind = kind;
  slot->done = std::move(done);
  const std::uint64_t generation = ++slot->generation;
  last_started_ = slot;
  ++outstanding_;
  const std::size_t parts = slot->call.parts().size();
  if (parts == 0) return conclude(slot);
  const std::weak_ptr<bool> alive = alive_;
  for (std::size_t i = 0; i < parts; ++i) {
    const Call::Part& part = slot->call.parts()[i];
    dealer_->send(part.request, servers_[part.shard], deadline,
                  [this, alive, slot, generation, shard = part.shard](const ParamsDealer::End& end) {
                    if (!alive.expired()) on_end(slot, generation, shard, end);
                  });
    if (alive.expired()) return;
  }
}

void Client::on_end(const std::shared_ptr<Slot>& slot, std::uint64_t generation, std::uint32_t shard,
                    const ParamsDealer::End& end) {
  if (slot->generation != generation || !slot->call.waits_for(shard)) return;
  const bool over = end.reply ? slot->call.on_reply(shard, end.reply->reply, end.reply->values)
                              : slot->call.on_failure(
                                    shard, end.text.empty() ? std::string(to_string(end.outcome)) : end.text);
  if (over) conclude(slot);
}

void Client::conclude(const std::shared_ptr<Slot>& slot) {
  const Call& call = slot->call;
  Result result{call.status(), call.text(), call.clock(), call.min_clock(), {}};
  if (slot->kind != Kind::plain) result.infos = call.infos();
  if (slot->kind == Kind::join) {
    try {
      core_.accept_join(call);
    } catch (const Error& e) {
      if (result.ok()) result.status = Status::unreachable;
      result.text = e.what();
    }
  }
  Done done = std::exchange(slot->done, nullptr);
  ++slot->generation;
  --outstanding_;
  free_.push_back(slot);
  if (done) return done(result);
  if (!result.ok() && first_failure_.ok()) first_failure_ = std::move(result);
}

void Client::abandon(const std::shared_ptr<Slot>& slot, const std::string& sentence) {
  for (std::uint32_t shard = 0; shard < settings_.shards; ++shard) {
    if (slot->call.on_failure(shard, sentence)) return conclude(slot);
  }
}

void Client::begin(Kind kind, const Prepare& prepare, Done done) {
  if (has_room()) return start(kind, prepare, Deadline::after(settings_.timeout), std::move(done));
  Result result;
  result.status = Status::full;
  result.text = format(
      "{} operations are on their way already; wait for their ends, or raise max_outstanding", outstanding_);
  if (done) return done(result);
  if (first_failure_.ok()) first_failure_ = std::move(result);
}

Result Client::run(Kind kind, const Prepare& prepare, Deadline deadline) {
  struct Wait {
    bool over = false;
    Result result;
  };
  const auto wait = std::make_shared<Wait>();
  if (!has_room()) (void)dealer_->wait([this] { return has_room(); }, deadline);
  if (!has_room()) {
    wait->result.text = format("{} operations have not ended by the deadline", outstanding_);
    return wait->result;
  }
  start(kind, prepare, deadline, [wait](const Result& result) {
    wait->result = result;
    wait->over = true;
  });
  const std::shared_ptr<Slot> slot = last_started_;
  const std::uint64_t generation = slot->generation;
  // The deadline itself ends the requests; the margin is for the loop to say so.
  const auto margin = std::chrono::seconds(1);
  const TimePoint point = deadline.point();
  (void)dealer_->wait([&] { return wait->over; },
                      point > TimePoint::max() - margin ? deadline : Deadline::at(point + margin));
  // The loop was stopped: `out` is the caller's memory again, so nothing may be written any more.
  if (!wait->over && slot->generation == generation) abandon(slot, "the loop was stopped before it replied");
  return std::move(wait->result);
}

Result Client::flush(Deadline deadline) {
  const bool ended = dealer_->wait([this] { return outstanding_ == 0; }, deadline);
  Result result = std::exchange(first_failure_, Result{Status::ok, {}, 0, 0, {}});
  if (!ended && result.ok()) {
    result.status = Status::unreachable;
    result.text = format("{} operations have not ended by the deadline", outstanding_);
  }
  return result;
}

// ---- the two styles of each operation ----

void Client::join(Done done) {
  begin(
      Kind::join, [this](Call& call) { core_.join(call); }, std::move(done));
}
void Client::join(Deadline deadline) {
  const Result result = run(
      Kind::join, [this](Call& call) { core_.join(call); }, deadline);
  if (!result.ok()) throw Error(Errc::peer_lost, result.text);
}

void Client::pull(std::uint32_t table, std::span<const std::uint64_t> keys, std::span<float> out, Done done) {
  begin(
      Kind::plain, [&](Call& call) { core_.pull(call, table, keys, out); }, std::move(done));
}
Result Client::pull(std::uint32_t table, std::span<const std::uint64_t> keys, std::span<float> out,
                    Deadline deadline) {
  return run(
      Kind::plain, [&](Call& call) { core_.pull(call, table, keys, out); }, deadline);
}

void Client::push(std::uint32_t table, std::span<const std::uint64_t> keys, std::span<const float> values,
                  Done done) {
  begin(
      Kind::plain, [&](Call& call) { core_.push(call, table, keys, values); }, std::move(done));
}
Result Client::push(std::uint32_t table, std::span<const std::uint64_t> keys, std::span<const float> values,
                    Deadline deadline) {
  return run(
      Kind::plain, [&](Call& call) { core_.push(call, table, keys, values); }, deadline);
}

void Client::push_pull(std::uint32_t table, std::span<const std::uint64_t> keys,
                       std::span<const float> values, std::span<float> out, Done done) {
  begin(
      Kind::plain, [&](Call& call) { core_.push_pull(call, table, keys, values, out); }, std::move(done));
}
Result Client::push_pull(std::uint32_t table, std::span<const std::uint64_t> keys,
                         std::span<const float> values, std::span<float> out, Deadline deadline) {
  return run(
      Kind::plain, [&](Call& call) { core_.push_pull(call, table, keys, values, out); }, deadline);
}

void Client::assign(std::uint32_t table, std::span<const std::uint64_t> keys, std::span<const float> values,
                    Done done) {
  begin(
      Kind::plain, [&](Call& call) { core_.assign(call, table, keys, values); }, std::move(done));
}
Result Client::assign(std::uint32_t table, std::span<const std::uint64_t> keys, std::span<const float> values,
                      Deadline deadline) {
  return run(
      Kind::plain, [&](Call& call) { core_.assign(call, table, keys, values); }, deadline);
}

void Client::clock(Done done) {
  begin(
      Kind::plain, [this](Call& call) { core_.clock(call); }, std::move(done));
}
Result Client::clock(Deadline deadline) {
  return run(
      Kind::plain, [this](Call& call) { core_.clock(call); }, deadline);
}

void Client::barrier(Done done) {
  begin(
      Kind::plain, [this](Call& call) { core_.barrier(call); }, std::move(done));
}
Result Client::barrier(Deadline deadline) {
  return run(
      Kind::plain, [this](Call& call) { core_.barrier(call); }, deadline);
}

void Client::stats(Done done) {
  begin(
      Kind::stats, [this](Call& call) { core_.stats(call); }, std::move(done));
}
Result Client::stats(Deadline deadline) {
  return run(
      Kind::stats, [this](Call& call) { core_.stats(call); }, deadline);
}

void Client::finish(Done done) {
  begin(
      Kind::plain, [this](Call& call) { core_.finish(call); }, std::move(done));
}
Result Client::finish(Deadline deadline) {
  return run(
      Kind::plain, [this](Call& call) { core_.finish(call); }, deadline);
}

void Client::leave(Done done) {
  begin(
      Kind::plain, [this](Call& call) { core_.leave(call); }, std::move(done));
}
Result Client::leave(Deadline deadline) {
  return run(
      Kind::plain, [this](Call& call) { core_.leave(call); }, deadline);
}

}  // namespace weft::ps
