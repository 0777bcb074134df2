#include <weft/core/processes.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <set>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <weft/core/format.hpp>

namespace weft {
namespace {

constexpr std::size_t kMostOfAFile = 4UL << 20;  // an environment is bounded by the stack's limit

bool read_file(const std::string& path, std::string& out) {
  out.clear();
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char bytes[16384];
  ssize_t got = 0;
  while (out.size() < kMostOfAFile && (got = ::read(fd, bytes, sizeof bytes)) > 0) {
    out.append(bytes, static_cast<std::size_t>(got));
  }
  ::close(fd);
  return got >= 0;
}

/// Calls `fn` with each name in a folder of /proc that is a number.
template <class F>
void for_each_number(const std::string& folder, const F& fn) {
  DIR* const open = ::opendir(folder.c_str());
  if (!open) return;
  while (const dirent* entry = ::readdir(open)) {
    const std::string_view name = entry->d_name;
    pid_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && end == name.data() + name.size()) fn(number);
  }
  ::closedir(open);
}

/// "12 (a name) S 1 12 ...": the name may hold anything, so what follows is behind the last parenthesis.
bool parse_stat(const std::string& text, ProcessInfo& out) {
  const std::size_t close = text.rfind(')');
  char state = 0;
  if (close == std::string::npos ||
      std::sscanf(text.c_str() + close + 1, " %c %d %d", &state, &out.parent, &out.group) != 3) {
    return false;
  }
  out.zombie = state == 'Z' || state == 'X';
  return true;
}

bool is_pipe(const std::string& path, std::uint64_t inode) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 && S_ISFIFO(found.st_mode) && found.st_ino == inode;
}

/// The descriptor that a thread is blocked in a read of; -1: none, or nobody tells.
int reads_from(const std::string& thread) {
  std::string text;
  long number = -1;
  unsigned long fd = 0;
  if (!read_file(thread + "/syscall", text) || std::sscanf(text.c_str(), "%ld %lx", &number, &fd) != 2)
    return -1;
  return number == SYS_read || number == SYS_readv ? static_cast<int>(fd) : -1;
}

}  // namespace

void open_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    const int opened = ::open("/dev/null", fd == 0 ? O_RDONLY : O_RDWR);
    if (opened >= 0 && opened != fd) {  // cannot be: the lowest free number is given
      ::dup2(opened, fd);
      ::close(opened);
    }
  }
}

std::vector<ProcessInfo> list_processes() {
  std::vector<ProcessInfo> out;
  std::string text;
  for_each_number("/proc", [&](pid_t id) {
    ProcessInfo info{.id = id};
    if (read_file(format("/proc/{}/stat", id), text) && parse_stat(text, info)) out.push_back(info);
  });
  return out;
}

std::vector<ProcessInfo> descendants(const std::vector<ProcessInfo>& all, pid_t root) {
  std::set<pid_t> parents{root};
  std::vector<ProcessInfo> out;
  for (std::size_t before = 0; before != parents.size();) {
    before = parents.size();
    for (const ProcessInfo& one : all) {
      if (parents.contains(one.parent) && parents.insert(one.id).second) out.push_back(one);
    }
  }
  return out;
}

bool started_with(pid_t process, const std::vector<std::string>& entries) {
  std::string text;
  if (entries.empty() || !read_file(format("/proc/{}/environ", process), text)) return false;
  text.insert(text.begin(), '\0');
  text.push_back('\0');
  return std::ranges::all_of(entries, [&](const std::string& entry) {
    std::string whole(1, '\0');
    whole += entry;
    whole.push_back('\0');
    return text.find(whole) != std::string::npos;
  });
}

bool waits_for_pipe(pid_t process, std::uint64_t inode) {
  bool waits = false;
  const std::string folder = format("/proc/{}", process);
  for_each_number(folder + "/task", [&](pid_t thread) {
    if (waits) return;
    const int fd = reads_from(format("{}/task/{}", folder, thread));
    waits = fd >= 0 && is_pipe(format("{}/fd/{}", folder, fd), inode);
  });
  return waits;
}

}  // namespace weft
