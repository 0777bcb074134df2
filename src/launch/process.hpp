// Process: one child in a process group of its own, its output line by line, its end with what it used.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include <weft/transport/loop.hpp>

#include "launch/remains.hpp"

namespace weft::launch {

struct Command {
  std::string path;
  std::vector<std::string> arguments;                            ///< without the program's own name
  std::vector<std::pair<std::string, std::string>> environment;  ///< added to, or replacing, the caller's
  bool inherit_stdin = false;                                    ///< else /dev/null
  /// It has a pipe as descriptor kLastWordFd for what it says last: Ending::last_word.
  bool last_word = false;
  /// Entries "NAME=value" of its environment by which what it has started is known, wherever that went.
  /// Empty: by its process group alone.
  std::vector<std::string> mark = {};
};

/// What is written there waits in the kernel for whoever hears late of the end.
constexpr int kLastWordFd = 3;

struct Ending {
  int exit_code = -1;
  int signal = 0;
  double cpu_seconds = 0;
  std::uint64_t peak_memory = 0;
  std::string last_word = {};
};

class Process {
 public:
  struct Handlers {
    std::function<void(bool is_stderr, std::string_view line)> on_line;
    /// It has ended, and so many processes that it has started have not. They were told to.
    std::function<void(std::size_t count)> on_left;
    /// After its last line, when nothing of it is left; may destroy the Process.
    std::function<void(const Ending&)> on_end;
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
  /// Its output is not read until resume(), and once its pipe is full it waits when it writes. At its end
  /// what is in the pipe is read all the same.
  void pause();
  void resume();
  /// SIGTERM to the whole group: a shell that waits for a program does not hand it on.
  void terminate();
  /// SIGKILL to the whole group, and to what is left of it.
  void kill_group() { signal_group(SIGKILL); }
  void signal_group(int number);
  /// True: only what it has started still lives.
  [[nodiscard]] bool has_ended() const { return left_ != nullptr; }
  /// True: it belongs to this process, which reaps it.
  [[nodiscard]] bool owns(pid_t process) const {
    return process == pid_ || (left_ && left_->contains(process));
  }

 private:
  /// One of the two streams that the child writes.
  struct Stream {
    int fd = -1;
    Loop::WatchId watch = 0;
    std::string partial;  // of the line that is not complete yet
    bool ended = false;   // nobody can write any more
  };
  void watch_stream(Stream& stream, int& read_end);
  void watch(Stream& stream);
  void read_stream(Stream& stream);
  void take(Stream& stream, std::string_view chunk);
  void end_line(Stream& stream);
  void ended();
  void finish();
  [[nodiscard]] bool belongs(const ProcessInfo& process) const;

  Loop& loop_;
  Handlers handlers_;
  pid_t pid_ = -1;
  int pidfd_ = -1;
  Loop::WatchId end_watch_ = 0;
  Stream output_;
  Stream errors_;
  std::vector<std::string> mark_;
  std::unique_ptr<Remains> left_;  // from its end on, while anything that it has started lives
  int last_word_ = -1;             // pipe
  bool paused_ = false;
  bool finishing_ = false;
  bool told_ = false;  // SIGTERM
  bool reaped_ = false;
};

}  // namespace weft::launch
