// Process: one child in a process group of its own, its output line by line, its end with what it used.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include <weft/transport/loop.hpp>

namespace weft::launch {

struct Command {
  std::string path;
  std::vector<std::string> arguments;                            ///< without the program's own name
  std::vector<std::pair<std::string, std::string>> environment;  ///< added to, or replacing, the caller's
  bool inherit_stdin = false;                                    ///< else /dev/null
};

struct Ending {
  int exit_code = -1;
  int signal = 0;
  double cpu_seconds = 0;
  std::uint64_t peak_memory = 0;
};

class Process {
 public:
  struct Handlers {
    std::function<void(bool is_stderr, std::string_view line)> on_line;
    std::function<void(const Ending&)> on_end;  ///< after its last line; may destroy the Process
  };
  /// Starts the child: its own process group, killed when the calling thread dies, signals as they are by
  /// default, standard input from /dev/null. Call from the main thread. Throws Error{io, not_found} with the
  /// reason of exec.
  Process(Loop& loop, const Command& command, Handlers handlers);
  /// Kills what is left of the group.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// To the process itself, which knows how to drain.
  void terminate();
  /// To the whole group.
  void kill_group() { signal_group(SIGKILL); }
  void signal_group(int number);

 private:
  /// One of the two streams that the child writes.
  struct Stream {
    int fd = -1;
    Loop::WatchId watch = 0;
    std::string partial;  // of the line that is not complete yet
  };
  void watch_stream(Stream& stream, int& read_end);
  void read_stream(Stream& stream);
  void take(Stream& stream, std::string_view chunk);
  void end_line(Stream& stream);
  void ended();

  Loop& loop_;
  Handlers handlers_;
  pid_t pid_ = -1;
  int pidfd_ = -1;
  Loop::WatchId end_watch_ = 0;
  Stream output_;
  Stream errors_;
  bool reaped_ = false;
};

}  // namespace weft::launch
