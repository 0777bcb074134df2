// The command line of a node program as a plain struct. Private.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <weft/program/program.hpp>

namespace weft::program {

struct Arguments {
  bool describe = false;
  // What the launcher passes.
  std::string spec = {};
  std::string control = {};
  std::string run_directory = {};
  // Both ways.
  std::string start_limit = "20s";
  std::string drain_limit = "10s";
  std::string run = {};
  std::uint64_t epoch = 0;
  std::string log_level = "info";
  // By hand: "port=endpoint", "port=block", "port=count", "option=value".
  std::vector<std::string> binds = {};
  std::vector<std::string> connects = {};
  std::vector<std::string> blocks = {};
  std::vector<std::string> peers = {};
  std::vector<std::string> withs = {};
  std::string node = {};
  std::string scope = "local";
};

/// nullopt with the exit code in `code` when nothing is left to do (--help, --version, a wrong command line);
/// what a person should read has then been printed.
std::optional<Arguments> parse_command_line(int argc, char** argv, const About& about, int& code);

}  // namespace weft::program
