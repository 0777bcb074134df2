// A disk in memory that fails on demand, and forgets what was not synced when it crashes.
#pragma once

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <weft/journal/disk.hpp>

namespace weft::journal::testing {

class MemoryDisk : public Disk, public std::enable_shared_from_this<MemoryDisk> {
 public:
  struct Node {
    std::vector<std::byte> now;
    std::vector<std::byte> synced;
    std::size_t as_synced = 0;  // so many bytes at its beginning are on the disk as they are

    void changed(std::size_t from) { as_synced = std::min(as_synced, from); }
    void sync() {
      synced.resize(now.size());
      std::copy(now.begin() + static_cast<std::ptrdiff_t>(as_synced), now.end(),
                synced.begin() + static_cast<std::ptrdiff_t>(as_synced));
      as_synced = now.size();
    }
    void crash() {
      now = synced;
      as_synced = now.size();
    }
  };

  Opened open(const std::string& path, Mode mode) override {
    const std::lock_guard lock(mutex_);
    auto at = files_.find(path);
    if (at == files_.end()) {
      if (mode != Mode::create) return {nullptr, ENOENT};
      at = files_.emplace(path, std::make_shared<Node>()).first;
    } else if (mode == Mode::create) {
      at->second->now.clear();
      at->second->changed(0);
    }
    return {std::make_unique<Handle>(*this, at->second), 0};
  }
  Listed list(const std::string& directory) override {
    const std::lock_guard lock(mutex_);
    if (!directories_.contains(directory)) return {{}, ENOENT};
    Listed out;
    for (const auto& [path, node] : files_) {
      if (path.starts_with(directory + "/")) out.names.push_back(path.substr(directory.size() + 1));
    }
    return out;
  }
  int make_directory(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    return directories_.insert(path).second ? 0 : EEXIST;
  }
  int rename(const std::string& from, const std::string& to) override {
    const std::lock_guard lock(mutex_);
    const auto at = files_.find(from);
    if (at == files_.end()) return ENOENT;
    files_[to] = at->second;
    files_.erase(at);
    return 0;
  }
  int remove(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    return files_.erase(path) == 1 ? 0 : ENOENT;
  }
  int sync_directory(const std::string& /*directory*/) override { return 0; }
  std::optional<std::uint64_t> free_bytes(const std::string& /*directory*/) override {
    const std::lock_guard lock(mutex_);
    if (!tells_free_) return std::nullopt;
    return limit_ - std::min(limit_, used_locked());
  }
  Locked lock(const std::string& /*path*/) override { return {std::make_unique<DiskLock>(), 0, {}}; }
  std::string lock_owner(const std::string& /*path*/) override { return {}; }
  std::uint64_t random() override {
    random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return random_ ^ (random_ >> 29);
  }

  /// All bytes of all files that `limit` leaves room for.
  void set_limit(std::size_t limit) {
    const std::lock_guard lock(mutex_);
    limit_ = limit;
  }
  /// From now on it says what is free, as most file systems do.
  void tell_free() {
    const std::lock_guard lock(mutex_);
    tells_free_ = true;
  }
  /// The nth write (or sync) from now on fails with EIO, and all behind it; 0: none does.
  void fail_write(int nth) {
    const std::lock_guard lock(mutex_);
    fail_write_ = nth;
  }
  void fail_sync(int nth) {
    const std::lock_guard lock(mutex_);
    fail_sync_ = nth;
  }
  /// Syncs do not end until that is over.
  void stall(bool stalled) {
    {
      const std::lock_guard lock(mutex_);
      stalled_ = stalled;
    }
    moving_.notify_all();
  }
  /// What was not synced is gone.
  void crash() {
    const std::lock_guard lock(mutex_);
    for (auto& [path, node] : files_) node->crash();
  }
  std::map<std::string, std::vector<std::byte>> contents() const {
    const std::lock_guard lock(mutex_);
    std::map<std::string, std::vector<std::byte>> out;
    for (const auto& [path, node] : files_) out[path] = node->now;
    return out;
  }
  void put_file(const std::string& path, std::vector<std::byte> bytes) {
    const std::lock_guard lock(mutex_);
    auto node = std::make_shared<Node>();
    node->now = std::move(bytes);
    node->sync();
    files_[path] = std::move(node);
  }
  std::size_t used() const {
    const std::lock_guard lock(mutex_);
    return used_locked();
  }
  int writes() const {
    const std::lock_guard lock(mutex_);
    return writes_;
  }

 private:
  std::size_t used_locked() const {
    std::size_t out = 0;
    for (const auto& [path, node] : files_) out += node->now.size();
    return out;
  }

  class Handle : public File {
   public:
    Handle(MemoryDisk& disk, std::shared_ptr<Node> node) : disk_(disk), node_(std::move(node)) {}
    IoResult write(std::uint64_t offset, std::span<const Bytes> parts) override {
      const std::lock_guard lock(disk_.mutex_);
      ++disk_.writes_;
      IoResult out;
      const bool fails = disk_.fail_write_ != 0 && --disk_.fail_write_ == 0;
      if (fails) disk_.fail_write_ = 1;
      for (const Bytes& part : parts) {
        std::size_t count = fails ? part.size() / 2 : part.size();
        const std::size_t end = offset + out.bytes + count;
        std::size_t more = end > node_->now.size() ? end - node_->now.size() : 0;
        const std::size_t room = disk_.limit_ - std::min(disk_.limit_, disk_.used_locked());
        bool is_full = false;
        if (more > room) {
          count -= std::min(count, more - room);
          is_full = true;
        }
        const std::size_t until = offset + out.bytes + count;
        node_->changed(offset + out.bytes);
        if (until > node_->now.size()) node_->now.resize(until);
        if (count != 0) std::memcpy(node_->now.data() + offset + out.bytes, part.data(), count);
        out.bytes += count;
        if (fails || is_full) {
          out.error = fails ? EIO : ENOSPC;
          return out;
        }
      }
      return out;
    }
    IoResult read(std::uint64_t offset, std::span<std::byte> to) override {
      const std::lock_guard lock(disk_.mutex_);
      if (offset >= node_->now.size()) return {};
      const std::size_t count = std::min<std::size_t>(to.size(), node_->now.size() - offset);
      if (count != 0) std::memcpy(to.data(), node_->now.data() + offset, count);
      return {count, 0};
    }
    int sync() override {
      std::unique_lock lock(disk_.mutex_);
      disk_.moving_.wait(lock, [this] { return !disk_.stalled_; });
      if (disk_.fail_sync_ != 0 && --disk_.fail_sync_ == 0) {
        disk_.fail_sync_ = 1;
        return EIO;
      }
      node_->sync();
      return 0;
    }
    int truncate(std::uint64_t size) override {
      const std::lock_guard lock(disk_.mutex_);
      node_->now.resize(size);
      node_->changed(size);
      return 0;
    }
    std::uint64_t size() override {
      const std::lock_guard lock(disk_.mutex_);
      return node_->now.size();
    }

   private:
    MemoryDisk& disk_;
    std::shared_ptr<Node> node_;
  };

  mutable std::mutex mutex_;
  std::condition_variable moving_;
  bool stalled_ = false;
  std::map<std::string, std::shared_ptr<Node>> files_;
  std::set<std::string> directories_;
  bool tells_free_ = false;
  std::size_t limit_ = SIZE_MAX;
  int fail_write_ = 0;
  int fail_sync_ = 0;
  int writes_ = 0;
  std::uint64_t random_ = 88172645463325252ULL;
};

}  // namespace weft::journal::testing
