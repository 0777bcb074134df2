// How a node tells its launcher where it is bound, and hears where its peers are.
#include <algorithm>

#include <fcntl.h>
#include <unistd.h>

#include <weft/core/endpoint.hpp>
#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/node/control.hpp>
#include <weft/wire/batch.hpp>
#include <weft/wire/checksum.hpp>

#include "node/node_impl.hpp"

namespace weft {
namespace {

constexpr auto kWatch = std::chrono::seconds(20);  // a parked question is asked again after that
constexpr auto kReport = std::chrono::seconds(10);
constexpr auto kAskAgain = std::chrono::milliseconds(200);
constexpr std::size_t kPipe = 64UL << 10;            // bytes that a pipe holds as it is made
constexpr auto kLastWord = std::chrono::seconds(2);  // how long the last report may take

std::set<std::string> texts(const Value& list) {
  std::set<std::string> out;
  if (!list.is_list()) return out;
  for (const Value& item : list.as_list()) {
    if (item.is_string()) out.insert(item.as_string());
  }
  return out;
}

const Value::Map& map_of(const Value& value) {
  static const Value::Map none;
  return value.is_map() ? value.as_map() : none;
}

}  // namespace

std::string Node::Impl::wildcard(const topology::EndPlan& end, const topology::LinkPlan& link) const {
  if (link.transport != topology::Transport::ipc) return "tcp://127.0.0.1:*";
  if (options.run_directory.empty()) {
    throw Error(Errc::invalid_argument,
                format("link {} asks for ipc without saying where, and there is no run directory: give it an "
                       "`endpoint: ipc:///path`, or start the node by weft up",
                       link.id));
  }
  return socket_for("", end.port);
}

// A path of its own for each incarnation: nobody can take over, or find, an earlier one's. Names that do not
// fit into the path of a socket, or leave no room for a publisher's data, are told apart by their hash.
std::string Node::Impl::socket_for(std::string_view prefix, std::string_view port) const {
  const std::string name = format("{}{}-{}.{}", prefix, plan.id.name, plan.id.replica, port);
  const auto path = [this](const std::string& of) {
    return format("{}/s/{}.{:x}", options.run_directory, of, options.epoch);
  };
  std::string whole = path(name);
  if (whole.size() + kDataSuffix.size() > kLongestIpcPath)
    whole = path(format("{:016x}", wire::xxh3(as_bytes(name))));
  return "ipc://" + whole;
}

void Node::Impl::open_control() {
  control = std::make_unique<Dealer<>>(loop, PortOptions{.name = std::string(control::kPort),
                                                         .node = plan.id.text(),
                                                         .scope = std::string(control::kScope),
                                                         .connect = {options.control},
                                                         .epoch = options.epoch});
  control->on_peer([this](const PeerEvent& event) {
    if (event.what == PeerEvent::What::dead && !launcher_lost) {
      launcher_lost = true;
      options.log.warn("the launcher is gone; going on without it");
    }
    if (event.what == PeerEvent::What::up) launcher_lost = false;
  });
}

Value Node::Impl::snapshot() const {
  Value out;
  out["op"] = "report";
  out["node"] = plan.id.text();
  out["epoch"] = options.epoch;
  out["state"] = to_string(state);
  out["pid"] = static_cast<std::int64_t>(getpid());
  Value& endpoints = out["endpoints"] = Value::map();
  Value& counts = out["ports"] = Value::map();
  for (const auto& port : ports) {
    if (!port->block) continue;
    std::size_t next = 0;
    for (const auto* end : port->ends) {
      if (end->binds && next < port->bound.size()) endpoints[end->link] = port->bound[next++];
    }
    Value& mine = counts[port->name] = control::to_value(port->block->stats());
    mine["guests"] = port->guests;
    mine["returns"] = port->returns;
    if (port->tap) mine["tap"] = port->tap->endpoints().at(0);
    if (!port->tap_error.empty()) mine["tap_error"] = port->tap_error;
  }
  if (report_handler &&
      (state == NodeState::running || state == NodeState::draining || state == NodeState::stopped)) {
    out["progress"] = report_handler();
  }
  if (!result.is_null()) out["result"] = result;
  if (endless) out["endless"] = true;
  if (cut_short) out["cut_short"] = true;
  if (!reason.empty()) out["reason"] = reason;
  if (state != NodeState::running && !started) out["missing"] = missing();
  return out;
}

void Node::Impl::report(bool last) {
  if (!control) return;
  const wire::Buffer message = control::pack(snapshot());
  if (!last) {
    control->request_packed(message.view(), Deadline::after(kReport, Clock::now()), [](Reply<RawRecord>&) {});
    return;
  }
  leave_word(message.view());
  // The loop may have been stopped by a failure; this is the one thing that is still to be said.
  auto done = std::make_shared<bool>(launcher_lost);
  control->request_packed(message.view(), Deadline::after(kLastWord),
                          [done](Reply<RawRecord>&) { *done = true; });
  try {
    (void)loop.run_until([done] { return *done; }, Deadline::after(kLastWord));
  } catch (const std::exception& error) {
    options.log.warn(format("while reporting the end: {}", error.what()));
  }
}

// The launcher reads the pipe when it learns of the end, however late that is. Nobody reads it before: what
// does not fit at once would never.
void Node::Impl::leave_word(Bytes message) const {
  if (options.last_word < 0) return;
  if (message.size() > kPipe) (void)fcntl(options.last_word, F_SETPIPE_SZ, static_cast<int>(message.size()));
  if (write(options.last_word, message.data(), message.size()) != static_cast<ssize_t>(message.size()))
    options.log.debug("the last report did not fit into its pipe");
}

void Node::Impl::watch() {
  if (watching || state == NodeState::stopped || state == NodeState::failed) return;
  watching = true;
  Value question;
  question["op"] = "watch";
  question["node"] = plan.id.text();
  question["epoch"] = options.epoch;
  question["version"] = version;
  const wire::Buffer message = control::pack(question);
  control->request_packed(message.view(), Deadline::after(kWatch, Clock::now()),
                          [this](Reply<RawRecord>& reply) {
                            watching = false;
                            if (reply.outcome == Outcome::closed) return;
                            if (reply.ok()) {
                              if (const auto news = control::unpack(*reply.record)) apply(*news);
                              return watch();
                            }
                            if (reply.outcome == Outcome::timed_out) return watch();
                            ask_again = loop.at(Clock::now() + kAskAgain, [this] {
                              ask_again = 0;
                              watch();
                            });
                          });
}

void Node::Impl::apply(const Value& news) {
  const Value& number = news.get("version");
  if (number.is_int()) version = number.as_uint();
  gone.clear();
  for (const auto& [link, count] : map_of(news.get("gone"))) {
    if (count.is_int() && count.as_int() > 0) gone[link] = count.as_uint();
  }
  bool all_told = true;
  for (const auto& port : ports) {
    std::set<std::string> wanted;
    for (const auto* end : port->ends) {
      if (end->binds) continue;
      const auto told = texts(news.get("peers").get(end->link));
      const auto over = gone.find(end->link);
      if (told.size() + (over == gone.end() ? 0 : over->second) < end->peers.size()) all_told = false;
      wanted.insert(told.begin(), told.end());
    }
    set_peers(*port, std::move(wanted), texts(news.get("extra").get(port->name)));
  }
  const auto taps = texts(news.get("taps"));
  for (const auto& port : ports) set_tap(*port, taps.contains(port->name));
  answer_asks(news.get("asks"));
  if (state == NodeState::bound && all_told) enter(NodeState::joined);
  if (news.get("go").is_bool() && news.get("go").as_bool() && !std::exchange(go, true)) {
    // A run begins when all are ready: one that is not ready yet was not there then.
    const bool late = state == NodeState::created || state == NodeState::bound || state == NodeState::joined;
    if (late && late_handler)
      loop.post([this, life = std::weak_ptr(alive)] {
        if (!life.expired() && late_handler) std::exchange(late_handler, nullptr)();
      });
  }
  if (news.get("launcher").is_int()) launcher = news.get("launcher").as_int();
  launcher_drains = launcher_drains || news.get("draining") == Value(true);
  if (news.get("stop") == Value(true)) begin_drain();
  step();
}

void Node::Impl::connect_from_plan() {
  for (const auto& port : ports) {
    std::set<std::string> wanted;
    for (const auto* end : port->ends) {
      if (end->binds) continue;
      for (const auto& peer : end->peers) {
        if (peer.endpoint.empty()) {
          throw Error(
              Errc::invalid_file,
              format(
                  "port {}: the topology does not say where {} is, and there is no launcher to ask; give the "
                  "link an `endpoint:` or the node `hosts:`",
                  port->name, peer.node.text()));
        }
        wanted.insert(peer.endpoint);
      }
    }
    set_peers(*port, std::move(wanted), {});
  }
}

// A sender leaves a peer that has gone for good at once: what waits for it can go elsewhere. A receiver
// stays: leaving would throw away what it has not read yet. It leaves when the peer is back at another
// address.
void Node::Impl::set_peers(NodePort& port, std::set<std::string> promised,
                           const std::set<std::string>& extra) {
  const bool moved =
      std::ranges::any_of(promised, [&](const auto& at) { return !port.connected.contains(at); });
  for (const std::string& endpoint : std::set(port.connected)) {
    if (promised.contains(endpoint) || extra.contains(endpoint)) continue;
    if (port.receives && !moved && port.peers_at.contains(endpoint)) {
      promised.insert(endpoint);
      continue;
    }
    obeying = true;
    port.block->disconnect(endpoint);
    obeying = false;
    port.connected.erase(endpoint);
    port.refused.erase(endpoint);
  }
  port.peers_at = std::move(promised);
  for (const std::string& endpoint : port.peers_at) {
    if (port.connected.insert(endpoint).second) port.block->connect(endpoint);
  }
  for (const std::string& endpoint : extra) {
    if (!port.connected.insert(endpoint).second) continue;
    try {
      port.block->connect(endpoint);
    } catch (const Error& error) {  // a guest's mistake must not end the node
      options.log.warn(format("port {}: cannot connect to a guest: {}", port.name, error.what()));
    }
  }
}

void Node::Impl::set_tap(NodePort& port, bool on) {
  if (!on) port.tap_error.clear();
  if (on == (port.tap != nullptr) || !port.tap_error.empty()) return;
  if (!on) {
    port.block->tap(nullptr);
    port.tap.reset();
    return;
  }
  try {
    open_tap(port);
  } catch (const Error& error) {  // who only wants to look must not end the node
    port.tap_error = error.what();
    options.log.warn(format("port {} cannot be looked at: {}", port.name, port.tap_error));
  }
  report();
}

void Node::Impl::open_tap(NodePort& port) {
  port.tap = std::make_unique<Pub<>>(loop, PortOptions{.name = port.name,
                                                       .node = plan.id.text(),
                                                       .scope = std::string(control::kScope),
                                                       .bind = {socket_for("tap-", port.name)}});
  port.block->tap(
      [tap = port.tap.get(), name = port.name](bool, std::string_view, Bytes body, std::uint64_t) {
        if (tap->peers_up() == 0) return;
        for (wire::BatchReader records(body); !records.done();)
          (void)tap->publish_packed(name, records.next());
      });
}

}  // namespace weft
