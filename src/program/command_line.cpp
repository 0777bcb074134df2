#include "program/command_line.hpp"

#include <iostream>

#include <CLI/CLI.hpp>

#include <weft/core/format.hpp>
#include <weft/core/json.hpp>

namespace weft::program {
namespace {

std::string ports_help(const About& about) {
  const topology::ProgramDescription& it = about.description;
  std::string text = "Ports:\n";
  for (const topology::PortDescription& port : it.ports) {
    text +=
        format("  {:<18} {}{}{}\n", port.name,
               port.block == topology::BlockKind::any ? "any block" : std::string(to_string(port.block)),
               port.record == "any" ? "" : " of " + port.record, port.help.empty() ? "" : ": " + port.help);
  }
  if (it.open_ports) text += "  any other name is a port as well\n";
  return it.ports.empty() && !it.open_ports ? "" : text;
}

std::string bounds_text(const topology::OptionDescription& option) {
  if (option.minimum && option.maximum) return format(" ({} - {})", *option.minimum, *option.maximum);
  if (option.minimum) return format(" (at least {})", *option.minimum);
  if (option.maximum) return format(" (at most {})", *option.maximum);
  return "";
}

std::string options_help(const About& about) {
  if (about.description.options.empty()) return "";
  std::string text = "Options under `with:` in a topology, or by --with:\n";
  for (const topology::OptionDescription& option : about.description.options) {
    std::string type(to_string(option.type));
    if (!option.choices.empty()) {
      type.clear();
      for (const std::string& choice : option.choices) type += (type.empty() ? "" : "|") + choice;
    }
    text += format("  {:<18} {}{}{}\n", option.name, type, option.unit.empty() ? "" : ", " + option.unit,
                   bounds_text(option));
    std::string last = option.help;
    if (option.required) last += " Required.";
    if (!option.default_value.is_null()) last += format(" Default: {}.", to_json(option.default_value));
    text += format("  {:<18}   {}\n", "", last);
  }
  return text;
}

std::string footer(const About& about) {
  std::string text;
  for (const std::string& part : {ports_help(about), options_help(about)}) {
    if (!part.empty()) text += "\n" + part;
  }
  if (!about.examples.empty()) text += "\nExamples:\n";
  for (const Example& example : about.examples)
    text += format("  # {}\n  {}\n", example.what, example.command);
  return text;
}

}  // namespace

std::optional<Arguments> parse_command_line(int argc, char** argv, const About& about, int& code) {
  Arguments a;
  CLI::App app{about.description.help, about.description.program};
  app.footer(footer(about));
  app.set_version_flag("--version", about.description.program + " " + about.description.version);
  app.add_flag("--describe", a.describe, "Print ports and options as JSON, and end");

  const std::string launched = "Started by weft";
  auto* spec = app.add_option("--spec", a.spec, "File with the plan of this node")->group(launched);
  app.add_option("--control", a.control, "Endpoint of the launcher")->group(launched)->needs(spec);
  app.add_option("--run-directory", a.run_directory, "Folder of the run; taps listen there")->group(launched);

  const std::string by_hand = "Started by hand (PORT=...; all may be repeated)";
  const auto several = [&](const char* name, std::vector<std::string>& to, const char* help) {
    app.add_option(name, to, help)->group(by_hand)->excludes(spec)->allow_extra_args(false);
  };
  several("--bind", a.binds, "PORT=ENDPOINT, where peers connect, like in=tcp://127.0.0.1:5555");
  several("--connect", a.connects, "PORT=ENDPOINT of a peer, like out=tcp://127.0.0.1:5555");
  several("--block", a.blocks, "PORT=push|pull|pub|sub|dealer|router, for a port that can be any");
  several("--peers", a.peers, "PORT=COUNT of peers that a bound port waits for before it starts (1)");
  several("--with", a.withs, "OPTION=VALUE; lists and maps as JSON");
  app.add_option("--node", a.node, "Name and replica, like worker/2")->group(by_hand)->excludes(spec);
  app.add_option("--scope", a.scope, "Name that all peers share")
      ->group(by_hand)
      ->excludes(spec)
      ->capture_default_str();

  app.add_option("--run", a.run, "Name of the run");
  app.add_option("--epoch", a.epoch, "Number of this start, higher at each restart; 0: from the clock");
  app.add_option("--start-limit", a.start_limit, "How long meeting the peers may take")
      ->capture_default_str();
  app.add_option("--drain-limit", a.drain_limit, "How long draining may take")->capture_default_str();
  app.add_option("--log-level", a.log_level, "debug, info, warn, error or off")->capture_default_str();

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    code = app.exit(e, std::cout, std::cerr);
    return std::nullopt;
  } catch (const CLI::ParseError& e) {
    std::cerr << about.description.program << ": " << e.what() << "; see " << about.description.program
              << " --help\n";
    code = kExitUsage;
    return std::nullopt;
  }
  return a;
}

}  // namespace weft::program
