// RunReport: how a run ended, for people and for `weft up --json`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <weft/core/value.hpp>
#include <weft/topology/plan.hpp>

namespace weft::launch {

/// One process of the run, over all its restarts.
struct NodeReport {
  topology::NodeId id;
  std::string state;             ///< "stopped" as it should, "failed", or what it was when the run ended
  std::optional<int> exit_code;  ///< of the last incarnation; none when a signal ended it or it never ran
  int signal = 0;                ///< that ended the last incarnation, 0: none
  unsigned restarts = 0;
  double cpu_seconds = 0;               ///< user and system, all incarnations
  std::uint64_t peak_memory_bytes = 0;  ///< of the largest incarnation
  std::string reason;                   ///< a sentence when it failed, else empty
  std::uint64_t lost_log_lines = 0;     ///< that found no room on the disk
  std::uint64_t hangs = 0;  ///< times that it was killed because it had said nothing for `hang-after`
  std::vector<std::string> last_lines;  ///< its last output, at most 20 lines
  Value result;                         ///< what it reported as its outcome; null: nothing
};

/// Counts of a link, summed over the replicas of both ends and their restarts. Where a port serves several
/// links, its counts cannot be told apart and stand at each of them (`shared`). Of push-pull and
/// dealer-router each accepted record has one fate, so that always
///   accepted = processed + rejected_records (best-effort) + failed + timed_out + expired + dead_lettered
///              + dropped + lost + left
/// These are the words of the sending end; `received` is that of the other one.
struct LinkReport {
  std::string id, from, to;  ///< "worker.params>server.params", "worker.params", "server.params"
  topology::Pattern pattern = topology::Pattern::push_pull;
  topology::Delivery delivery = topology::Delivery::best_effort;
  std::uint64_t accepted =
      0;                      ///< records that the sending ports took, those `resumed` from journals included
  std::uint64_t resumed = 0;  ///< of them, what journals held of an earlier run
  std::uint64_t sent = 0;     ///< records handed to the network (dealer-router: requests, also again)
  std::uint64_t received = 0;  ///< records that arrived
  std::uint64_t dropped = 0;   ///< by overflow, or without a receiver at the end
  std::uint64_t lost = 0;  ///< on their way when a peer or connection was lost, or with their sender; some of
                           ///< them may have arrived
  std::uint64_t missed = 0;  ///< batches: gaps that receivers saw
  std::uint64_t duplicates = 0;
  std::uint64_t rejected = 0;  ///< messages, connections and peers that an end refused
  /// Records that came and could not be taken. Best-effort push-pull: by the receiver's word to the sender.
  std::uint64_t rejected_records = 0;
  std::uint64_t unfit = 0;   ///< of them: not what the receiver takes; the others were damaged on their way
  std::uint64_t failed = 0;  ///< dealer-router: requests answered with an error
  std::uint64_t timed_out = 0;  ///< dealer-router: requests without an answer at their deadline
  std::uint64_t processed = 0;  ///< records that a receiver is done with, by its acknowledgement or reply
  // Acknowledged deliveries.
  std::uint64_t expired = 0;        ///< records that waited longer than their time to live
  std::uint64_t dead_lettered = 0;  ///< records that were tried too often, or refused
  std::uint64_t untaken = 0;        ///< of them: nobody took the dead letter
  std::uint64_t retained = 0;       ///< records that still wait here, or for an acknowledgement
  std::uint64_t redelivered = 0;    ///< records offered again after a receiver was lost or refused them
  std::uint64_t retransmitted = 0;  ///< batches sent again to the same receiver
  std::uint64_t reconnects = 0;     ///< peers that were dead or restarted and came back, as each end saw it
  /// Accepted and without a fate at the end: queued, or sent and not acknowledged.
  std::uint64_t left = 0;
  bool shared = false;
  /// False when an end died without its last word, or extra peers took part: sent and received need not
  /// agree. `inexact` says why, for each of them.
  bool exact = true;
  std::vector<std::string> inexact;
};

struct RunReport {
  std::string run, topology, directory;
  bool ok = false;
  bool ready = false;  ///< all nodes were ready at some time
  double seconds = 0;
  std::string reason;  ///< why not ok; empty when ok
  /// "SIGINT", "SIGTERM", ...: the run was told to end before its main nodes had, or before all were ready;
  /// then it is not ok. Empty: it ended by itself, by its `run_for`, or it had no main nodes.
  std::string interrupted;
  int signal = 0;  ///< the number of that signal, where nothing else went wrong
  std::vector<NodeReport> nodes;
  std::vector<LinkReport> links;
  Value result = Value::map();  ///< "worker/0" -> what it reported as its outcome
};

/// {run, topology, directory, ok, ready, seconds, reason, interrupted, signal, nodes: [{name, state,
/// exit_code, signal, restarts, cpu_seconds, peak_memory, reason, lost_log_lines, hangs, last_lines}], links:
/// [{id, from, to, pattern, delivery, accepted, resumed, sent, received, dropped, lost, missed, duplicates,
/// rejected, rejected_records, failed, timed_out, processed, redelivered, retransmitted, expired,
/// dead_lettered, untaken, retained, reconnects, left, shared, exact, inexact}], result: {node: ...}}
Value to_value(const RunReport& report);

/// What a command that ran it ends with: 0 when ok, 128 and the signal when it was interrupted, else 1.
int exit_code(const RunReport& report);

}  // namespace weft::launch
