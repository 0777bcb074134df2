// weft: runs topologies, and looks into them.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <type_traits>
#include <variant>

#include <weft/core/error.hpp>
#include <weft/core/processes.hpp>
#include <weft/topology/topology.hpp>

#include "cli.hpp"
#include "reader_watch.hpp"
#include "verbs.hpp"

namespace weft::cli {

int exit_code(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
    case Errc::invalid_file:
    case Errc::bad_endpoint:
    case Errc::type_mismatch:
    case Errc::unsupported:
      return kUsage;
    case Errc::not_found:
    case Errc::timed_out:
    case Errc::peer_lost:
      return kNotFound;
    default:
      return kFailed;
  }
}

namespace {

int dispatch(const Command& command, int code) {
  return std::visit(
      [code](const auto& verb) {
        if constexpr (std::is_same_v<std::decay_t<decltype(verb)>, std::monostate>) {
          return code;
        } else {
          return run_verb(verb);
        }
      },
      command);
}

// What a verb has printed is its work: where it could not be written, that was not done. Who follows
// something ends well when its reader has had enough.
int with_output(const Command& command, int code) {
  const bool follows = std::holds_alternative<Recv>(command) || std::holds_alternative<Tap>(command) ||
                       std::holds_alternative<Logs>(command);
  errno = 0;
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  const int why = errno;
  if (written || (follows && ReaderWatch().gone())) return code;
  std::fprintf(stderr, "weft: standard output cannot be written%s%s\n", why != 0 ? ": " : "",
               why != 0 ? std::strerror(why) : "");
  return code == kOk ? kFailed : code;
}

int main_of(int argc, char** argv) {
  try {
    int code = kOk;
    const Command command = parse(argc, argv, code);
    return with_output(command, dispatch(command, code));
  } catch (const topology::InvalidTopology& e) {
    for (const topology::Problem& problem : e.problems())
      std::fprintf(stderr, "%s\n", problem.text().c_str());
    return kUsage;
  } catch (const Error& e) {
    std::fprintf(stderr, "weft: %s\n", e.what());
    return exit_code(e.code());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "weft: a defect of weft: %s\n", e.what());
    return kFailed;
  }
}

}  // namespace
}  // namespace weft::cli

int main(int argc, char** argv) {
  weft::open_standard_streams();
  // A reader that goes away is an error of a write, not the end of this process.
  std::signal(SIGPIPE, SIG_IGN);
  return weft::cli::main_of(argc, argv);
}
