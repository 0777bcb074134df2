// What the kernel tells of processes, and the standard descriptors of this one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace weft {

/// First thing in every main: a standard descriptor that is closed becomes /dev/null. Else the next file,
/// pipe or socket of this process gets its number, and what is meant for a terminal is written into that.
void open_standard_streams();

struct ProcessInfo {
  pid_t id = 0;
  pid_t parent = 0;
  pid_t group = 0;
  bool zombie = false;  ///< ended, and not reaped
};

/// Every process that /proc shows at the moment; empty where there is no /proc.
std::vector<ProcessInfo> list_processes();
/// Those of `all` that `root` has started, and they, and so on: by their parents as they are now. Without
/// `root`.
std::vector<ProcessInfo> descendants(const std::vector<ProcessInfo>& all, pid_t root);
/// True: the process was started with each of these entries, "NAME=value", in its environment. False also
/// where it may not be looked at.
bool started_with(pid_t process, const std::vector<std::string>& entries);
/// Whether a process waits for a pipe to have something to read.
enum class PipeWait {
  no,       ///< none of its threads does
  timed,    ///< one waits for it and others (epoll), and for a time: for an event loop that may be work
  waits,    ///< one is blocked in a read of it, or waits for it in poll, select, or epoll without a limit
  unknown,  ///< the system does not tell
};
/// Of the pipe with this inode. A look at /proc: some tens of microseconds for each thread.
PipeWait waits_for_pipe(pid_t process, std::uint64_t inode);

}  // namespace weft
