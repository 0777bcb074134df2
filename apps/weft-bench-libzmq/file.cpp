// A plain file: records are appended a commit at a time, and each commit is synced.
#include <algorithm>

#include <fcntl.h>

#include "socket.hpp"

namespace plain {
namespace {

class File {
 public:
  explicit File(const std::string& path)
      : fd_(open(path.c_str(), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600)) {
    bench::require(fd_ >= 0, "the file cannot be made");
  }
  ~File() { close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void append(const std::vector<unsigned char>& bytes, std::size_t size) {
    for (std::size_t at = 0; at < size;) {
      const ssize_t done = write(fd_, bytes.data() + at, size - at);
      bench::require(done > 0, "the file cannot be written");
      at += static_cast<std::size_t>(done);
    }
    bench::require(fdatasync(fd_) == 0, "the file cannot be synced");
  }

 private:
  int fd_;
};

Figures write_file(const Work& work) {
  File file(work.journal_from + "/plain");
  const std::uint64_t commit = std::max<std::uint64_t>(1, work.commit);
  std::vector<unsigned char> batch(commit * work.size);
  Figures figures;
  const auto start = bench::Clock::now();
  for (std::uint64_t i = 0; i < work.count;) {
    std::size_t size = 0;
    for (; i < work.count && size < batch.size(); ++i, size += work.size)
      figures.written += bench::fill(batch.data() + size, work.size, i);
    file.append(batch, size);
  }
  figures.settled = bench::seconds_since(start);
  return figures;
}

}  // namespace

void add_file(Roles& roles) {
  roles["file"] = [](const Work& work, const Say&) { return write_file(work); };
}

}  // namespace plain
