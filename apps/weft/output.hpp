// Output: what this process writes to its standard streams while it must not wait for who reads them.
#pragma once

#include <memory>
#include <string>

namespace weft::cli {

/// A thread writes what is given; whoever gives never waits. A reader that takes nothing (a stopped terminal,
/// a pager, a stuck pipe) costs lines: beyond a bound of bytes the newest are dropped, and their number
/// stands where they are missing. Both streams go through one queue when they are the same file, so that
/// their order is kept.
class Output {
 public:
  Output();
  /// Gives up what the reader has not taken: see finish().
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  /// Whole lines, or what changes the line at the cursor.
  void put(bool to_stderr, std::string text);
  /// Waits until all has been written, as long as the reader takes something now and then. False: it did not,
  /// and the rest is dropped. A second call does nothing.
  bool finish(bool in_a_hurry);

 private:
  class Writer;
  std::shared_ptr<Writer> out_, err_;
};

/// While it lives, this process says its last words by plain writes: if nobody takes them, it ends with
/// `code` all the same.
class LastWords {
 public:
  LastWords(bool in_a_hurry, int code);
  ~LastWords();
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace weft::cli
