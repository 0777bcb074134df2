#include <weft/core/processes.hpp>

#include <algorithm>
#include <cstdio>
#include <set>

#include <fcntl.h>
#include <unistd.h>

#include <weft/core/format.hpp>

#include "core/proc_files.hpp"

namespace weft {

using proc::for_each_number;
using proc::read_file;

namespace {

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

}  // namespace weft
