// Input: where the records of weft-source come from.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <weft/program/options.hpp>
#include <weft/wire/buffer.hpp>

namespace weft::source {

/// One thread. Errors of the data throw Error{invalid_file, io} that names file, line and offending text.
class Input {
 public:
  enum class Next {
    record,  ///< one packed object was appended
    wait,    ///< nothing now: come back when fd() can be read
    end,
  };
  virtual ~Input() = default;
  /// Appends the next record to `out`.
  virtual Next next(wire::Buffer& out) = 0;
  /// Back to the first record. False: this input can be read only once.
  virtual bool rewind() = 0;
  /// A generator: the number in the record that next() gave last.
  [[nodiscard]] virtual std::optional<std::uint64_t> number() const { return std::nullopt; }
  /// A generator: how many of its records come before the one with this number.
  [[nodiscard]] virtual std::uint64_t index_of(std::uint64_t number) const { return number; }
  /// Leaves out so many records. False: this input cannot.
  virtual bool skip(std::uint64_t /*records*/) { return false; }
  /// What to watch after `wait`.
  [[nodiscard]] virtual int fd() const { return -1; }
  /// Records left out because they could not be read (`on-bad-line: skip`).
  [[nodiscard]] virtual std::uint64_t skipped() const { return 0; }

 protected:
  Input() = default;
};

struct Replica {
  std::string node;  ///< "gen/0"
  unsigned index = 0;
  unsigned count = 1;
};

/// Throws Error when the options exclude each other or the file cannot be opened or is empty.
std::unique_ptr<Input> open_input(const program::Options& options, const Replica& replica);
/// What `generator:` may hold.
std::vector<topology::OptionDescription> generator_options();
std::unique_ptr<Input> make_generator(const program::Options& options, const Replica& replica);

}  // namespace weft::source
