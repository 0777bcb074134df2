#include "journal/recovery.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

namespace weft::journal {
namespace {

constexpr std::size_t kSector = 512;

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

bool is_ours(const std::string& name) {
  return name == "lock" || name == kReserveName || segment_number(name) || name.ends_with(".damaged");
}

// What a file system or a person may leave in any directory.
bool is_common(const std::string& name) {
  return name == "lost+found" || name.starts_with(".");
}

}  // namespace

std::string io_text(const std::string& path, const char* what, int error) {
  return format("{}: cannot {}: {}", path, what, std::strerror(error));
}

bool is_no_space(int error) {
  return error == ENOSPC || error == EDQUOT;
}

void Recovery::run() {
  const std::vector<std::uint64_t> numbers = list();
  if (numbers.empty()) return;
  std::uint64_t expected = numbers.front();
  for (const std::uint64_t number : numbers) {
    if (number > expected) {
      name(expected, 0, 0,
           number - expected == 1
               ? "the segment is missing"
               : format("this segment and all up to {} are missing", segment_name(number - 1)));
      gap_is_known_ = true;
    }
    read_segment(number, number == numbers.back());
    expected = number + 1;
  }
  next_segment = std::max(next_segment, expected);
  if (numbers.front() > trimmed_below_) {
    name(trimmed_below_, 0, 0,
         format("the segments before {} are missing, or the record of their removal is damaged",
                segment_name(numbers.front())));
  }
  // Their removal was decided and is durable; it was only not finished.
  while (!index_.segments().empty() && index_.segments().begin()->first < trimmed_below_) {
    const std::uint64_t number = index_.segments().begin()->first;
    index_.remove_segment(number);
    left_over.push_back(number);
  }
  if (index_.segments().empty()) can_append = false;
}

std::vector<std::uint64_t> Recovery::list() {
  const Disk::Listed listed = disk_.list(options_.path);
  if (listed.error == ENOTDIR) {
    throw Error(
        Errc::invalid_file,
        format("{}: a journal is a directory, and this is a file; choose another path", options_.path));
  }
  if (listed.error != 0) {
    throw Error(listed.error == ENOENT ? Errc::not_found : Errc::io,
                io_text(options_.path, "read the directory", listed.error));
  }
  std::vector<std::uint64_t> numbers;
  std::string foreign;
  bool any_ours = false;
  for (const std::string& entry : listed.names) {
    if (const auto number = segment_number(entry)) numbers.push_back(*number);
    any_ours = any_ours || (is_ours(entry) && entry != "lock" && entry != kReserveName);
    if (!is_ours(entry) && !is_common(entry)) foreign = entry;
  }
  if (!any_ours && !foreign.empty()) {
    throw Error(Errc::invalid_file,
                format("{}: no journal, it holds {} among others; choose an empty or a new directory",
                       options_.path, weft::quoted(foreign)));
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

bool Recovery::load(const std::string& file) {
  const Disk::Opened opened = disk_.open(file, Disk::Mode::read);
  if (opened.error == ENOENT) {
    vanished = true;
    return false;
  }
  if (!opened.file) throw Error(Errc::io, io_text(file, "open it", opened.error));
  bytes_.resize(opened.file->size());
  const IoResult got = opened.file->read(0, bytes_);
  if (got.error != 0) throw Error(Errc::io, io_text(file, "read it", got.error));
  bytes_.resize(got.bytes);
  return true;
}

void Recovery::read_segment(std::uint64_t number, bool is_last) {
  if (!load(file_of(number))) return;
  can_append = false;
  const auto header = decode_header(bytes_);
  if (!header || bytes_.size() < kSegmentStart) return bad_header(number, is_last);
  if (header->version != kVersion) {
    throw Error(Errc::invalid_file, format("{}: written in version {} of the format, this program reads {}",
                                           file_of(number), header->version, kVersion));
  }
  Segment& segment = index_.add_segment(number);
  segment.salt = header->salt;
  segment.first_entry = header->first_entry;
  if (header->number != number) {
    segment.damaged = true;
    index_.grow(segment, bytes_.size());
    gap_is_known_ = true;
    return name(number, 0, bytes_.size(), format("a copy of {}; not read", segment_name(header->number)));
  }
  if (std::memcmp(bytes_.data(), bytes_.data() + kSegmentHeader, kSegmentHeader) != 0)
    name(number, 0, kSegmentStart, "one of the two headers is damaged; the other one was used");
  const bool is_first = index_.segments().size() == 1;
  if (is_first) next_entry = std::max(next_entry, header->first_entry);
  note_gap(number, 0, header->first_entry);
  next_entry = std::max(next_entry, header->first_entry);
  index_.grow(segment, scan(segment, is_last));
  can_append = can_append && is_last;
}

void Recovery::bad_header(std::uint64_t number, bool is_last) {
  if (is_last && (bytes_.size() < kSegmentStart || all_zero(bytes_))) {
    // The first write of a segment holds its header: nothing in it was ever durable.
    if (!bytes_.empty() && !options_.is_live && !all_zero(bytes_))
      name(number, 0, bytes_.size(), "torn tail: a segment that was just begun; removed");
    if (options_.repair) {
      if (const int error = disk_.remove(file_of(number)); error != 0)
        throw Error(Errc::io, io_text(file_of(number), "remove it", error));
    }
    return;
  }
  name(number, 0, bytes_.size(),
       bytes_.empty() ? "an empty file" : "no segment of a journal: neither of its headers is whole");
  Segment& segment = index_.add_segment(number);
  segment.damaged = true;
  index_.grow(segment, bytes_.size());
  gap_is_known_ = true;
}

std::size_t Recovery::scan(Segment& segment, bool is_last) {
  std::size_t at = kSegmentStart;
  while (at < bytes_.size()) {
    Entry entry;
    const Parsed parsed = parse_entry(Bytes(bytes_).subspan(at), segment.salt, entry);
    if (parsed == Parsed::whole && entry.numbers.number >= next_entry) {
      note_gap(segment.number, at, entry.numbers.number);
      take(entry, segment, at);
      at += entry.size;
      continue;
    }
    const Next next = find_next(at + 1, segment.salt);
    if (next.at != 0 && !next.torn) {
      name(segment.number, at, next.at, "damaged; the entries behind it are whole");
      segment.damaged = true;
      gap_is_known_ = true;
      at = next.at;
      continue;
    }
    const std::size_t end = end_of_bytes();
    if (end <= at) break;  // room that was made ready and not used
    if (is_last && options_.is_live) return at;
    const bool is_torn = parsed == Parsed::cut || next.torn || is_cut_short(at, end) || lost_sector(at, end);
    if (is_last && cut_tail(segment, at, end, is_torn)) break;
    name(segment.number, at, end, "damaged, and nothing whole behind it");
    segment.damaged = true;
    gap_is_known_ = true;
    return end;
  }
  can_append = is_last;
  return at;
}

void Recovery::take(const Entry& entry, Segment& segment, std::size_t at) {
  Bytes rest = entry.ops;
  std::uint64_t offset = at + kEntryHeader;
  while (const auto op = next_op(rest, false)) {
    const Place place{segment.number, offset, static_cast<std::uint32_t>(op->record.size())};
    if (op->kind == OpKind::put) {
      index_.put(op->space, op->key, place, static_cast<std::uint32_t>(op->value.size()));
    } else if (op->kind == OpKind::erase) {
      index_.erase(op->space, op->key);
    } else {
      trimmed_below_ = std::max(trimmed_below_, journal::load<std::uint64_t>(op->value.data()));
    }
    offset += op->record.size();
  }
  next_entry = entry.numbers.number + 1;
  ++entries;
}

Recovery::Next Recovery::find_next(std::size_t from, std::uint64_t salt) const {
  std::array<std::byte, 8> mark;
  store(mark.data(), kEntryMagic);
  store(mark.data() + 4, static_cast<std::uint32_t>(salt));
  Next torn;
  for (std::size_t at = from;; ++at) {
    const auto found = std::search(bytes_.begin() + static_cast<std::ptrdiff_t>(at), bytes_.end(),
                                   std::boyer_moore_horspool_searcher(mark.begin(), mark.end()));
    if (found == bytes_.end()) return torn;
    at = static_cast<std::size_t>(found - bytes_.begin());
    Entry entry;
    if (parse_entry(Bytes(bytes_).subspan(at), salt, entry) != Parsed::whole) continue;
    if (entry.numbers.number < next_entry) continue;
    // Entries that shared a sync reach the disk in any order. When what is missing was not durable as this
    // one was written, and sectors of it never came, then nobody was told of either: it is the end.
    if (entry.numbers.durable_below > next_entry || !lost_sector(from - 1, at)) return {at, false};
    torn = {at, true};
  }
}

// A sector that a crash kept from the disk holds the zeros that were there before.
bool Recovery::lost_sector(std::size_t from, std::size_t to) const {
  for (std::size_t at = from; at < to;) {
    const std::size_t end = (at / kSector + 1) * kSector;
    if (end > to) return false;
    if (all_zero(Bytes(bytes_).subspan(at, end - at))) return true;
    at = end;
  }
  return false;
}

// It begins as an entry does, and its end never came.
bool Recovery::is_cut_short(std::size_t from, std::size_t to) const {
  return to - from < kEntryHeader || from + entry_size(bytes_.data() + from) > to;
}

std::size_t Recovery::end_of_bytes() const {
  std::size_t end = bytes_.size();
  while (end > 0 && bytes_[end - 1] == std::byte{0}) --end;
  return end;
}

bool Recovery::cut_tail(const Segment& segment, std::size_t from, std::size_t to, bool is_torn) {
  if (options_.repair) {
    if (!is_torn && !set_aside(segment.number, from, to)) return false;
    const std::string file = file_of(segment.number);
    const Disk::Opened opened = disk_.open(file, Disk::Mode::write);
    int error = opened.error;
    if (opened.file) error = opened.file->truncate(from);
    if (opened.file && error == 0) error = opened.file->sync();
    if (error != 0) throw Error(Errc::io, io_text(file, "cut back its torn end", error));
  }
  name(segment.number, from, to,
       is_torn ? "torn tail: the last write was cut short; cut back"
               : "torn tail: an entry that is not whole, cut short or damaged; set aside and cut back");
  return true;
}

bool Recovery::set_aside(std::uint64_t segment, std::size_t from, std::size_t to) {
  const std::string file = format("{}/{}.{}.damaged", options_.path, segment_name(segment), from);
  const Disk::Opened opened = disk_.open(file, Disk::Mode::create);
  int error = opened.error;
  if (opened.file) {
    const Bytes bytes = Bytes(bytes_).subspan(from, to - from);
    error = opened.file->write(0, {&bytes, 1}).error;
    if (error == 0) error = opened.file->sync();
  }
  if (error == 0) return true;
  if (is_no_space(error)) {
    disk_.remove(file);
    return false;
  }
  throw Error(Errc::io, io_text(file, "set aside what is damaged", error));
}

void Recovery::name(std::uint64_t segment, std::size_t from, std::size_t to, std::string what) {
  damage.push_back({file_of(segment), from, to - from, std::move(what)});
}

void Recovery::note_gap(std::uint64_t segment, std::size_t at, std::uint64_t entry) {
  if (entry > next_entry && !gap_is_known_)
    name(segment, at, at, format("the entries {} to {} before it are missing", next_entry, entry - 1));
  gap_is_known_ = false;
}

}  // namespace weft::journal
