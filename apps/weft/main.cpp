// weft: runs topologies, and looks into them.
#include <csignal>
#include <cstdio>
#include <exception>
#include <type_traits>
#include <variant>

#include <weft/core/error.hpp>
#include <weft/core/processes.hpp>
#include <weft/topology/topology.hpp>

#include "cli.hpp"
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

int main_of(int argc, char** argv) {
  try {
    int code = kOk;
    const Command command = parse(argc, argv, code);
    return dispatch(command, code);
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
