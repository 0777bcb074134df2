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

/// Thrown where a signal ended what was waited for.
struct Interrupted {
  int signal = 0;
};

/// Of the loop's thread. SIGINT and SIGTERM become stopped() while it lives.
class Guest {
 public:
  enum class Signals {
    noted,     ///< no more than that
    end_waits  ///< and every run of the loop ends, from then on, as if its time were over
  };
  /// Asks the launcher who the target is. Throws Error{not_found, timed_out}, Interrupted.
  Guest(Loop& loop, const Target& target, Deadline deadline, Signals signals = Signals::noted);
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
  [[nodiscard]] bool stopped() const { return signal_ != 0; }
  /// Throws Interrupted when one did.
  void check_signals() const {
    if (stopped()) throw Interrupted{signal_};
  }

  /// Options of a block that meets the peers: it connects to those that bind, and binds for the others, which
  /// attach() then tells of it.
  [[nodiscard]] PortOptions options(const std::string& verb) const;
  void attach(const std::vector<std::string>& endpoints, Deadline deadline);

  /// One question to the launcher. Throws Error{timed_out, not_found, invalid_argument}; Interrupted where
  /// signals end waits.
  Value ask(const Value& question, Deadline deadline);

 private:
  void read_state(const Value& state);
  void on_signal();

  Loop& loop_;
  const Target& target_;
  Dealer<> control_;
  std::vector<GuestPeer> peers_;
  std::string pattern_;
  Delivery delivery_ = Delivery::best_effort;
  bool sends_ = false;
  Signals ending_;
  int signal_ = 0;
  Loop::TimerId again_ = 0;
  std::vector<std::string> attached_;
  int signals_ = -1;
  Loop::WatchId watch_ = 0;
};

}  // namespace weft::cli
