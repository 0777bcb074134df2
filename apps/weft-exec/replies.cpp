// What the command asks for, and the replies that wait for it.
#include <algorithm>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/units.hpp>
#include <weft/program/records.hpp>

#include "exec.hpp"

namespace weft::exec {
namespace {

// How large a reply will be is not known when its request is taken: room is kept for one as large as those
// before. What comes all the same beyond the second bound is given up.
constexpr std::size_t kRepliesWanted = 8UL << 20;
constexpr std::size_t kRepliesAtMost = 64UL << 20;
constexpr std::size_t kForgets = 32;  // replies in which one that was very large is forgotten by two thirds
constexpr Duration kNotRead = std::chrono::seconds(2);

}  // namespace

bool Exec::asks() const {
  return out_ && out_->pattern() == topology::Pattern::dealer_router;
}

Exec::Sent Exec::send_record() {
  if (asks() && !replies_have_room()) return await_reading();
  if (asks()) ++open_;
  const auto status = out_->send_packed(record_.view(), {},
                                        [this](const program::OutPort::Result& result) { on_reply(result); });
  if (status == SendStatus::would_block) {
    if (asks()) --open_;
    return Sent::later;
  }
  stop_reading_timer();
  if (status == SendStatus::dropped || status == SendStatus::no_peer) {
    ++dropped_;
  } else if (status != SendStatus::ok) {
    fail(format("line {} of the command cannot be sent: {}", lines_out_, to_string(status)));
    return Sent::never;
  }
  return Sent::yes;
}

bool Exec::replies_have_room() {
  return unread_replies() + open_ * reply_bytes_ < kRepliesWanted;
}

// Without the records that wait among them: their command may have to ask before it takes the next one.
std::size_t Exec::unread_replies() {
  replies_.pass(child_->left_queue());
  return replies_.bytes();
}

// Its output is not read meanwhile, so that it comes to wait in a write.
Exec::Sent Exec::await_reading() {
  awaits_reading_ = true;
  child_->tell_left();
  // Where it is full of what has come, and not of what may come, it is up to the command.
  if (reading_timer_ == 0 && !told_reading_ && unread_replies() >= Child::kMostQueued) {
    read_before_ = child_->left_queue();
    reading_timer_ = node_.loop().at(Clock::now() + kNotRead, [this] {
      reading_timer_ = 0;
      say_that_it_does_not_read();
    });
  }
  return Sent::later;
}

// Its queue may stay full: of records, which it takes when it has asked.
void Exec::on_replies_read() {
  if (!awaits_reading_) return;
  if (!replies_have_room()) return child_->tell_left();
  awaits_reading_ = false;
  on_room();
}

void Exec::say_that_it_does_not_read() {
  if (!awaits_reading_ || exited_ || unread_replies() < Child::kMostQueued) return;
  if (child_->left_queue() != read_before_) {  // it reads, if slowly
    (void)await_reading();
    return;
  }
  told_reading_ = true;
  node_.log().warn(
      format("{} of replies wait for the command {}, which has not read them for {}: no further request of "
             "it is taken until it has; let it read its standard input while it asks",
             humane_size(unread_replies()), named(), humane_duration(kNotRead)));
}

void Exec::stop_reading_timer() {
  if (reading_timer_ != 0) node_.loop().cancel(std::exchange(reading_timer_, 0));
}

void Exec::on_reply(const program::OutPort::Result& result) {
  --open_;
  if (result.ok) {
    give_reply(program::record_to_json(*result.record));
  } else {
    Value error = Value::map();
    error["error"] = result.text;
    give_reply(to_json(error));
  }
  // Not from inside the reply: the line that waits is a request.
  if (std::exchange(awaits_reading_, false)) node_.loop().post([this] { on_room(); });
}

void Exec::give_reply(const std::string& line) {
  reply_bytes_ = std::max(line.size(), reply_bytes_ - reply_bytes_ / kForgets);
  const std::size_t unread = unread_replies();
  if (unread != 0 && unread + line.size() > kRepliesAtMost) {
    Value error = Value::map();
    error["error"] = format("the reply of {} was dropped: {} of them wait for the command, which has to read",
                            humane_size(line.size()), humane_size(unread));
    if (++dropped_ == 1) {
      node_.log().warn(
          format("{} of replies wait for the command {}: a further one of {} was dropped; let it "
                 "read its standard input while it asks",
                 humane_size(unread), named(), humane_size(line.size())));
    }
    (void)write_reply(to_json(error));
    return;
  }
  if (write_reply(line)) return;
  if (++dropped_ == 1) {
    node_.log().warn(format(
        "a reply has come for the command {}, which reads no more: dropped, as all further ones", named()));
  }
}

bool Exec::write_reply(const std::string& line) {
  const std::uint64_t before = child_->queued_ever();
  if (!child_->write_line(line)) return false;
  replies_.add(before, child_->queued_ever());
  return true;
}

// Replies are input as well. What the command wrote before it came back for more may be a request.
bool Exec::replies_are_due() {
  if (!asks()) return false;
  child_->read_now();
  return held_ || !out_->settled();
}

}  // namespace weft::exec
