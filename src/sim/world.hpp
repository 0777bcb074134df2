// World: one simulated link: its processes, what is between them, and what breaks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <weft/protocol/sequence_set.hpp>
#include <weft/sim/disk.hpp>
#include <weft/sim/push_pull.hpp>
#include <weft/sim/random.hpp>
#include <weft/sim/scheduler.hpp>

#include "sim/oracle.hpp"

namespace weft::sim {

/// Records that travel together, as their sender made them.
struct SimBatch {
  std::uint64_t bytes = 0;
  std::uint64_t key = 0;
  std::vector<RecordId> records;
};
using SimBatchPtr = std::shared_ptr<const SimBatch>;

enum class SimKind : std::uint8_t { hello, data, ack, nack_retry, nack_reject, ping };

/// A message of the protocol, as it is before it becomes bytes.
struct SimMessage {
  SimKind kind = SimKind::hello;
  std::uint32_t from = 0, to = 0;  // processes
  std::uint64_t from_life = 0;
  std::uint64_t to_life = 0;  // 0: whoever is there
  std::uint64_t talk = 0;     // number of HELLOs before it, set by the network
  std::uint64_t epoch = 0;
  std::uint64_t seq = 0;
  std::uint64_t first_retained = 0;
  std::uint32_t attempt = 0;  // HELLO: its number; PING and ACK: the probe's, when it is not 0
  SimBatchPtr batch{};        // DATA: null in an empty one
  std::shared_ptr<const protocol::AckView> view{};
};

class World;

/// A process that dies and comes back. Its clock is its own.
class SimProcess {
 public:
  SimProcess(World& world, std::uint32_t index, std::string name);
  virtual ~SimProcess() = default;
  SimProcess(const SimProcess&) = delete;
  SimProcess& operator=(const SimProcess&) = delete;

  [[nodiscard]] bool up() const { return up_; }
  [[nodiscard]] std::uint64_t life() const { return life_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  /// Nothing is left to do.
  [[nodiscard]] virtual bool at_rest() const = 0;

 protected:
  virtual void on_start() = 0;
  virtual void on_message(const SimMessage& message) = 0;
  /// Its time has come. Returns when (by its own clock) it wants the next one.
  virtual TimePoint on_tick() = 0;
  /// The process is gone; `power`: so is what its disk had not synced.
  virtual void on_crash(bool power) = 0;
  /// What must hold after every step.
  virtual void check_bounds() = 0;

  [[nodiscard]] TimePoint clock() const;  // of this process: runs fast or slow
  void send(SimMessage message);
  /// A step of this process after that time, unless it has died by then.
  void flush_after(Duration span) { later(span, &SimProcess::on_flush); }
  void handled_after(Duration span) { later(span, &SimProcess::on_handled); }
  virtual void on_flush() {}
  virtual void on_handled() {}

  World& world_;
  std::uint32_t index_;

 private:
  friend class World;
  void later(Duration span, void (SimProcess::*step)());

  std::string name_;
  bool up_ = false;
  std::uint64_t life_ = 0;
  double rate_ = 1;
  TimePoint paused_until_ = TimePoint::min();
  TimePoint timer_ = TimePoint::max();
  std::uint64_t timer_number_ = 0;
  std::optional<unsigned> dies_after_sends_;
};

class World {
 public:
  explicit World(const PushPullOptions& options);
  ~World();
  SimReport run();

  const PushPullOptions& options() const { return options_; }
  Random& random() { return random_; }
  Scheduler& scheduler() { return scheduler_; }
  Oracle& oracle() { return oracle_; }
  SimReport& report() { return report_; }
  SimProcess& process(std::uint32_t index) { return *processes_[index]; }
  /// While it is true, things break.
  [[nodiscard]] bool faulty() const { return scheduler_.elapsed() < options_.faults_for; }
  [[nodiscard]] bool chance(double probability) { return faulty() && random_.chance(probability); }
  /// An epoch for a stream that keeps none: its start by the wall clock, and above what was given before.
  std::uint64_t next_epoch();
  void crash(SimProcess& process);
  /// A batch was made or has ended: there is still hope.
  void progress() { progress_ = scheduler_.now(); }
  void fault(std::string_view kind) { oracle_.ledger().fault(kind); }

  // Processes: senders first, then receivers.
  [[nodiscard]] std::uint32_t receiver(std::uint32_t number) const { return options_.senders + number; }

 private:
  friend class SimProcess;
  struct Wire {  // one direction of one pair
    TimePoint last_arrival = TimePoint::min();
    TimePoint cut_until = TimePoint::min();
    std::optional<bool> slow;
    TimePoint free_at = TimePoint::min();
    std::uint64_t hellos_sent = 0, hellos_arrived = 0;
  };
  Wire& wire(std::uint32_t from, std::uint32_t to) {
    const std::uint32_t sender = std::min(from, to);
    const std::uint32_t number = std::max(from, to) - options_.senders;
    return wires_[(static_cast<std::size_t>(sender) * options_.receivers + number) * 2 + (from < to ? 0 : 1)];
  }
  void transmit(SimMessage message);
  void arrive(TimePoint when, std::shared_ptr<const SimMessage> message);
  void deliver(const std::shared_ptr<const SimMessage>& message);
  void start(SimProcess& process);
  template <class Step>
  void step(SimProcess& process, const Step& step);
  void arm(SimProcess& process, TimePoint when);
  void tick(SimProcess& process);
  [[nodiscard]] bool at_rest() const;
  bool come_to_rest();
  void run_for(Duration span);
  void stay_at_rest();

  PushPullOptions options_;
  Random random_;
  Scheduler scheduler_;
  Oracle oracle_;
  SimReport report_;
  std::vector<std::unique_ptr<SimProcess>> processes_;
  std::vector<Wire> wires_;
  std::uint64_t last_epoch_ = 0;
  TimePoint progress_ = TimePoint::min();
};

}  // namespace weft::sim
