#include "journal/writer.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <iterator>
#include <utility>

#include "journal/recovery.hpp"

namespace weft::journal {
namespace {

// Ahead of small writes zeros are written: a sync of blocks that are there already has no change of the
// file's length to write down, which makes it faster. To write what is large twice costs more than that
// (docs/decisions/0011-own-journal.md).
constexpr std::uint64_t kSmallWrite = 32ULL << 10;
constexpr std::uint64_t kReadyWrites = 64;  // so many of the size at hand
constexpr std::uint64_t kLeastReady = 64ULL << 10;
constexpr std::array<std::byte, 1 << 16> kZeros{};
// A file that only takes room: it goes when somebody else has filled the disk, so that what makes room can be
// written still, and comes back when there is enough again.
constexpr std::uint64_t kMostReserve = 1ULL << 20;
constexpr std::uint64_t kReserveOfFree = 8;  // the free room is so many times the reserve, or there is none

std::vector<Bytes> zeros(std::uint64_t count) {
  std::vector<Bytes> out;
  for (; count > 0; count -= out.back().size())
    out.push_back(Bytes(kZeros).first(std::min<std::uint64_t>(count, kZeros.size())));
  return out;
}

}  // namespace

std::string Writer::file_of(std::uint64_t segment) const {
  return options_.path + "/" + segment_name(segment);
}

void Writer::resume(std::uint64_t segment, std::uint64_t end) {
  segment_ = segment;
  end_ = end;
}

void Writer::begin(std::uint64_t on_disk) {
  on_disk_ = on_disk;
  measure();
}

std::uint64_t Writer::reserve_bytes() const {
  return std::min(kMostReserve, options_.segment_bytes / 4);
}

// A reserve that a former life has left is taken as it is: it may be all that can be had.
bool Writer::make_reserve() {
  const std::string file = options_.path + "/" + kReserveName;
  const std::uint64_t size = reserve_bytes();
  if (const Disk::Opened old = disk_.open(file, Disk::Mode::read); old.file && old.file->size() >= size)
    return true;
  const Disk::Opened opened = disk_.open(file, Disk::Mode::create);
  if (opened.file && opened.file->write(0, zeros(size)).error == 0) return true;
  disk_.remove(file);
  return false;
}

bool Writer::release_reserve() {
  if (!std::exchange(has_reserve_, false)) return false;
  return disk_.remove(options_.path + "/" + kReserveName) == 0;
}

// What the writer has not been given is no part of it, so an owner that adds meanwhile changes nothing.
void Writer::measure() {
  const auto free = disk_.free_bytes(options_.path);
  if (!free) return;
  std::uint64_t left = *free;
  if (!has_reserve_ && left >= kReserveOfFree * reserve_bytes() && (has_reserve_ = make_reserve()))
    left = disk_.free_bytes(options_.path).value_or(left);
  disk_limit_.store(on_disk_ + left + (ready_ > end_ ? ready_ - end_ : 0), std::memory_order_relaxed);
}

void Writer::push(Work work) {
  waiting_bytes_.fetch_add(work.bytes.size(), std::memory_order_relaxed);
  dropping_bytes_.fetch_add(work.drop_bytes, std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(work));
}

bool Writer::has_work() const {
  const std::lock_guard lock(mutex_);
  return !queue_.empty();
}

std::optional<std::string> Writer::failure() const {
  const std::lock_guard lock(mutex_);
  if (failure_.empty()) return std::nullopt;
  return failure_;
}

bool Writer::read_waiting(const Place& place, std::vector<std::byte>& out) const {
  const std::lock_guard lock(mutex_);
  const auto behind =
      std::upper_bound(queue_.begin(), queue_.end(), place, [](const Place& p, const Work& w) {
        return p.segment != w.segment.number ? p.segment < w.segment.number : p.offset < w.offset;
      });
  if (behind == queue_.begin()) return false;
  const Work& work = *std::prev(behind);
  if (work.segment.number != place.segment || place.offset + place.length > work.offset + work.bytes.size())
    return false;
  const std::byte* at = work.bytes.data() + (place.offset - work.offset);
  out.assign(at, at + place.length);
  return true;
}

Store::Flush Writer::flush() {
  if (has_failed()) return Store::Flush::failed;
  bool any = false;
  for (;;) {
    std::vector<Work*> all;
    if (group(all) == 0) {
      measure();
      return any ? Store::Flush::done : Store::Flush::idle;
    }
    std::vector<Work*> entries;
    for (Work* work : all) {
      if (!work->drop) entries.push_back(work);
    }
    const std::size_t wanted = entries.size();
    const Step step = entries.empty() ? Step::done : write_group(entries);
    if (step == Step::failed) return Store::Flush::failed;

    // What was written is a beginning of the queue, and so are the deletions that waited for it.
    std::size_t count = 0;
    std::size_t left = entries.size();
    std::vector<Work*> drops;
    for (; count < all.size(); ++count) {
      if (all[count]->drop) {
        drops.push_back(all[count]);
      } else if (left-- == 0) {
        break;
      }
    }
    if (!drops.empty() && run_drops(drops) == Step::failed) return Store::Flush::failed;
    if (!entries.empty()) durable_.store(entries.back()->commit, std::memory_order_release);
    any = any || count != 0;
    finish(count);
    const bool is_full = entries.size() < wanted || step == Step::no_space;
    if (is_full && release_reserve()) continue;
    no_space_.store(is_full, std::memory_order_relaxed);
    if (step != Step::no_space) continue;
    measure();
    return Store::Flush::no_space;
  }
}

// All that waits for one segment, and the deletions in between.
std::size_t Writer::group(std::vector<Work*>& out) {
  const std::lock_guard lock(mutex_);
  std::uint64_t segment = 0;
  for (Work& work : queue_) {
    if (!work.drop) {
      if (segment != 0 && work.segment.number != segment) break;
      segment = work.segment.number;
    }
    out.push_back(&work);
  }
  return out.size();
}

// Leaves in `works` what is durable now.
Writer::Step Writer::write_group(std::vector<Work*>& works) {
  if (const Step step = enter_segment(works.front()->segment); step != Step::done) {
    works.clear();
    return step;
  }
  assert(works.front()->offset == end_);
  std::uint64_t size = 0;
  std::vector<Bytes> parts;
  parts.reserve(works.size());
  for (Work* work : works) {
    work->numbers.durable_below = options_.sync ? works.front()->numbers.number : work->numbers.number;
    seal_entry(work->bytes, work->chain, work->numbers, work->segment.salt);
    parts.push_back(work->bytes.view());
    size += work->bytes.size();
  }
  if (make_ready(end_ + size) == Step::failed) return Step::failed;
  const IoResult wrote = file_->write(end_, parts);
  const std::string file = file_of(segment_);
  Step step = Step::done;
  if (wrote.error != 0) {
    step = outcome(file, "write to it", wrote.error);
    if (step == Step::failed) return step;
    std::size_t whole = 0;
    size = 0;
    while (whole < works.size() && size + parts[whole].size() <= wrote.bytes) size += parts[whole++].size();
    works.resize(whole);
  }
  end_ += size;
  on_disk_ += size;
  if (step == Step::no_space && cut_back() == Step::failed) return Step::failed;
  if (works.empty()) return step;
  if (options_.sync) {
    if (const int error = file_->sync(); error != 0) return fail(file, "sync it", error);
    syncs_.fetch_add(1, std::memory_order_relaxed);
  }
  written_.fetch_add(size, std::memory_order_relaxed);
  ready_ = std::max(ready_, end_);
  return step;
}

Writer::Step Writer::enter_segment(const SegmentHeader& header) {
  if (file_ && segment_ == header.number) return Step::done;
  if (file_ && ready_ > end_ && cut_back() == Step::failed) return Step::failed;
  file_.reset();
  const std::string file = file_of(header.number);
  const bool is_new = segment_ != header.number;
  Disk::Opened opened = disk_.open(file, is_new ? Disk::Mode::create : Disk::Mode::write);
  if (!opened.file) return outcome(file, is_new ? "make it" : "open it", opened.error);
  if (is_new) {
    std::array<std::byte, kSegmentStart> bytes;
    encode_header(header, bytes.data());
    const Bytes part = bytes;
    int error = opened.file->write(0, {&part, 1}).error;
    if (error == 0 && options_.sync) error = disk_.sync_directory(options_.path);
    if (error != 0) {
      opened.file.reset();
      const Step step = outcome(file, "begin it", error);
      if (step == Step::no_space) disk_.remove(file);
      return step;
    }
    end_ = kSegmentStart;
    on_disk_ += kSegmentStart;
  }
  segment_ = header.number;
  file_ = std::move(opened.file);
  ready_ = std::max(end_, file_->size());
  return Step::done;
}

Writer::Step Writer::make_ready(std::uint64_t until) {
  const std::uint64_t size = until - end_;
  if (!options_.sync || until <= ready_ || size >= kSmallWrite || no_space()) return Step::done;
  const std::uint64_t ahead = std::max(kLeastReady, kReadyWrites * size);
  const std::uint64_t target = std::min(until + ahead, options_.segment_bytes);
  if (target <= until) return Step::done;
  const IoResult wrote = file_->write(until, zeros(target - until));
  if (wrote.error == 0) {
    ready_ = target;
    return Step::done;
  }
  // The entries themselves may still fit.
  if (is_no_space(wrote.error)) return cut_back();
  return fail(file_of(segment_), "write ahead in it", wrote.error);
}

Writer::Step Writer::cut_back() {
  const std::string file = file_of(segment_);
  if (const int error = file_->truncate(end_); error != 0) return fail(file, "cut it back", error);
  ready_ = end_;
  return Step::done;
}

Writer::Step Writer::run_drops(std::vector<Work*>& drops) {
  for (const Work* work : drops) {
    const std::string file = file_of(work->drop_segment);
    const int error = work->keep_aside ? disk_.rename(file, file + ".damaged") : disk_.remove(file);
    if (error != 0 && error != ENOENT) return fail(file, "remove it", error);
    on_disk_ -= std::min(on_disk_, work->drop_bytes);
    dropping_bytes_.fetch_sub(work->drop_bytes, std::memory_order_relaxed);
    dropped_.fetch_add(1, std::memory_order_relaxed);
  }
  if (!options_.sync) return Step::done;
  const int error = disk_.sync_directory(options_.path);
  return error == 0 ? Step::done : fail(options_.path, "sync the directory", error);
}

Writer::Step Writer::outcome(const std::string& path, const char* what, int error) {
  return is_no_space(error) ? Step::no_space : fail(path, what, error);
}

Writer::Step Writer::fail(const std::string& path, const char* what, int error) {
  {
    const std::lock_guard lock(mutex_);
    failure_ = io_text(path, what, error) + "; nothing more is taken, restart when the disk is well";
  }
  has_failed_.store(true, std::memory_order_release);
  return Step::failed;
}

void Writer::finish(std::size_t count) {
  // Freed after the lock is given back.
  std::vector<Work> done;
  done.reserve(count);
  std::uint64_t bytes = 0;
  const std::lock_guard lock(mutex_);
  for (; count > 0; --count) {
    bytes += queue_.front().bytes.size();
    done.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  waiting_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
}

}  // namespace weft::journal
