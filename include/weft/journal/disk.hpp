// Disk: the few things a journal asks of a file system, so that another one can stand in its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <weft/core/bytes.hpp>

namespace weft::journal {

/// What became of a read or a write: `bytes` of it were done, then `error` (an errno, 0: none) came.
struct IoResult {
  std::size_t bytes = 0;
  int error = 0;
};

/// An open file. The owner's thread reads one while the writer's thread writes another of the same path.
class File {
 public:
  virtual ~File() = default;
  /// Writes the parts one behind the other from `offset` on; the file grows as needed. Done in part only with
  /// an error, as when the disk is full (ENOSPC, EDQUOT).
  virtual IoResult write(std::uint64_t offset, std::span<const Bytes> parts) = 0;
  /// Fewer bytes than asked for without an error: the file ends there.
  virtual IoResult read(std::uint64_t offset, std::span<std::byte> to) = 0;
  /// Bytes and length are on the medium when it returns 0; an errno otherwise.
  virtual int sync() = 0;
  virtual int truncate(std::uint64_t size) = 0;
  /// Bytes of the file now; 0 when that cannot be told.
  virtual std::uint64_t size() = 0;
};

/// Holds a lock until it is destroyed.
class DiskLock {
 public:
  virtual ~DiskLock() = default;
};

/// Paths are taken as they are. All outcomes are values: an int is an errno, 0 for success. Thread-safe.
class Disk {
 public:
  virtual ~Disk() = default;

  enum class Mode {
    read,    ///< must exist
    write,   ///< must exist; read and written
    create,  ///< made, or emptied when it exists
  };
  struct Opened {
    std::unique_ptr<File> file;  ///< null: see `error`
    int error = 0;
  };
  virtual Opened open(const std::string& path, Mode mode) = 0;

  struct Listed {
    std::vector<std::string> names;  ///< without "." and ".."
    int error = 0;                   ///< ENOENT: not there; ENOTDIR: no directory
  };
  virtual Listed list(const std::string& directory) = 0;

  /// One level; EEXIST when it is there.
  virtual int make_directory(const std::string& path) = 0;
  virtual int rename(const std::string& from, const std::string& to) = 0;
  virtual int remove(const std::string& path) = 0;
  /// What was created, renamed and removed in it is on the medium when it returns 0.
  virtual int sync_directory(const std::string& directory) = 0;

  /// Bytes that this process may still write where `directory` is; nullopt: that cannot be told.
  virtual std::optional<std::uint64_t> free_bytes(const std::string& /*directory*/) { return std::nullopt; }

  struct Locked {
    std::unique_ptr<DiskLock> lock;  ///< null: see `error`
    int error = 0;                   ///< EAGAIN: another one holds it
    std::string owner;               ///< then: its process id, as far as it is known
  };
  /// Locks `path` (made when it is missing) for this process, without waiting, and leaves its process id
  /// there. The lock ends with the process in any case.
  virtual Locked lock(const std::string& path) = 0;
  /// The process id of the one that holds the lock now; empty: nobody. Takes nothing.
  virtual std::string lock_owner(const std::string& path) = 0;

  /// An unpredictable number, to tell the files of one journal from each other's; a simulator gives a
  /// reproducible one.
  virtual std::uint64_t random() = 0;

  /// The file system. Every descriptor is closed on exec.
  static std::shared_ptr<Disk> posix();
};

}  // namespace weft::journal
