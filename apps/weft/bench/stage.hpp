// Stage: where the runs of a benchmark happen. Starts the ends of one run, and gathers their figures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "../cli.hpp"
#include "child.hpp"

namespace weft::cli::bench {

/// What the ends of one run have seen, together (apps/bench/work.hpp has the figures of one end).
struct Figures {
  double seconds = 0;  ///< of the slowest end that counts
  double settled = 0;
  double p50 = 0;  ///< microseconds
  double p99 = 0;
  double memory = 0;  ///< bytes a client
  std::uint64_t written = 0;
  std::uint64_t read = 0;
};

constexpr const char* kWeft = "weft-bench-weft";
constexpr const char* kLibzmq = "weft-bench-libzmq";
constexpr const char* kRabbitmq = "weft-bench-rabbitmq";

/// Key and value of the command line of an end.
using Settings = std::vector<std::pair<std::string, std::string>>;

/// The ends of one run: one that binds, and `number` of them that connect to it.
struct Ends {
  const char* program;
  const char* bound;
  const char* connected;
  unsigned number = 1;
};

class Stage {
 public:
  explicit Stage(const Bench& options);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  [[nodiscard]] const Bench& options() const { return options_; }

  /// One run: every end in a process of its own, over inproc all in one. Throws Error when an end fails, or
  /// when not all that was written was read (`copies` times).
  Figures run(const Ends& ends, const Settings& settings, unsigned copies = 1);
  /// The same for ends that meet at an endpoint of their own.
  Figures run_at(const std::string& endpoint, const Ends& ends, const Settings& settings);
  /// One process that is on its own.
  Figures run_alone(const char* program, const char* role, const Settings& settings);
  /// True when the program was built.
  [[nodiscard]] bool has(const char* program) const;

  /// An empty folder for the journals of one run, where --dir says. The one before is removed.
  std::filesystem::path fresh_journal();

 private:
  [[nodiscard]] std::vector<std::string> command(const char* program, const std::string& role,
                                                 const std::string& endpoint, const Settings& settings) const;
  std::string fresh_endpoint(const Ends& ends);
  Figures in_processes(const Ends& ends, const std::string& endpoint, const Settings& settings) const;
  Figures in_one_process(const Ends& ends, const std::string& endpoint, const Settings& settings) const;

  Interrupts interrupts_;
  const Bench& options_;
  std::filesystem::path programs_;
  std::filesystem::path scratch_;
  std::filesystem::path journals_;
  unsigned endpoints_ = 0;
};

}  // namespace weft::cli::bench
