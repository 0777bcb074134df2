#include <weft/program/id_log.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::program {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is mapped as it is");

constexpr std::size_t kChunk = 1UL << 17;  // entries: 1 MiB
constexpr std::size_t kChunkBytes = kChunk * sizeof(std::uint64_t);
constexpr std::uint64_t kMark = std::uint64_t{1} << 63;
constexpr int kMode = 0644;

IdLog::Entry entry_of(std::uint64_t word) {
  return {(word & ~kMark) - 1, (word & kMark) != 0};
}

// A compiler must neither split nor put off a store that has to be there when the process is killed.
void store(std::uint64_t* to, std::uint64_t word) {
  std::atomic_ref<std::uint64_t>(*to).store(word, std::memory_order_release);
}

}  // namespace

IdLog::IdLog(std::string path) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kMode);
  if (fd_ < 0) fail("open");
  struct stat status {};
  if (::fstat(fd_, &status) != 0) fail("read");
  const auto words = static_cast<std::size_t>(status.st_size) / sizeof(std::uint64_t);
  // Half a word can only be somebody else's doing; it must not be taken for an id.
  if (::ftruncate(fd_, static_cast<off_t>(words * sizeof(std::uint64_t))) != 0) fail("cut");
  while (chunks_.size() * kChunk < words) add_chunk();
  // Entries are written one behind the other: the first zero is the end.
  std::size_t low = 0;
  std::size_t high = chunks_.size() * kChunk;
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (*word(middle) == 0) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  size_ = low;
}

IdLog::~IdLog() {
  for (std::uint64_t* chunk : chunks_) ::munmap(chunk, kChunkBytes);
  if (fd_ < 0) return;
  // Only tidiness: a file that keeps its empty end reads the same.
  [[maybe_unused]] const int cut = ::ftruncate(fd_, static_cast<off_t>(size_ * sizeof(std::uint64_t)));
  ::close(fd_);
}

void IdLog::fail(const char* what) const {
  throw Error(Errc::io, format("cannot {} the ledger {}: {}", what, path_, std::strerror(errno)));
}

void IdLog::add_chunk() {
  const auto offset = static_cast<off_t>(chunks_.size() * kChunkBytes);
  // Without its blocks, a full disk would be a signal at the first store into the page.
  const int full = ::posix_fallocate(fd_, offset, static_cast<off_t>(kChunkBytes));
  if (full != 0) {
    errno = full;
    fail("extend");
  }
  void* mapped = ::mmap(nullptr, kChunkBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, offset);
  if (mapped == MAP_FAILED) fail("map");
  chunks_.push_back(static_cast<std::uint64_t*>(mapped));
}

std::uint64_t* IdLog::word(std::size_t place) const {
  return chunks_[place / kChunk] + place % kChunk;
}

std::size_t IdLog::append(std::uint64_t id) {
  if (size_ == chunks_.size() * kChunk) add_chunk();
  store(word(size_), std::min(id, kNoId) + 1);
  return size_++;
}

void IdLog::cut(std::size_t size) {
  // From the end: whoever is killed here leaves no zero in the midst.
  while (size_ > size) store(word(--size_), 0);
}

void IdLog::mark(std::size_t place) {
  store(word(place), *word(place) | kMark);
}

IdLog::Entry IdLog::at(std::size_t place) const {
  return entry_of(*word(place));
}

std::vector<IdLog::Entry> IdLog::read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error(Errc::io, format("cannot open the ledger {}: {}", path, std::strerror(errno)));
  std::vector<Entry> out;
  std::vector<std::uint64_t> words(kChunk);
  for (;;) {
    in.read(reinterpret_cast<char*>(words.data()), static_cast<std::streamsize>(kChunkBytes));
    const auto got = static_cast<std::size_t>(in.gcount()) / sizeof(std::uint64_t);
    for (std::size_t i = 0; i < got; ++i) {
      if (words[i] == 0) return out;
      out.push_back(entry_of(words[i]));
    }
    if (got < kChunk) return out;
  }
}

std::string IdLog::file(const std::string& folder, std::string_view node, std::string_view kind) {
  std::string name(node);
  std::replace(name.begin(), name.end(), '/', '-');
  return format("{}/{}.{}", folder, name, kind);
}

}  // namespace weft::program
