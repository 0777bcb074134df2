#include "poller.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <zmq.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "socket_impl.hpp"

namespace weft::transport {
namespace {

constexpr std::uint64_t kAlarm = UINT64_MAX;  // in the place of an Entry's id
constexpr Duration kNear = std::chrono::milliseconds(5);

using Events = std::array<epoll_event, 256>;

#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 35)
#define WEFT_HAS_EPOLL_PWAIT2 1
#endif
#endif

// Waits to the nanosecond where the system can: timers of less than a millisecond matter to batches. -2: it
// cannot.
int wait_precisely([[maybe_unused]] int epoll, [[maybe_unused]] Events& events,
                   [[maybe_unused]] TimePoint until) {
#ifdef WEFT_HAS_EPOLL_PWAIT2
  timespec left{};
  if (until != TimePoint::max()) {
    const auto nanos = Deadline::at(until).left(Clock::now()).count();
    left.tv_sec = static_cast<time_t>(nanos / 1'000'000'000);
    left.tv_nsec = static_cast<long>(nanos % 1'000'000'000);
  }
  const int count = ::epoll_pwait2(epoll, events.data(), static_cast<int>(events.size()),
                                   until == TimePoint::max() ? nullptr : &left, nullptr);
  return count < 0 && (errno == ENOSYS || errno == EPERM) ? -2 : count;
#else
  return -2;
#endif
}

// Rounded up: a wait that ends before its timer is due would be followed by useless short ones.
int wait_in_millis(int epoll, Events& events, TimePoint until) {
  int timeout = -1;
  if (until != TimePoint::max()) {
    const auto left = Deadline::at(until).left(Clock::now());
    timeout = static_cast<int>(
        std::min<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(left).count(), INT_MAX));
  }
  return ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), timeout);
}

// `precise` becomes false when the system turns out not to know the call, which is then not made again.
int wait_for_events(int epoll, Events& events, TimePoint until, bool& precise) {
  for (;;) {
    int count = precise ? wait_precisely(epoll, events, until) : -2;
    if (count == -2) {
      precise = false;
      count = wait_in_millis(epoll, events, until);
    }
    if (count >= 0) return count;
    if (errno != EINTR) throw Error(Errc::io, format("cannot wait for sockets: {}", std::strerror(errno)));
  }
}

}  // namespace

Poller::Poller()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      alarm_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kAlarm;
  if (epoll_ >= 0 && alarm_ >= 0 && ::epoll_ctl(epoll_, EPOLL_CTL_ADD, alarm_, &event) == 0) return;
  const int why = errno;
  close();
  throw Error(Errc::io, format("cannot set up a loop: epoll: {}", std::strerror(why)));
}

Poller::~Poller() {
  close();
}

void Poller::close() const {
  if (epoll_ >= 0) ::close(epoll_);
  if (alarm_ >= 0) ::close(alarm_);
}

// Makes the alarm ring at `until` or before. To give each wait its time would make the system set a timer and
// take it back, twice in every round trip; what has been set once and is too early costs one idle turn.
// False: `until` is so near that the wait has to have its time.
bool Poller::alarm(TimePoint until) {
  if (until >= alarm_at_) return true;
  const auto left = until - Clock::now();
  if (left < kNear) return false;
  const auto since = until.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  const itimerspec when{.it_interval = {},
                        .it_value = {.tv_sec = static_cast<time_t>(seconds.count()),
                                     .tv_nsec = static_cast<long>(Duration(since - seconds).count())}};
  if (::timerfd_settime(alarm_, TFD_TIMER_ABSTIME, &when, nullptr) != 0) return false;
  alarm_at_ = until;
  return true;
}

void Poller::add(Entry& entry) {
  if (entry.socket != nullptr) entry.fd = entry.socket->descriptor();
  if (!enlist(entry)) {
    const char* why = errno == EEXIST  ? "it is watched already; unwatch it first"
                      : errno == EPERM ? "it is a plain file, which is always ready"
                                       : std::strerror(errno);
    throw Error(Errc::invalid_argument, format("cannot watch descriptor {}: {}", entry.fd, why));
  }
  entries_.emplace(entry.id, &entry);
  if (entry.socket != nullptr) touch(entry);  // it may be ready already
}

bool Poller::enlist(const Entry& entry) const {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = entry.id;
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, entry.fd, &event) == 0;
}

void Poller::remove(Entry& entry) {
  if (entries_.erase(entry.id) == 0) return;
  // Fails when its owner has closed it already, which took it off as well.
  if (!std::exchange(entry.parked, false)) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, entry.fd, nullptr);
  if (std::exchange(entry.queued, false)) std::erase(touched_, &entry);
}

void Poller::touch(Entry& entry) {
  if (std::exchange(entry.queued, true)) return;
  touched_.push_back(&entry);
}

void Poller::released(Entry& entry) {
  // Fails when the handler has closed the descriptor; then there is nothing to wait for.
  if (std::exchange(entry.parked, false)) enlist(entry);
}

// Asks a socket for its events. False: its context has been shut down.
bool Poller::ask(Entry& entry, std::vector<Ready>& ready) {
  const int events = entry.socket->events();
  if (events < 0) return false;
  if (entry.running) {
    touch(entry);  // the news is eaten: to be asked again when its handler has returned
    return true;
  }
  const bool readable = entry.want_read && (events & ZMQ_POLLIN) != 0;
  const bool writable = entry.want_write && (events & ZMQ_POLLOUT) != 0;
  if (!readable && !writable) return true;
  ready.push_back({&entry, readable, writable});
  touch(entry);
  return true;
}

bool Poller::ask_touched(std::vector<Ready>& ready) {
  asking_.swap(touched_);
  bool good = true;
  for (Entry* entry : asking_) {
    entry->queued = false;
    good = ask(*entry, ready) && good;
  }
  asking_.clear();
  return good;
}

bool Poller::wait(TimePoint until, std::vector<Ready>& ready) {
  if (!ask_touched(ready)) return false;
  Events events;
  TimePoint end = until;
  if (!ready.empty()) {
    end = TimePoint::min();
  } else if (until != TimePoint::min() && alarm(until)) {
    end = TimePoint::max();
  }
  const int count = wait_for_events(epoll_, events, end, precise_);
  bool good = true;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
    if (id == kAlarm) {
      std::uint64_t rings = 0;
      [[maybe_unused]] const auto got = ::read(alarm_, &rings, sizeof rings);
      alarm_at_ = TimePoint::max();
      continue;
    }
    const auto found = entries_.find(id);
    if (found == entries_.end()) continue;
    Entry& entry = *found->second;
    if (entry.socket != nullptr) {
      // Queued and not running: it is in `ready`, or will be asked in the next turn.
      if (entry.running || !entry.queued) good = ask(entry, ready) && good;
    } else if (entry.running) {
      // What its handler has yet to read would end each wait inside that handler at once.
      ::epoll_ctl(epoll_, EPOLL_CTL_DEL, entry.fd, nullptr);
      entry.parked = true;
    } else {
      ready.push_back({&entry, true, false});  // also for a hang-up: reading tells the handler
    }
  }
  return good;
}

}  // namespace weft::transport
