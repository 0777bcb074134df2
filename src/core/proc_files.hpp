// Reading /proc.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

namespace weft::proc {

inline constexpr std::size_t kMostOfAFile = 4UL << 20;  // an environment is bounded by the stack's limit

inline bool read_file(const std::string& path, std::string& out) {
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

}  // namespace weft::proc
