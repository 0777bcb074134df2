#include "sim/world.hpp"

#include <algorithm>

#include <weft/core/format.hpp>

namespace weft::sim {
namespace {

using namespace std::chrono_literals;

// A process looks at its timers at most so often: real loops have such a grain, too.
constexpr Duration kGrain = 5ms;
// So long nothing may end once nothing breaks any more: the longest wait is a dead peer's, 10 s.
constexpr Duration kPatience = 120s;
// The same once who was stopped goes on: it has to be back within seconds, as a person would count them.
constexpr Duration kPatienceAfterPause = 6s;
// Until who was stopped has looked at its timers.
constexpr Duration kSettle = 100ms;
// Data for a process that is stopped, in its socket and its peer's, where what has no room is dropped.
constexpr std::uint64_t kSocketRoom = 16;

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  return (a ^ (b + 0x9E3779B97F4A7C15ULL + (a << 6) + (a >> 2))) * 0x100000001B3ULL;
}

}  // namespace

SimProcess::SimProcess(World& world, std::uint32_t index, std::string name)
    : index_(index), base_(world), name_(std::move(name)) {}

TimePoint SimProcess::clock() const {
  const auto since = base_.scheduler().now().time_since_epoch();
  return TimePoint{} + std::chrono::duration_cast<Duration>(since * rate_);
}

bool SimProcess::send(SimMessage message) {
  if (!up_) return true;  // died in the middle of this step
  if (dies_after_sends_) {
    if (*dies_after_sends_ == 0) return true;
    --*dies_after_sends_;
  }
  has_sent_ = true;
  message.from = index_;
  message.from_life = life_;
  return base_.transmit(std::move(message));
}

void SimProcess::later(Duration span, void (SimProcess::*step)()) {
  const std::uint64_t life = life_;
  base_.scheduler().after(span, [this, life, step] {
    if (!up_ || life_ != life) return;
    if (paused_until_ > base_.scheduler().now()) {
      later(paused_until_ - base_.scheduler().now(), step);
      return;
    }
    base_.step(*this, Kind::work, [this, step] { (this->*step)(); });
  });
}

World::World(const WorldOptions& options)
    : world_(options),
      random_(options.seed),
      wires_(static_cast<std::size_t>(options.left) * options.right * options.channels * 2) {}

World::~World() = default;

std::uint64_t World::next_epoch() {
  std::uint64_t wall = 1'700'000'000'000'000ULL + static_cast<std::uint64_t>(scheduler_.elapsed() / 1us);
  if (chance(world_.faults.jump)) {
    fault("clock set");
    wall += random_.below(7'200'000'000ULL);
    wall -= 3'600'000'000ULL;
  }
  return last_epoch_ = std::max(wall, last_epoch_ + 1);
}

// True: it is lost on its way.
bool World::loses(const SimMessage& message, Wire& wire) {
  const TimePoint now = scheduler_.now();
  const SimProcess& to = process(message.to);
  if (chance(world_.faults.partition)) {
    fault("partition");
    wire.cut_until = now + random_.between(50ms, random_.chance(0.2) ? Duration(12s) : Duration(1s));
    if (random_.chance(0.7)) this->wire(message.to, message.from, message.channel).cut_until = wire.cut_until;
  }
  const bool cut = faulty() && wire.cut_until > now;
  if (to.up() && !cut && !chance(world_.faults.loss)) return false;
  ++messages_lost_;
  on_lost(message);
  if (to.up() && !cut) fault("lost message");
  return true;
}

// The next connection is read beside this one at the binding end, and behind it at the other one.
void World::break_connection(std::uint32_t a, std::uint32_t b) {
  this->wire(b, a).connection = ++this->wire(a, b).connection;
  (binds(a) ? this->wire(b, a) : this->wire(a, b)).last_arrival = TimePoint::min();
}

void World::break_connections(const SimProcess& process) {
  const bool left = process.index_ < world_.left;
  const std::uint32_t first = left ? world_.left : 0;
  const std::uint32_t last = left ? world_.left + world_.right : world_.left;
  for (std::uint32_t other = first; other < last; ++other) break_connection(process.index_, other);
}

void World::reconnect(std::uint32_t from, std::uint32_t to) {
  fault("connection replaced");
  break_connection(from, to);
  this->wire(to, from).closed_below = this->wire(to, from).connection;
}

bool World::transmit(SimMessage message) {
  const Faults& faults = world_.faults;
  const SimProcess& to = process(message.to);
  const TimePoint now = scheduler_.now();
  Wire& wire = this->wire(message.from, message.to, message.channel);
  if (message.connection != 0 && message.connection != wire.connection) return false;
  message.connection = wire.connection;
  ++messages_;
  if (message.kind == SimKind::hello) ++wire.hellos_sent;
  message.talk = wire.hellos_sent;
  if (message.to_life == 0) message.to_life = to.life();
  if (message.batch) message.bytes = message.batch->bytes;
  if (loses(message, wire)) {
    if (world_.connections && message.channel == 0) break_connection(message.from, message.to);
    return true;
  }
  TimePoint when = now + random_.between(faults.delay, 2 * faults.delay);
  if (!wire.slow) wire.slow = random_.chance(faults.slow);
  if (*wire.slow && message.bytes != 0) {
    wire.free_at = std::max(wire.free_at, now) + Duration(message.bytes * 1000);
    when = std::max(when, wire.free_at);
  }
  const bool connection = by_connection(message);
  const bool ordered = message.ordered || connection;
  const auto shared = std::make_shared<const SimMessage>(std::move(message));
  if (!ordered && chance(faults.duplicate)) {
    fault("doubled message");
    arrive(when + random_.between(0ms, 30ms), shared);
  }
  if ((!ordered || connection) && chance(faults.reorder)) {
    fault("late message");
    when += random_.between(0ms, 30ms);
    if (!ordered) {
      arrive(when, shared);
      return true;
    }
  }
  when = std::max(when, wire.last_arrival);  // a connection keeps order
  wire.last_arrival = when;
  arrive(when, shared);
  return true;
}

void World::arrive(TimePoint when, std::shared_ptr<const SimMessage> message) {
  scheduler_.at(when, [this, message = std::move(message)] { deliver(message); });
}

void World::deliver(const std::shared_ptr<const SimMessage>& message) {
  SimProcess& to = process(message->to);
  // A connection ends with the process at its far end.
  if (!to.up() || to.life() != message->to_life) return;
  Wire& wire = this->wire(message->from, message->to, message->channel);
  if (by_connection(*message) && message->connection < wire.closed_below) return;
  if (to.paused_until_ > scheduler_.now()) {
    if (!waits_in_socket(to, message)) return;
    // What has come by several connections is given in turns, and by each of them in its order.
    const std::uint64_t turn = by_connection(*message) && binds(to.index_) ? message->connection * 7 % 4 : 0;
    arrive(to.paused_until_ + Duration(turn), message);
    return;
  }
  // Where there are no connections, the network may reorder what is said between two HELLOs; nothing that was
  // said before a HELLO comes behind it.
  if (!by_connection(*message)) {
    if (message->talk < wire.hellos_arrived) return;
    wire.hellos_arrived = message->talk;
  }
  scheduler_.trace(mix(static_cast<std::uint64_t>(message->kind) << 56 |
                           static_cast<std::uint64_t>(message->from) << 28 | message->to,
                       message->seq));
  step(to, SimProcess::Kind::work, [&] { to.on_message(*message); });
}

// Sessions keep to their credit, and what goes beside it is little; data without credit is dropped where
// the socket of who does not read is full.
bool World::waits_in_socket(const SimProcess& to, const std::shared_ptr<const SimMessage>& message) {
  if (message->channel == 0) return true;
  Wire& wire = this->wire(message->from, message->to, message->channel);
  if (std::exchange(wire.waiting_until, to.paused_until_) != to.paused_until_) wire.waiting = 0;
  if (wire.waiting == kSocketRoom) {
    fault("socket full");
    return false;
  }
  ++wire.waiting;
  return true;
}

void World::start(SimProcess& process) {
  process.up_ = true;
  ++process.life_;
  process.rate_ = 1 + world_.faults.skew * (2 * random_.unit() - 1);
  process.timer_ = TimePoint::max();
  step(process, SimProcess::Kind::work, [&] { process.on_start(); });
}

// One step of a process. It may die before, in the middle or at the end of it, or be stopped behind it.
template <class Step>
void World::step(SimProcess& process, SimProcess::Kind kind, const Step& step) {
  bool dies = chance(world_.faults.crash);
  if (dies && random_.chance(0.3)) {
    crash(process);
    return;
  }
  if (dies && random_.chance(0.5)) process.dies_after_sends_ = static_cast<unsigned>(random_.below(4));
  process.has_sent_ = false;
  step();
  process.dies_after_sends_.reset();
  if (kind == SimProcess::Kind::work || process.has_sent_) ++process.moments_;
  if (!process.up_) return;
  process.check_bounds();
  if (dies) {
    crash(process);
    return;
  }
  if (chance(world_.faults.pause))
    stop(process, random_.between(1ms, random_.chance(0.1) ? Duration(4s) : Duration(200ms)));
  if (kind == SimProcess::Kind::work || process.has_sent_) stop_at_moments(process);
  if (process.timer_ != process.paused_until_) arm(process, scheduler_.now() + kGrain);
}

void World::stop(SimProcess& process, Duration span) {
  fault("stopped");
  process.paused_until_ = std::max(process.paused_until_, scheduler_.now() + span);
}

// A loop that goes on looks at its timers before it looks at its sockets, or is amid its sockets: both are
// played.
void World::stop_at_moments(SimProcess& process) {
  if (rests_) return;
  for (const Pause& pause : world_.pauses) {
    if (pause.process != process.index_ || pause.moment != process.moments_) continue;
    stop(process, pause.span);
    trouble_until_ = std::max(trouble_until_, process.paused_until_);
    if (pause.moment % 2 == 0) continue;
    process.timer_ = TimePoint::max();
    arm(process, process.paused_until_);
  }
}

void World::arm(SimProcess& process, TimePoint when) {
  if (process.timer_ <= when) return;
  process.timer_ = when;
  const std::uint64_t number = ++process.timer_number_;
  scheduler_.at(when, [this, &process, number] {
    if (!process.up_ || process.timer_number_ != number) return;
    process.timer_ = TimePoint::max();
    if (process.paused_until_ > scheduler_.now()) {
      arm(process, process.paused_until_);
      return;
    }
    tick(process);
  });
}

void World::tick(SimProcess& process) {
  TimePoint wanted = TimePoint::max();
  bool ran = false;
  step(process, SimProcess::Kind::timers, [&] {
    wanted = process.on_tick();
    ran = true;
  });
  if (!process.up_ || !ran) return;
  if (wanted <= process.clock())
    problem(format("a timer of {} runs hot: it wants a time that has come", process.name()));
  // The step has armed the next look at the timers; after one that was of no use there is only what was
  // wanted.
  process.timer_ = TimePoint::max();
  ++process.timer_number_;
  if (process.paused_until_ > scheduler_.now()) return arm(process, process.paused_until_);
  if (wanted == TimePoint::max()) return;
  const auto since = std::chrono::duration_cast<Duration>(wanted.time_since_epoch() / process.rate_);
  arm(process, std::max(scheduler_.now() + kGrain, TimePoint{} + since + 1us));
}

void World::crash(SimProcess& process) {
  const bool power = random_.chance(world_.faults.power);
  fault(power ? "power failed" : "killed");
  process.up_ = false;
  ++process.timer_number_;
  process.paused_until_ = TimePoint::min();
  process.dies_after_sends_.reset();
  process.on_crash(power);
  if (world_.connections) break_connections(process);
  const Duration down = random_.chance(0.1) ? random_.between(8s, 15s) : random_.between(10ms, 800ms);
  if (pauses()) trouble_until_ = std::max(trouble_until_, scheduler_.now() + down);
  scheduler_.after(down, [this, &process] { start(process); });
}

bool World::at_rest() const {
  return std::all_of(processes_.begin(), processes_.end(), [this](const auto& process) {
    return process->up() && process->paused_until_ <= scheduler_.now() && process->at_rest();
  });
}

bool World::come_to_rest() {
  const Duration patience = pauses() ? kPatienceAfterPause : kPatience;
  TimePoint look = scheduler_.now();
  while (scheduler_.step()) {
    if (!problems_.none()) return false;
    if (scheduler_.now() < look) continue;
    if (!at_rest()) {
      rests_since_ = TimePoint::max();
    } else {
      rests_since_ = std::min(rests_since_, scheduler_.now());
      // Who was stopped has not seen yet, at first, that its peers have been silent for it.
      if (!pauses() || scheduler_.now() > trouble_until_ + kSettle) return true;
    }
    look = scheduler_.now() + 20ms;
    if (scheduler_.now() > std::max({whole(), trouble_until_, progress_}) + patience) break;
  }
  for (const auto& process : processes_) {
    if (!process->up() || !process->at_rest()) problem(format("{} did not come to rest", process->name()));
  }
  return false;
}

void World::run_for(Duration span) {
  const TimePoint until = scheduler_.now() + span;
  while (scheduler_.now() < until && scheduler_.step()) {
  }
}

// Copies may still be on their way, and are answered; but nothing is begun any more, and then there is
// silence.
void World::stay_at_rest() {
  const std::uint64_t sent = work_sent();
  world_.faults_for = Duration::zero();
  rests_ = true;
  run_for(2s);
  const std::uint64_t messages = messages_;
  run_for(3s);
  for (const auto& process : processes_) {
    if (!process->up() || !process->at_rest())
      problem(format("{} was at rest and began to move again", process->name()));
  }
  if (work_sent() != sent) problem(format("{} messages were sent after all was done", work_sent() - sent));
  const std::uint64_t pairs = std::uint64_t{world_.left} * world_.right;
  // A heartbeat a second and its answer, and a HELLO where a process has just come back.
  if (messages_ - messages > pairs * world_.quiet_messages)
    problem(format("{} messages in 3 s of rest", messages_ - messages));
}

bool World::run_to_rest(RunReport& report) {
  for (const auto& process : processes_) {
    scheduler_.after(random_.between(0ms, 20ms), [this, &process = *process] { start(process); });
  }
  const bool rests = come_to_rest();
  report.seed = world_.seed;
  report.virtual_time = scheduler_.elapsed();
  for (const auto& process : processes_) report.moments.push_back(process->moments_);
  // A pause whose moment never came was no trouble.
  if (rests && pauses() && trouble_until_ != TimePoint::min())
    report.back_after = rests_since_ - std::min(rests_since_, trouble_until_);
  if (rests) {
    stay_at_rest();
    on_rest();
  }
  report.messages = messages_;
  report.messages_lost = messages_lost_;
  report.events = scheduler_.events();
  report.trace_hash = scheduler_.trace_hash();
  report.faults = faults_seen_;
  report.problems = problems_.sentences();
  return rests;
}

}  // namespace weft::sim
