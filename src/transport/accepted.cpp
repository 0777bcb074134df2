#include "accepted.hpp"

#include <algorithm>
#include <utility>

#include <sys/resource.h>

namespace weft::transport {
namespace {

constexpr std::uint64_t kFewest = 8;
constexpr std::uint64_t kMost = 1024;

std::uint64_t descriptor_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

// Strangers get a quarter of what there is, so that known peers find room.
std::uint64_t most_strangers() {
  return std::clamp(descriptor_limit() / 4, kFewest, kMost);
}

}  // namespace

Accepted::Accepted(Descriptors& descriptors, bool expected, std::function<void()> on_news)
    : descriptors_(descriptors), expected_(expected), on_news_(std::move(on_news)) {}

void Accepted::on_accepted(int fd, std::string_view endpoint, TimePoint now, bool exhausted) {
  const std::lock_guard lock(mutex_);
  forget(fd);  // the number is new, so what it was is gone
  ended_.erase(fd);
  const auto inode = descriptors_.connection(fd, endpoint);
  if (!inode) return;  // gone already
  if (!expected_) {
    if (!exhausted || !descriptors_.end(fd, *inode)) return;
    ended_.insert(fd);
    ++alarm_.turned_away;
    return;
  }
  // Its owner may have read its first message before libzmq's word of it came here.
  if (const auto known = known_inodes_.find(fd); known != known_inodes_.end() && known->second == *inode)
    return;
  by_fd_[fd] = next_;
  strangers_.emplace(next_++, Stranger{fd, *inode, now});
  if (exhausted) {
    while (!strangers_.empty() && !end_oldest()) {
    }
    ++alarm_.turned_away;
  } else if (strangers_.size() > most_strangers()) {
    if (end_oldest()) ++alarm_.crowded_out;
  }
  if (!std::exchange(told_, true)) tell();
}

bool Accepted::on_disconnected(int fd) {
  const std::lock_guard lock(mutex_);
  forget(fd);
  return ended_.erase(fd) != 0;
}

void Accepted::on_exhausted(std::string_view endpoint) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(alarm_.exhausted, true)) return;
  alarm_.endpoint = endpoint;
  alarm_.limit = descriptor_limit();
  tell();
}

void Accepted::on_relieved() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(alarm_.exhausted, false)) tell();
}

void Accepted::close() {
  const std::lock_guard lock(mutex_);
  on_news_ = nullptr;
}

ConnectionId Accepted::know(int fd) {
  if (!expected_) return {};
  const std::lock_guard lock(mutex_);
  const auto inode = socket_inode(fd);
  if (!inode) return {};  // gone already
  known_inodes_[fd] = *inode;
  const auto stranger = by_fd_.find(fd);
  if (stranger != by_fd_.end() && strangers_.at(stranger->second).inode == *inode) forget(fd);
  return {fd, *inode};
}

std::optional<TimePoint> Accepted::oldest() {
  const std::lock_guard lock(mutex_);
  if (!strangers_.empty()) return strangers_.begin()->second.since;
  told_ = false;
  return std::nullopt;
}

std::size_t Accepted::end_before(TimePoint time) {
  const std::lock_guard lock(mutex_);
  std::size_t count = 0;
  while (!strangers_.empty() && strangers_.begin()->second.since < time) {
    if (end_oldest()) ++count;
  }
  return count;
}

AcceptAlarm Accepted::alarm() {
  const std::lock_guard lock(mutex_);
  return alarm_;
}

bool Accepted::end_oldest() {
  const Stranger oldest = strangers_.begin()->second;
  forget(oldest.fd);
  if (!descriptors_.end(oldest.fd, oldest.inode)) return false;
  ended_.insert(oldest.fd);
  return true;
}

void Accepted::forget(int fd) {
  const auto found = by_fd_.find(fd);
  if (found == by_fd_.end()) return;
  strangers_.erase(found->second);
  by_fd_.erase(found);
}

}  // namespace weft::transport
