#include "sim/world.hpp"

#include <algorithm>

#include <weft/core/format.hpp>

#include "sim/receiver.hpp"
#include "sim/sender.hpp"

namespace weft::sim {
namespace {

using namespace std::chrono_literals;

// A process looks at its timers at most so often: real loops have such a grain, too.
constexpr Duration kGrain = 5ms;
// So long nothing may end once nothing breaks any more: the longest wait is a dead peer's, 10 s.
constexpr Duration kPatience = 120s;

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  return (a ^ (b + 0x9E3779B97F4A7C15ULL + (a << 6) + (a >> 2))) * 0x100000001B3ULL;
}

std::uint64_t records_each(const PushPullOptions& options) {
  return (options.records + options.senders - 1) / options.senders;
}

}  // namespace

SimProcess::SimProcess(World& world, std::uint32_t index, std::string name)
    : world_(world), index_(index), name_(std::move(name)) {}

TimePoint SimProcess::clock() const {
  const auto since = world_.scheduler().now().time_since_epoch();
  return TimePoint{} + std::chrono::duration_cast<Duration>(since * rate_);
}

void SimProcess::send(SimMessage message) {
  if (!up_) return;  // died in the middle of this step
  if (dies_after_sends_) {
    if (*dies_after_sends_ == 0) return;
    --*dies_after_sends_;
  }
  message.from = index_;
  message.from_life = life_;
  world_.transmit(std::move(message));
}

void SimProcess::later(Duration span, void (SimProcess::*step)()) {
  const std::uint64_t life = life_;
  world_.scheduler().after(span, [this, life, step] {
    if (!up_ || life_ != life) return;
    if (paused_until_ > world_.scheduler().now()) {
      later(paused_until_ - world_.scheduler().now(), step);
      return;
    }
    world_.step(*this, [this, step] { (this->*step)(); });
  });
}

World::World(const PushPullOptions& options)
    : options_(options),
      random_(options.seed),
      oracle_(options.delivery, options.senders, records_each(options)),
      wires_(static_cast<std::size_t>(options.senders) * options.receivers * 2) {
  report_.seed = options.seed;
  const bool by_key = options.distribute == Distribute::hash || options.distribute == Distribute::explicit_;
  if (!by_key || options.priorities || options.delay != Duration::zero() || options.reject > 0)
    oracle_.forget_order();
  std::uint64_t left = options.records;
  for (std::uint32_t i = 0; i < options.senders; ++i) {
    const std::uint64_t records = std::min(left, records_each(options));
    left -= records;
    processes_.push_back(std::make_unique<SimSender>(*this, i, records));
  }
  for (std::uint32_t i = 0; i < options.receivers; ++i)
    processes_.push_back(std::make_unique<SimReceiver>(*this, receiver(i), i));
}

World::~World() = default;

std::uint64_t World::next_epoch() {
  std::uint64_t wall = 1'700'000'000'000'000ULL + static_cast<std::uint64_t>(scheduler_.elapsed() / 1us);
  if (chance(options_.faults.jump)) {
    fault("clock set");
    wall += random_.below(7'200'000'000ULL);
    wall -= 3'600'000'000ULL;
  }
  return last_epoch_ = std::max(wall, last_epoch_ + 1);
}

void World::transmit(SimMessage message) {
  const Faults& faults = options_.faults;
  ++report_.messages;
  const SimProcess& to = process(message.to);
  const TimePoint now = scheduler_.now();
  Wire& wire = this->wire(message.from, message.to);
  if (message.kind == SimKind::hello) ++wire.hellos_sent;
  message.talk = wire.hellos_sent;
  if (message.to_life == 0) message.to_life = to.life();
  if (chance(faults.partition)) {
    fault("partition");
    wire.cut_until = now + random_.between(50ms, random_.chance(0.2) ? Duration(12s) : Duration(1s));
    if (random_.chance(0.7)) this->wire(message.to, message.from).cut_until = wire.cut_until;
  }
  const bool cut = faulty() && wire.cut_until > now;
  if (!to.up() || cut || chance(faults.loss)) {
    ++report_.messages_lost;
    if (message.kind == SimKind::data) ++report_.batches_lost;
    if (to.up() && !cut) fault("lost message");
    return;
  }
  TimePoint when = now + random_.between(faults.delay, 2 * faults.delay);
  if (!wire.slow) wire.slow = random_.chance(faults.slow);
  if (*wire.slow && message.batch) {
    wire.free_at = std::max(wire.free_at, now) + Duration(message.batch->bytes * 1000);
    when = std::max(when, wire.free_at);
  }
  const auto shared = std::make_shared<const SimMessage>(std::move(message));
  if (chance(faults.duplicate)) {
    fault("doubled message");
    arrive(when + random_.between(0ms, 30ms), shared);
  }
  if (chance(faults.reorder)) {
    fault("late message");
    arrive(when + random_.between(0ms, 30ms), shared);
    return;
  }
  when = std::max(when, wire.last_arrival);  // a connection keeps order
  wire.last_arrival = when;
  arrive(when, shared);
}

void World::arrive(TimePoint when, std::shared_ptr<const SimMessage> message) {
  scheduler_.at(when, [this, message = std::move(message)] { deliver(message); });
}

void World::deliver(const std::shared_ptr<const SimMessage>& message) {
  SimProcess& to = process(message->to);
  // A connection ends with the process at its far end.
  if (!to.up() || to.life() != message->to_life) return;
  if (to.paused_until_ > scheduler_.now()) {
    arrive(to.paused_until_, message);
    return;
  }
  // A network may reorder what is said between two HELLOs, as links of other kinds would; a connection does
  // not let anything that was said before a HELLO come behind it.
  Wire& wire = this->wire(message->from, message->to);
  if (message->talk < wire.hellos_arrived) return;
  wire.hellos_arrived = message->talk;
  scheduler_.trace(mix(static_cast<std::uint64_t>(message->kind) << 56 |
                           static_cast<std::uint64_t>(message->from) << 28 | message->to,
                       message->seq));
  step(to, [&] { to.on_message(*message); });
}

void World::start(SimProcess& process) {
  process.up_ = true;
  ++process.life_;
  process.rate_ = 1 + options_.faults.skew * (2 * random_.unit() - 1);
  process.timer_ = TimePoint::max();
  step(process, [&] { process.on_start(); });
}

// One step of a process. It may die before, in the middle or at the end of it, or be stopped behind it.
template <class Step>
void World::step(SimProcess& process, const Step& step) {
  bool dies = chance(options_.faults.crash);
  if (dies && random_.chance(0.3)) {
    crash(process);
    return;
  }
  if (dies && random_.chance(0.5)) process.dies_after_sends_ = static_cast<unsigned>(random_.below(4));
  step();
  process.dies_after_sends_.reset();
  if (!process.up_) return;
  process.check_bounds();
  if (dies) {
    crash(process);
    return;
  }
  if (chance(options_.faults.pause)) {
    fault("stopped");
    process.paused_until_ =
        scheduler_.now() + random_.between(1ms, random_.chance(0.1) ? Duration(4s) : Duration(200ms));
  }
  arm(process, scheduler_.now() + kGrain);
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
  step(process, [&] {
    wanted = process.on_tick();
    ran = true;
  });
  if (!process.up_ || !ran) return;
  if (wanted <= process.clock())
    oracle_.problem(format("a timer of {} runs hot: it wants a time that has come", process.name()));
  // The step has armed the next look at the timers; after one that was of no use there is only what was
  // wanted.
  process.timer_ = TimePoint::max();
  ++process.timer_number_;
  if (wanted == TimePoint::max()) return;
  const auto since = std::chrono::duration_cast<Duration>(wanted.time_since_epoch() / process.rate_);
  arm(process, std::max(scheduler_.now() + kGrain, TimePoint{} + since + 1us));
}

void World::crash(SimProcess& process) {
  const bool power = random_.chance(options_.faults.power);
  fault(power ? "power failed" : "killed");
  process.up_ = false;
  ++process.timer_number_;
  process.paused_until_ = TimePoint::min();
  process.dies_after_sends_.reset();
  process.on_crash(power);
  const Duration down = random_.chance(0.1) ? random_.between(8s, 15s) : random_.between(10ms, 800ms);
  scheduler_.after(down, [this, &process] { start(process); });
}

bool World::at_rest() const {
  return std::all_of(processes_.begin(), processes_.end(), [this](const auto& process) {
    return process->up() && process->paused_until_ <= scheduler_.now() && process->at_rest();
  });
}

bool World::come_to_rest() {
  const TimePoint healed = scheduler_.now() + options_.faults_for;
  TimePoint look = scheduler_.now();
  while (scheduler_.step()) {
    if (!oracle_.problems().empty()) return false;
    if (scheduler_.now() < look) continue;
    if (at_rest()) return true;
    look = scheduler_.now() + 20ms;
    if (scheduler_.now() > std::max(healed, progress_) + kPatience) break;
  }
  for (const auto& process : processes_) {
    if (!process->up() || !process->at_rest())
      oracle_.problem(format("{} did not come to rest", process->name()));
  }
  return false;
}

void World::run_for(Duration span) {
  const TimePoint until = scheduler_.now() + span;
  while (scheduler_.now() < until && scheduler_.step()) {
  }
}

// Copies may still be on their way, and are answered; but no batch is sent any more, and then there is
// silence.
void World::stay_at_rest() {
  const std::uint64_t sent = report_.batches_sent;
  options_.faults_for = Duration::zero();
  run_for(2s);
  const std::uint64_t messages = report_.messages;
  run_for(3s);
  for (const auto& process : processes_) {
    if (!process->up() || !process->at_rest())
      oracle_.problem(format("{} was at rest and began to move again", process->name()));
  }
  if (report_.batches_sent != sent)
    oracle_.problem(format("{} batches were sent after all was processed", report_.batches_sent - sent));
  const std::uint64_t pairs = wires_.size() / 2;
  // A heartbeat a second and its answer, and a HELLO where a receiver has just come back.
  if (report_.messages - messages > pairs * 16)
    oracle_.problem(format("{} messages in 3 s of rest", report_.messages - messages));
}

SimReport World::run() {
  for (const auto& process : processes_) {
    scheduler_.after(random_.between(0ms, 20ms), [this, &process = *process] { start(process); });
  }
  const bool rests = come_to_rest();
  report_.virtual_time = scheduler_.elapsed();
  if (rests) stay_at_rest();
  report_.events = scheduler_.events();
  report_.trace_hash = scheduler_.trace_hash();
  report_.counts = oracle_.ledger().counts();
  report_.problems = oracle_.problems();
  if (rests) {
    for (std::string& sentence : oracle_.ledger().problems()) report_.problems.push_back(std::move(sentence));
  }
  return std::move(report_);
}

}  // namespace weft::sim
