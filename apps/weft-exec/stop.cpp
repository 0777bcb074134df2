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
  if (exited_) hand_.return_all("the command has ended");
  if (!started_ || exited_) return;
  if (!in_) return tell_to_end();
  if (!held_) child_->pause(false);  // the run has not begun
  stop_timer_ = node_.loop().at(Clock::now() + node_.drain_limit() / 2, [this] {
    stop_timer_ = 0;
    tell_to_end();
  });
}

void Exec::tell_to_end() {
  if (exited_) return;
  if (in_) node_.log().warn(format("the command {} has not ended: SIGTERM", named()));
  told_term_ = true;
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
