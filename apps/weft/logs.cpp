// weft logs: what the nodes of a run wrote.
#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <map>

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "reader_watch.hpp"
#include "runs.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kLookEvery = 500;  // milliseconds: whether the run still lives

// One log file, and how far it has been shown.
struct LogFile {
  std::string node;  // "worker/2"
  int fd = -1;
  std::string rest;                 // a line without its end yet
  std::deque<std::string> earlier;  // files that come next; the last one is the present one
};

// "worker-2.log.3", "worker-2.log.2", ...: what was written before, the oldest first.
std::deque<std::string> earlier_of(const fs::path& file) {
  std::deque<std::string> out;
  std::error_code ignored;
  for (unsigned number = 1;; ++number) {
    const std::string name = format("{}.{}", file.string(), number);
    if (!fs::exists(name, ignored)) return out;
    out.push_front(name);
  }
}

// Goes on with the next file that can be opened.
void next_file(LogFile& log) {
  while (!log.earlier.empty()) {
    const int fd = ::open(log.earlier.front().c_str(), O_RDONLY | O_CLOEXEC);
    log.earlier.pop_front();
    if (fd < 0) continue;
    if (log.fd >= 0) ::close(log.fd);
    log.fd = fd;
    return;
  }
}

// The present file has been turned over, moved away or cut.
bool is_another(const LogFile& log, const fs::path& file) {
  struct stat ours {
  }, named{};
  if (::fstat(log.fd, &ours) != 0 || ::stat(file.c_str(), &named) != 0) return false;
  if (ours.st_ino != named.st_ino || ours.st_dev != named.st_dev) return true;
  if (::lseek(log.fd, 0, SEEK_CUR) > ours.st_size) ::lseek(log.fd, 0, SEEK_SET);
  return false;
}

// "worker-2.log" -> "worker/2"
std::string node_of(const fs::path& file) {
  std::string name = file.stem().string();
  const std::size_t dash = name.rfind('-');
  if (dash != std::string::npos) name[dash] = '/';
  return name;
}

class Reader {
 public:
  Reader(std::string folder, std::string wanted) : folder_(std::move(folder)), wanted_(std::move(wanted)) {}
  ~Reader() {
    for (auto& [path, log] : logs_) ::close(log.fd);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  [[nodiscard]] std::size_t size() const { return logs_.size(); }

  void find_files() {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
      if (entry.path().extension() != ".log" || logs_.contains(entry.path())) continue;
      const std::string node = node_of(entry.path());
      if (!wanted_.empty() && node != wanted_ && !node.starts_with(wanted_ + "/")) continue;
      LogFile log{node, -1, {}, earlier_of(entry.path())};
      log.earlier.push_back(entry.path());
      next_file(log);
      if (log.fd >= 0) logs_.emplace(entry.path(), std::move(log));
      width_ = std::max(width_, node.size());
    }
  }

  // All that is new in all files; of each file at most `most` lines, 0: all.
  void show(std::uint64_t most) {
    for (auto& [path, log] : logs_) {
      std::vector<std::string> lines;
      read(log, lines, most);
      // What was written into the old one until it was turned over has been read by now.
      if (is_another(log, path)) {
        read(log, lines, most);
        log.earlier.push_back(path);
        next_file(log);
        read(log, lines, most);
      }
      const std::size_t first = most != 0 && lines.size() > most ? lines.size() - most : 0;
      for (std::size_t i = first; i < lines.size(); ++i) print(log, lines[i]);
    }
    std::fflush(stdout);
  }

 private:
  void read(LogFile& log, std::vector<std::string>& lines, std::uint64_t most) {
    std::array<char, 65536> bytes;
    for (;;) {
      const ssize_t n = ::read(log.fd, bytes.data(), bytes.size());
      if (n <= 0 && log.earlier.empty()) break;
      if (n <= 0) {
        next_file(log);
        continue;
      }
      log.rest.append(bytes.data(), static_cast<std::size_t>(n));
      std::size_t at = 0;
      for (std::size_t end = 0; (end = log.rest.find('\n', at)) != std::string::npos; at = end + 1) {
        lines.push_back(log.rest.substr(at, end - at));
        // Without a bound on the lines they are shown as they come, not collected.
        if (most == 0) {
          print(log, lines.back());
          lines.clear();
        }
      }
      log.rest.erase(0, at);
      if (most != 0 && lines.size() > 2 * most)
        lines.erase(lines.begin(), lines.end() - static_cast<long>(most));
    }
  }

  void print(const LogFile& log, const std::string& line) const {
    std::printf("%-*s | %s\n", static_cast<int>(width_), log.node.c_str(), line.c_str());
  }

  std::string folder_;
  std::string wanted_;
  std::map<std::string, LogFile> logs_;
  std::size_t width_ = 0;
};

void follow(Reader& reader, const launch::RunInfo& run, const std::string& folder) {
  const int watch = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  ::inotify_add_watch(watch, folder.c_str(), IN_MODIFY | IN_CREATE | IN_MOVE);
  const ReaderWatch whoever_reads;
  bool live = true;
  while (live && std::ferror(stdout) == 0) {
    std::array<pollfd, 2> polled{{{watch, POLLIN, 0}, {whoever_reads.fd(), POLLIN, 0}}};
    const int ready = ::poll(polled.data(), polled.size(), kLookEvery);
    if (whoever_reads.gone()) break;
    if (ready > 0) {
      std::array<char, 8192> events;
      while (::read(watch, events.data(), events.size()) > 0) {
      }
    } else {
      live = launch::find_run(fs::path(run.directory).parent_path().string(), run.id).live;
    }
    reader.find_files();
    reader.show(0);
  }
  ::close(watch);
}

// One word may be a run or a node of the only live (or newest) run.
launch::RunInfo find_run_or_node(const std::vector<std::string>& words, std::string& node) {
  const std::string base = base_folder();
  if (words.size() > 1) {
    node = words[1];
    return pick_run(words[0]);
  }
  const auto runs = launch::list_runs(base);
  const auto fits = [&](const launch::RunInfo& run) {
    return !words.empty() && run.id.starts_with(words[0]);
  };
  if (std::any_of(runs.begin(), runs.end(), fits)) return pick_run(words[0]);
  if (!words.empty()) node = words[0];
  const bool any_live = std::any_of(runs.begin(), runs.end(), [](const auto& run) { return run.live; });
  if (!any_live && !runs.empty()) return runs.front();  // the newest is what somebody wants to look at
  return pick_run("");
}

}  // namespace

int run_verb(const Logs& logs) {
  std::string node;
  const launch::RunInfo run = find_run_or_node(logs.words, node);
  const std::string folder = run.directory + "/logs";
  Reader reader(folder, node);
  reader.find_files();
  if (reader.size() == 0 && !node.empty()) {
    throw Error(Errc::not_found, format("the run {} has no log of a node {}", run.id, weft::quoted(node)));
  }
  reader.show(logs.lines);
  if (logs.follow && run.live) follow(reader, run, folder);
  return kOk;
}

}  // namespace weft::cli
