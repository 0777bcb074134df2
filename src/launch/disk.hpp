// Disk: what the launcher puts on a disk, in order, on a thread of its own. A busy disk may stand still for
// many seconds, in any call that touches it; whoever starts nodes and hears them must not stand still with
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace weft::launch {

/// Owned and used by one thread. Work must own, or share, what it touches: where a disk stands still for ever
/// it outlives this object.
class Disk {
 public:
  /// Throws Error{io} when there are no descriptors or threads left.
  Disk();
  /// What has not begun is not done; what is being done is not waited for where it stands still.
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  /// Does `work` behind all that waits. An exception that leaves it is kept for take_error().
  void post(std::function<void()> work);
  /// Replaces a file by way of a temporary one, so that readers never see half of it. Of several texts for
  /// one path that still wait only the last one is written.
  void replace(const std::string& path, std::string text);

  /// Pieces of work that were asked for, and that are done.
  [[nodiscard]] std::uint64_t asked() const;
  [[nodiscard]] std::uint64_t done() const;
  [[nodiscard]] bool idle() const { return done() == asked(); }
  /// What went wrong since the last call, in a sentence; empty: nothing.
  std::string take_error();

  /// Readable when work was done since acknowledge().
  [[nodiscard]] int fd() const;
  void acknowledge();

 private:
  struct Work;
  std::shared_ptr<Work> work_;
};

/// At once, on the calling thread. Throws Error{io} with the path.
void replace_file(const std::string& path, const std::string& text);

}  // namespace weft::launch
