// Room: which segments go, and what is moved out of them before.
#include <algorithm>
#include <array>

#include "journal/store_impl.hpp"

namespace weft::journal {

namespace {

// What is moved in one entry.
constexpr std::uint64_t kMoveBytes = 1ULL << 20;
// Moved for each byte that is submitted: fast enough that the garbage shrinks, slow enough not to be felt.
constexpr std::uint64_t kMoveFactor = 2;
constexpr std::uint64_t kMoveLeast = 4096;
// A segment whose live part is at most this is cheap to free, and what is dead behind it goes with it.
constexpr std::uint64_t kMostlyDead = 8;
// On a small disk segments are smaller, or none would be dead before the disk is full.
constexpr std::uint64_t kSegmentsOfDisk = 16;
constexpr std::uint64_t kLeastSegment = 64ULL << 10;
constexpr std::uint64_t kKeptOfDisk = 3;

}  // namespace

void Store::Impl::roll() {
  active = &index.add_segment(next_segment++);
  active->salt = disk->random();
  active->first_entry = next_entry;
  index.grow(*active, kSegmentStart);
}

// Bytes of records that are alive afterwards and were not before.
std::int64_t Store::Impl::growth(Bytes ops) const {
  std::int64_t out = 0;
  while (const auto op = next_op(ops, false)) {
    if (op->kind == OpKind::put) out += static_cast<std::int64_t>(op->record.size());
    if (const Live* live = index.find(op->space, op->key)) out -= live->place.length;
  }
  return out;
}

// What all segments together may take: by the options, and by what the disk has left.
std::uint64_t Store::Impl::room() const {
  return std::min(options.max_bytes, writer->disk_limit());
}

std::uint64_t Store::Impl::segment_size() const {
  return std::clamp(writer->disk_limit() / kSegmentsOfDisk, kLeastSegment, options.segment_bytes);
}

// Moved values take room before they free any.
bool Store::Impl::can_move(std::uint64_t live_bytes) const {
  return index.total_bytes() + writer->dropping_bytes() + live_bytes + 2 * kSegmentStart <=
         room() - std::min(room(), segment_size() / 4);
}

// The last segment's worth is kept for what makes room: erasures, and values that are moved. Of a disk it is
// three small ones: one for values that replace as much, one for those that have to be moved before a segment
// is dead, and one for others who write to it.
bool Store::Impl::is_tight(std::uint64_t used) const {
  return used + options.segment_bytes > options.max_bytes ||
         used + kKeptOfDisk * segment_size() > writer->disk_limit();
}

std::uint64_t Store::Impl::used_with(const JournalTxn& changes) const {
  return index.total_bytes() + writer->dropping_bytes() + changes.bytes() + kSegmentStart;
}

// What makes room waits in memory when even that is used up.
bool Store::Impl::fits(const JournalTxn& changes) const {
  const std::uint64_t used = used_with(changes);
  if (!is_tight(used)) return true;
  return used <= options.max_bytes && growth(changes.encoded_.view().subspan(kEntryHeader)) <= 0;
}

void Store::Impl::reclaim_beside(std::uint64_t submitted_bytes) {
  drop_dead();
  const std::uint64_t slack = 2 * segment_size();
  if (garbage() <= slack) return;
  const Segment& oldest = index.segments().begin()->second;
  const bool is_cheap = oldest.live_bytes * kMostlyDead <= oldest.end;
  if (!is_cheap && garbage() <= index.live_record_bytes() + slack) return;
  if (!can_move(oldest.live_bytes)) return;
  move_oldest(std::max(kMoveFactor * submitted_bytes, kMoveLeast));
  drop_dead();
}

// Segments go strictly from the oldest on, so what is alive in it has to be moved, however full it is.
// `only_cheap`: not when that is more than half of it.
void Store::Impl::reclaim_for(const JournalTxn& changes, bool only_cheap) {
  drop_dead();
  for (std::size_t rounds = index.segments().size(); rounds > 0; --rounds) {
    if (!is_tight(used_with(changes) - writer->dropping_bytes())) return;  // what goes counts as gone
    if (garbage() <= segment_size() / 4) return;
    const Segment& oldest = index.segments().begin()->second;
    if (only_cheap && oldest.live_bytes * 2 > oldest.end) return;
    if (!can_move(oldest.live_bytes)) return;
    if (&oldest == active) roll();
    while (oldest.first) move_oldest(kMoveBytes);
    drop_dead();
  }
}

void Store::Impl::move_oldest(std::uint64_t most) {
  Segment& oldest = index.segments().begin()->second;
  if (&oldest == active) return;
  wire::Buffer entry;
  std::vector<Live*> moved;
  for (Live* live = oldest.first; live && entry.size() < most;) {
    Live* const behind = live->behind;
    Op op;
    if (read_record(*live, scratch, op)) {
      append_record(entry, op.record);
      moved.push_back(live);
    } else {
      // Named as damage; the file is kept aside when its segment goes.
      index.forget(*live);
    }
    live = behind;
  }
  if (moved.empty()) return;
  Segment& to = place_for(entry.size());
  std::uint64_t offset = to.end + kEntryHeader;
  for (Live* live : moved) {
    const std::uint32_t length = live->place.length;
    index.move(*live, {to.number, offset, length});
    offset += length;
  }
  push(std::move(entry), static_cast<std::uint32_t>(moved.size()), to);
}

void Store::Impl::drop_dead() {
  auto& segments = index.segments();
  std::vector<std::uint64_t> dead;
  for (const auto& [number, segment] : segments) {
    if (&segment == active || segment.live_values != 0) break;
    dead.push_back(number);
  }
  if (dead.empty() || !active) return;
  // Written down first: what is missing later is known to have been removed, and an erased value cannot come
  // back when a crash leaves its file and takes that of the erasure.
  wire::Buffer entry;
  std::array<std::byte, 8> kept;
  store(kept.data(), dead.back() + 1);
  const Bytes value = kept;
  append_op(entry, OpKind::trim, {}, {}, {&value, 1});
  Segment& to = place_for(entry.size());
  push(std::move(entry), 1, to);
  for (const std::uint64_t number : dead) {
    const Segment& segment = segments.at(number);
    push_drop(number, segment.end, segment.damaged);
    handles.remove_if([number](const Handle& one) { return one.segment == number; });
    index.remove_segment(number);
  }
}

void Store::Impl::push_drop(std::uint64_t segment, std::uint64_t bytes, bool keep_aside) {
  Work work;
  if (active) {
    work.segment.number = active->number;
    work.offset = active->end;
  }
  work.drop = true;
  work.drop_segment = segment;
  work.drop_bytes = bytes;
  work.keep_aside = keep_aside;
  writer->push(std::move(work));
}

}  // namespace weft::journal
