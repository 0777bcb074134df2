// NodeJournal: the journal of one simulated process: the real Store, on a disk that can fail.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/journal/store.hpp>
#include <weft/sim/disk.hpp>

namespace weft::sim {

/// Numbers as keys and values: big-endian, so that keys are in the order of their numbers.
std::vector<std::byte> pack_numbers(const std::vector<std::uint64_t>& numbers);
std::vector<std::uint64_t> unpack_numbers(Bytes bytes);
inline Bytes as_key(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class NodeJournal {
 public:
  explicit NodeJournal(std::uint64_t seed) : disk_(std::make_shared<SimDisk>(seed)) {}

  void open() {
    store_ = std::make_unique<journal::Store>(JournalOptions{
        .path = "journal", .segment_bytes = 64ULL << 10, .max_bytes = 1ULL << 30, .disk = disk_});
  }
  void crash(bool power) {
    if (power) {
      disk_->fail();
    } else {
      disk_->kill();
    }
    store_.reset();
    changes_.clear();
  }
  SimDisk& disk() { return *disk_; }
  journal::Store& store() { return *store_; }
  JournalTxn& changes() { return changes_; }
  /// False: refused, and the changes stay open.
  bool submit() { return changes_.empty() || store_->submit(changes_) == CommitStatus::ok; }

 private:
  std::shared_ptr<SimDisk> disk_;
  std::unique_ptr<journal::Store> store_;
  JournalTxn changes_;
};

}  // namespace weft::sim
