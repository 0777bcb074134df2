#include <weft/program/program.hpp>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/log.hpp>
#include <weft/core/processes.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>
#include <weft/transport/loop.hpp>

#include "program/command_line.hpp"
#include "program/standalone.hpp"

namespace weft::program {
namespace {

void print_line(std::FILE* to, const std::string& line) {
  std::fprintf(to, "%s\n", line.c_str());
  std::fflush(to);
}

int exit_code(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
    case Errc::invalid_file:
    case Errc::not_found:
    case Errc::bad_endpoint:
    case Errc::type_mismatch:
    case Errc::unsupported:
      return kExitUsage;
    case Errc::timed_out:
      return kExitStartLimit;
    default:
      return kExitFailed;
  }
}

topology::NodePlan read_spec(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(Errc::not_found, format("cannot read the spec file {}", path));
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  try {
    return topology::node_plan_from_value(parse_json(text));
  } catch (const Error& e) {
    throw Error(e.code(), format("{}: {}", path, e.what()));
  }
}

Duration limit(const std::string& text, std::string_view option) {
  const auto span = parse_duration(text);
  if (span && *span > Duration::zero()) return *span;
  throw Error(Errc::invalid_argument,
              format("{}: expected a time with its unit, like 10s, found {}", option, weft::quoted(text)));
}

// no-color.org; the terminal itself is known where the lines are written.
Logger::Colours wanted_colours() {
  const char* const unwanted = std::getenv("NO_COLOR");
  const char* const terminal = std::getenv("TERM");
  const bool never = (unwanted && *unwanted != 0) || (terminal && std::string_view(terminal) == "dumb");
  return never ? Logger::Colours::never : Logger::Colours::automatic;
}

/// The launcher's pipe; what this program starts has no part in it. -1: none.
int take_last_word() {
  const char* const text = std::getenv("WEFT_LAST_WORD");
  int fd = -1;
  if (!text || std::from_chars(text, text + std::strlen(text), fd).ec != std::errc()) return -1;
  ::unsetenv("WEFT_LAST_WORD");
  struct stat found {};
  if (fd <= STDERR_FILENO || ::fstat(fd, &found) != 0 || !S_ISFIFO(found.st_mode)) return -1;
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return fd;
}

int run_node(const Arguments& arguments, const About& about, const Setup& setup) {
  const LogLevel level = parse_log_level(arguments.log_level);
  topology::NodePlan plan =
      arguments.spec.empty() ? plan_by_hand(arguments, about) : read_spec(arguments.spec);
  const Options options(about.description.program, about.description.options, plan.options);

  NodeOptions settings;
  settings.control = arguments.control;
  settings.run = arguments.run;
  settings.epoch = arguments.epoch;
  settings.run_directory = arguments.run_directory;
  settings.start_limit = limit(arguments.start_limit, "--start-limit");
  settings.drain_limit = limit(arguments.drain_limit, "--drain-limit");
  settings.last_word = take_last_word();
  settings.log = Logger::to_stderr(plan.id.text(), level, wanted_colours());
  Loop loop;
  Node node(loop, std::move(plan), std::move(settings));
  setup(node, options);
  const int code = node.run();
  // How the node ended is known. The launcher may tell it to stop while it is still leaving: a signal must
  // not take the place of the exit code, by which a failure is told from an end that was asked for.
  std::signal(SIGTERM, SIG_IGN);
  std::signal(SIGINT, SIG_IGN);
  return code;
}

}  // namespace

int run(int argc, char** argv, const About& about, const Setup& setup) {
  open_standard_streams();
  // A reader that goes away is an error of a write, not the end of this process.
  std::signal(SIGPIPE, SIG_IGN);
  const std::string& name = about.description.program;
  try {
    int code = 0;
    const auto arguments = parse_command_line(argc, argv, about, code);
    if (!arguments) return code;
    if (arguments->describe) {
      print_line(stdout, to_json(to_value(about.description), 2));
      return kExitOk;
    }
    return run_node(*arguments, about, setup);
  } catch (const Error& e) {
    const std::string sentence = e.what();
    print_line(stderr, sentence.starts_with(name + ": ") ? sentence : format("{}: {}", name, sentence));
    return exit_code(e.code());
  } catch (const std::exception& e) {
    print_line(stderr, format("{}: a defect of the program: {}", name, e.what()));
    return kExitFailed;
  }
}

}  // namespace weft::program
