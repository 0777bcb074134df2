// Reading what is there: the index of all that is whole, and a list of what is not.
#pragma once

#include <string>
#include <vector>

#include <weft/journal/disk.hpp>
#include <weft/journal/journal.hpp>

#include "journal/format.hpp"
#include "journal/index.hpp"

namespace weft::journal {

/// The outcome of a system call as a sentence: "PATH: cannot WHAT: No space left on device".
std::string io_text(const std::string& path, const char* what, int error);
bool is_no_space(int error);

struct RecoveryOptions {
  std::string path;
  /// True: cuts back, removes and sets aside. False: only looks.
  bool repair = true;
  /// Somebody writes meanwhile: an end that is not whole is what he is writing.
  bool is_live = false;
};

class Recovery {
 public:
  Recovery(Disk& disk, RecoveryOptions options, Index& index)
      : disk_(disk), options_(std::move(options)), index_(index) {}

  /// The numbers of the segments. Throws Error{invalid_file} where no journal may be: a file, or a directory
  /// of something else; Error{not_found, io}.
  std::vector<std::uint64_t> list();
  /// Throws Error{io, invalid_file}.
  void run();

  std::uint64_t next_entry = 1;
  std::uint64_t next_segment = 1;
  /// The last segment can be written on.
  bool can_append = false;
  std::uint64_t entries = 0;
  std::vector<JournalDamage> damage;
  /// Segments that were given up, and are still there.
  std::vector<std::uint64_t> left_over;
  /// A segment was gone when it was to be read: another process has reclaimed it meanwhile.
  bool vanished = false;

 private:
  bool load(const std::string& file);
  void read_segment(std::uint64_t number, bool is_last);
  void bad_header(std::uint64_t number, bool is_last);
  /// The end of what can be read.
  std::size_t scan(Segment& segment, bool is_last);
  void take(const Entry& entry, Segment& segment, std::size_t at);
  struct Next {
    std::size_t at = 0;  ///< 0: none
    bool torn = false;
  };
  Next find_next(std::size_t from, std::uint64_t salt) const;
  [[nodiscard]] bool lost_sector(std::size_t from, std::size_t to) const;
  [[nodiscard]] bool is_cut_short(std::size_t from, std::size_t to) const;
  [[nodiscard]] std::size_t end_of_bytes() const;
  /// False: the bytes stay where they are, and nothing may be written behind them.
  bool cut_tail(const Segment& segment, std::size_t from, std::size_t to, bool is_torn);
  bool set_aside(std::uint64_t segment, std::size_t from, std::size_t to);
  void name(std::uint64_t segment, std::size_t from, std::size_t to, std::string what);
  void note_gap(std::uint64_t segment, std::size_t at, std::uint64_t entry);
  [[nodiscard]] std::string file_of(std::uint64_t segment) const {
    return options_.path + "/" + segment_name(segment);
  }

  Disk& disk_;
  RecoveryOptions options_;
  Index& index_;
  std::vector<std::byte> bytes_;  // of the segment at hand
  std::uint64_t trimmed_below_ = 1;
  bool gap_is_known_ = false;  // what is missing before the next entry has been named
};

}  // namespace weft::journal
