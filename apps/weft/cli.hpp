// The command line of weft as plain structs: one for each verb. A new verb gets a struct here, its options in
// cli.cpp, a line in main.cpp and a file of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <weft/core/time.hpp>

namespace weft::cli {

/// A topology file and what `--set` changes in it.
struct Source {
  std::string file;
  std::vector<std::pair<std::string, std::string>> sets;
};

struct Check {
  Source source;
  bool expand = false;
  bool json = false;
};

struct Graph {
  Source source;
  std::string format = "mermaid";
};

struct Up {
  Source source;
  Duration for_ = Duration::zero();  ///< zero: until the main nodes end
  bool detach = false;
  bool json = false;
  bool quiet = false;
  std::string run_directory;
};

struct Ps {
  bool all = false;  ///< also runs that are over
  bool json = false;
};

struct Logs {
  std::vector<std::string> words;  ///< [RUN] [NODE]
  bool follow = false;
  std::uint64_t lines = 0;  ///< the last so many of each file; 0: all
};

struct Down {
  std::string run;
  Duration for_ = std::chrono::seconds(30);
};

struct Run {
  Source source;
  std::string node;
  unsigned replica = 0;
  std::string log_level = "info";
};

struct Send {
  std::vector<std::string> words;  ///< [RUN] NODE.PORT
  std::vector<std::string> texts;
  std::string topic;
  std::uint64_t count = 0;  ///< 0: all lines
  Duration for_ = std::chrono::seconds(10);
};

struct Recv {
  std::vector<std::string> words;  ///< [RUN] NODE.PORT
  std::vector<std::string> topics;
  std::uint64_t count = 0;
  Duration for_ = Duration::zero();
  bool with_origin = false;
};

struct Tap {
  std::vector<std::string> words;  ///< [RUN] NODE.PORT or NODE/REPLICA.PORT
  std::uint64_t count = 0;
  Duration for_ = Duration::zero();
};

/// A run whose nodes are killed and stopped meanwhile.
struct Chaos {
  Source source;
  std::vector<std::string> kill;  ///< NODE or NODE/REPLICA
  Duration every = std::chrono::milliseconds(200);
  std::vector<std::string> stop;
  Duration stop_every = std::chrono::seconds(5);
  Duration stop_for = std::chrono::seconds(2);
  std::vector<std::string> fault;  ///< NAME=VALUE, of weft-fault-proxy
  std::vector<std::string> on;     ///< NODE.PORT
  bool in_turn = false;
  std::uint64_t seed = 1;
  Duration for_ = Duration::zero();  ///< zero: until the main nodes end
  bool ordered = false;
  bool json = false;
  bool verbose = false;
  std::string run_directory;
};

/// `weft queue ls|peek|clear`.
struct QueueVerb {
  std::string what;
  std::string run;                 ///< ls
  std::vector<std::string> words;  ///< peek, clear: [RUN] NODE.PORT
  std::uint64_t count = 10;        ///< peek: at most so many records of each node
  bool yes = false;
  bool json = false;
};

/// `weft journal ls|peek|verify|purge|damaged`.
struct JournalVerb {
  std::string what;
  std::string file;
  std::string space;         ///< peek, purge
  std::uint64_t count = 20;  ///< peek: at most so many values
  bool hex = false;
  bool remove = false;  ///< damaged
  bool yes = false;     ///< purge, damaged --remove
  bool json = false;
};

/// Weft and plain libzmq doing the same work, in pairs.
struct Bench {
  std::string benchmark;              ///< throughput, latency, requests, pubsub, ps, journal or all
  std::vector<std::string> given;     ///< options that the command line names, like "--size"
  std::string transport = "tcp";      ///< tcp, ipc or inproc
  std::optional<std::uint64_t> size;  ///< bytes a record; absent: by benchmark
  std::uint64_t count = 0;            ///< records or round trips a run; 0: by benchmark and size
  unsigned runs = 5;                  ///< pairs, 1-100
  bool json = false;
  std::string delivery = "best-effort";  ///< throughput
  bool typed = false;                    ///< throughput
  std::string rate;                      ///< latency: requests a second, or "half"
  std::uint64_t window = 0;              ///< requests, ps: outstanding; 0: 1,000 and 64
  std::uint64_t clients = 1;             ///< requests
  unsigned subscribers = 4;              ///< pubsub
  unsigned workers = 1;                  ///< ps
  std::vector<std::uint64_t> keys;       ///< ps: of sparse operations; with `dense` empty: 1 and 100
  std::vector<std::uint64_t> dense;      ///< ps: bytes; with `keys` empty: 64 KiB, 1 MiB, 16 MiB
  std::string directory = ".";           ///< where journals lie
  std::uint64_t commit = 1024;           ///< journal: records
  std::string rabbitmq;                  ///< journal: HOST:PORT or amqp://...; empty: none
  std::string out;                       ///< all: folder
};

/// The simulator: the links of a file, or without one `seeds` runs whose links and faults the seeds draw.
struct Sim {
  Source source;                      ///< no file: seeds
  std::optional<std::uint64_t> seed;  ///< absent: 1
  std::uint64_t seeds = 1;
  std::string kind;           ///< of the links of seeds; empty: any
  std::uint32_t workers = 0;  ///< 0: as in the file
  std::uint64_t records = 0;  ///< of a link; 0: 1,000, or ten a worker where that is more
  std::string faults;         ///< empty: the usual ones; "none"
  Duration for_ = Duration::zero();
  bool pauses = false;  ///< a process is stopped at every moment of each run, in turn
  std::string pause;    ///< these pauses alone
  bool json = false;
};

using Command = std::variant<std::monostate, Check, Graph, Up, Ps, Logs, Down, Run, Send, Recv, Tap, Chaos,
                             QueueVerb, JournalVerb, Bench, Sim>;

/// std::monostate when nothing is left to do: `code` is the exit code, and what a person should read was
/// printed.
Command parse(int argc, char** argv, int& code);

/// Exit codes of every verb.
enum Exit : int {
  kOk = 0,
  kFailed = 1,    ///< the run did not do what it should
  kUsage = 2,     ///< the command line or the topology file is wrong
  kNotFound = 3,  ///< no such run, node or port; or nothing came in time
};

}  // namespace weft::cli
