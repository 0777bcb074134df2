// How the command ends when its node does: its input is closed, then SIGTERM, then SIGKILL, within the drain
// limit.
#include <csignal>

#include <weft/core/format.hpp>

#include "exec.hpp"

namespace weft::exec {

// Who reads nothing has nothing to finish; the others have half of the limit for what they make of the end of
// input.
void Exec::begin_to_stop() {
  draining_ = true;
  // Behind the word to its senders that this node takes no more.
  if (promised_) node_.loop().post([this] { give_back(); });
  if (!started_ || exited_) return;
  if (!in_) return tell_to_end();
  if (!held_) {  // the run has not begun
    child_->pause(false);
    release();
  }
  stop_timer_ = node_.loop().at(Clock::now() + node_.drain_limit() / 2, [this] {
    stop_timer_ = 0;
    tell_to_end();
  });
}

void Exec::tell_to_end() {
  if (exited_) return;
  told_term_ = true;
  if (restart_timer_ != 0) {  // it has ended already, and another one would have no time
    node_.loop().cancel(std::exchange(restart_timer_, 0));
    exited_ = true;
    return give_back();
  }
  if (in_) node_.log().warn(format("the command {} has not ended: SIGTERM", named()));
  child_->close_input();
  child_->signal(SIGTERM);
  stop_timer_ = node_.loop().at(Clock::now() + node_.drain_limit() / 4, [this] {
    stop_timer_ = 0;
    if (exited_) return;
    told_kill_ = true;
    child_->signal(SIGKILL);
  });
}

// Told to end, it may do so in order, or by the signal.
bool Exec::ended_as_told(int status) const {
  if (told_kill_) return false;
  return status == 0 || ((told_term_ || draining_) && status == 128 + SIGTERM);
}

}  // namespace weft::exec
