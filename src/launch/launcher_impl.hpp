// What a Launcher holds. Private.
#pragma once

#include <csignal>
#include <deque>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>

#include <weft/blocks/router.hpp>
#include <weft/launch/launcher.hpp>
#include <weft/launch/run_directory.hpp>

#include "launch/disk.hpp"
#include "launch/guard.hpp"
#include "launch/node_log.hpp"
#include "launch/process.hpp"
#include "launch/remains.hpp"

namespace weft::launch {

/// A count that a node sent: whatever is no natural number is none.
inline std::uint64_t count_of(const Value& value) {
  if (!value.is_int()) return 0;
  try {
    return value.as_uint();
  } catch (const std::exception&) {
    return 0;
  }
}

/// "ended with exit code 1"
std::string how_it_ended(const Ending& ending);

/// One node over all its incarnations.
struct Managed {
  const topology::NodePlan* plan = nullptr;
  Program program;
  std::unique_ptr<Process> process;
  enum class Life { waiting, alive, backing_off, ended } life = Life::waiting;
  std::string state = "waiting";  // as the node reports it
  std::uint64_t epoch = 0;
  unsigned restarts = 0;
  unsigned failures = 0;  // in a row, each soon after its start
  TimePoint started{};
  std::map<std::string, std::string> endpoints;  // link -> address
  bool ready = false;
  bool told_to_stop = false;
  bool killed = false;
  bool dying = false;  // SIGKILL is on its way to it
  bool ok = false;
  Ending ending;
  double cpu_seconds = 0;
  std::uint64_t peak_memory = 0;
  Value counts = Value::map();          // port -> counts, of the present incarnation
  Value earlier_counts = Value::map();  // ... of those before
  Value progress;
  Value result;
  std::string reason;
  std::string missing;
  std::deque<std::string> last_lines;
  std::string last_error;  // the last line on stderr
  std::unique_ptr<NodeLog> log;
  bool log_told = false;  // somebody heard that lines are lost
  bool paused = false;    // it is not read, until its log has room
  TimePoint heard{};      // the last report; none yet in this life: zero
  bool hangs = false;     // it has said nothing for long
  bool hung = false;      // and was killed for it
  unsigned hangs_in_all = 0;
  std::uint64_t told = 0;  // version of the last answer to its watch
  std::optional<Responder<Raw>> watcher;
  std::map<std::string, std::map<std::string, std::string>> extra;  // port -> endpoint -> guest
  std::map<std::string, std::set<std::string>> taps;                // port -> guests that look at it
  std::vector<std::pair<std::string, Responder<Raw>>> tap_waiters;  // port -> who wants to know where
  struct Ask {
    std::uint64_t number = 0;
    Value question;
    Responder<Raw> respond;
  };
  std::vector<Ask> asks;          // of guests, that the node has not answered yet
  bool last_word = false;         // the present incarnation said its final counts
  bool endless = false;           // it says that it has no end of its own
  bool cut_short = false;         // a signal came before its work was done
  bool had_guests = false;        // others took part at one of its ports
  unsigned unfinished = 0;        // incarnations that ended without their last word
  std::optional<Ending> awaited;  // it has ended, and its last word may still be on its way
  Loop::TimerId timer = 0;
};

/// Empty where it cannot be told.
inline std::string current_directory() {
  std::error_code error;
  const auto path = std::filesystem::current_path(error);
  return error ? std::string() : path.string();
}

/// What the disk's thread has seen of the run directory.
struct Looks {
  std::mutex mutex;
  bool waiting = false;  // a look was asked for
  bool made_again = false;
  std::string gone;  // why it could not be
};

struct Launcher::Impl {
  Loop& loop;
  topology::Plan plan;
  LaunchOptions options;
  std::shared_ptr<RunDirectory> directory;  // its files are the disk's once the run has begun
  std::string id;
  Disk disk;  // before the nodes, whose logs use it
  Loop::WatchId disk_watch = 0;
  Loop::TimerId disk_timer = 0;  // it may stand still
  std::uint64_t disk_done = 0;   // when that was last looked at
  bool disk_stands = false;      // no node waits for it now
  bool ready_to_tell = false;    // on_ready, once the disk has done so many pieces of work
  std::uint64_t written_at = 0;
  TimePoint ready_at{};
  std::shared_ptr<Looks> looks = std::make_shared<Looks>();
  std::vector<std::unique_ptr<Router<>>> control;  // the last one is found in the run directory
  std::vector<std::unique_ptr<Managed>> nodes;
  std::uint64_t version = 1;  // of what nodes are told
  std::uint64_t last_ask = 0;
  bool go = false;
  bool work_done = false;  // on_work_done was called
  bool draining = false;
  bool over = false;
  bool stopped = false;       // everything was killed
  std::string reason;         // why the run failed
  int interrupted = 0;        // signal that ended it early
  std::string cut_short;      // what was not done yet by then
  std::string stopped_early;  // the first main node that a stranger stopped, in a sentence
  TimePoint began{};
  TimePoint ended{};
  int signals = -1;
  int signals_seen = 0;
  int children = -1;  // signalfd of SIGCHLD
  Loop::WatchId children_watch = 0;
  Loop::TimerId reap_timer = 0;
  std::set<pid_t> earlier_children;  // of this process, from before the run
  bool others_start = false;         // one of them lives: what appears below may be its
  std::unique_ptr<Guard> guard;
  std::unique_ptr<Remains> strays;  // at the end: what no node can be named for
  TimePoint last_second{};
  TimePoint touched{};
  bool told_of_directory = false;
  sigset_t mask_before{};
  std::string working_directory = current_directory();
  bool masked = false;
  bool asked = false;
  std::int64_t began_at = 0;  // seconds since 1970
  std::uint64_t bad_requests = 0;
  Loop::TimerId state_timer = 0;
  Loop::WatchId signal_watch = 0;
  Loop::TimerId second = 0;
  Loop::TimerId start_timer = 0;
  Loop::TimerId for_timer = 0;

  Impl(Loop& l, topology::Plan p, LaunchOptions o, std::string run)
      : loop(l),
        plan(std::move(p)),
        options(std::move(o)),
        directory(
            std::make_shared<RunDirectory>(options.base, run, options.keep_runs, options.short_folders)),
        id(std::move(run)) {}
  ~Impl();

  // launcher.cpp: life
  void prepare();
  void begin();
  void start(Managed& node);
  void on_line(Managed& node, bool is_stderr, std::string_view line);
  void start_again(Managed& node, const std::string& how);
  void on_end(Managed& node, const Ending& ending);
  void hear_last_word(Managed& node, const Ending& ending);
  void note_early_end(const Managed& node);
  bool await_last_word(Managed& node, const Ending& ending);
  void ended_badly(Managed& node);
  void check_ready();
  void check_over();
  void drain(const std::string& why);
  void drain_next();
  void stop(Managed& node);
  void kill_all();
  void read_signals();
  void interrupt(int signal);

  // watch_over.cpp: what becomes of children, and of those who say nothing
  void adopt();
  void reap();
  void on_left(Managed& node, std::size_t count);
  void warn(const std::string& sentence) const;
  bool end_strays();
  [[nodiscard]] bool is_others(pid_t child) const;
  void on_second();
  void check_hang(Managed& node, TimePoint now);
  /// Calls `fn` at `when`, with `timer` 0; where this process was late itself, after it has heard what was
  /// said meanwhile. Its lateness is no fault of a node.
  void at(Loop::TimerId& timer, TimePoint when, std::function<void()> fn);
  void fail(std::string why);
  void event(const std::string& sentence) const;
  void state_of(const Managed& node, std::string_view state, std::string_view text) const;
  [[nodiscard]] std::string not_ready() const;

  // on_disk.cpp: what the disk is told, and what is heard of it
  void write_specs(bool at_once);
  void state_changed();  // soon on disk
  void write_state();
  void on_disk();
  void check_log(Managed& node);
  void pace(Managed& node);
  void check_still();
  void watch_disk();
  void tell_ready_when_written();
  void tell_ready();
  void look_at_disk(TimePoint now);
  void hear_of_directory();
  /// All that waits is written. False: what a disk that stands still does not take is given up, and counted.
  bool settle();
  void tell_lost_lines();

  // control.cpp: what nodes and guests say
  void open_control();
  void on_request(const RawRecord& record, Responder<Raw> respond);
  void handle(const Value& message, Responder<Raw> respond);
  void on_report(Managed& node, const Value& message);
  void on_guest(Managed& node, const std::string& op, const Value& message, Responder<Raw> respond);
  void on_guest_gone(const std::string& guest);
  void answer_taps(Managed& node);
  void ask(Managed& node, const std::string& op, const Value& message, Responder<Raw> respond);
  void on_answer(Managed& node, const Value& message);
  static void fail_asks(Managed& node);
  void changed();
  void answer(Managed& node);
  [[nodiscard]] Value news_for(const Managed& node) const;
  [[nodiscard]] Managed* find(std::string_view node) const;

  // summary.cpp: what a run was, or is
  [[nodiscard]] RunReport report() const;
  [[nodiscard]] std::vector<LinkReport> links() const;
  [[nodiscard]] LinkReport link_report(const topology::LinkPlan& link) const;
  static void note_inexact(LinkReport& report, const Managed& node, const std::string& port);
  /// Batches that a receiving port should have had and could not get, in all lives of its node.
  static std::uint64_t missed_at(const Managed& node, const std::string& port);
  [[nodiscard]] Value state() const;
  [[nodiscard]] std::string lost_in_silence() const;
  [[nodiscard]] std::string unmet() const;
  [[nodiscard]] std::string gaps_in(const topology::LinkPlan& link, const LinkReport& report) const;
};

}  // namespace weft::launch
