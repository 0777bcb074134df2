// Screen: what `weft up` shows while a run lives: prefixed lines of the nodes and one progress line below
// them.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include <weft/core/value.hpp>
#include <weft/topology/plan.hpp>

#include "output.hpp"

namespace weft::cli {

/// Colours and the progress line only on a terminal that is no dumb one, colours not where NO_COLOR is set.
/// Never waits for who reads: see Output.
class Screen {
 public:
  struct Settings {
    bool lines = true;       ///< show what the nodes write
    bool to_stderr = false;  ///< all of it: standard output belongs to somebody else
    bool progress = true;    ///< a progress line, when stderr is a terminal
  };
  Screen(const topology::Plan& plan, Settings settings);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void line(const topology::NodeId& node, bool is_stderr, std::string_view text);
  void state(const topology::NodeId& node, std::string_view state, std::string_view text);
  /// From Launcher::state().
  void progress(const Value& state);
  void note(const std::string& text);
  void clear();
  /// All of it has been written; from here on nothing is shown. False: nobody took it.
  bool finish(bool in_a_hurry);

 private:
  [[nodiscard]] std::string prefix(const topology::NodeId& node, bool coloured) const;
  void put(bool is_stderr, const std::string& line);

  Settings settings_;
  Output output_;
  std::size_t width_ = 0;  // of the longest node name
  std::map<std::string, std::size_t> order_;
  std::set<std::string> main_;
  std::set<std::string> restarting_;
  bool out_is_terminal_;
  bool err_is_terminal_;
  bool moves_;  // a line of stderr can be written anew
  bool coloured_;
  bool shown_ = false;  // a progress line is there
  double last_seconds_ = 0;
  double last_records_ = 0;
};

}  // namespace weft::cli
