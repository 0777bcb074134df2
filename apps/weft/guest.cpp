#include "guest.hpp"

#include <algorithm>
#include <csignal>
#include <memory>

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/node/control.hpp>
#include <weft/topology/plan.hpp>

namespace weft::cli {
namespace {

constexpr Duration kGoodbye = std::chrono::seconds(1);
// What was done in the very turn of the signal takes it for no end of the next wait.
constexpr Duration kStopAgain = std::chrono::milliseconds(50);

std::string own_name() {
  return format("guest-{}/0", ::getpid());
}

}  // namespace

Guest::Guest(Loop& loop, const Target& target, Deadline deadline, Signals signals)
    : loop_(loop),
      target_(target),
      control_(loop, {.name = std::string(control::kPort),
                      .node = own_name(),
                      .scope = std::string(control::kScope),
                      .connect = {"ipc://" + target.run.sockets + "/control"}}),
      ending_(signals) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  watch_ = loop_.watch_fd(signals_, [this] { on_signal(); });
  Value question = Value::map();
  question["op"] = "state";
  read_state(ask(question, deadline));
}

void Guest::on_signal() {
  signalfd_siginfo info{};
  while (::read(signals_, &info, sizeof info) > 0) signal_ = static_cast<int>(info.ssi_signo);
  if (ending_ != Signals::end_waits) return;
  loop_.stop();
  if (again_ == 0) again_ = loop_.every(kStopAgain, [this] { loop_.stop(); });
}

Guest::~Guest() {
  if (again_ != 0) loop_.cancel(again_);
  ending_ = Signals::noted;
  try {
    const Deadline deadline = Deadline::after(kGoodbye);
    for (const GuestPeer& peer : peers_) {
      if (peer.binds) continue;
      for (const std::string& endpoint : attached_) {
        Value message = Value::map();
        message["op"] = "detach";
        message["node"] = peer.node;
        message["port"] = peer.port;
        message["endpoint"] = endpoint;
        (void)ask(message, deadline);
      }
    }
  } catch (const std::exception&) {
    // The run is over, and with it what was attached.
  }
  loop_.unwatch(watch_);
  ::close(signals_);
}

void Guest::read_state(const Value& state) {
  if (!state.get("nodes").is_list()) return;
  for (const Value& node : state.get("nodes").as_list()) {
    const std::string& name = node.get("name").as_string();
    const std::string wanted =
        target_.replica < 0 ? target_.node + "/" : format("{}/{}", target_.node, target_.replica);
    if (target_.replica < 0 ? !name.starts_with(wanted) : name != wanted) continue;
    if (!node.get("ends").is_list()) continue;
    for (const Value& end : node.get("ends").as_list()) {
      if (end.get("port") != Value(target_.port)) continue;
      pattern_ = end.get("pattern").as_string();
      sends_ = end.get("sender").as_bool();
      const Value& endpoint = end.get("endpoint");
      peers_.push_back({name, target_.port, end.get("binds").as_bool(),
                        endpoint.is_string() ? endpoint.as_string() : std::string(),
                        end.get("prefetch").is_int() ? end.get("prefetch").as_uint() : 0});
      for (const Delivery one : {Delivery::at_least_once, Delivery::exactly_once}) {
        if (end.get("delivery") == Value(topology::to_string(one))) delivery_ = one;
      }
      break;  // a port is one block, however many links it has
    }
  }
  if (peers_.empty()) {
    throw Error(Errc::not_found,
                format("the run {} has no {}{}.{}", target_.run.id, target_.node,
                       target_.replica < 0 ? "" : format("/{}", target_.replica), target_.port));
  }
}

PortOptions Guest::options(const std::string& verb) const {
  PortOptions out{.name = verb, .node = own_name(), .scope = target_.run.id};
  out.delivery = delivery_;
  for (const GuestPeer& peer : peers_) {
    // As much credit as the link's own receivers give: with less, a balancing sender would never choose a
    // guest.
    if (peer.prefetch != 0) out.window_bytes = peer.prefetch;
    if (peer.binds && !peer.endpoint.empty()) {
      out.connect.push_back(peer.endpoint);
    } else if (out.bind.empty()) {
      out.bind.push_back(format("ipc://{}/s/{}-{}", target_.run.sockets, verb, ::getpid()));
    }
  }
  return out;
}

void Guest::attach(const std::vector<std::string>& endpoints, Deadline deadline) {
  attached_ = endpoints;
  for (const GuestPeer& peer : peers_) {
    if (peer.binds) continue;
    for (const std::string& endpoint : endpoints) {
      Value message = Value::map();
      message["op"] = "attach";
      message["node"] = peer.node;
      message["port"] = peer.port;
      message["endpoint"] = endpoint;
      (void)ask(message, deadline);
    }
  }
}

Value Guest::ask(const Value& question, Deadline deadline) {
  // Shared: an answer that a signal cuts short comes when this call has ended.
  struct Said {
    bool done = false;
    Value answer;
    std::string failure;
    std::optional<Errc> refused;
  };
  const auto said = std::make_shared<Said>();
  const wire::Buffer message = control::pack(question);
  control_.request_packed(message.view(), deadline, [said](Reply<RawRecord>& reply) {
    said->done = true;
    if (reply.ok()) {
      said->answer = control::unpack(*reply.record).value_or(Value::map());
    } else if (reply.outcome == Outcome::remote_error) {
      const bool misused = reply.code == wire::Code::failed || reply.code == wire::Code::bad_request;
      said->refused = misused ? Errc::invalid_argument : Errc::not_found;
      said->failure = reply.text;
    } else {
      said->failure = reply.text.empty() ? std::string(to_string(reply.outcome)) : reply.text;
    }
  });
  while (!said->done) {
    if (!loop_.run_until([&] { return said->done; }, deadline)) break;
  }
  if (!said->done && ending_ == Signals::end_waits) check_signals();
  if (said->refused) throw Error(*said->refused, said->failure);
  if (!said->done || !said->failure.empty()) {
    throw Error(Errc::timed_out, format("the launcher of {} does not answer{}", target_.run.id,
                                        said->failure.empty() ? "" : ": " + said->failure));
  }
  return said->answer;
}

}  // namespace weft::cli
