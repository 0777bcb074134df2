// The plan: a topology file expanded to nodes, ports and peers. What the launcher starts and a node opens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/terms.hpp>
#include <weft/core/time.hpp>
#include <weft/core/value.hpp>

namespace weft::topology {

enum class Pattern { push_pull, pub_sub, dealer_router };
using weft::Delivery;
using weft::Distribute;
using weft::From;
using weft::Overflow;
enum class Transport { automatic, tcp, ipc, inproc, shm };
enum class WireMode { session, native };
enum class Restart { never, on_failure, always };

// Names as in the file: "push-pull", "at-least-once", "round-robin", "drop-oldest", "auto", "on-failure", ...
std::string_view to_string(Pattern v);
std::string_view to_string(Delivery v);
std::string_view to_string(Distribute v);
std::string_view to_string(Overflow v);
std::string_view to_string(Transport v);
std::string_view to_string(WireMode v);
std::string_view to_string(Restart v);
std::string_view to_string(From v);

/// One process of a topology.
struct NodeId {
  std::string name;
  unsigned replica = 0;
  /// "worker/2"
  [[nodiscard]] std::string text() const { return name + "/" + std::to_string(replica); }
  bool operator==(const NodeId&) const = default;
};

/// Name of the port that sends the dead letters of `port`.
[[nodiscard]] inline std::string dead_letter_port(std::string_view port) {
  return std::string(port) + "-dead";
}

/// Settings of a link that both ends share.
struct LinkPlan {
  std::string id;  ///< "worker.params>server.params", unique in the topology
  Pattern pattern = Pattern::push_pull;
  Delivery delivery = Delivery::best_effort;
  Distribute distribute = Distribute::balance;
  Transport transport = Transport::automatic;
  WireMode wire = WireMode::session;
  Overflow overflow = Overflow::block;
  bool keep_last = false;
  std::uint64_t capacity_bytes = 64ULL << 20;  ///< bound of a sender's queue
  std::uint64_t prefetch_bytes = 4ULL << 20;   ///< credit a receiver gives each sender
  std::uint64_t prefetch_records = 0;          ///< ... in records; 0: as many as it handles in time
  std::uint64_t batch_bytes = 256ULL << 10;    ///< a batch leaves when it holds so much
  std::uint64_t batch_records = 65536;         ///< ... or so many records
  Duration linger = Duration::zero();          ///< how long one that is not full waits for more
  std::uint64_t capacity_records = 0;          ///< bound of the same queue; 0: by its bytes alone
  Duration dead_after = std::chrono::seconds(10);
  unsigned priority = 4;            ///< of records that name none
  Duration ttl = Duration::zero();  ///< zero: for ever
  Duration delay = Duration::zero();
  unsigned max_attempts = 0;                 ///< 0: no bound
  std::uint64_t retain_bytes = 16ULL << 20;  ///< pub-sub: past batches for subscribers that missed some
  From replay = From::latest;                ///< pub-sub: where subscribers begin
  std::uint64_t replay_sequence = 0;         ///< ... with From::sequence
  std::string journal_from, journal_to;      ///< as in the file; EndPlan::journal is what one process opens
  /// Of the journals at both ends; 0: as is usual (64 MiB, or a quarter of a smaller maximum; 4 GiB, or what
  /// the capacity needs when that is more).
  std::uint64_t journal_segment = 0, journal_max = 0;
  std::string dead_letter;  ///< "morgue.in": what gets the records that nobody could process
  /// Id of the link whose dead letters this one carries: it is not in the file, and its sender opens it
  /// itself. Empty: a link of the file.
  std::string dead_letters_of;
  std::string from_node, from_port, to_node, to_port;
  unsigned from_replicas = 1, to_replicas = 1;
  bool from_binds = false;  ///< which end binds
};

/// Bytes that a journal should have room for when so many bytes of records are kept in it: as much again may
/// be dead and not reclaimed yet. With less its senders wait for room.
[[nodiscard]] std::uint64_t journal_need(std::uint64_t kept_bytes);
/// What the sender of a link keeps in its journal at most; 0: it has none.
[[nodiscard]] std::uint64_t journal_kept(const LinkPlan& link);

/// One peer that an end will talk to.
struct PeerPlan {
  NodeId node;
  std::string port;
  /// Where the peer binds, when this end connects and the file says it; empty: the rendezvous tells it.
  std::string endpoint;
};

/// One end of a link at one node.
struct EndPlan {
  std::string link;     ///< LinkPlan::id
  std::string port;     ///< name of the node's port
  bool sender = false;  ///< this end is the `from` of the link
  bool binds = false;
  std::string endpoint;  ///< where this end binds; empty: wildcard of the link's transport. A host name of
                         ///< the file becomes "tcp://*:port" here (libzmq binds no names), peers get the name
  /// Pub-sub, publisher: `endpoint` is where subscribers say HELLO, this is where the data socket binds,
  /// which HELLO's answer tells them. Empty when `endpoint` is.
  std::string data_endpoint;
  /// Path of the journal that makes this end durable; empty: none. Ends of one process with equal paths share
  /// one journal.
  std::string journal;
  std::vector<PeerPlan> peers;
};

/// How much of what a node writes is kept: files of at most `max_bytes`, the present one and `keep` before
/// it.
struct LogBounds {
  std::uint64_t max_bytes = 256ULL << 20;
  unsigned keep = 1;
};

/// Everything one process needs to know; the launcher hands it over as a file, `weft run` builds it itself.
struct NodePlan {
  std::string topology;  ///< name of the topology
  NodeId id;
  unsigned replicas = 1;               ///< of this node name
  std::string program;                 ///< as in the file (`run:`)
  std::vector<std::string> arguments;  ///< `args:`, for programs that describe nothing
  Value options;                       ///< `with:`, parameters substituted
  std::vector<std::pair<std::string, std::string>> environment;
  bool finite = false;
  bool main = false;
  Restart restart = Restart::never;
  unsigned max_restarts = 5;
  Duration grace = std::chrono::seconds(10);
  /// A node that has said nothing to its launcher for so long is killed; zero: it is not.
  Duration hang_after = Duration::zero();
  LogBounds log;
  std::vector<EndPlan> ends;
  std::vector<LinkPlan> links;  ///< those that `ends` name
};

struct Plan {
  std::string name;
  std::string description;
  std::string file;             ///< path as given
  std::vector<NodePlan> nodes;  ///< every replica
  std::vector<LinkPlan> links;
  Duration start_limit = std::chrono::seconds(20);
  Duration drain_limit = std::chrono::seconds(10);
};

/// JSON form of one node's plan (docs/reference/cli.md, "spec file"), and back; throws Error{invalid_file}.
Value to_value(const NodePlan& plan);
NodePlan node_plan_from_value(const Value& value);

}  // namespace weft::topology
