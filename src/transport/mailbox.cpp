#include "mailbox.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include <sys/eventfd.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::transport {

Mailbox::Mailbox() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) throw Error(Errc::io, format("cannot set up a loop: eventfd: {}", std::strerror(errno)));
}

Mailbox::~Mailbox() {
  ::close(fd_);
}

void Mailbox::signal() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof one);
}

void Mailbox::post(std::function<void()> fn) {
  const std::lock_guard lock(mutex_);
  posted_.push_back(std::move(fn));
  if (!std::exchange(signalled_, true)) signal();  // under the lock: the loop may be gone right after
}

void Mailbox::stop() {
  stop_.store(true, std::memory_order_release);
  signal();
}

void Mailbox::acknowledge() {
  const std::lock_guard lock(mutex_);
  std::uint64_t ignored = 0;
  [[maybe_unused]] const auto got = ::read(fd_, &ignored, sizeof ignored);
  signalled_ = false;
  while (!posted_.empty()) {
    taken_.push_back(std::move(posted_.front()));
    posted_.pop_front();
  }
}

bool Mailbox::deliver() {
  // By count: what a function posts comes in the next turn, so that a chain of posts starves nobody.
  const std::size_t count = taken_.size();
  for (std::size_t i = 0; i < count && !taken_.empty(); ++i) {
    const auto fn = std::move(taken_.front());
    taken_.pop_front();
    fn();
  }
  return count != 0;
}

}  // namespace weft::transport
