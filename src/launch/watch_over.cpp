// What becomes of processes that lose their parents, and of nodes that say nothing.
#include <algorithm>
#include <csignal>
#include <utility>

#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

#include "launch/launcher_impl.hpp"

namespace weft::launch {
namespace {

constexpr Duration kReapSoon = std::chrono::milliseconds(50);  // one look at all processes for many ends
// Nodes say something every second. Of one that has said nothing for so long, people hear.
constexpr Duration kSilent = std::chrono::seconds(10);
constexpr Duration kSecond = std::chrono::seconds(1);
constexpr Duration kLate = std::chrono::milliseconds(100);  // this process was stopped or busy itself
constexpr Duration kHear = std::chrono::seconds(2);         // what was said meanwhile is heard by then

}  // namespace

/// From here on what loses its parent below this process is a child of it, unless that may be what others
/// than the nodes have started.
void Launcher::Impl::adopt() {
  for (const ProcessInfo& one : list_processes()) {
    if (one.parent != getpid()) continue;
    earlier_children.insert(one.id);
    others_start = others_start || !one.zombie;
  }
  if (!others_start) prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  children = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (children < 0) throw Error(Errc::io, "cannot make a signalfd");
  children_watch = loop.watch_fd(children, [this] {
    signalfd_siginfo info{};
    while (read(children, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    }
    if (reap_timer != 0) return;
    reap_timer = loop.at(Clock::now() + kReapSoon, [this] {
      reap_timer = 0;
      reap();
    });
  });
}

/// A child that no node has anything to do with.
bool Launcher::Impl::is_others(pid_t child) const {
  return earlier_children.contains(child) || (guard && guard->pid() == child) ||
         (options.own_child && options.own_child(child));
}

/// Those who were adopted and have ended. Nodes, and what is waited for, are reaped by who waits.
void Launcher::Impl::reap() {
  for (const ProcessInfo& one : list_processes()) {
    if (one.parent != getpid() || !one.zombie || is_others(one.id)) continue;
    if (strays && strays->contains(one.id)) continue;
    const bool owned = std::ranges::any_of(
        nodes, [&](const auto& node) { return node->process && node->process->owns(one.id); });
    if (!owned) waitpid(one.id, nullptr, WNOHANG);
  }
}

/// What took itself out of its node's group, session and environment is still below this process. True: the
/// run is over when it has ended.
bool Launcher::Impl::end_strays() {
  if (strays) return strays->size() != 0;
  if (others_start) return false;
  const auto ours = [this](const ProcessInfo& one) { return one.parent == getpid() && !is_others(one.id); };
  strays = std::make_unique<Remains>(loop, ours, [this] { loop.post([this] { check_over(); }); });
  if (!strays->look()) return false;
  event(format("{} processes that the nodes have started are left", strays->size()));
  if (stopped) {
    strays->signal(SIGKILL);
    return true;
  }
  strays->signal(SIGTERM);
  Duration grace = Duration::zero();
  for (const auto& node : nodes) grace = std::max(grace, node->plan->grace);
  for_timer = loop.at(Clock::now() + grace, [this] {
    for_timer = 0;
    strays->signal(SIGKILL);
  });
  return true;
}

std::string Launcher::Impl::not_ready() const {
  std::vector<std::string> parts;
  for (const auto& node : nodes) {
    if (node->ready) continue;
    if (node->life == Managed::Life::ended) {
      parts.push_back(format("{} {}", node->plan->id.text(), how_it_ended(node->ending)));
    } else if (node->state == "started") {
      parts.push_back(format("{} has not said anything since it was started", node->plan->id.text()));
    } else {
      parts.push_back(format("{} is {}{}", node->plan->id.text(), node->state,
                             node->missing.empty() ? "" : " (" + node->missing + ")"));
    }
  }
  return join_words(parts);
}

void Launcher::Impl::warn(const std::string& sentence) const {
  event(sentence);
  options.log.warn(sentence);
  if (options.on_warning) options.on_warning(sentence);
}

/// The node has ended; what it had started was told to, and has the same time for it.
void Launcher::Impl::on_left(Managed& node, std::size_t count) {
  event(format("{} has ended, and {} that it has started {} not", node.plan->id.text(),
               count == 1 ? "a process" : format("{} processes", count), count == 1 ? "has" : "have"));
  if (stopped || node.killed) return node.process->kill_group();
  if (node.timer != 0) return;  // its grace is running
  at(node.timer, Clock::now() + node.plan->grace, [this, &node] {
    if (!node.process) return;
    event(format("what {} had started did not end within {} of SIGTERM: killing it", node.plan->id.text(),
                 format_duration(node.plan->grace)));
    node.process->kill_group();
  });
}

void Launcher::Impl::at(Loop::TimerId& timer, TimePoint when, std::function<void()> fn) {
  timer = loop.at(when, [this, &timer, when, fn = std::move(fn)] {
    const TimePoint now = Clock::now();
    if (now - when > kLate) {
      timer = loop.at(now + std::min<Duration>(now - when, kHear), [&timer, fn] {
        timer = 0;
        fn();
      });
      return;
    }
    timer = 0;
    fn();
  });
}

void Launcher::Impl::on_second() {
  const TimePoint now = Clock::now();
  // Who was stopped has heard nothing meanwhile: that much is not counted against anybody.
  const Duration late = last_second == TimePoint{} ? Duration::zero() : now - last_second - kSecond;
  last_second = now;
  for (const auto& node : nodes) {
    if (late > kLate && node->heard != TimePoint{}) node->heard += late;
    check_hang(*node, now);
  }
  look_at_disk(now);
  write_state();
  if (options.on_progress) options.on_progress(state());
}

void Launcher::Impl::check_hang(Managed& node, TimePoint now) {
  if (node.life != Managed::Life::alive || node.heard == TimePoint{} || node.hung) return;
  // It has ended: its last word is awaited, or what it has left behind.
  if (!node.process || node.process->has_ended()) return;
  const Duration silent = now - node.heard;
  const Duration bound = node.plan->hang_after;
  if (!node.hangs && silent > std::min(kSilent, bound == Duration::zero() ? kSilent : bound)) {
    node.hangs = true;
    warn(format("{} hangs: nothing was heard of it for {}{}", node.plan->id.text(), humane_duration(silent),
                bound == Duration::zero() ? "; hang-after would end it" : ""));
  }
  if (bound == Duration::zero() || silent <= bound) return;
  node.hung = true;
  ++node.hangs_in_all;
  event(format("{} {}", node.plan->id.text(), "hangs: killing it"));
  node.process->kill_group();
}

}  // namespace weft::launch
