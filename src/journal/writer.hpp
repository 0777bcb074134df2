// The half of a store that touches the disk: a queue of entries whose places are decided, and who writes
// them.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <weft/journal/disk.hpp>
#include <weft/journal/store.hpp>
#include <weft/wire/buffer.hpp>

#include "journal/format.hpp"
#include "journal/index.hpp"

namespace weft::journal {

/// An entry on its way to its place, or a segment to be deleted once all before it is durable.
struct Work {
  SegmentHeader segment;  ///< of the place; a deletion stands where the next entry will
  std::uint64_t offset = 0;
  wire::Buffer bytes;
  std::uint64_t chain = 0;
  EntryNumbers numbers;
  std::uint64_t commit = 0;
  bool drop = false;
  std::uint64_t drop_segment = 0;
  bool keep_aside = false;  ///< drop: rename instead of remove
  std::uint64_t drop_bytes = 0;
};

/// push() and read() are the owner's; flush() runs on one thread at a time, which may be another one.
class Writer {
 public:
  struct Options {
    std::string path;
    std::uint64_t segment_bytes = 0;
    bool sync = true;
  };
  Writer(Disk& disk, Options options) : disk_(disk), options_(std::move(options)) {}

  /// Goes on at the end of a segment that is there.
  void resume(std::uint64_t segment, std::uint64_t end);
  /// With what all segments take now; before the first flush().
  void begin(std::uint64_t on_disk);
  void push(Work work);
  Store::Flush flush();

  /// The record at `place` when it still waits; false: it is on the disk.
  bool read_waiting(const Place& place, std::vector<std::byte>& out) const;

  [[nodiscard]] bool has_work() const;
  [[nodiscard]] std::uint64_t durable() const { return durable_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t waiting_bytes() const { return waiting_bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t dropping_bytes() const {
    return dropping_bytes_.load(std::memory_order_relaxed);
  }
  /// All segments together may grow to so many bytes before the disk is full, as far as is known: the reserve
  /// is not counted. UINT64_MAX: the disk does not tell.
  [[nodiscard]] std::uint64_t disk_limit() const { return disk_limit_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool no_space() const { return no_space_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool has_failed() const { return has_failed_.load(std::memory_order_acquire); }
  [[nodiscard]] std::optional<std::string> failure() const;
  [[nodiscard]] std::uint64_t syncs() const { return syncs_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t written_bytes() const { return written_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t dropped_segments() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  enum class Step { done, no_space, failed };
  std::size_t group(std::vector<Work*>& out);
  Step write_group(std::vector<Work*>& works);
  Step enter_segment(const SegmentHeader& header);
  Step make_ready(std::uint64_t until);
  Step cut_back();
  Step run_drops(std::vector<Work*>& drops);
  Step fail(const std::string& path, const char* what, int error);
  Step outcome(const std::string& path, const char* what, int error);
  void finish(std::size_t count);
  void measure();
  bool make_reserve();
  bool release_reserve();
  [[nodiscard]] std::uint64_t reserve_bytes() const;
  [[nodiscard]] std::string file_of(std::uint64_t segment) const;

  Disk& disk_;
  Options options_;

  // The flushing thread's.
  std::unique_ptr<File> file_;
  std::uint64_t segment_ = 0;
  std::uint64_t end_ = 0;      // of what is written and good
  std::uint64_t ready_ = 0;    // up to here the file has blocks
  std::uint64_t on_disk_ = 0;  // of all segments
  bool has_reserve_ = false;

  mutable std::mutex mutex_;
  std::deque<Work> queue_;  // guarded by mutex_; but its front belongs to flush() while that runs
  std::string failure_;     // guarded by mutex_
  std::atomic<std::uint64_t> durable_{0};
  std::atomic<std::uint64_t> waiting_bytes_{0};
  std::atomic<std::uint64_t> dropping_bytes_{0};
  std::atomic<std::uint64_t> syncs_{0};
  std::atomic<std::uint64_t> written_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<std::uint64_t> disk_limit_{UINT64_MAX};
  std::atomic<bool> no_space_{false};
  std::atomic<bool> has_failed_{false};
};

}  // namespace weft::journal
