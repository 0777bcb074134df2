#include "chaos_network.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>

#include "programs.hpp"

namespace weft::cli {
namespace {

constexpr std::string_view kNowhere = "tcp://127.0.0.1:1";  // for a proxy that only reads its options
constexpr std::string_view kHeal = "{\"do\": \"clear\"}\n";

[[noreturn]] void fail(std::string_view what, int why) {
  throw Error(Errc::io, format("{}: {}", what, std::strerror(why)));
}

}  // namespace

/// One process. What it prints is read when it is waited for; it ends with its standard input.
class BrokenNetwork::Proxy {
 public:
  explicit Proxy(const std::vector<std::string>& words) {
    std::array<int, 2> in{}, out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0) fail("cannot make a pipe", errno);
    if (::pipe2(out.data(), O_CLOEXEC) != 0) fail("cannot make a pipe", errno);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);  // Ctrl-C is for the run
    std::vector<char*> argv;
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const int why = ::posix_spawn(&pid_, argv[0], &actions, &attributes, argv.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    input_ = in[1];
    output_ = out[0];
    if (why != 0) {
      pid_ = -1;
      fail("cannot start " + words.front(), why);
    }
  }
  ~Proxy() {
    (void)end();
    ::close(output_);
  }
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  /// Its next line; empty at the end.
  std::string line() {
    std::array<char, 4096> bytes{};
    for (;;) {
      if (const std::size_t end = read_.find('\n'); end != std::string::npos) {
        std::string out = read_.substr(0, end);
        read_.erase(0, end + 1);
        return out;
      }
      const ssize_t got = ::read(output_, bytes.data(), bytes.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return std::exchange(read_, {});
      read_.append(bytes.data(), static_cast<std::size_t>(got));
    }
  }
  void tell(std::string_view command) {
    if (input_ >= 0 && ::write(input_, command.data(), command.size()) < 0) (void)end();
  }
  /// Ends its input, and waits; its exit code.
  int end() {
    if (input_ >= 0) ::close(std::exchange(input_, -1));
    if (pid_ < 0) return code_;
    for (std::string text = line(); !text.empty(); text = line()) last_ = std::move(text);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    return code_;
  }
  /// What it printed last.
  [[nodiscard]] const std::string& last() const { return last_; }

  [[nodiscard]] pid_t pid() const { return pid_; }

  std::string endpoint;

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
  int code_ = 0;
  std::string read_;
  std::string last_;
};

BrokenNetwork::BrokenNetwork(topology::Plan& plan, const std::vector<std::string>& faults,
                             const std::vector<std::string>& ports, std::uint64_t seed)
    : seed_(seed) {
  if (faults.empty()) return;
  for (const std::string& fault : faults) {
    const std::size_t at = fault.find('=');
    if (at == std::string::npos || at == 0) {
      throw Error(Errc::invalid_argument,
                  format("--fault {}: expected NAME=VALUE, like reset=2%", weft::quoted(fault)));
    }
    faults_.push_back("--" + fault.substr(0, at));
    faults_.push_back(fault.substr(at + 1));
  }
  program_ = find_program("weft-fault-proxy", folder_of(plan.file));
  if (Proxy trial(command(std::string(kNowhere))); trial.end() != 0)  // it has said why
    throw Error(Errc::invalid_argument, "weft-fault-proxy refuses a --fault");
  for (topology::LinkPlan& link : plan.links) {
    const std::string from = link.from_node + "." + link.from_port, to = link.to_node + "." + link.to_port;
    const bool named =
        std::ranges::any_of(ports, [&](const auto& port) { return port == from || port == to; });
    if (link.pattern == topology::Pattern::pub_sub) {
      if (!named) continue;
      throw Error(
          Errc::invalid_argument,
          format("--on: {} is pub-sub, whose data takes a way of its own that is not broken", link.id));
    }
    if (named || ports.empty()) links_.insert(link.id);
  }
  for (const std::string& port : ports) {
    const bool known = std::ranges::any_of(plan.links, [&](const auto& link) {
      return port == link.from_node + "." + link.from_port || port == link.to_node + "." + link.to_port;
    });
    if (!known) {
      throw Error(Errc::invalid_argument,
                  format("--on {}: {} has no link at such a port", weft::quoted(port), plan.file));
    }
  }
  const auto use_tcp = [this](std::vector<topology::LinkPlan>& links) {
    for (topology::LinkPlan& link : links) {
      if (links_.contains(link.id)) link.transport = topology::Transport::tcp;
    }
  };
  use_tcp(plan.links);
  for (topology::NodePlan& node : plan.nodes) use_tcp(node.links);
}

BrokenNetwork::~BrokenNetwork() = default;

std::vector<std::string> BrokenNetwork::command(const std::string& target) const {
  std::vector<std::string> out{
      program_, "--target", target, "--seed", std::to_string(seed_ + proxies_.size()), "--until-end"};
  out.insert(out.end(), faults_.begin(), faults_.end());
  return out;
}

std::string BrokenNetwork::address(const std::string& link, const std::string& endpoint) {
  if (!links_.contains(link) || !endpoint.starts_with("tcp://")) return endpoint;
  std::unique_ptr<Proxy>& proxy = proxies_[endpoint];
  if (!proxy) {
    auto fresh = std::make_unique<Proxy>(command(endpoint));
    const std::string hello = fresh->line();
    if (hello.empty()) throw Error(Errc::io, format("no weft-fault-proxy can stand before {}", endpoint));
    fresh->endpoint = parse_json(hello).get("endpoint").as_string();
    proxy = std::move(fresh);
  }
  return proxy->endpoint;
}

bool BrokenNetwork::owns(pid_t child) const {
  return std::ranges::any_of(proxies_, [&](const auto& one) { return one.second->pid() == child; });
}

void BrokenNetwork::heal() {
  for (const auto& [target, proxy] : proxies_) proxy->tell(kHeal);
}

void BrokenNetwork::fill(sim::Ledger& ledger) {
  for (const auto& [target, proxy] : proxies_) {
    (void)proxy->end();
    if (proxy->last().empty()) continue;
    const Value state = parse_json(proxy->last());
    for (const std::string_view kind : {"resets", "drops", "flips", "half_closes", "blackholes"}) {
      const Value& times = state.get("counts").get(kind);
      if (times.is_number() && times.as_double() > 0)
        ledger.fault(kind, static_cast<std::uint64_t>(times.as_double()));
    }
  }
  proxies_.clear();
}

}  // namespace weft::cli
