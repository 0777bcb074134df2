// Guest: what `weft send`, `recv` and `tap` share: meeting the nodes of a run that somebody else started.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/options.hpp>
#include <weft/core/time.hpp>
#include <weft/transport/loop.hpp>

#include "runs.hpp"

namespace weft::cli {

/// One node's end that the target names.
struct GuestPeer {
  std::string node;  ///< "worker/2"
  std::string port;
  bool binds = false;
  std::string endpoint;        ///< where it binds
  std::uint64_t prefetch = 0;  ///< credit that its link gives a sender, in bytes
};

/// Of the loop's thread. SIGINT and SIGTERM become stopped() while it lives.
class Guest {
 public:
  /// Asks the launcher who the target is. Throws Error{not_found, timed_out}.
  Guest(Loop& loop, const Target& target, Deadline deadline);
  ~Guest();
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  [[nodiscard]] const std::vector<GuestPeer>& peers() const { return peers_; }
  [[nodiscard]] const std::string& pattern() const { return pattern_; }
  /// The target's port stands at the `from` of its link.
  [[nodiscard]] bool sends() const { return sends_; }
  /// What the target's link promises; a guest promises the same.
  [[nodiscard]] Delivery delivery() const { return delivery_; }
  /// A signal asked this program to end.
  [[nodiscard]] bool stopped() const { return stopped_; }

  /// Options of a block that meets the peers: it connects to those that bind, and binds for the others, which
  /// attach() then tells of it.
  [[nodiscard]] PortOptions options(const std::string& verb) const;
  void attach(const std::vector<std::string>& endpoints, Deadline deadline);

  /// One question to the launcher. Throws Error{timed_out, not_found, invalid_argument}.
  Value ask(const Value& question, Deadline deadline);

 private:
  void read_state(const Value& state);

  Loop& loop_;
  const Target& target_;
  Dealer<> control_;
  std::vector<GuestPeer> peers_;
  std::string pattern_;
  Delivery delivery_ = Delivery::best_effort;
  bool sends_ = false;
  bool stopped_ = false;
  std::vector<std::string> attached_;
  int signals_ = -1;
  Loop::WatchId watch_ = 0;
};

}  // namespace weft::cli
