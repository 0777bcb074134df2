#include "reader_watch.hpp"

#include <cerrno>
#include <cstring>

#include <sys/epoll.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::cli {

ReaderWatch::ReaderWatch() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (fd_ < 0) throw Error(Errc::io, format("cannot watch standard output: {}", std::strerror(errno)));
  // Errors and hang-ups are told of without being asked for. A file is refused here: nothing ever comes then.
  epoll_event nothing{};
  (void)::epoll_ctl(fd_, EPOLL_CTL_ADD, STDOUT_FILENO, &nothing);
}

ReaderWatch::~ReaderWatch() {
  ::close(fd_);
}

bool ReaderWatch::gone() const {
  epoll_event event{};
  return ::epoll_wait(fd_, &event, 1, 0) > 0;
}

}  // namespace weft::cli
