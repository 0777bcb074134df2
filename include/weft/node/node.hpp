// Node: the runtime of one process of a topology. Opens ports by name, meets the peers that the plan
// promises, starts when all are there, drains, and reports.
//
//   weft::Loop loop;
//   weft::Node node(loop, plan, {.control = control});
//   auto* updates = node.open<weft::Pull<Update>>("updates");
//   updates->on_record(...);
//   node.on_start([&] { ... });
//   return node.run();
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/core/log.hpp>
#include <weft/core/value.hpp>
#include <weft/topology/plan.hpp>
#include <weft/transport/loop.hpp>

namespace weft {

/// created -> bound -> joined -> ready -> running -> draining -> stopped, or failed with a reason.
enum class NodeState { created, bound, joined, ready, running, draining, stopped, failed };
std::string_view to_string(NodeState state);

struct NodeOptions {
  /// Where the launcher listens ("ipc:///run/.../control"); empty: no launcher, addresses come from the plan.
  std::string control = {};
  /// Name of the run; with a launcher it is part of the scope, so that two runs of one file never meet.
  std::string run = {};
  /// A pipe that takes the last report as well, in case the launcher is too late to hear it; -1: none. Not
  /// closed here.
  int last_word = -1;
  /// Epoch of this incarnation; the launcher gives a higher one at each restart. 0: wall-clock microseconds.
  std::uint64_t epoch = 0;
  /// Folder for sockets of `transport: ipc` and of taps, in its `s/`: at most 60 bytes.
  std::string run_directory = {};
  /// How long meeting all promised peers may take; its end names who is missing and in which state.
  Duration start_limit = std::chrono::seconds(20);
  /// How long draining may take; its end says what was left.
  Duration drain_limit = std::chrono::seconds(10);
  /// How often counts go to the launcher.
  Duration report_every = std::chrono::seconds(1);
  Logger log = {};
};

/// Owned and used by the loop's thread.
class Node {
 public:
  Node(Loop& loop, topology::NodePlan plan, NodeOptions options);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  [[nodiscard]] const topology::NodePlan& plan() const;
  [[nodiscard]] NodeState state() const;
  Loop& loop();
  const Logger& log() const;

  /// True when the topology links that port.
  [[nodiscard]] bool linked(std::string_view port) const;
  /// Names of all ports that the topology links, in file order.
  [[nodiscard]] std::vector<std::string> ports() const;
  /// The links of a port as the plan has them.
  [[nodiscard]] std::vector<const topology::LinkPlan*> links_of(std::string_view port) const;

  /// Opens a port as a block (Push<T>, Pull<T>, Pub<T>, Sub<T>, Dealer<Q, R>, Router<Q, R>); nullptr when the
  /// topology does not link it. The node owns the block. `adjust` may change options that the plan does not
  /// set (topics, linger, ...). All ports are opened before run(). Throws Error (port in use, bad endpoint,
  /// ...).
  template <class B>
  B* open(std::string_view port, const std::function<void(PortOptions&)>& adjust = {}) {
    if (!linked(port)) return nullptr;
    PortOptions options = port_options(port);
    if (adjust) adjust(options);
    auto block = std::make_unique<B>(loop(), std::move(options));
    B* raw = block.get();
    adopt(std::string(port), std::move(block));
    return raw;
  }
  /// What the plan says of a port as block options: scope, node, binds, limits, distribution.
  [[nodiscard]] PortOptions port_options(std::string_view port) const;
  void adopt(const std::string& port, std::unique_ptr<Block> block);

  /// The node is not ready while `busy` says true, asked every turn, within the start limit: for a program
  /// that has to get something up before records may come.
  void hold_ready(std::function<bool()> busy);
  /// Called once, when every node of the run is ready: where sources start.
  void on_start(std::function<void()> handler);
  /// Called once, before on_start, in a process that takes the place of one that has ended: its run had begun
  /// before it was there. By the launcher's word.
  void on_late(std::function<void()> handler);
  /// Called once, when the node begins to drain (SIGTERM, the launcher's word, finish()): sources stop here.
  /// Ports drain after that: first receivers, and when they are empty, senders.
  void on_drain(std::function<void()> handler);
  /// Senders do not begin to drain while `busy` says true, asked every turn, within the drain limit: for a
  /// program that still has records of its own to send when its receivers are empty.
  /// `what` says at the limit what it was busy with ("the command has not ended").
  void hold_drain(std::function<bool()> busy, std::function<std::string()> what = {});
  /// A launcher says when peers have ended for good, and starts them again; without one nobody does.
  [[nodiscard]] bool launched() const;
  /// How long the drain may take.
  [[nodiscard]] Duration drain_limit() const;
  /// Called for each event of a peer, after the block's own bookkeeping.
  void on_peer(std::function<void(std::string_view port, const PeerEvent&)> handler);
  /// Called when a report is due: adds what the program wants shown (progress, rates) as a map.
  void on_report(std::function<Value()> handler);

  /// The node's work is done, with what it wants to say of the outcome (a map; shown by `weft up`, summed by
  /// no one). Drains, reports, and run() returns 0.
  void finish(Value result = {});
  /// The node cannot go on. Reports the sentence; run() returns `exit_code` (2: starting again would not
  /// help).
  void fail(std::string sentence, int exit_code = 1);
  /// Begins to drain, as SIGTERM does.
  void drain();
  /// A place for the outcome of a node that runs until drained: reported when it stops.
  void set_result(Value result);
  /// This node has no end of its own, though it is one of a kind that has (a source without a count): a run
  /// that is stopped in order has not cut its work short.
  void set_endless();

  /// Runs the loop until the node has stopped. SIGTERM, SIGINT and SIGHUP (unless it is ignored) drain, a
  /// second SIGTERM or SIGINT stops at once. While its launcher lives, the launcher says when: a signal of
  /// somebody else drains only where the launcher does not drain the run. Returns the exit code: 0 drained or
  /// finished, 1 failed, 3 start limit, 4 drain limit (something was left).
  int run();

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft
