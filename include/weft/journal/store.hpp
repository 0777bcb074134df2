// Store: a journal without a thread. Who drives it says when to write; a simulator does, and Journal does.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/journal/journal.hpp>

namespace weft::journal {

/// flush() may run on a second thread, one at a time; durable(), waiting(), no_space() and failure() on any;
/// all else belongs to one owner thread.
class Store {
 public:
  enum class Access {
    own,        ///< under the lock; makes the directory, repairs what a crash left
    read_only,  ///< takes no lock and changes nothing: a view of what is there now
  };
  /// Reads what is there. Throws as Journal::open; read-only also not_found.
  explicit Store(const JournalOptions& options, Access access = Access::own);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Takes the changes out of `changes` when the outcome is `ok`; they wait for flush().
  CommitStatus submit(JournalTxn& changes);

  enum class Flush {
    idle,      ///< nothing waited
    done,      ///< what waited is durable
    no_space,  ///< what could be written is durable, the rest waits
    failed,    ///< for good
  };
  /// Writes all that waits, with one write and one sync for each segment touched.
  Flush flush();
  [[nodiscard]] bool waiting() const;

  [[nodiscard]] const std::string& path() const;
  [[nodiscard]] const std::vector<JournalDamage>& damage() const;
  [[nodiscard]] std::uint64_t next() const { return submitted() + 1; }
  [[nodiscard]] std::uint64_t submitted() const;
  [[nodiscard]] std::uint64_t durable() const;
  [[nodiscard]] bool no_space() const;
  [[nodiscard]] std::optional<std::string> failure() const;

  void for_each_from(std::string_view space, Bytes from,
                     const std::function<bool(Bytes key, Bytes value)>& visit) const;
  /// Reads no value, so a damaged one's key comes too. Not to be changed meanwhile.
  void for_each_key(std::string_view space, const std::function<void(Bytes key)>& visit) const;
  [[nodiscard]] std::optional<std::vector<std::byte>> read(std::string_view space, Bytes key) const;
  [[nodiscard]] std::vector<std::string> spaces() const;
  [[nodiscard]] std::uint64_t count(std::string_view space) const;
  /// Of the values of a space, keys and framing not counted.
  [[nodiscard]] std::uint64_t bytes(std::string_view space) const;
  [[nodiscard]] JournalStats stats() const;
  /// Read-only: the process id of the one that owns it now; empty: nobody.
  [[nodiscard]] const std::string& owner() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft::journal
