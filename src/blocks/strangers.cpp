#include "blocks/strangers.hpp"

#include <algorithm>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

namespace weft::blocks {
namespace {

// A busy loop has not read yet what its peers said long ago.
constexpr Duration kPostponement = std::chrono::milliseconds(500);
constexpr int kMostPostponed = 16;

}  // namespace

Strangers::Strangers(Loop& loop, const PortOptions& options, std::string stream, std::string_view expected)
    : loop_(loop),
      log_(options.log),
      stream_(std::move(stream)),
      expected_(expected),
      patience_(std::max(options.dead_after, kShortestPatience)),
      told_ended_(loop.now() - kTroubleEvery),
      told_exhausted_(told_ended_) {}

void Strangers::watch(transport::Socket& socket) {
  socket_ = &socket;
  socket.watch_accepts(!expected_.empty(), [this, weak = std::weak_ptr<bool>(alive_)] {
    loop_.post([this, weak] {
      if (!weak.expired()) look();
    });
  });
}

void Strangers::close() {
  alive_.reset();
  if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
  socket_ = nullptr;
}

void Strangers::plan(TimePoint when) {
  if (timer_ != 0) loop_.cancel(timer_);
  timer_ = loop_.at(when, [this] {
    timer_ = 0;
    look();
  });
}

void Strangers::look() {
  if (!socket_ || !socket_->open()) return;
  tell_alarm();
  const auto oldest = socket_->oldest_stranger();
  if (!oldest) return tell_ended();  // when there is one again, the socket says so
  const TimePoint due = *oldest + patience_;
  if (loop_.now() < due) {
    tell_ended();
    return plan(due);
  }
  if (socket_->readable() && postponed_ < kMostPostponed) {
    ++postponed_;
    return plan(loop_.now() + kPostponement);
  }
  postponed_ = 0;
  untold_ += socket_->end_strangers(loop_.now() - patience_ + Duration(1));
  tell_ended();
  if (const auto next = socket_->oldest_stranger()) plan(*next + patience_);
}

void Strangers::tell_ended() {
  if (untold_ == 0 || loop_.now() - told_ended_ < kTroubleEvery) return;
  told_ended_ = loop_.now();
  log_.warn(format("{}: ended {} connections that had not said {} within {}, or were too many of that kind",
                   stream_, std::exchange(untold_, 0), expected_, format_duration(patience_)));
}

void Strangers::tell_alarm() {
  const transport::AcceptAlarm alarm = socket_->accept_alarm();
  untold_ += alarm.crowded_out - std::exchange(crowded_out_, alarm.crowded_out);
  if (alarm.exhausted == exhausted_) return;
  if (!alarm.exhausted) {
    exhausted_ = false;
    return log_.info(format("{}: takes connections at {} again; {} were turned away for want of descriptors",
                            stream_, alarm.endpoint, alarm.turned_away));
  }
  if (loop_.now() - told_exhausted_ < kTroubleEvery) return;
  exhausted_ = true;
  told_exhausted_ = loop_.now();
  log_.warn(
      format("{}: cannot take connections at {}: all {} descriptors that this process may have are in "
             "use. Who comes is turned away until some are free; raise the limit with `ulimit -n`, or "
             "with LimitNOFILE= of a systemd unit",
             stream_, alarm.endpoint, alarm.limit));
}

}  // namespace weft::blocks
