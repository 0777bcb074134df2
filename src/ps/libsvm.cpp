#include <weft/ps/libsvm.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "ps/file_bytes.hpp"

namespace weft::ps {
namespace {

constexpr std::string_view kBlanks = " \t\r\v\f";

std::optional<float> parse_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  float number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end != text.data() + text.size() || text.empty()) return std::nullopt;
  // Too small for a float is zero; too large has no value.
  if (code == std::errc::result_out_of_range) {
    double wide = 0;
    const auto again = std::from_chars(text.data(), text.data() + text.size(), wide);
    if (again.ec != std::errc() || std::fabs(wide) > 1) return std::nullopt;
    return 0.0F;
  }
  if (code != std::errc() || !std::isfinite(number)) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> parse_index(std::string_view text) {
  std::uint64_t index = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (code != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return index;
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& name, Labels labels, RowShare share)
      : text_(text), labels_(labels), share_(share) {
    data_.name = name;
  }

  Dataset run() {
    refuse_other_formats();
    while (!text_.empty()) {
      ++line_;
      const std::size_t end = std::min(text_.find('\n'), text_.size());
      parse_line(text_.substr(0, end));
      text_.remove_prefix(std::min(end + 1, text_.size()));
    }
    if (data_.file_rows == 0) fail_file("has no rows; expected lines of `label index:value ...`");
    return std::move(data_);
  }

 private:
  [[noreturn]] void fail_file(const std::string& what) const {
    throw Error(Errc::invalid_file, format("{}: {}", data_.name, what));
  }
  [[noreturn]] void fail(std::string_view text, const std::string& expected) const {
    throw Error(Errc::invalid_file,
                format("{}:{}: found {}, expected {}", data_.name, line_, weft::quoted(text), expected));
  }

  void refuse_other_formats() const {
    if (text_.empty()) fail_file("is empty; expected LIBSVM text, lines of `label index:value ...`");
    const std::string_view format_name = known_format(text_);
    if (!format_name.empty()) fail_file(format("is {}, expected LIBSVM text (plain or gzip)", format_name));
    if (text_.substr(0, 4096).find('\0') != std::string_view::npos) {
      fail_file("is a binary file, expected LIBSVM text, lines of `label index:value ...`");
    }
  }

  std::string_view next_word(std::string_view& line) const {
    const std::size_t begin = std::min(line.find_first_not_of(kBlanks), line.size());
    const std::size_t end = std::min(line.find_first_of(kBlanks, begin), line.size());
    const std::string_view word = line.substr(begin, end - begin);
    line.remove_prefix(end);
    return word;
  }

  void parse_line(std::string_view line) {
    line = line.substr(0, line.find('#'));
    const std::string_view label_text = next_word(line);
    if (label_text.empty()) return;
    const float label = parse_label(label_text);
    const bool ours = share_.holds(data_.file_rows++);
    for (std::string_view word = next_word(line); !word.empty(); word = next_word(line))
      parse_feature(word, ours);
    if (ours) data_.end_row(label);
  }

  float parse_label(std::string_view text) const {
    const auto label = parse_number(text);
    if (!label) {
      fail(text, text.find(':') == std::string_view::npos ? "a label (a number) at the start of the line"
                                                          : "a label (a number) before the first feature");
    }
    if (labels_ == Labels::binary) {
      if (*label == 1) return 1;
      if (*label == 0 || *label == -1) return 0;
      fail(text, "a label of two classes: -1 or +1, or 0 or 1 (for more classes use the softmax model)");
    }
    if (labels_ == Labels::classes && (*label < 0 || *label >= 65'536 || *label != std::floor(*label))) {
      fail(text, "a class as a whole number from 0 to 65535");
    }
    return *label;
  }

  void parse_feature(std::string_view word, bool ours) {
    const std::size_t colon = word.find(':');
    if (colon == std::string_view::npos) fail(word, "a feature as index:value");
    const auto index = parse_index(word.substr(0, colon));
    if (!index) fail(word, "a feature as index:value with a whole number from 0 as index");
    if (*index == UINT64_MAX) fail(word, "an index below 2^64 - 1, which is kept for the bias");
    const auto value = parse_number(word.substr(colon + 1));
    if (!value) {
      const bool cut = colon + 1 == word.size();
      fail(word, cut ? "a value after the colon (is the file cut?)"
                     : "a feature as index:value with a finite number");
    }
    data_.max_index = std::max(data_.max_index, *index);
    if (!ours) return;
    data_.indexes.push_back(*index);
    data_.values.push_back(*value);
  }

  std::string_view text_;
  Labels labels_;
  RowShare share_;
  Dataset data_;
  std::uint64_t line_ = 0;
};

}  // namespace

Dataset parse_libsvm(std::string_view text, const std::string& name, Labels labels, RowShare share) {
  return Parser(text, name, labels, share).run();
}

Dataset read_libsvm(const std::string& path, Labels labels, RowShare share) {
  return parse_libsvm(read_file_bytes(path), path, labels, share);
}

}  // namespace weft::ps
