// The way to write a node program: say what it is, open its ports, run.
//
//   int main(int argc, char** argv) {
//     weft::program::About about{.description = {.program = "doubler", .help = "Doubles numbers.", ...}};
//     return weft::program::run(argc, argv, about, [](weft::Node& node, const weft::program::Options&
//     options) {
//       auto* out = node.open<weft::Push<Number>>("out");
//       node.open<weft::Pull<Number>>("in")->on_record([out](Number& n, const weft::Meta&) { ... });
//     });
//   }
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <weft/node/node.hpp>
#include <weft/program/options.hpp>
#include <weft/topology/description.hpp>
#include <weft/wire/codec.hpp>

namespace weft::program {

/// A command line that `--help` shows, and what it does.
struct Example {
  std::string command;
  std::string what;
};

/// What a program says of itself.
struct About {
  topology::ProgramDescription description;
  std::vector<Example> examples = {};
  /// For ports with block `any`: what they are when the program is started by hand without --block.
  std::vector<std::pair<std::string, topology::BlockKind>> standalone = {};
};

/// Exit codes of node programs; `weft up` shows them and restarts by them.
enum Exit : int {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,  ///< the command line, the spec file or an option is wrong: starting again will not help
  kExitStartLimit = 3,  ///< a promised peer did not come in time
  kExitDrainLimit = 4,  ///< something was left at the end
};

/// Opens ports and sets handlers. Throws weft::Error when it cannot.
using Setup = std::function<void(Node& node, const Options& options)>;

/// The whole of main(): --help, --version, --describe, the spec of a launcher or the ports of a command line
/// (docs/reference/cli.md), `setup`, Node::run(). Every weft::Error becomes one line on stderr and an exit
/// code. SIGPIPE is ignored. Call from main, before any other thread is started.
int run(int argc, char** argv, const About& about, const Setup& setup);

/// The same for a class with a constructor (Node&, const Options&). Its object lives until the node is gone,
/// so its destructor must not touch the node.
template <class Program>
int run(int argc, char** argv, const About& about) {
  std::unique_ptr<Program> held;
  return run(argc, argv, about, [&held](Node& node, const Options& options) {
    held = std::make_unique<Program>(node, options);
  });
}

/// A port of records of type T (see WEFT_RECORD), for About::description.
template <class T>
topology::PortDescription port(std::string name, topology::BlockKind block, std::string help,
                               bool required = true) {
  const RecordType type = record_type<T>();
  return {std::move(name), block, type.name, type.fingerprint, required, std::move(help)};
}

}  // namespace weft::program
