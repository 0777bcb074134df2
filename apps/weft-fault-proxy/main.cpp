// weft-fault-proxy: a TCP proxy that breaks what passes it.
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>

#include <sys/signalfd.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/processes.hpp>
#include <weft/core/text.hpp>

#include "control.hpp"
#include "proxy.hpp"

namespace weft::fault_proxy {
namespace {

constexpr int kUsage = 2;

struct Settings {
  ProxyOptions proxy;
  std::string control;
  bool until_end = false;  // of standard input
};

std::string help() {
  std::string out =
      "weft-fault-proxy: passes TCP connections on to a target, and breaks them on purpose.\n\n"
      "  weft-fault-proxy --target ENDPOINT [OPTION]...\n\n"
      "  --target ENDPOINT         where connections go, like tcp://127.0.0.1:5555\n"
      "  --listen ENDPOINT         where they come from (tcp://127.0.0.1:*, a free port)\n"
      "  --seed N                  of all that happens at random (1)\n"
      "  --control PATH            takes commands from this socket, too\n"
      "  --until-end               ends with its standard input\n"
      "  --help, --version\n\nFaults, for every connection in both directions:\n\n";
  for (const FaultHelp& fault : fault_help()) {
    out += format("  --{:<24}{}\n", format("{} {}", fault.name, fault.value), fault.help);
  }
  return out + R"(
It prints {"endpoint": ..., "target": ...} once it listens, and its counts at the end. Commands are lines of JSON on
standard input; each is answered by a line:

  {"do": "set", "latency": "20ms", "reset": "2%"}      faults by the names above; 0 turns one off
  {"do": "clear"}                                      no faults any more
  {"do": "blackhole", "for": "500ms", "direction": "up"}   up (to the target), down or both
  {"do": "heal"}                                       ends a blackhole
  {"do": "reset"}                                      all connections, by RST
  {"do": "drop", "direction": "down"}                  swallows in silence, then resets
  {"do": "half-close", "direction": "up"}              ends one direction
  {"do": "target", "endpoint": "tcp://127.0.0.1:5556"}     of connections that come
  {"do": "state"}   {"do": "stop"}

Examples:
  weft-fault-proxy --target tcp://127.0.0.1:5555 --latency 20ms --jitter 5ms
  weft-fault-proxy --target tcp://127.0.0.1:5555 --reset 2% --seed 7
  weft-fault-proxy --target tcp://127.0.0.1:5555 --slice 1 --flip 0.1%
  weft-fault-proxy --target tcp://127.0.0.1:5555 --blackhole-every 3s --blackhole-for 1s --control /tmp/faults

Exit codes: 0 done, 1 the system refused something, 2 wrong command line.
)";
}

std::uint64_t seed_of(const std::string& text) {
  const bool digits =
      !text.empty() && text.size() < 20 && text.find_first_not_of("0123456789") == std::string::npos;
  if (digits) return std::stoull(text);
  throw Error(Errc::invalid_argument,
              format("--seed: expected a natural number, found {}", weft::quoted(text)));
}

/// nullopt: it has printed what was asked for.
std::optional<Settings> parse(int argc, char** argv) {
  Settings out;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--help" || word == "-h") return std::fputs(help().c_str(), stdout), std::nullopt;
    if (word == "--version") return std::puts("weft-fault-proxy " WEFT_VERSION), std::nullopt;
    if (word == "--until-end") {
      out.until_end = true;
      continue;
    }
    if (!word.starts_with("--")) {
      throw Error(Errc::invalid_argument, format("{}: expected an option; see --help", weft::quoted(word)));
    }
    if (i + 1 == argc)
      throw Error(Errc::invalid_argument, format("{} needs a value; see --help", weft::quoted(word)));
    const std::string value = argv[++i];
    if (word == "--target") {
      out.proxy.target = value;
    } else if (word == "--listen") {
      out.proxy.listen = value;
    } else if (word == "--control") {
      out.control = value;
    } else if (word == "--seed") {
      out.proxy.seed = seed_of(value);
    } else {
      out.proxy.faults.set(word.substr(2), value);
    }
  }
  if (out.proxy.target.empty()) throw Error(Errc::invalid_argument, "--target is missing; see --help");
  return out;
}

int serve(const Settings& settings) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  const int signals = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) throw Error(Errc::io, "cannot make a signalfd");
  Proxy proxy(settings.proxy);
  bool told_to_end = false;
  proxy.watch(signals, [&] { told_to_end = true; });
  const Control control(proxy, true, settings.control);
  Value hello;
  hello["endpoint"] = proxy.endpoint();
  hello["target"] = settings.proxy.target;
  std::printf("%s\n", to_json(hello).c_str());
  std::fflush(stdout);
  while (!told_to_end && !control.stopped() && !(settings.until_end && control.at_end())) {
    proxy.turn(Deadline::never());
  }
  std::printf("%s\n", to_json(proxy.state()).c_str());
  ::close(signals);
  return 0;
}

}  // namespace
}  // namespace weft::fault_proxy

int main(int argc, char** argv) {
  weft::open_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const auto settings = weft::fault_proxy::parse(argc, argv);
    return settings ? weft::fault_proxy::serve(*settings) : 0;
  } catch (const weft::Error& e) {
    std::fprintf(stderr, "weft-fault-proxy: %s\n", e.what());
    const bool usage = e.code() == weft::Errc::invalid_argument || e.code() == weft::Errc::bad_endpoint;
    return usage ? weft::fault_proxy::kUsage : 1;
  }
}
