// NodeLog: the log file of one node as the launcher's loop sees it: lines wait here, within a bound, for a
// disk that may stand still.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <weft/topology/plan.hpp>

#include "launch/disk.hpp"

namespace weft::launch {

/// Owned and used by the thread that owns the Disk, which it must not outlive.
class NodeLog {
 public:
  /// Opens the file at once. Throws Error{io}.
  NodeLog(Disk& disk, std::string path, topology::LogBounds bounds);

  /// Never waits. Where there is no room either the line is lost, and counted; the file will say so.
  void write(std::string_view line);
  /// So much waits that its node should not be read; not any more, only when half of that is left.
  [[nodiscard]] bool full() const;
  /// To be called now and then: whether the path still names the file.
  void look_again();
  /// What still waits is lost: the disk does not take it.
  void give_up();

  struct Lost {
    std::uint64_t lines = 0;
    std::string why;  // of the last one
  };
  [[nodiscard]] Lost lost() const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  struct Lines;
  void schedule();

  Disk& disk_;
  std::string path_;
  std::shared_ptr<Lines> lines_;
};

}  // namespace weft::launch
