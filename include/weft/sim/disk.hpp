// SimDisk: a disk in memory whose machine can fail: what was not synced is then lost, or torn.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <weft/journal/disk.hpp>
#include <weft/sim/random.hpp>

namespace weft::sim {

/// Files are kept twice: as they are read, and as they are on the medium. One thread.
class SimDisk final : public journal::Disk {
 public:
  explicit SimDisk(std::uint64_t seed) : random_(seed) {}

  /// The process is gone: its open files and locks are void. What it wrote is there.
  void kill();
  /// The machine failed: as kill(), and each sector (512 bytes) that was not synced is as it was before, or
  /// as it was written; files and names that were not synced may be gone.
  void fail();
  /// While it is full, a write is done in part and says ENOSPC.
  void set_full(bool full) { full_ = full; }
  /// From the write or sync after the next `operations` on, each says EIO, until the process is gone.
  void break_after(std::uint64_t operations) { left_ = operations; }
  [[nodiscard]] std::uint64_t bytes() const;

  Opened open(const std::string& path, Mode mode) override;
  Listed list(const std::string& directory) override;
  int make_directory(const std::string& path) override;
  int rename(const std::string& from, const std::string& to) override;
  int remove(const std::string& path) override;
  int sync_directory(const std::string& directory) override;
  Locked lock(const std::string& path) override;
  std::string lock_owner(const std::string& path) override;
  std::uint64_t random() override { return random_.next(); }

 private:
  struct Node {
    std::vector<std::byte> now, medium;
    std::uint64_t dirty_from = UINT64_MAX, dirty_to = 0;  // where the two may differ, but for their length
  };
  class SimFile;
  class SimLock;
  using Names = std::map<std::string, std::shared_ptr<Node>>;

  static void touch(Node& node, std::uint64_t from, std::uint64_t to);
  static void settle(Node& node);
  void tear(Node& node);
  bool broken();

  Random random_;
  Names names_;   // directories have no node
  Names medium_;  // the names that survive
  std::map<std::string, std::uint64_t> locks_;
  std::uint64_t life_ = 1;
  std::uint64_t left_ = UINT64_MAX;
  bool full_ = false;
};

}  // namespace weft::sim
