// How a run ended: whether it was cut short, whether all have said what they did, and whether what the links
// promise was kept.
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/node/control.hpp>

#include "launch/launcher_impl.hpp"

namespace weft::launch {
namespace {

constexpr Duration kWordComes = std::chrono::seconds(1);  // what an ended node said, that nobody has read

}  // namespace

// What a node has left in its pipe waits there however late this process is, and has nowhere else to be when
// the node took the launcher for gone.
void Launcher::Impl::hear_last_word(Managed& node, const Ending& ending) {
  if (node.last_word || ending.last_word.empty()) return;
  const auto message = control::unpack(as_bytes(ending.last_word));
  if (message && count_of(message->get("epoch")) == node.epoch) on_report(node, *message);
}

// A launcher that was stopped or busy hears of the end first, and of what was said before it afterwards.
bool Launcher::Impl::await_last_word(Managed& node, const Ending& ending) {
  const bool may_come = node.program.describes && !node.last_word && ending.exit_code == 0 && node.ready;
  if (!may_come || node.awaited) return false;
  node.awaited = ending;
  if (node.timer != 0) loop.cancel(node.timer);
  at(node.timer, Clock::now() + kWordComes, [this, &node] { on_end(node, *node.awaited); });
  return true;
}

/// Whoever ends a run before its main nodes have ended gets less than they were to do. Services have no end
/// of their own: to stop them is no interruption, once they were there. Nor is it one to take down a main
/// node that says so of itself; Ctrl-C is meant for whoever waits for the end, and always one.
void Launcher::Impl::interrupt(int signal) {
  if (draining) return;
  std::vector<std::string> working;
  for (const auto& node : nodes) {
    const bool done = node->life == Managed::Life::ended && node->ok;
    if (node->endless && signal != SIGINT) continue;
    if (node->plan->main && !done) working.push_back(node->plan->id.text());
  }
  if (go && working.empty()) return;
  interrupted = signal;
  cut_short = go ? join_words(working) + " had ended" : "all nodes were ready";
}

/// A main node that somebody else than this run stopped has not done all of its work, though it ended in
/// order. The others do theirs.
void Launcher::Impl::note_early_end(const Managed& node) {
  const bool early = node.ok && node.cut_short && node.plan->main && !node.told_to_stop && !draining;
  if (!early || !stopped_early.empty()) return;
  stopped_early = format("{} was stopped by a signal from outside the run before its work was done",
                         node.plan->id.text());
  event(stopped_early);
}

/// Where nothing died and everything was drained, every record that was sent has arrived; if not, the run has
/// failed. Plain sockets promise nothing.
std::string Launcher::Impl::lost_in_silence() const {
  for (const auto& link : plan.links) {
    if (link.pattern != topology::Pattern::push_pull || link.wire == topology::WireMode::native) continue;
    // A sender that still has records says so itself when it ends.
    if (link.delivery != topology::Delivery::best_effort) continue;
    const LinkReport report = link_report(link);
    const std::uint64_t known = report.received + report.lost + report.rejected_records + report.left;
    if (!report.exact || report.shared || report.sent <= known) continue;
    return format("link {}: {} of {} records were sent and have not arrived", link.id, report.sent - known,
                  report.sent);
  }
  return {};
}

/// A subscriber under a promise fetches what it missed. What it could not get any more it has counted, and
/// goes on without: its program sees a gap, so nobody may say that all was well.
std::string Launcher::Impl::gaps_in(const topology::LinkPlan& link, const LinkReport& report) const {
  if (link.pattern != topology::Pattern::pub_sub || link.delivery == topology::Delivery::best_effort)
    return {};
  std::vector<std::string> who;
  bool died = false, snapshot = false;
  // A port counts what it missed of all its publishers.
  for (const auto& other : plan.links) {
    if (other.to_node != link.to_node || other.to_port != link.to_port) continue;
    const bool again = std::ranges::any_of(nodes, [&other](const auto& node) {
      return node->plan->id.name == other.from_node && node->restarts != 0;
    });
    if (!again) continue;
    died = died || other.journal_from.empty();
    snapshot = snapshot || other.keep_last;
  }
  for (const auto& node : nodes) {
    const std::uint64_t missed = node->plan->id.name == link.to_node ? missed_at(*node, link.to_port) : 0;
    if (missed != 0) who.push_back(format("{} missed {} batches", node->plan->id.text(), missed));
  }
  // The snapshot of a publisher that was started again stands for all that it said before.
  if (who.empty() || snapshot) return {};
  return format("{}: {} in spite of {}: {}",
                report.shared ? format("port {}", report.to) : format("link {}", link.id), join_words(who),
                topology::to_string(link.delivery),
                died ? "their publisher died with them; journal: {from: path} keeps them over its death"
                     : "their publisher did not have them any more; a larger retain keeps more");
}

/// Records that their receiver could not take, and that no dead letter saved, are a promise that was not
/// kept. (A request that is refused is its asker's affair, who hears of it.)
std::string Launcher::Impl::unmet() const {
  for (const auto& link : plan.links) {
    const LinkReport report = link_report(link);
    if (std::string gaps = gaps_in(link, report); !gaps.empty()) return gaps;
    if (report.untaken != 0) {
      return format(
          "link {}: {} of {} records are dead letters and nobody takes them; a dead-letter of the link would",
          link.id, report.untaken, report.accepted);
    }
    const bool asks = link.pattern == topology::Pattern::dealer_router;
    const bool acknowledged =
        link.pattern == topology::Pattern::push_pull && link.delivery != topology::Delivery::best_effort;
    if (asks || acknowledged || report.unfit == 0) continue;
    return format("link {}: {} of {} records were rejected by {}: they are not what it takes", link.id,
                  report.unfit, report.sent, report.to);
  }
  return {};
}

void Launcher::Impl::read_signals() {
  if (signals < 0) return;
  signalfd_siginfo info{};
  while (read(signals, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    asked = true;
    // A terminal that is closed says so through the shell as well, and systemd may send it behind SIGTERM: it
    // is never the second word of a person who is in a hurry.
    if (info.ssi_signo == SIGHUP) {
      interrupt(SIGHUP);
      drain("SIGHUP");
      continue;
    }
    const std::string name = info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM";
    if (++signals_seen == 1) {
      interrupt(static_cast<int>(info.ssi_signo));
      drain(name + " (again to stop at once)");
    } else {
      fail(format("stopped at once by a second {}", name));
      kill_all();
    }
  }
}

}  // namespace weft::launch
