// IdLog: a file of record ids that outlives its process. What a source meant to send and what a sink has done
// is written there at the cost of a store into memory, so that somebody else can count after whatever died.
//
//   IdLog log(IdLog::file("/run/ledger", "sink/0", "taken"));
//   log.append(17);
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weft::program {

/// A mapped file: 8 bytes an id, little-endian, `id + 1` in the lower 63 bits, so that zero ends the file,
/// and a mark in the highest. Each is one store of an aligned word: a process that is killed has written it
/// or not. It survives the death of the process, not that of the machine. One thread; one process a file.
class IdLog {
 public:
  /// Larger ids, and records without one, are kept as this.
  static constexpr std::uint64_t kNoId = (std::uint64_t{1} << 63) - 2;
  struct Entry {
    std::uint64_t id = 0;
    bool marked = false;
    bool operator==(const Entry&) const = default;
  };

  /// Continues what is there. Its folder has to exist. Throws Error{io}.
  explicit IdLog(std::string path);
  ~IdLog();
  IdLog(const IdLog&) = delete;
  IdLog& operator=(const IdLog&) = delete;

  /// Returns the place of the entry, 0, 1, 2, ... Throws Error{io} when the disk is full.
  std::size_t append(std::uint64_t id);
  /// Forgets all entries from `size` on. Nothing when there are fewer.
  void cut(std::size_t size);
  /// Marks an entry: what it means is the writer's business. `place` < size().
  void mark(std::size_t place);
  /// `place` < size().
  [[nodiscard]] Entry at(std::size_t place) const;
  [[nodiscard]] std::size_t size() const { return size_; }

  /// Everything in a file, also of one whose process lives. Throws Error{io}.
  static std::vector<Entry> read(const std::string& path);
  /// "<folder>/<name>-<replica>.<kind>" for the node "<name>/<replica>".
  static std::string file(const std::string& folder, std::string_view node, std::string_view kind);

 private:
  void add_chunk();
  [[noreturn]] void fail(const char* what) const;
  [[nodiscard]] std::uint64_t* word(std::size_t place) const;

  std::string path_;
  int fd_ = -1;
  std::vector<std::uint64_t*> chunks_;
  std::size_t size_ = 0;
};

}  // namespace weft::program
