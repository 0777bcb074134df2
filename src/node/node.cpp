#include <weft/node/node.hpp>

#include <algorithm>
#include <csignal>
#include <utility>

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/router.hpp>
#include <weft/blocks/sub.hpp>
#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/signals.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>
#include <weft/node/control.hpp>

#include "node/node_impl.hpp"

namespace weft {
namespace {

// So long after a signal of a stranger the launcher has heard of it as well, if all processes were meant.
constexpr Duration kLaunchersTurn = std::chrono::seconds(2);
/// What a sender that has ended had sent is read by then.
constexpr Duration kReadUp = std::chrono::milliseconds(250);

}  // namespace

std::string_view to_string(NodeState state) {
  switch (state) {
    case NodeState::created:
      return "created";
    case NodeState::bound:
      return "bound";
    case NodeState::joined:
      return "joined";
    case NodeState::ready:
      return "ready";
    case NodeState::running:
      return "running";
    case NodeState::draining:
      return "draining";
    case NodeState::stopped:
      return "stopped";
    case NodeState::failed:
      return "failed";
  }
  return "unknown";
}

Node::Node(Loop& loop, topology::NodePlan plan, NodeOptions options)
    : impl_(std::make_unique<Impl>(*this, loop, std::move(plan), std::move(options))) {
  Impl& impl = *impl_;
  if (impl.options.epoch == 0) impl.options.epoch = wall_micros();
  for (const topology::EndPlan& end : impl.plan.ends) {
    NodePort* port = impl.find(end.port);
    if (!port) {
      impl.ports.push_back(std::make_unique<NodePort>());
      port = impl.ports.back().get();
      port->name = end.port;
    }
    port->letters = port->letters || (end.sender && !impl.link(end.link).dead_letters_of.empty());
    port->ends.push_back(&end);
  }
}

Node::~Node() {
  Impl& impl = *impl_;
  if (impl.hook != 0) impl.loop.remove_hook(impl.hook);
  if (impl.limit != 0) impl.loop.cancel(impl.limit);
  if (impl.reporter != 0) impl.loop.cancel(impl.reporter);
  if (impl.journal_watch != 0) impl.loop.cancel(impl.journal_watch);
  if (impl.ask_again != 0) impl.loop.cancel(impl.ask_again);
  if (impl.asked_timer != 0) impl.loop.cancel(impl.asked_timer);
  // What a port says while it closes finds everything still there.
  for (const auto& port : impl.ports) {
    if (port->block) port->block->tap(nullptr);
    port->tap.reset();
    if (port->block) port->block->close();
  }
  if (impl.control) impl.control->close();
  if (impl.signal_watch != 0) impl.loop.unwatch(impl.signal_watch);
  if (impl.signals < 0) return;
  ::close(impl.signals);
  pthread_sigmask(SIG_SETMASK, &impl.mask_before, nullptr);
}

const topology::NodePlan& Node::plan() const {
  return impl_->plan;
}
NodeState Node::state() const {
  return impl_->state;
}
Loop& Node::loop() {
  return impl_->loop;
}
const Logger& Node::log() const {
  return impl_->options.log;
}
bool Node::linked(std::string_view port) const {
  const NodePort* found = impl_->find(port);
  return found != nullptr && !found->letters;
}
void Node::on_late(std::function<void()> handler) {
  impl_->late_handler = std::move(handler);
}
void Node::on_start(std::function<void()> handler) {
  impl_->start_handler = std::move(handler);
}
void Node::on_drain(std::function<void()> handler) {
  impl_->drain_handler = std::move(handler);
}
void Node::on_report(std::function<Value()> handler) {
  impl_->report_handler = std::move(handler);
}
void Node::set_result(Value result) {
  impl_->result = std::move(result);
}
void Node::set_endless() {
  impl_->endless = true;
}
void Node::fail(std::string sentence, int exit_code) {
  impl_->fail(std::move(sentence), exit_code);
}
void Node::drain() {
  // Before run() there is nothing to drain yet, and perhaps not every port is open.
  if (impl_->state == NodeState::created)
    impl_->loop.post([impl = impl_.get(), weak = std::weak_ptr<bool>(impl_->alive)] {
      if (!weak.expired()) impl->begin_drain();
    });
  else
    impl_->begin_drain();
}
void Node::hold_ready(std::function<bool()> busy) {
  impl_->not_ready = std::move(busy);
}
void Node::hold_drain(std::function<bool()> busy, std::function<std::string()> what) {
  impl_->busy = std::move(busy);
  impl_->busy_with = std::move(what);
}
bool Node::launched() const {
  return !impl_->options.control.empty();
}
Duration Node::drain_limit() const {
  return impl_->options.drain_limit;
}
void Node::on_peer(std::function<void(std::string_view, const PeerEvent&)> handler) {
  impl_->peer_handler = std::move(handler);
}

void Node::finish(Value result) {
  if (!result.is_null()) impl_->result = std::move(result);
  impl_->work_done = true;
  drain();
}

std::vector<std::string> Node::ports() const {
  std::vector<std::string> names;
  for (const auto& port : impl_->ports) {
    if (!port->letters) names.push_back(port->name);
  }
  return names;
}

std::vector<const topology::LinkPlan*> Node::links_of(std::string_view port) const {
  std::vector<const topology::LinkPlan*> links;
  const NodePort* found = impl_->find(port);
  if (!found) return links;
  for (const auto* end : found->ends) links.push_back(&impl_->link(end->link));
  return links;
}

PortOptions Node::port_options(std::string_view name) const {
  Impl& impl = *impl_;
  const NodePort* port = impl.find(name);
  if (!port)
    throw Error(Errc::not_found,
                format("node {} has no port {} in this topology", impl.plan.id.text(), weft::quoted(name)));
  PortOptions out{
      .name = port->name, .node = impl.plan.id.text(), .scope = impl.scope(), .epoch = impl.options.epoch};
  out.log = impl.options.log;
  for (const auto* end : port->ends) {
    const topology::LinkPlan& link = impl.link(end->link);
    if (end->binds) {
      out.bind.push_back(end->endpoint.empty() ? impl.wildcard(*end, link) : end->endpoint);
      if (!end->data_endpoint.empty()) out.data_bind = end->data_endpoint;
    }
    out.capacity_bytes = link.capacity_bytes;
    out.window_bytes = link.prefetch_bytes;
    out.window_records = link.prefetch_records;
    out.batch_bytes = link.batch_bytes;
    out.batch_records = static_cast<std::uint32_t>(link.batch_records);
    out.linger = link.linger;
    out.overflow = link.overflow;
    out.distribute = link.distribute;
    out.dead_after = link.dead_after;
    // Three silent heartbeats make a peer suspect; it should be so well before it is dead.
    out.heartbeat = std::min<Duration>(out.heartbeat, link.dead_after / 4);
    out.keep_last = link.keep_last;
    out.native = link.wire == topology::WireMode::native;
    if (link.transport == topology::Transport::automatic) out.shared_memory = SharedMemory::automatic;
    if (link.transport == topology::Transport::shm) out.shared_memory = SharedMemory::on;
    out.delivery = link.delivery;
    out.priority = static_cast<std::uint8_t>(link.priority);
    out.ttl = link.ttl;
    out.delay = link.delay;
    out.max_attempts = link.max_attempts;
    out.capacity_records = link.capacity_records;
    out.retain_bytes = link.retain_bytes;
    out.from = link.replay;
    out.from_sequence = link.replay_sequence;
    if (!end->journal.empty()) out.journal = impl.journal_of(port->name, end->journal);
  }
  return out;
}

void Node::adopt(const std::string& name, std::unique_ptr<Block> block) {
  Impl& impl = *impl_;
  NodePort* port = impl.find(name);
  if (!port)
    throw Error(Errc::not_found,
                format("node {} has no port {} in this topology", impl.plan.id.text(), weft::quoted(name)));
  if (port->block) throw Error(Errc::invalid_argument, format("port {} is open already", weft::quoted(name)));
  port->receives = dynamic_cast<PullBase*>(block.get()) != nullptr ||
                   dynamic_cast<SubBase*>(block.get()) != nullptr ||
                   dynamic_cast<RouterBase*>(block.get()) != nullptr;
  port->bound = block->endpoints();
  block->on_peer([&impl, port](const PeerEvent& event) { impl.on_event(*port, event); });
  port->block = std::move(block);
  impl.open_dead_letters(*port);
}

int Node::run() {
  Impl& impl = *impl_;
  try {
    impl.begin();
    impl.loop.run();
  } catch (const std::exception& error) {
    impl.fail(error.what());
    // The loop has ended already: left as it is, the order to stop would cut off the last report.
    (void)impl.loop.run_until([] { return true; }, Deadline::never());
  }
  impl.enter(impl.exit_code == 0 || impl.exit_code == 4 ? NodeState::stopped : NodeState::failed);
  impl.report(true);
  // Without a launcher nobody else shows it.
  if (!impl.control && !impl.result.is_null()) log().info(format("result {}", to_json(impl.result)));
  for (const auto& port : impl.ports) {
    if (!port->block) continue;
    log().debug(format("port {} counted {}", port->name, to_json(control::to_value(port->block->stats()))));
    port->block->close();
  }
  if (impl.control) impl.control->close();
  return impl.exit_code;
}

// ---- life
// ------------------------------------------------------------------------------------------------------

NodePort* Node::Impl::find(std::string_view name) {
  const auto found = std::ranges::find_if(ports, [&](const auto& port) { return port->name == name; });
  return found == ports.end() ? nullptr : found->get();
}

const topology::LinkPlan& Node::Impl::link(std::string_view id) const {
  for (const topology::LinkPlan& link : plan.links) {
    if (link.id == id) return link;
  }
  throw Error(Errc::invalid_file,
              format("the plan of {} names link {} and does not have it", plan.id.text(), weft::quoted(id)));
}

std::string Node::Impl::scope() const {
  return options.run.empty() ? plan.topology : options.run;
}

void Node::Impl::enter(NodeState next) {
  if (state == next) return;
  state = next;
  options.log.debug(format("{} is {}", plan.id.text(), to_string(next)));
}

void Node::Impl::begin() {
  for (const auto& port : ports) {
    if (!port->block) {
      throw Error(Errc::invalid_argument,
                  format("the topology links port {} of {}, and the program did not open it",
                         weft::quoted(port->name), plan.id.text()));
    }
  }
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, &mask_before);
  signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) throw Error(Errc::io, "cannot make a signalfd");
  signal_watch = loop.watch_fd(signals, [this] { on_signal(); });
  hook = loop.on_idle([this] { step(); });
  enter(NodeState::bound);
  limit = loop.at(Clock::now() + options.start_limit, [this] {
    limit = 0;
    fail(format("not ready after {}: {}", format_duration(options.start_limit), missing()), 3);
  });
  if (!options.control.empty()) {
    open_control();
    report();
    watch();
    reporter = loop.every(options.report_every, [this] { report(); });
  } else {
    connect_from_plan();
    enter(NodeState::joined);
  }
  if (!journals.empty()) journal_watch = loop.every(options.report_every, [this] { check_journals(); });
  loop.post([this, weak = std::weak_ptr<bool>(alive)] {
    if (!weak.expired()) step();
  });
}

void Node::Impl::step() {
  if (state == NodeState::joined && all_peers_up() && !(not_ready && not_ready())) {
    enter(NodeState::ready);
    if (limit != 0) loop.cancel(limit);
    limit = 0;
    if (control) report();
  }
  // Posted, not called: this runs in a hook, and what is sent from a hook would wait for the next turn.
  if (state == NodeState::ready && (go || !control) && !start_posted) {
    start_posted = true;
    loop.post([this, weak = std::weak_ptr<bool>(alive)] {
      if (!weak.expired() && state == NodeState::ready) start();
    });
  }
  if (state == NodeState::draining) drain_step();
}

void Node::Impl::start() {
  enter(NodeState::running);
  if (control) report();
  started = true;
  if (start_handler) start_handler();
}

void Node::Impl::begin_drain() {
  if (state == NodeState::draining || state == NodeState::stopped || state == NodeState::failed) return;
  if (limit != 0) loop.cancel(limit);
  enter(NodeState::draining);
  report();
  if (drain_handler) drain_handler();
  for (const auto& port : ports) {
    if (port->block && port->receives) port->block->begin_drain();
  }
  limit = loop.at(Clock::now() + options.drain_limit, [this] {
    limit = 0;
    const bool held = !draining_senders && busy && busy_with && busy();
    reason =
        format("not drained after {}: {}", format_duration(options.drain_limit), held ? busy_with() : left());
    options.log.error(reason);
    stop(4);
  });
  loop.post([this, weak = std::weak_ptr<bool>(alive)] {
    if (!weak.expired()) step();
  });
}

void Node::Impl::drain_step() {
  const auto all_drained = [this](auto&& which) {
    return std::ranges::all_of(ports, [&](const auto& p) { return !which(*p) || p->block->drained(); });
  };
  // A receiver stays with senders that have ended: it may not have read all that they sent. Where they have
  // heard that everything was processed, and are silent as well, only their farewell was lost. Under
  // best-effort nobody hears that; but nothing more comes from who has ended and was silent for heartbeats,
  // nor for a while after that, should this node itself have been too busy to read.
  const TimePoint now = Clock::now();
  const auto left_alone = [&](const NodePort& port) {
    const bool heard = std::ranges::all_of(port.ends, [this](const auto* end) {
      const topology::LinkPlan& of = link(end->link);
      return of.pattern != topology::Pattern::pub_sub && of.delivery != Delivery::best_effort;
    });
    return heard || !port.receives || now - port.deserted_at >= kReadUp;
  };
  for (const auto& port : ports) {
    if (!deserted(*port)) port->deserted_at = TimePoint::max();
    if (!port->receives || port->block->drained() || !deserted(*port)) continue;
    if (port->deserted_at == TimePoint::max()) {
      port->deserted_at = now;
      (void)loop.at(now + kReadUp, [] {});  // a turn, in which this is looked at again
    }
    if (!left_alone(*port)) continue;
    port->peers_at.clear();
    for (const std::string& endpoint : std::exchange(port->connected, {})) {
      obeying = true;
      port->block->disconnect(endpoint);
      obeying = false;
    }
  }
  const auto receiver = [](const NodePort& p) { return p.receives; };
  const auto sender = [](const NodePort& p) { return !p.receives && !p.letters; };
  const auto drain_all = [this](auto&& which) {
    for (const auto& port : ports) {
      if (which(*port)) port->block->begin_drain();
    }
  };
  if (!draining_senders && all_drained(receiver) && !(busy && busy())) {
    // What the receivers' last handlers sent is in the senders by now.
    draining_senders = true;
    drain_all(sender);
  }
  if (!draining_senders) return;
  // A sender gives up records until it is empty.
  if (!draining_letters && all_drained(sender)) {
    draining_letters = true;
    drain_all([](const NodePort& p) { return p.letters; });
  }
  if (all_drained([](const NodePort&) { return true; }) && draining_letters) return end_drained();
  // Whoever could take what is left has ended for good: waiting for the limit would change nothing.
  const auto stuck = [&](const auto& p) { return p->block->drained() || (deserted(*p) && left_alone(*p)); };
  if (std::ranges::all_of(ports, stuck)) {
    reason = format("nobody is left to receive: {}", left());
    options.log.error(reason);
    stop(4);
  }
}

// What a receiver took with it when it died may not pass for delivered.
void Node::Impl::end_drained() {
  reason = losses();
  if (reason.empty()) return stop(0);
  options.log.error(reason);
  stop(4);
}

void Node::Impl::stop(int code) {
  if (exit_code == 0) exit_code = code;
  loop.stop();
}

void Node::Impl::fail(std::string sentence, int code) {
  if (state == NodeState::failed) return;
  reason = std::move(sentence);
  options.log.error(reason);
  exit_code = code;
  enter(NodeState::failed);
  loop.stop();
}

/// Also of a launcher outside of this process's own numbers (a container), which the kernel shows as 0.
bool Node::Impl::is_launchers(std::uint32_t sender) const {
  return sender == 0 || static_cast<std::int64_t>(sender) == launcher ||
         static_cast<pid_t>(sender) == getppid();
}

/// systemd, and who kills by name, signal every process of a run at once. Its launcher drains it stage by
/// stage, and a node that went by itself would leave records behind: it waits for its turn.
void Node::Impl::on_stranger() {
  if (launcher_drains || asked_timer != 0) return;
  options.log.info("a signal to stop, and not from the launcher: it has the first word");
  asked_timer = loop.at(Clock::now() + kLaunchersTurn, [this] {
    asked_timer = 0;
    if (!launcher_drains) cut_short_by_signal();
  });
}

/// Whether it was the launcher's, and so no news to it, the launcher knows.
void Node::Impl::cut_short_by_signal() {
  cut_short = cut_short || !(work_done || endless);
  begin_drain();
}

void Node::Impl::on_signal() {
  signalfd_siginfo info{};
  while (read(signals, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const bool obeys = control && !launcher_lost;
    const bool own = obeys && is_launchers(info.ssi_pid);
    if (obeys && !own && launcher_drains) continue;
    // A terminal that is closed may say so twice.
    if (!own && info.ssi_signo != SIGHUP && ++signals_seen > 1) {
      reason = format("stopped by a second signal: {}", left());
      options.log.warn(reason);
      return stop(4);
    }
    obeys && !own ? on_stranger() : cut_short_by_signal();
  }
}

}  // namespace weft
