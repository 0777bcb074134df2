// What Store holds; shared by its reading and its reclaiming half.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include <weft/journal/disk.hpp>
#include <weft/journal/store.hpp>

#include "journal/index.hpp"
#include "journal/recovery.hpp"
#include "journal/writer.hpp"

namespace weft::journal {

struct Store::Impl {
  Impl(JournalOptions given, Access access);

  void make_directory();
  void take_lock();
  void recover(Access access);

  // Writing.
  CommitStatus submit(JournalTxn& changes);
  Segment& place_for(std::uint64_t size);
  void push(wire::Buffer bytes, std::uint32_t count, Segment& segment);
  void apply(Bytes ops, const Segment& segment);

  // Room.
  [[nodiscard]] std::uint64_t room() const;
  [[nodiscard]] std::uint64_t segment_size() const;
  [[nodiscard]] bool can_move(std::uint64_t live_bytes) const;
  [[nodiscard]] bool is_tight(std::uint64_t used) const;
  [[nodiscard]] std::uint64_t used_with(const JournalTxn& changes) const;
  [[nodiscard]] bool fits(const JournalTxn& changes) const;
  [[nodiscard]] std::int64_t growth(Bytes ops) const;
  [[nodiscard]] std::uint64_t garbage() const { return index.total_bytes() - index.live_record_bytes(); }
  void roll();
  void reclaim_beside(std::uint64_t submitted_bytes);
  void reclaim_for(const JournalTxn& changes, bool only_cheap);
  void move_oldest(std::uint64_t most);
  void drop_dead();
  void push_drop(std::uint64_t segment, std::uint64_t bytes, bool keep_aside);

  // Reading.
  bool read_record(const Live& live, std::vector<std::byte>& out, Op& op) const;
  File* handle(std::uint64_t segment) const;
  void name_unreadable(const Live& live, std::string what) const;

  JournalOptions options;
  std::shared_ptr<Disk> disk;
  std::unique_ptr<DiskLock> lock;
  std::string owner;
  Index index;
  Segment* active = nullptr;
  std::uint64_t next_entry = 1;
  std::uint64_t next_segment = 1;
  std::uint64_t entries = 0;
  std::atomic<std::uint64_t> submitted{0};
  std::atomic<bool> is_full{false};  // refused for want of room, and nothing has been taken since
  mutable std::vector<JournalDamage> damage;
  std::unique_ptr<Writer> writer;

  // The last few segments that were read from, the latest first.
  struct Handle {
    std::uint64_t segment = 0;
    std::unique_ptr<File> file;
  };
  mutable std::list<Handle> handles;
  mutable std::vector<std::byte> scratch;
};

}  // namespace weft::journal
