#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <random>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <weft/core/format.hpp>
#include <weft/journal/disk.hpp>

namespace weft::journal {
namespace {

// Linux takes 1,024 parts in one call.
constexpr std::size_t kMaxParts = 1024;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

int open_retrying(const std::string& path, int flags) {
  for (;;) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (fd >= 0 || errno != EINTR) return fd;
  }
}

// What is left of `parts` behind the first `done` bytes, as far as one call takes it.
std::vector<iovec> rest_of(std::span<const Bytes> parts, std::size_t done) {
  std::vector<iovec> out;
  out.reserve(std::min(parts.size(), kMaxParts));
  for (const Bytes& part : parts) {
    if (done >= part.size()) {
      done -= part.size();
      continue;
    }
    out.push_back({const_cast<std::byte*>(part.data() + done), part.size() - done});
    done = 0;
    if (out.size() == kMaxParts) break;
  }
  return out;
}

class PosixFile : public File {
 public:
  explicit PosixFile(int fd) : fd_(fd) {}

  IoResult write(std::uint64_t offset, std::span<const Bytes> parts) override {
    IoResult out;
    for (;;) {
      const std::vector<iovec> rest = rest_of(parts, out.bytes);
      if (rest.empty()) return out;
      const ssize_t n = ::pwritev(fd_.get(), rest.data(), static_cast<int>(rest.size()),
                                  static_cast<off_t>(offset + out.bytes));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        out.error = n == 0 ? EIO : errno;
        return out;
      }
      out.bytes += static_cast<std::size_t>(n);
    }
  }

  IoResult read(std::uint64_t offset, std::span<std::byte> to) override {
    IoResult out;
    while (out.bytes < to.size()) {
      const ssize_t n = ::pread(fd_.get(), to.data() + out.bytes, to.size() - out.bytes,
                                static_cast<off_t>(offset + out.bytes));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) out.error = errno;
      if (n <= 0) return out;
      out.bytes += static_cast<std::size_t>(n);
    }
    return out;
  }

  // Not repeated after EINTR: what a failed sync leaves behind is unknown.
  int sync() override { return ::fdatasync(fd_.get()) == 0 ? 0 : errno; }

  int truncate(std::uint64_t size) override {
    while (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
      if (errno != EINTR) return errno;
    }
    return 0;
  }

  std::uint64_t size() override {
    struct stat info {};
    return ::fstat(fd_.get(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
  }

 private:
  Descriptor fd_;
};

class PosixLock : public DiskLock {
 public:
  explicit PosixLock(int fd) : fd_(fd) {}

 private:
  Descriptor fd_;
};

// Of the open file, not of the process: two journals of one process exclude each other as well, and closing
// some other descriptor of the file does not end it.
struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

std::string pid_in(int fd) {
  std::array<char, 32> text{};
  const ssize_t n = ::pread(fd, text.data(), text.size() - 1, 0);
  std::string out;
  for (ssize_t i = 0;
       i < n && text[static_cast<std::size_t>(i)] >= '0' && text[static_cast<std::size_t>(i)] <= '9'; ++i)
    out += text[static_cast<std::size_t>(i)];
  return out.empty() ? "unknown" : out;
}

class PosixDisk : public Disk {
 public:
  Opened open(const std::string& path, Mode mode) override {
    const int flags =
        mode == Mode::read ? O_RDONLY : (mode == Mode::write ? O_RDWR : O_RDWR | O_CREAT | O_TRUNC);
    const int fd = open_retrying(path, flags);
    if (fd < 0) return {nullptr, errno};
    return {std::make_unique<PosixFile>(fd), 0};
  }

  Listed list(const std::string& directory) override {
    DIR* dir = ::opendir(directory.c_str());  // closed on exec by itself
    if (!dir) return {{}, errno};
    Listed out;
    errno = 0;
    while (const dirent* entry = ::readdir(dir)) {  // NOLINT(concurrency-mt-unsafe): a stream of our own
      const std::string name = entry->d_name;
      if (name != "." && name != "..") out.names.push_back(name);
      errno = 0;
    }
    out.error = errno;
    ::closedir(dir);
    std::sort(out.names.begin(), out.names.end());
    return out;
  }

  int make_directory(const std::string& path) override {
    return ::mkdir(path.c_str(), 0755) == 0 ? 0 : errno;
  }
  int rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
  }
  int remove(const std::string& path) override { return ::unlink(path.c_str()) == 0 ? 0 : errno; }

  int sync_directory(const std::string& directory) override {
    const Descriptor fd(open_retrying(directory, O_RDONLY | O_DIRECTORY));
    if (!fd.ok()) return errno;
    return ::fsync(fd.get()) == 0 ? 0 : errno;
  }

  std::optional<std::uint64_t> free_bytes(const std::string& directory) override {
    struct statvfs info {};
    // File systems without a bound of their own say that they have no blocks.
    if (::statvfs(directory.c_str(), &info) != 0 || info.f_blocks == 0) return std::nullopt;
    const auto blocks = ::geteuid() == 0 ? info.f_bfree : info.f_bavail;
    return static_cast<std::uint64_t>(blocks) * info.f_frsize;
  }

  Locked lock(const std::string& path) override {
    const int fd = open_retrying(path, O_RDWR | O_CREAT);
    if (fd < 0) return {nullptr, errno, {}};
    auto held = std::make_unique<PosixLock>(fd);
    struct flock lock = whole_file();
    if (::fcntl(fd, F_OFD_SETLK, &lock) != 0) {
      const int error = errno == EACCES ? EAGAIN : errno;
      return {nullptr, error, pid_in(fd)};
    }
    // The number is for people; a disk that is too full to take it is no reason to refuse.
    const std::string pid = format("{}\n", ::getpid());
    if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, pid.data(), pid.size(), 0);
    return {std::move(held), 0, {}};
  }

  std::string lock_owner(const std::string& path) override {
    const Descriptor fd(open_retrying(path, O_RDONLY));
    if (!fd.ok()) return {};
    struct flock lock = whole_file();
    if (::fcntl(fd.get(), F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return {};
    return pid_in(fd.get());
  }

  std::uint64_t random() override {
    std::random_device device;
    return (static_cast<std::uint64_t>(device()) << 32) | device();
  }
};

}  // namespace

std::shared_ptr<Disk> Disk::posix() {
  return std::make_shared<PosixDisk>();
}

}  // namespace weft::journal
