#include <weft/protocol/peer_lanes.hpp>

#include <algorithm>

namespace weft::protocol {

std::uint32_t PeerLanes::say_hello() {
  ++hello_attempt;
  if (hello_marks.empty() || hello_marks.back().second != out.last_sent()) {
    hello_marks.emplace_back(hello_attempt, out.last_sent());
  }
  return hello_attempt;
}

void PeerLanes::answered(std::uint32_t attempt) {
  hello_answered = attempt;
  // The newest of those up to there speaks for what was said later with nothing sent between.
  while (hello_marks.size() > 1 && hello_marks[1].first <= attempt) hello_marks.erase(hello_marks.begin());
}

SendLane::Lost PeerLanes::meet_receiver(std::uint64_t accepted, std::optional<std::uint32_t> attempt,
                                        bool gone, Credit credit) {
  // What had been sent when the HELLO was said that this one answers.
  std::uint64_t said = out.last_sent();
  if (attempt) {
    for (const auto& [number, sent] : hello_marks) {
      if (number <= *attempt) said = sent;
    }
  }
  SendLane::Lost lost;
  if (gone) lost = out.resume(accepted, said);
  (void)out.acknowledge(out.last_acknowledged(), credit);
  return lost;
}

PeerLanes::Met PeerLanes::meet_sender(std::uint64_t epoch, std::uint64_t first_retained, bool answer) {
  Met met{.accepted = epoch == in.epoch() ? in.accepted() : 0};
  if (first_retained == 0) return met;
  const std::uint64_t before = first_retained - 1;
  const bool fresh = !in.started() || epoch > in.epoch();
  if (in.begin(epoch) != ReceiveLane::Verdict::accept) return met;
  if (fresh) settled = 0;
  if (!fresh) met.missed = in.missing_until(before);
  if (answer && lost_count(epoch, first_retained)) {
    in = ReceiveLane();
    (void)in.begin(epoch);
    settled = std::min(settled, before);
  }
  in.skip_to(before);
  if (held_bytes == 0) settled = in.last();
  return met;
}

}  // namespace weft::protocol
