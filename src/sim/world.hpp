// World: one simulated link: its processes, what is between them, and what breaks. What the processes are, a
// world of its own adds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/protocol/lane.hpp>
#include <weft/protocol/sequence_set.hpp>
#include <weft/sim/disk.hpp>
#include <weft/sim/faults.hpp>
#include <weft/sim/ledger.hpp>
#include <weft/sim/pauses.hpp>
#include <weft/sim/random.hpp>
#include <weft/sim/report.hpp>
#include <weft/sim/scheduler.hpp>

#include "sim/problems.hpp"

namespace weft::sim {

/// Records that travel together, as their sender made them.
struct SimBatch {
  std::uint64_t bytes = 0;
  std::uint64_t key = 0;
  std::vector<RecordId> records;
};
using SimBatchPtr = std::shared_ptr<const SimBatch>;

enum class SimKind : std::uint8_t {
  hello,
  data,
  ack,
  nack_retry,
  nack_reject,
  ping,
  request,
  reply,
  cancel,
  subscribe,
  live,
  positions,
  sync,
  answer,
};

/// What a message carries beyond its header; what it is, its kind says.
struct SimBody {
  SimBody() = default;
  virtual ~SimBody() = default;
  SimBody(const SimBody&) = delete;
  SimBody& operator=(const SimBody&) = delete;
};

/// A message of the protocol, as it is before it becomes bytes.
struct SimMessage {
  SimKind kind = SimKind::hello;
  std::uint32_t from = 0, to = 0;  // processes
  std::uint64_t from_life = 0;
  std::uint64_t to_life = 0;     // 0: whoever is there
  std::uint64_t talk = 0;        // number of HELLOs before it, set by the network
  std::uint64_t connection = 0;  // that it came by, set by the network
  std::uint32_t channel = 0;     // 1: the second one between these two, where there are two
  bool ordered =
      false;  // by a connection that keeps order and doubles nothing, as all that WorldOptions names
  bool report = false;  // DATA: say as soon as it has been processed
  std::uint64_t epoch = 0;
  std::uint64_t seq = 0;
  std::uint64_t first_retained = 0;
  protocol::Credit credit = {};  // HELLO of a session with lanes
  std::uint32_t attempt = 0;     // HELLO: its number; PING and ACK: the probe's, when it is not 0
  SimBatchPtr batch{};           // DATA: null in an empty one
  std::uint64_t bytes = 0;       // that a slow link carries
  std::shared_ptr<const protocol::AckView> view{};
  std::shared_ptr<const SimBody> body{};
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
  /// False: the connection by which the receiver is to get it is gone, and that is known here.
  bool send(SimMessage message);
  /// A step of this process after that time, unless it has died by then.
  void flush_after(Duration span) { later(span, &SimProcess::on_flush); }
  void handled_after(Duration span) { later(span, &SimProcess::on_handled); }
  virtual void on_flush() {}
  virtual void on_handled() {}

  std::uint32_t index_;

 private:
  friend class World;
  enum class Kind { work, timers };
  World& base_;
  void later(Duration span, void (SimProcess::*step)());

  std::string name_;
  bool up_ = false;
  std::uint64_t life_ = 0;
  double rate_ = 1;
  TimePoint paused_until_ = TimePoint::min();
  std::uint64_t moments_ = 0;  // steps that were more than a look at its timers, of all its lives
  bool has_sent_ = false;      // in this step
  TimePoint timer_ = TimePoint::max();
  std::uint64_t timer_number_ = 0;
  std::optional<unsigned> dies_after_sends_;
};

struct WorldOptions {
  std::uint64_t seed = 1;
  Faults faults = {};
  Duration faults_for{};
  std::uint32_t left = 1, right = 1;  ///< processes of the two ends of the link; all pairs have a connection
  /// The first channel of a pair is a connection, as TCP makes them: it keeps order and doubles nothing. It
  /// ends with a lost message and with either of its processes, and what comes by the next one comes from a
  /// stranger. What was on its way by the old one may come behind the beginning of the next one where many
  /// connections end in one socket, as they do at the binding end; the connecting end reads them in turn.
  bool connections = false;
  bool right_connects = false;        ///< and the left end binds
  std::uint32_t channels = 1;         ///< of a pair; a connection is what the first one has
  std::uint64_t quiet_messages = 16;  ///< of a pair in 3 s of rest, at most
  std::vector<Pause> pauses = {};
};

class World {
 public:
  explicit World(const WorldOptions& options);
  virtual ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Random& random() { return random_; }
  Scheduler& scheduler() { return scheduler_; }
  Problems& problems() { return problems_; }
  void problem(std::string sentence) { problems_.add(std::move(sentence)); }
  SimProcess& process(std::uint32_t index) { return *processes_[index]; }
  [[nodiscard]] const Faults& faults() const { return world_.faults; }
  /// While it is true, things break.
  [[nodiscard]] bool faulty() const { return scheduler_.elapsed() < world_.faults_for; }
  [[nodiscard]] bool chance(double probability) { return faulty() && random_.chance(probability); }
  /// An epoch for a stream that keeps none: its start by the wall clock, and above what was given before.
  std::uint64_t next_epoch();
  void crash(SimProcess& process);
  /// The connecting end gives its connection up: what was on its way to it by that is gone.
  void reconnect(std::uint32_t from, std::uint32_t to);
  /// Nothing breaks any more, nobody is stopped or down, and so much time has passed since.
  [[nodiscard]] bool healed_for(Duration span) const {
    return scheduler_.now() > std::max(whole(), trouble_until_) + span;
  }
  /// Something has stopped or ended a process since then.
  [[nodiscard]] bool troubled_since(TimePoint when) const { return trouble_until_ > when; }
  /// Some process is to be stopped at a moment that is named: then all has to go on within seconds.
  [[nodiscard]] bool pauses() const { return !world_.pauses.empty(); }
  /// Something was begun or has ended: there is still hope.
  void progress() { progress_ = scheduler_.now(); }
  void fault(std::string_view kind) { ++faults_seen_[std::string(kind)]; }
  /// The process at that place of the right end; the left end comes first.
  [[nodiscard]] std::uint32_t right(std::uint32_t number) const { return world_.left + number; }
  /// The connection that there is now between these two.
  [[nodiscard]] std::uint64_t connection(std::uint32_t a, std::uint32_t b) {
    return wire(std::min(a, b), std::max(a, b)).connection;
  }

 protected:
  /// Until all is at rest and has stayed so, or a problem was found; fills `report`. True: it is at rest.
  bool run_to_rest(RunReport& report);
  /// Of what must not go on at rest: how many there were so far.
  [[nodiscard]] virtual std::uint64_t work_sent() const = 0;
  virtual void on_lost(const SimMessage&) {}
  /// All are at rest: what must hold now.
  virtual void on_rest() {}

  std::vector<std::unique_ptr<SimProcess>> processes_;

 private:
  friend class SimProcess;
  struct Wire {  // one direction of one pair
    TimePoint last_arrival = TimePoint::min();
    TimePoint cut_until = TimePoint::min();
    std::optional<bool> slow;
    TimePoint free_at = TimePoint::min();
    std::uint64_t hellos_sent = 0, hellos_arrived = 0;
    std::uint64_t connection = 1;    // the same in both directions
    std::uint64_t closed_below = 0;  // connections that the receiver has given up
    std::uint64_t waiting = 0;       // messages in the receiver's socket, while it is stopped until then:
    TimePoint waiting_until = TimePoint::min();
  };
  Wire& wire(std::uint32_t from, std::uint32_t to, std::uint32_t channel = 0) {
    const std::uint32_t left = std::min(from, to);
    const std::uint32_t number = std::max(from, to) - world_.left;
    const std::size_t pair =
        (static_cast<std::size_t>(left) * world_.right + number) * world_.channels + channel;
    return wires_[pair * 2 + (from < to ? 0 : 1)];
  }
  bool transmit(SimMessage message);
  bool loses(const SimMessage& message, Wire& wire);
  [[nodiscard]] bool by_connection(const SimMessage& message) const {
    return world_.connections && message.channel == 0;
  }
  [[nodiscard]] bool binds(std::uint32_t process) const {
    return (process >= world_.left) != world_.right_connects;
  }
  void break_connection(std::uint32_t a, std::uint32_t b);
  void break_connections(const SimProcess& process);
  void arrive(TimePoint when, std::shared_ptr<const SimMessage> message);
  void deliver(const std::shared_ptr<const SimMessage>& message);
  void start(SimProcess& process);
  template <class Step>
  void step(SimProcess& process, SimProcess::Kind kind, const Step& step);
  void stop(SimProcess& process, Duration span);
  void stop_at_moments(SimProcess& process);
  bool waits_in_socket(const SimProcess& to, const std::shared_ptr<const SimMessage>& message);
  void arm(SimProcess& process, TimePoint when);
  void tick(SimProcess& process);
  [[nodiscard]] bool at_rest() const;
  [[nodiscard]] TimePoint whole() const { return start_ + world_.faults_for; }
  bool come_to_rest();
  void run_for(Duration span);
  void stay_at_rest();

  WorldOptions world_;
  Random random_;
  Scheduler scheduler_;
  TimePoint start_ = scheduler_.now();
  Problems problems_;
  std::map<std::string, std::uint64_t> faults_seen_;
  std::uint64_t messages_ = 0, messages_lost_ = 0;
  std::vector<Wire> wires_;
  std::uint64_t last_epoch_ = 0;
  TimePoint progress_ = TimePoint::min();
  bool rests_ = false;
  TimePoint rests_since_ = TimePoint::max();
  TimePoint trouble_until_ = TimePoint::min();  // the end of what stopped or ended a process, so far
};

}  // namespace weft::sim
