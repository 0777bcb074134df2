#include "launch/node_log.hpp"

#include <atomic>
#include <deque>
#include <mutex>
#include <utility>

#include "launch/log_file.hpp"

namespace weft::launch {
namespace {

constexpr std::size_t kFull = 4UL << 20;       // bytes that wait: its node is not read any more
constexpr std::size_t kMostLines = 8UL << 20;  // what is read all the same finds no room beyond this
constexpr std::size_t kLine = 64;              // what a line costs beside its text
constexpr const char* kStoodStill = "the disk stood still";

}  // namespace

// Shared with the disk's thread.
struct NodeLog::Lines {
  struct Line {
    std::string text;
    std::uint64_t missing = 0;  // lines lost before it
  };
  LogFile file;  // of the disk's thread
  std::mutex mutex;
  std::deque<Line> waiting;
  std::size_t bytes = 0;
  std::size_t in_hand = 0;    // lines that are being written
  std::uint64_t dropped = 0;  // and not told to the file yet
  bool scheduled = false;
  bool was_full = false;
  bool given_up = false;
  Lost lost;

  Lines(const std::string& path, topology::LogBounds bounds) : file(path, bounds) {}

  void put(const Line& line) {
    if (line.missing != 0) file.miss(line.missing, kStoodStill);
    (void)file.write(line.text);
  }

  // The lines of one turn: those that come meanwhile are in the next one, so that other work has its place.
  void write_waiting() {
    std::deque<Line> lines;
    std::uint64_t last = 0;
    {
      const std::lock_guard lock(mutex);
      scheduled = false;
      lines.swap(waiting);
      in_hand = lines.size();
      last = std::exchange(dropped, 0);
    }
    for (const Line& line : lines) {
      put(line);
      const std::lock_guard lock(mutex);
      if (given_up) return;
      --in_hand;
      bytes -= line.text.size() + kLine;
      lost = {file.lost(), file.why()};
    }
    if (last == 0) return;
    file.miss(last, kStoodStill);
    file.tell();
    const std::lock_guard lock(mutex);
    lost = {file.lost(), file.why()};
  }
};

NodeLog::NodeLog(Disk& disk, std::string path, topology::LogBounds bounds)
    : disk_(disk), path_(std::move(path)), lines_(std::make_shared<Lines>(path_, bounds)) {}

void NodeLog::write(std::string_view line) {
  {
    const std::lock_guard lock(lines_->mutex);
    if (lines_->bytes + line.size() + kLine > kMostLines) {
      ++lines_->dropped;
    } else {
      lines_->bytes += line.size() + kLine;
      lines_->waiting.push_back({std::string(line), std::exchange(lines_->dropped, 0)});
    }
  }
  schedule();
}

void NodeLog::schedule() {
  {
    const std::lock_guard lock(lines_->mutex);
    if (std::exchange(lines_->scheduled, true)) return;
  }
  disk_.post([lines = lines_] { lines->write_waiting(); });
}

bool NodeLog::full() const {
  const std::lock_guard lock(lines_->mutex);
  const std::size_t bound = lines_->was_full ? kFull / 2 : kFull;
  return lines_->was_full = lines_->bytes > bound;
}

void NodeLog::look_again() {
  disk_.post([lines = lines_] { lines->file.look_again(); });
}

void NodeLog::give_up() {
  const std::lock_guard lock(lines_->mutex);
  lines_->given_up = true;
  // The one that is being written may be half there.
  lines_->dropped += lines_->waiting.size() + lines_->in_hand;
}

NodeLog::Lost NodeLog::lost() const {
  const std::lock_guard lock(lines_->mutex);
  if (lines_->dropped == 0) return lines_->lost;
  return {lines_->lost.lines + lines_->dropped, kStoodStill};
}

}  // namespace weft::launch
