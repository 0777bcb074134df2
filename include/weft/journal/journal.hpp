// Journal: keyed values that survive a crash. Changes that belong together become durable together.
//
//   auto journal = Journal::open({.path = "/var/lib/app/updates.journal"});
//   journal->change().put("outbox/updates", key, {&body, 1});
//   if (journal->submit() != CommitStatus::ok) ...          // handed to the writer, not yet durable
//   journal->wait_durable(journal->submitted(), deadline);  // or subscribe()
//
// On disk a journal is a directory of append-only segments (docs/reference/journal.md). One process owns it
// at a time. A thread of its own writes and syncs; all changes that wait while it does share the next sync
// (group commit). Everything else belongs to one owner thread, except where it is said.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/core/log.hpp>
#include <weft/core/time.hpp>
#include <weft/wire/buffer.hpp>

namespace weft {

namespace journal {
class Disk;
class Store;
}  // namespace journal

struct JournalOptions {
  /// A directory; made when it is missing (its parent must be there).
  std::string path;
  /// A segment is closed at this size, and on a disk with less than 16 times of it earlier. 64 KiB - 1 GiB.
  std::uint64_t segment_bytes = 64ULL << 20;
  /// Bound of all segments together; beyond it a submit is refused as `full` until enough has been erased and
  /// reclaimed. At least two segments.
  std::uint64_t max_bytes = 4ULL << 30;
  /// Bound of what has been submitted and is not yet durable. 64 KiB - 4 GiB.
  std::uint64_t max_pending_bytes = 64ULL << 20;
  /// False: written, not synced. What was submitted survives the process, not the machine.
  bool sync = true;
  /// Where the files are; null: the file system.
  std::shared_ptr<journal::Disk> disk = nullptr;
  Logger log = {};
  /// Throws Error{invalid_argument} that names the field, its value and its bound.
  void check() const;
};

/// Outcome of handing changes to the journal.
enum class [[nodiscard]] CommitStatus{
    ok,
    full,    ///< no room: `max_bytes`, `max_pending_bytes`, or the disk; goes on when there is some
    failed,  ///< a write or a sync failed: nothing is accepted any more; see Journal::failure()
};
std::string_view to_string(CommitStatus status);

/// Changes that become durable together or not at all.
class JournalTxn {
 public:
  /// Sets the value of (space, key) to the concatenation of `parts`. Space: 1-255 bytes; key: 0-1,024 bytes.
  void put(std::string_view space, Bytes key, std::span<const Bytes> parts);
  void put(std::string_view space, Bytes key, Bytes value) { put(space, key, {&value, 1}); }
  /// Forgets (space, key); nothing when there is none.
  void erase(std::string_view space, Bytes key);
  [[nodiscard]] bool empty() const { return count_ == 0; }
  /// As it will be on disk.
  [[nodiscard]] std::size_t bytes() const { return encoded_.size(); }
  void clear();

 private:
  friend class Journal;
  friend class journal::Store;
  wire::Buffer encoded_;
  std::uint32_t count_ = 0;
};

/// What was wrong with a journal when it was opened; all of it was set aside, none of it is served.
struct JournalDamage {
  std::string file;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::string what;
};

struct JournalStats {
  std::uint64_t commits = 0;  ///< submitted changes that are durable
  std::uint64_t syncs = 0;    ///< commits / syncs: how many shared one
  std::uint64_t written_bytes = 0;
  std::uint64_t disk_bytes = 0;  ///< all segments
  std::uint64_t live_bytes = 0;  ///< of values that are neither erased nor replaced
  std::uint64_t live_values = 0;
  std::uint64_t pending_bytes = 0;
  std::uint64_t segments = 0;
  std::uint64_t reclaimed_segments = 0;
  /// What the segments may take: `max_bytes`, or what the disk has for them when that is less.
  std::uint64_t room_bytes = 0;
};

class Journal {
 public:
  /// Reads what is there. Throws Error: invalid_argument, io (no such parent, no permission), in_use (another
  /// process owns it; its process id is named), invalid_file (a file that is no journal's). Damage inside a
  /// journal is no error: see damage().
  static std::shared_ptr<Journal> open(const JournalOptions& options);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  [[nodiscard]] const std::string& path() const;
  [[nodiscard]] const std::vector<JournalDamage>& damage() const;

  /// The changes that the next submit() takes.
  JournalTxn& change();
  /// Hands the open changes over, unless a hold is on (then they wait for its release, and it is `ok`). When
  /// it is refused the changes stay open, and a later submit() tries again.
  CommitStatus submit();
  /// The number that the open changes will have. Numbers rise by one a submit that had something to hand
  /// over.
  [[nodiscard]] std::uint64_t next() const;
  /// The number of the last submit that handed something over; 0 before the first.
  [[nodiscard]] std::uint64_t submitted() const;
  /// Everything up to this number is durable. Any thread.
  [[nodiscard]] std::uint64_t durable() const;

  /// While a hold is on, submit() waits: what several ports change between hold() and release() is one
  /// commit. Holds nest. release() of the last one calls each `before_commit`, then submits.
  void hold();
  CommitStatus release();
  [[nodiscard]] bool held() const;
  /// A transaction: between enter() and the last leave() the ports that share the journal keep what belongs
  /// to it to themselves (entered() tells them so), while changes that do not belong to it go their way. The
  /// last leave() runs each `before_commit`, which adds all of it, in one hold. The first enter() does the
  /// same with what was there before.
  void enter();
  CommitStatus leave();
  /// Ends an enter() without a commit: the ports forget what belongs to it. Where others take part in it,
  /// theirs cannot be told apart: nothing more is taken then, as after a failed disk, and failure() says so.
  void abandon();
  [[nodiscard]] bool entered() const;
  /// `prepare` runs before the changes of a hold are handed over: the place to add what is still open
  /// elsewhere. `forget` runs when a transaction is abandoned, amid it.
  std::size_t before_commit(std::function<void()> prepare, std::function<void()> forget = {});
  void remove_before_commit(std::size_t id);

  /// `wake` runs on the writer's thread when durable() has risen, when there is room again, or when the
  /// journal has failed. It must not call the journal. It does not run any more once unsubscribe() has
  /// returned.
  std::size_t subscribe(std::function<void()> wake);
  void unsubscribe(std::size_t id);

  /// True while there is no room on the disk (or below `max_bytes`): what was submitted waits, nothing is
  /// lost.
  [[nodiscard]] bool no_space() const;
  /// Why nothing is accepted any more, when a write or a sync failed.
  [[nodiscard]] std::optional<std::string> failure() const;
  /// Blocks this thread. False: the deadline came first, or the journal failed.
  [[nodiscard]] bool wait_durable(std::uint64_t number, Deadline deadline);

  // ---- reading: what has been submitted, durable or not ----

  /// Every (key, value) of a space, in the order of the keys' bytes. Not to be changed meanwhile. A value
  /// whose bytes can no longer be read back is left out, and told as damage.
  void for_each(std::string_view space, const std::function<void(Bytes key, Bytes value)>& visit) const;
  /// The same from the first key that is not before `from`; `visit` returns false to end it.
  void for_each_from(std::string_view space, Bytes from,
                     const std::function<bool(Bytes key, Bytes value)>& visit) const;
  [[nodiscard]] std::optional<std::vector<std::byte>> read(std::string_view space, Bytes key) const;
  [[nodiscard]] std::vector<std::string> spaces() const;
  [[nodiscard]] std::uint64_t count(std::string_view space) const;
  [[nodiscard]] JournalStats stats() const;

 private:
  struct Impl;
  explicit Journal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft
