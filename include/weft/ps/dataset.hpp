// Dataset: labelled rows in memory, and the share of them that one worker reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace weft::ps {

/// Row i of a file belongs to part i mod parts: every worker sees the same mix of a file that is sorted, and
/// the shares differ by at most one row.
struct RowShare {
  std::uint64_t part = 0;
  std::uint64_t parts = 1;
  [[nodiscard]] bool holds(std::uint64_t row) const { return row % parts == part; }
};

/// What the labels of a file must be.
enum class Labels {
  any,      ///< any finite number
  binary,   ///< -1 or 0 for the negative class, +1 for the positive one; stored as 0 and 1
  classes,  ///< whole numbers 0, 1, 2, ... below 65,536
};

/// Sparse rows side by side (CSR): the features of row r are `indexes[j]`, `values[j]` for
/// offsets[r] <= j < offsets[r + 1]. Zeros may be left out.
struct Dataset {
  std::string name;  ///< for people: the file
  std::vector<float> labels;
  std::vector<std::uint64_t> offsets{0};  ///< labels.size() + 1
  std::vector<std::uint64_t> indexes;
  std::vector<float> values;
  std::uint64_t file_rows = 0;  ///< rows of the whole file, of which these may be a share
  std::uint64_t max_index = 0;  ///< of the whole file
  float max_label = 0;          ///< of the whole file
  std::string
      max_label_place;  ///< where it stands first: "FILE:LINE", or "FILE: label 17" (from 1); "": nowhere
  std::uint64_t pixels = 0;  ///< of each image; 0: the rows are no images
  std::string image_size;    ///< "28 x 28"

  [[nodiscard]] std::size_t rows() const { return labels.size(); }
  [[nodiscard]] std::span<const std::uint64_t> row_indexes(std::size_t row) const {
    return {indexes.data() + offsets[row], offsets[row + 1] - offsets[row]};
  }
  [[nodiscard]] std::span<const float> row_values(std::size_t row) const {
    return {values.data() + offsets[row], offsets[row + 1] - offsets[row]};
  }
  /// Ends the row whose features were appended to indexes and values.
  void end_row(float label) {
    labels.push_back(label);
    offsets.push_back(indexes.size());
  }
};

}  // namespace weft::ps
