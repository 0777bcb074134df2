// Where a worker's rows come from.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <weft/program/options.hpp>
#include <weft/ps/dataset.hpp>
#include <weft/ps/synthetic.hpp>

namespace weft::worker {

enum class Model { logistic, softmax };

/// The `data`, `test` and `builtin` options. Reading is for a second thread: files may be large.
class DataSource {
 public:
  /// Throws Error{invalid_argument} for options that exclude each other.
  DataSource(const program::Options& options, Model model);

  [[nodiscard]] bool builtin() const { return data_.empty(); }
  /// False when there is nothing to evaluate on.
  [[nodiscard]] bool has_test() const;
  /// The share of the training rows. Throws Error with file and line.
  [[nodiscard]] ps::Dataset train(ps::RowShare share) const;
  [[nodiscard]] ps::Dataset test() const;
  /// Built-in data: what no model can beat.
  [[nodiscard]] ps::SyntheticData::Best best(const ps::Dataset& test) const;

 private:
  [[nodiscard]] ps::Dataset read(const std::string& path, bool test, ps::RowShare share) const;

  Model model_;
  std::string data_;
  std::string test_;
  ps::SyntheticOptions builtin_;
};

/// The fields of the `builtin` option, for the program's description.
std::vector<topology::OptionDescription> builtin_options();

}  // namespace weft::worker
