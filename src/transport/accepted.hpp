// Accepted: the connections that a bound socket has accepted and whose peers its owner does not know yet.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include <weft/core/time.hpp>
#include <weft/transport/socket.hpp>

#include "descriptors.hpp"

namespace weft::transport {

/// libzmq has no word for "close this one connection of a bound socket", and none for a connection on which
/// nothing is said. Its monitor names the descriptor of each connection that it accepts, and a message the
/// one that it came by: what was accepted and has brought nothing that its owner knows is a stranger. The
/// context's thread books what libzmq tells, the owner says whom it knows; either may end strangers.
/// Memory: an entry for each stranger, and for each descriptor number that ever belonged to a known peer.
class Accepted {
 public:
  /// `expected`: the owner says whom it knows; else nobody is a stranger. `on_news` is called, under the lock
  /// and by the context's thread, when there is a first stranger, and when alarm() has changed.
  Accepted(Descriptors& descriptors, bool expected, std::function<void()> on_news);

  // ---- the context's thread ----

  /// `exhausted`: no descriptor is left for more, so the longest-standing stranger has to go.
  void on_accepted(int fd, std::string_view endpoint, TimePoint now, bool exhausted);
  /// True: it was ended from here.
  bool on_disconnected(int fd);
  void on_exhausted(std::string_view endpoint);
  void on_relieved();

  // ---- the owner ----

  /// Calls on_news no more.
  void close();
  ConnectionId know(int fd);
  /// When the longest-standing stranger came. After nullopt, on_news tells of the next one.
  std::optional<TimePoint> oldest();
  /// Ends those that came before that time; how many.
  std::size_t end_before(TimePoint time);
  [[nodiscard]] AcceptAlarm alarm();

 private:
  struct Stranger {
    int fd = -1;
    std::uint64_t inode = 0;
    TimePoint since;
  };

  bool end_oldest();
  void forget(int fd);
  void tell() {
    if (on_news_) on_news_();
  }

  Descriptors& descriptors_;
  const bool expected_;
  std::mutex mutex_;  // guards what follows
  std::function<void()> on_news_;
  std::map<std::uint64_t, Stranger> strangers_;          // in the order in which they came
  std::unordered_map<int, std::uint64_t> by_fd_;         // in strangers_
  std::unordered_map<int, std::uint64_t> known_inodes_;  // of the last known peer with that descriptor
  std::unordered_set<int> ended_;
  std::uint64_t next_ = 1;
  bool told_ = false;  // on_news_ was called, and oldest() has not said since that there is none
  AcceptAlarm alarm_;
};

}  // namespace weft::transport
