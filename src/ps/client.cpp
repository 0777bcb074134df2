#include <weft/ps/client.hpp>

#include <algorithm>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/node/node.hpp>

#include "ps/client_slot.hpp"

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
      core_(core_options(settings_)),
      lanes_(settings_.shards) {
  for (std::uint32_t i = 0; i < settings_.shards; ++i)
    servers_.push_back(format("{}/{}", settings_.server, i));
  first_failure_.status = Status::ok;
}

Client::Client(ParamsDealer& dealer, ClientSettings settings)
    : dealer_(&dealer),
      settings_(std::move(settings)),
      core_(core_options(settings_)),
      lanes_(settings_.shards) {
  for (std::uint32_t i = 0; i < settings_.shards; ++i)
    servers_.push_back(format("{}/{}", settings_.server, i));
  first_failure_.status = Status::ok;
}

Client::~Client() {
  if (timer_ != 0) dealer_->loop().cancel(timer_);
}

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

template <class Prepare>
std::shared_ptr<Client::Slot> Client::take(Kind kind, const Prepare& prepare, Done done) {
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
  ++slot->generation;
  ++outstanding_;
  return slot;
}

void Client::start(const std::shared_ptr<Slot>& slot, Deadline deadline, Borrow borrow) {
  const std::uint64_t generation = slot->generation;
  const std::size_t parts = slot->call.parts().size();
  if (parts == 0) return conclude(slot);
  enter_lanes(*slot);
  const std::weak_ptr<bool> alive = alive_;
  bool kept = borrow == Borrow::until_end;
  for (std::size_t i = 0; i < parts; ++i) {
    const Call::Part& part = slot->call.parts()[i];
    Lane& lane = lanes_[part.shard];
    if (lane.waiting.empty() && admits(lane, part.bytes())) {
      send(slot, i, deadline);
      if (alive.expired() || slot->generation != generation) return;
      continue;
    }
    if (!std::exchange(kept, true)) slot->call.keep();
    lane.waiting.push_back({slot, generation, i, deadline});
    ++waiting_;
    plan_expiry(deadline.point());
  }
}

void Client::send(const std::shared_ptr<Slot>& slot, std::size_t index, Deadline deadline) {
  const Call::Part& part = slot->call.parts()[index];
  const std::uint32_t shard = part.shard;
  const std::size_t bytes = part.bytes();
  lanes_[shard].bytes += bytes;
  bytes_ += bytes;
  const std::weak_ptr<bool> alive = alive_;
  dealer_->send(
      part.request, slot->call.owner(), servers_[shard], deadline,
      [this, alive, slot, generation = slot->generation, index, shard, bytes](const ParamsDealer::End& end) {
        if (alive.expired()) return;
        lanes_[shard].bytes -= bytes;
        bytes_ -= bytes;
        try {
          on_end(slot, generation, index, end);
        } catch (...) {
          if (!alive.expired()) pump_soon();
          throw;
        }
        if (!alive.expired() && waiting_ != 0) pump();
      });
}

void Client::on_end(const std::shared_ptr<Slot>& slot, std::uint64_t generation, std::size_t part,
                    const ParamsDealer::End& end) {
  if (slot->generation != generation || !slot->call.waits_for(part)) return;
  const std::uint32_t shard = slot->call.parts()[part].shard;
  if (!end.reply) {
    const bool over =
        slot->call.on_failure(part, end.text.empty() ? std::string(to_string(end.outcome)) : end.text);
    leave_lane(*slot, shard);
    return settle(slot, over);
  }
  lanes_[shard].heard = dealer_->loop().now();
  const std::weak_ptr<bool> alive = alive_;
  bool over = false;
  try {
    over = slot->call.on_reply(part, end.reply->reply, end.reply->values);
  } catch (...) {  // out of an OnRows
    if (!alive.expired() && slot->generation == generation) {
      leave_lane(*slot, shard);
      settle(slot, slot->call.done());
    }
    throw;
  }
  leave_lane(*slot, shard);
  settle(slot, over);
}

/// After a part has ended.
void Client::settle(const std::shared_ptr<Slot>& slot, bool over) {
  // What has failed in part is not gone on with.
  if (!over && !slot->call.ok() && waiting_ != 0) over = drop_waiting(slot, "was not asked any more");
  if (over) conclude(slot);
}

void Client::conclude(const std::shared_ptr<Slot>& slot) {
  // Goes last of all: what it owns may do anything when it goes.
  const OnRows on_rows = slot->call.take_on_rows();
  const Call& call = slot->call;
  Result result{call.status(), call.text(), call.clock(), call.min_clock(), {}};
  if (slot->kind != Kind::plain) result.infos = call.infos();
  if (slot->kind == Kind::join) {
    try {
      core_.accept_join(call);
    } catch (const Error& e) {
      if (result.ok()) result.status = Status::unusable;
      result.text = e.what();
    }
  }
  if (slot->kind == Kind::barrier && !result.ok()) core_.barrier_failed(call);
  Done done = std::exchange(slot->done, nullptr);
  ++slot->generation;
  slot->entered = false;
  --outstanding_;
  free_.push_back(slot);
  if (done) return done(result);
  if (!result.ok() && first_failure_.ok()) first_failure_ = std::move(result);
}

void Client::abandon(const std::shared_ptr<Slot>& slot, const std::string& sentence) {
  for (std::size_t part = 0; part < slot->call.parts().size(); ++part) {
    if (!slot->call.waits_for(part)) continue;
    const bool over = slot->call.on_failure(part, sentence);
    leave_lane(*slot, slot->call.parts()[part].shard);
    if (over) return conclude(slot);
  }
}

template <class Prepare>
void Client::begin(Kind kind, Reach reach, const Prepare& prepare, Done done) {
  if (!core_.lost().empty()) return refuse(done, Status::unusable, core_.lost());
  if (reach == Reach::all) {
    if (const auto full = full_lane()) return refuse(done, Status::full, full_text(*full));
  }
  const std::shared_ptr<Slot> slot = take(kind, prepare, std::move(done));
  if (const auto full = full_lane(*slot)) {
    const Done refused = std::exchange(slot->done, nullptr);
    put_back(slot);
    return refuse(refused, Status::full, full_text(*full));
  }
  start(slot, Deadline::after(settings_.timeout), Borrow::until_return);
}

void Client::refuse(const Done& done, Status status, std::string text) {
  Result result;
  result.status = status;
  result.text = std::move(text);
  if (done) return done(result);
  if (first_failure_.ok()) first_failure_ = std::move(result);
}

template <class Prepare>
Result Client::run(Kind kind, Reach reach, const Prepare& prepare, Deadline deadline) {
  struct Wait {
    bool over = false;
    Result result;
  };
  const auto wait = std::make_shared<Wait>();
  if (!core_.lost().empty()) return {Status::unusable, core_.lost(), 0, 0, {}};
  const auto all_have_room = [this] { return !full_lane(); };
  if (reach == Reach::all && !all_have_room()) {
    if (!dealer_->wait(all_have_room, deadline)) {
      wait->result.text = still_open(deadline);
      return wait->result;
    }
  }
  const std::shared_ptr<Slot> slot = take(kind, prepare, [wait](const Result& result) {
    wait->result = result;
    wait->over = true;
  });
  // However this is left: `out` and what `prepare` captured are the caller's again, so nothing may touch them
  // any more.
  const auto let_go = [&, generation = slot->generation,
                       alive = std::weak_ptr(alive_)](const std::string& sentence) {
    if (!alive.expired() && slot->generation == generation) abandon(slot, sentence);
  };
  // The deadline itself ends the requests; the margin is for the loop to say so.
  const auto margin = std::chrono::seconds(1);
  const TimePoint point = deadline.point();
  try {
    if (full_lane(*slot) && !dealer_->wait([&] { return !full_lane(*slot); }, deadline)) {
      put_back(slot);
      wait->result.text = still_open(deadline);
      return std::move(wait->result);
    }
    start(slot, deadline, Borrow::until_end);
    (void)dealer_->wait([&] { return wait->over; },
                        point > TimePoint::max() - margin ? deadline : Deadline::at(point + margin));
  } catch (...) {  // of any handler on this loop
    let_go("a handler threw before it replied");
    throw;
  }
  let_go(deadline.passed(Clock::now()) ? "no reply by the deadline"
                                       : "the loop was stopped before it replied");
  return std::move(wait->result);
}

std::string Client::still_open(Deadline deadline) const {
  return format("{} operations have not ended{}", outstanding_,
                deadline.passed(Clock::now()) ? " by the deadline" : ": the loop was stopped");
}

Result Client::flush(Deadline deadline) {
  const bool ended = dealer_->wait([this] { return outstanding_ == 0; }, deadline);
  Result result = std::exchange(first_failure_, Result{Status::ok, {}, 0, 0, {}});
  if (!ended && result.ok()) {
    result.status = Status::unreachable;
    result.text = still_open(deadline);
  }
  return result;
}

// ---- the two styles of each operation ----

void Client::join(Done done) {
  begin(
      Kind::join, Reach::all, [this](Call& call) { core_.join(call); }, std::move(done));
}
void Client::join(Deadline deadline) {
  const Result result = run(
      Kind::join, Reach::all, [this](Call& call) { core_.join(call); }, deadline);
  if (!result.ok()) throw Error(Errc::peer_lost, result.text);
}

void Client::pull(std::uint32_t table, std::span<const std::uint64_t> keys, std::span<float> out, Done done) {
  begin(
      Kind::plain, Reach::keys, [&](Call& call) { core_.pull(call, table, keys, out); }, std::move(done));
}
Result Client::pull(std::uint32_t table, std::span<const std::uint64_t> keys, std::span<float> out,
                    Deadline deadline) {
  return run(
      Kind::plain, Reach::keys, [&](Call& call) { core_.pull(call, table, keys, out); }, deadline);
}

void Client::pull(std::uint32_t table, std::span<const std::uint64_t> keys, OnRows on_rows, Done done) {
  begin(
      Kind::plain, Reach::keys, [&](Call& call) { core_.pull(call, table, keys, std::move(on_rows)); },
      std::move(done));
}
Result Client::pull(std::uint32_t table, std::span<const std::uint64_t> keys, OnRows on_rows,
                    Deadline deadline) {
  return run(
      Kind::plain, Reach::keys, [&](Call& call) { core_.pull(call, table, keys, std::move(on_rows)); },
      deadline);
}

void Client::push(std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values, Done done) {
  begin(
      Kind::plain, Reach::keys, [&](Call& call) { core_.push(call, table, keys, values); }, std::move(done));
}
Result Client::push(std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values,
                    Deadline deadline) {
  return run(
      Kind::plain, Reach::keys, [&](Call& call) { core_.push(call, table, keys, values); }, deadline);
}

void Client::push_pull(std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values,
                       std::span<float> out, Done done) {
  begin(
      Kind::plain, Reach::keys, [&](Call& call) { core_.push_pull(call, table, keys, values, out); },
      std::move(done));
}
Result Client::push_pull(std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values,
                         std::span<float> out, Deadline deadline) {
  return run(
      Kind::plain, Reach::keys, [&](Call& call) { core_.push_pull(call, table, keys, values, out); },
      deadline);
}

void Client::assign(std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values,
                    Done done) {
  begin(
      Kind::plain, Reach::keys, [&](Call& call) { core_.assign(call, table, keys, values); },
      std::move(done));
}
Result Client::assign(std::uint32_t table, std::span<const std::uint64_t> keys, const Values& values,
                      Deadline deadline) {
  return run(
      Kind::plain, Reach::keys, [&](Call& call) { core_.assign(call, table, keys, values); }, deadline);
}

void Client::clock(Done done) {
  begin(
      Kind::plain, Reach::all, [this](Call& call) { core_.clock(call); }, std::move(done));
}
Result Client::clock(Deadline deadline) {
  return run(
      Kind::plain, Reach::all, [this](Call& call) { core_.clock(call); }, deadline);
}

void Client::barrier(Done done) {
  begin(
      Kind::barrier, Reach::all, [this](Call& call) { core_.barrier(call); }, std::move(done));
}
Result Client::barrier(Deadline deadline) {
  return run(
      Kind::barrier, Reach::all, [this](Call& call) { core_.barrier(call); }, deadline);
}

void Client::stats(Done done) {
  begin(
      Kind::stats, Reach::all, [this](Call& call) { core_.stats(call); }, std::move(done));
}
Result Client::stats(Deadline deadline) {
  return run(
      Kind::stats, Reach::all, [this](Call& call) { core_.stats(call); }, deadline);
}

void Client::finish(Done done) {
  begin(
      Kind::plain, Reach::all, [this](Call& call) { core_.finish(call); }, std::move(done));
}
Result Client::finish(Deadline deadline) {
  return run(
      Kind::plain, Reach::all, [this](Call& call) { core_.finish(call); }, deadline);
}

void Client::leave(Done done) {
  begin(
      Kind::plain, Reach::all, [this](Call& call) { core_.leave(call); }, std::move(done));
}
Result Client::leave(Deadline deadline) {
  return run(
      Kind::plain, Reach::all, [this](Call& call) { core_.leave(call); }, deadline);
}

}  // namespace weft::ps
