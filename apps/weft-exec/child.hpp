// Child: a command whose standard streams the loop watches.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include <weft/core/processes.hpp>
#include <weft/transport/loop.hpp>

namespace weft::exec {

/// Of the loop's thread. The command runs in a process group of its own, so that a signal for this node does
/// not reach it, and dies with this process. What it writes to stderr comes line by line.
class Child {
 public:
  struct Events {
    std::function<void(std::string_view)> on_line;        ///< of standard output, without the line's end
    std::function<void(std::string_view)> on_error_line;  ///< of standard error, cut to 4 KiB
    std::function<void()> on_room;                        ///< there is room again; never inside a call
    std::function<void()> on_left = {};                   ///< as tell_left() asked; never inside a call
    /// tells_taken(): it has read a portion to its end; so many are left.
    std::function<void(std::size_t)> on_taken;
    std::function<void()> on_closed;                        ///< it reads no more, and lives
    std::function<void(const std::string& how)> on_broken;  ///< a line is too long, a read failed
    /// Once, when it has ended and all that it wrote has been given out. Exit code; 128 + signal.
    std::function<void(int status)> on_exit;
  };
  static constexpr std::size_t kLongestLine = 16UL << 20;
  static constexpr std::size_t kMostQueued = 1UL << 20;  ///< bytes of input that wait for it

  Child(Loop& loop, Events events);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Its pipe holds a page for each portion, and on_taken says when one is read. Before start().
  void tells_taken() { tells_taken_ = true; }
  /// Throws Error{io} when it cannot be started.
  void start(const std::vector<std::string>& words);
  /// Bytes of input that wait for it. None once it reads no more.
  [[nodiscard]] std::size_t queued() const { return input_.size() - input_at_; }
  /// Bytes of input that were queued so far, and of those the ones that wait no more.
  [[nodiscard]] std::uint64_t queued_ever() const { return queued_ever_; }
  [[nodiscard]] std::uint64_t left_queue() const { return queued_ever_ - queued(); }
  [[nodiscard]] bool has_room() const { return queued() < kMostQueued; }
  /// on_left comes once, when a part of what is queued has been written.
  void tell_left() { tell_left_ = true; }
  /// Queues a line, also before start(); false: its standard input is closed.
  bool write_line(std::string_view line);
  /// tells_taken(): lines that it gets together. False: not now, or its standard input is closed.
  bool give(std::string_view lines);
  /// A portion of more bytes needs the pipe for itself, and one beyond the second bound comes in pieces.
  static constexpr std::size_t kPortion = 4096;
  static constexpr std::size_t kWholePipe = 65536;
  /// When all that is queued has been written.
  void close_input();
  /// Stops and resumes reading its standard output: it will wait.
  void pause(bool paused);
  [[nodiscard]] bool paused() const { return paused_; }
  /// Reads what it has written so far, and nothing that it writes meanwhile, as far as it is not paused.
  void read_now();
  /// Whether a process of the command waits for its standard input, so that it has done all that it was
  /// given: of the command itself and the one that was seen to wait before; `all`: of any in its group.
  [[nodiscard]] PipeWait waits_for_input(bool all);
  /// It has closed its standard input before all that was written had been read.
  [[nodiscard]] bool left_unread() const { return left_unread_; }
  /// Ends it, and nothing of it is heard any more. While the loop lives.
  void retire();
  void signal(int number) const;
  [[nodiscard]] bool running() const { return pid_ > 0 && !exited_; }
  [[nodiscard]] bool input_open() const { return in_.fd >= 0; }

 private:
  struct Stream {
    int fd = -1;
    Loop::WatchId watch = 0;
    std::string text;
    std::size_t at = 0;
  };
  struct Written {
    std::size_t bytes = 0;
    bool portion = false;
  };
  void flush();
  void put(std::string_view line, bool portion);
  bool put_beside(std::string_view line);
  void slots(int wanted);
  void await_reading();
  void on_input_event();
  [[nodiscard]] std::size_t bytes_in_pipe() const;
  void count_read();
  void tell_room();
  void tell_that_some_left();
  void lose_pipe();
  void close_pipe();
  void want_write(bool wanted);
  void read_output();
  std::size_t read_some();
  void read_errors();
  void give_lines();
  void end_output();
  void reap();
  void await_streams();
  void end_when_done();
  void close(Stream& stream);
  void watch_output();
  void unwatch(Stream& stream);
  void end_group();

  Loop& loop_;
  Events events_;
  pid_t pid_ = 0;
  Stream in_, out_, errors_, exit_;
  // The loop watches descriptors for reading only; one of epoll becomes readable when the pipe can be written
  // to.
  Stream writable_;
  std::string input_;
  std::size_t input_at_ = 0;
  std::uint64_t queued_ever_ = 0;
  bool started_ = false;
  bool closing_ = false;
  bool full_ = false;
  bool tell_left_ = false;
  bool paused_ = false;
  bool tells_taken_ = false;
  std::deque<Written> unread_;  // tells_taken(): what has not been read to its end
  int slots_ = 0;               // pages of its pipe; 0: as the system makes it
  Stream step_, stone_;         // a pipe that a portion goes through on its way
  std::uint64_t pipe_ = 0;      // inode of its standard input
  pid_t reader_ = 0;            // was seen to wait for it
  Loop::TimerId after_exit_ = 0;
  Loop::TimerId told_closed_ = 0;
  Loop::TimerId look_again_ = 0;
  Loop::TimerId told_room_ = 0;
  Loop::TimerId told_left_ = 0;
  bool left_unread_ = false;
  bool exited_ = false;
  bool told_ = false;
  int status_ = 0;
};

}  // namespace weft::exec
