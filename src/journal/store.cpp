#include <weft/journal/store.hpp>

#include <algorithm>
#include <cerrno>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "journal/store_impl.hpp"

namespace weft::journal {
namespace {

constexpr std::size_t kHandles = 16;
// A reader beside a busy owner may find a segment reclaimed under its hands so often.
constexpr int kReadOnlyTries = 20;

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Store::Impl::Impl(JournalOptions given, Access access) : options(std::move(given)) {
  options.check();
  while (options.path.size() > 1 && options.path.ends_with('/')) options.path.pop_back();
  disk = options.disk ? options.disk : Disk::posix();
  writer = std::make_unique<Writer>(
      *disk,
      Writer::Options{.path = options.path, .segment_bytes = options.segment_bytes, .sync = options.sync});
  if (access == Access::own) {
    make_directory();
    take_lock();
  } else {
    owner = disk->lock_owner(options.path + "/lock");
  }
  recover(access);
}

void Store::Impl::make_directory() {
  const int error = disk->make_directory(options.path);
  if (error == EEXIST) {
    Recovery(*disk, {.path = options.path}, index).list();  // before a lock file is put where none belongs
    return;
  }
  if (error != 0) throw Error(Errc::io, io_text(options.path, "make the directory", error));
  const std::string parent = parent_of(options.path);
  if (const int sync = options.sync ? disk->sync_directory(parent) : 0; sync != 0)
    throw Error(Errc::io, io_text(parent, "sync the directory", sync));
}

void Store::Impl::take_lock() {
  const std::string file = options.path + "/lock";
  Disk::Locked locked = disk->lock(file);
  if (locked.lock) {
    lock = std::move(locked.lock);
    return;
  }
  if (locked.error != EAGAIN) throw Error(Errc::io, io_text(file, "lock it", locked.error));
  throw Error(Errc::in_use, format("{}: process {} owns this journal; stop it first, or choose another path",
                                   options.path, locked.owner));
}

void Store::Impl::recover(Access access) {
  const bool own = access == Access::own;
  Recovery recovery(*disk, {.path = options.path, .repair = own, .is_live = !own && !owner.empty()}, index);
  recovery.run();
  if (!own && recovery.vanished)
    throw Error(Errc::timed_out, "a segment was reclaimed while it was to be read");
  next_entry = recovery.next_entry;
  next_segment = recovery.next_segment;
  entries = recovery.entries;
  damage = std::move(recovery.damage);
  for (const JournalDamage& one : damage) {
    options.log.warn(
        format("journal {}, {} bytes from {} on: {}", one.file, one.bytes, one.offset, one.what));
  }
  if (!own) return;
  writer->begin(index.total_bytes());
  if (index.segments().empty()) return;
  Segment& last = index.segments().rbegin()->second;
  if (recovery.can_append) {
    active = &last;
    writer->resume(last.number, last.end);
    // What a killed process wrote is read here, and told on as safe; it has to be.
    const std::string file = options.path + "/" + segment_name(last.number);
    const Disk::Opened opened = disk->open(file, Disk::Mode::write);
    const int error = opened.file ? (options.sync ? opened.file->sync() : 0) : opened.error;
    if (error != 0) throw Error(Errc::io, io_text(file, "sync it", error));
  }
  for (const std::uint64_t segment : recovery.left_over) push_drop(segment, 0, false);
}

CommitStatus Store::Impl::submit(JournalTxn& changes) {
  if (writer->has_failed()) return CommitStatus::failed;
  if (changes.empty()) return CommitStatus::ok;
  const std::uint64_t size = changes.bytes();
  const std::uint64_t waiting = writer->waiting_bytes();
  if (waiting != 0 && waiting + size > options.max_pending_bytes) return CommitStatus::full;
  // While the disk is full, only what makes room is taken beside what waits already.
  const Bytes ops = changes.encoded_.view().subspan(kEntryHeader);
  if (waiting != 0 && writer->no_space() && growth(ops) > 0) return CommitStatus::full;
  if (is_tight(used_with(changes))) {
    reclaim_for(changes, fits(changes));
    if (!fits(changes)) {
      is_full.store(true, std::memory_order_relaxed);
      return CommitStatus::full;
    }
  }
  is_full.store(false, std::memory_order_relaxed);
  submitted.fetch_add(1, std::memory_order_relaxed);
  Segment& segment = place_for(size);
  apply(ops, segment);
  push(std::move(changes.encoded_), changes.count_, segment);
  changes.count_ = 0;
  reclaim_beside(size);
  return CommitStatus::ok;
}

Segment& Store::Impl::place_for(std::uint64_t size) {
  if (!active || (active->end > kSegmentStart && active->end + size > segment_size())) roll();
  return *active;
}

void Store::Impl::apply(Bytes ops, const Segment& segment) {
  std::uint64_t offset = segment.end + kEntryHeader;
  while (const auto op = next_op(ops, false)) {
    if (op->kind == OpKind::put) {
      index.put(op->space, op->key, {segment.number, offset, static_cast<std::uint32_t>(op->record.size())},
                static_cast<std::uint32_t>(op->value.size()));
    } else if (op->kind == OpKind::erase) {
      index.erase(op->space, op->key);
    }
    offset += op->record.size();
  }
}

void Store::Impl::push(wire::Buffer bytes, std::uint32_t count, Segment& segment) {
  Work work;
  work.segment = {kVersion, segment.number, segment.first_entry, segment.salt};
  work.offset = segment.end;
  work.chain = chain_of(bytes);
  work.numbers = {next_entry++, 0, count};
  work.commit = submitted.load(std::memory_order_relaxed);
  index.grow(segment, segment.end + bytes.size());
  work.bytes = std::move(bytes);
  writer->push(std::move(work));
}

File* Store::Impl::handle(std::uint64_t segment) const {
  const auto at = std::find_if(handles.begin(), handles.end(),
                               [segment](const Handle& one) { return one.segment == segment; });
  if (at != handles.end()) {
    handles.splice(handles.begin(), handles, at);
    return at->file.get();
  }
  Disk::Opened opened = disk->open(options.path + "/" + segment_name(segment), Disk::Mode::read);
  if (!opened.file) return nullptr;
  if (handles.size() == kHandles) handles.pop_back();
  handles.push_front({segment, std::move(opened.file)});
  return handles.front().file.get();
}

// `op` views `out`.
bool Store::Impl::read_record(const Live& live, std::vector<std::byte>& out, Op& op) const {
  if (!writer->read_waiting(live.place, out)) {
    out.resize(live.place.length);
    File* file = handle(live.place.segment);
    const IoResult got = file ? file->read(live.place.offset, out) : IoResult{0, ENOENT};
    if (got.bytes != out.size()) {
      name_unreadable(live, got.error != 0 ? io_text("a value", "read it", got.error) : "a value is cut off");
      return false;
    }
  }
  Bytes rest = out;
  const auto found = next_op(rest, true);
  if (!found || found->kind != OpKind::put || !rest.empty() || found->space != *live.space ||
      as_text(found->key) != *live.key) {
    name_unreadable(live, "a value was damaged after it had been written");
    return false;
  }
  op = *found;
  return true;
}

void Store::Impl::name_unreadable(const Live& live, std::string what) const {
  live.segment->damaged = true;
  const std::string file = options.path + "/" + segment_name(live.place.segment);
  const bool is_known = std::any_of(damage.begin(), damage.end(), [&](const JournalDamage& one) {
    return one.file == file && one.offset == live.place.offset;
  });
  if (is_known) return;
  options.log.error(
      format("journal {}, {} bytes from {} on: {}", file, live.place.length, live.place.offset, what));
  damage.push_back({file, live.place.offset, live.place.length, std::move(what)});
}

Store::Store(const JournalOptions& options, Access access) {
  for (int tries = 1;; ++tries) {
    try {
      impl_ = std::make_unique<Impl>(options, access);
      return;
    } catch (const Error& error) {
      if (error.code() != Errc::timed_out || tries == kReadOnlyTries) throw;
    }
  }
}

Store::~Store() = default;

CommitStatus Store::submit(JournalTxn& changes) {
  return impl_->submit(changes);
}

Store::Flush Store::flush() {
  const std::uint64_t dropped = impl_->writer->dropped_segments();
  const Flush out = impl_->writer->flush();
  if (impl_->writer->dropped_segments() != dropped) impl_->is_full.store(false, std::memory_order_relaxed);
  return out;
}

bool Store::waiting() const {
  return impl_->writer->has_work();
}

const std::string& Store::path() const {
  return impl_->options.path;
}

const std::vector<JournalDamage>& Store::damage() const {
  return impl_->damage;
}

std::uint64_t Store::submitted() const {
  return impl_->submitted.load(std::memory_order_relaxed);
}

std::uint64_t Store::durable() const {
  return impl_->writer->durable();
}

bool Store::no_space() const {
  return impl_->writer->no_space() || impl_->is_full.load(std::memory_order_relaxed);
}

std::optional<std::string> Store::failure() const {
  return impl_->writer->failure();
}

void Store::for_each_from(std::string_view space, Bytes from,
                          const std::function<bool(Bytes key, Bytes value)>& visit) const {
  const Keys* keys = impl_->index.keys(space);
  if (!keys) return;
  std::vector<std::byte> record;
  for (auto at = keys->lower_bound(as_text(from)); at != keys->end(); ++at) {
    Op op;
    if (impl_->read_record(at->second, record, op) && !visit(op.key, op.value)) return;
  }
}

void Store::for_each_key(std::string_view space, const std::function<void(Bytes key)>& visit) const {
  if (const Keys* keys = impl_->index.keys(space)) {
    for (const auto& [key, live] : *keys) visit(as_bytes(key));
  }
}

std::optional<std::vector<std::byte>> Store::read(std::string_view space, Bytes key) const {
  const Live* live = impl_->index.find(space, key);
  Op op;
  if (!live || !impl_->read_record(*live, impl_->scratch, op)) return std::nullopt;
  return std::vector<std::byte>(op.value.begin(), op.value.end());
}

std::vector<std::string> Store::spaces() const {
  std::vector<std::string> out;
  for (const auto& [space, keys] : impl_->index.spaces()) out.push_back(space);
  return out;
}

std::uint64_t Store::count(std::string_view space) const {
  const Keys* keys = impl_->index.keys(space);
  return keys ? keys->size() : 0;
}

std::uint64_t Store::bytes(std::string_view space) const {
  std::uint64_t out = 0;
  if (const Keys* keys = impl_->index.keys(space)) {
    for (const auto& [key, live] : *keys) out += live.value_bytes;
  }
  return out;
}

const std::string& Store::owner() const {
  return impl_->owner;
}

JournalStats Store::stats() const {
  const Writer& writer = *impl_->writer;
  JournalStats out;
  out.commits = writer.durable();
  out.syncs = writer.syncs();
  out.written_bytes = writer.written_bytes();
  out.disk_bytes = impl_->index.total_bytes() + writer.dropping_bytes();
  out.live_bytes = impl_->index.live_value_bytes();
  out.live_values = impl_->index.live_values();
  out.pending_bytes = writer.waiting_bytes();
  out.segments = impl_->index.segments().size();
  out.reclaimed_segments = writer.dropped_segments();
  out.room_bytes = impl_->room();
  return out;
}

}  // namespace weft::journal
