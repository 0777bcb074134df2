// What a run puts on the disk, and what becomes of it where the disk stands still: logs, state.json, the run
// directory.
#include <algorithm>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/units.hpp>

#include "launch/launcher_impl.hpp"

namespace weft::launch {
namespace {

constexpr Duration kSoon = std::chrono::milliseconds(50);
constexpr Duration kTouch = std::chrono::hours(1);
// A node waits for a disk that is slower than it, as for any reader; for one that stands still no longer than
// that.
constexpr Duration kStill = std::chrono::seconds(1);
constexpr Duration kReadyWaits = std::chrono::seconds(5);  // for a state.json that says so
constexpr Duration kPatience = std::chrono::seconds(30);   // at the end, as long as nothing moves

}  // namespace

void Launcher::Impl::write_specs(bool at_once) {
  for (const auto& node : nodes) {
    const std::string path =
        format("{}/nodes/{}-{}.json", directory->path(), node->plan->id.name, node->plan->id.replica);
    std::string text = to_json(to_value(*node->plan), 1) + "\n";
    at_once ? replace_file(path, text) : disk.replace(path, std::move(text));
  }
}

/// Many things change at once: one file for all of them.
void Launcher::Impl::state_changed() {
  if (state_timer != 0) return;
  state_timer = loop.at(Clock::now() + kSoon, [this] {
    state_timer = 0;
    write_state();
  });
}

void Launcher::Impl::write_state() {
  disk.replace(directory->path() + "/state.json", to_json(state(), 1) + "\n");
}

/// Who is told that the run is ready looks into state.json next.
void Launcher::Impl::tell_ready_when_written() {
  write_state();
  ready_to_tell = true;
  written_at = disk.asked();
  ready_at = Clock::now();
}

void Launcher::Impl::tell_ready() {
  if (std::exchange(ready_to_tell, false) && options.on_ready) options.on_ready();
}

/// Something was written.
void Launcher::Impl::on_disk() {
  disk.acknowledge();
  disk_stands = false;
  for (const auto& node : nodes) {
    if (!node->paused || node->log->full()) continue;
    node->paused = false;
    if (node->process) node->process->resume();
  }
  if (disk.done() >= written_at) tell_ready();
  // A full disk must not end the run.
  if (const std::string why = disk.take_error(); !why.empty()) options.log.warn(why);
  hear_of_directory();
}

/// A node that writes faster than the disk takes it is not read for a while.
void Launcher::Impl::pace(Managed& node) {
  if (node.paused || disk_stands || !node.process || !node.log->full()) return;
  node.paused = true;
  node.process->pause();
  if (disk_timer == 0) watch_disk();
}

void Launcher::Impl::watch_disk() {
  disk_done = disk.done();
  disk_timer = loop.at(Clock::now() + kStill, [this] {
    disk_timer = 0;
    check_still();
  });
}

/// Nodes go on, and their lines are lost and counted, where waiting for the disk would be without an end.
void Launcher::Impl::check_still() {
  if (std::ranges::none_of(nodes, [](const auto& node) { return node->paused; })) return;
  if (disk.done() != disk_done) return watch_disk();
  disk_stands = true;
  for (const auto& node : nodes) {
    if (std::exchange(node->paused, false) && node->process) node->process->resume();
  }
}

/// Once when lines begin to be lost; their number is told at the end.
void Launcher::Impl::check_log(Managed& node) {
  if (node.log_told) return;
  const NodeLog::Lost lost = node.log->lost();
  if (lost.lines == 0) return;
  node.log_told = true;
  warn(format("{} cannot be written ({}): lines of {} are lost until it can", node.log->path(), lost.why,
              node.plan->id.text()));
}

void Launcher::Impl::look_at_disk(TimePoint now) {
  if (now - ready_at > kReadyWaits) tell_ready();
  for (const auto& node : nodes) check_log(*node);
  const bool touch = touched == TimePoint{} || now - touched > kTouch;
  {
    const std::lock_guard lock(looks->mutex);
    if (std::exchange(looks->waiting, true)) return;  // the disk has not got to the last one yet
  }
  if (touch) touched = now;
  disk.post([seen = looks, folder = directory, touch] {
    if (touch) folder->touch();
    bool made = false;
    std::string why;
    try {
      made = !folder->there();
      if (made) folder->make_again();
    } catch (const Error& error) {
      why = error.what();
    }
    const std::lock_guard lock(seen->mutex);
    seen->waiting = false;
    seen->made_again = seen->made_again || (made && why.empty());
    seen->gone = why;
  });
  for (const auto& node : nodes) node->log->look_again();
}

/// Somebody tidied up: `weft ps` and `weft down` shall find the run all the same, and nodes can be started
/// again.
void Launcher::Impl::hear_of_directory() {
  bool made_again = false;
  std::string why;
  {
    const std::lock_guard lock(looks->mutex);
    made_again = std::exchange(looks->made_again, false);
    why = std::exchange(looks->gone, {});
  }
  if (made_again) {
    try {
      write_specs(false);
      for (const auto& node : nodes) node->log->look_again();
      open_control();
      warn(format(
          "the run directory {} was removed, and has been made anew; what was in it is lost, and nodes that "
          "meet by sockets in it cannot do so again",
          directory->path()));
    } catch (const Error& error) {
      why = error.what();
    }
  }
  if (!why.empty() && !std::exchange(told_of_directory, true))
    warn(format("the run directory {} was removed: {}", directory->path(), why));
}

bool Launcher::Impl::settle() {
  for (bool moves = true; moves && !disk.idle();) {
    const std::uint64_t before = disk.done();
    const int seen = signals_seen;  // whoever is in a hurry does not wait for the disk
    (void)loop.run_until([&] { return disk.idle() || signals_seen != seen; }, Deadline::after(kPatience));
    moves = disk.done() != before && signals_seen == seen;
  }
  if (disk.idle()) {
    on_disk();
    return true;
  }
  for (const auto& node : nodes) node->log->give_up();
  warn(format("the disk of {} does not take what is to be written there; it is not waited for",
              directory->path()));
  return false;
}

void Launcher::Impl::tell_lost_lines() {
  for (const auto& node : nodes) {
    const NodeLog::Lost lost = node->log->lost();
    if (lost.lines == 0) continue;
    warn(format("{} lines of {} are missing in {}: {}", lost.lines, node->plan->id.text(), node->log->path(),
                lost.why));
  }
}

}  // namespace weft::launch
