#include <weft/ps/libsvm.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "ps/file_bytes.hpp"

namespace weft::ps {
namespace {

constexpr std::string_view kBlanks = " \t\r\v\f";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
// No good one is so long, and a sentence should not be.
constexpr std::size_t kShownWord = 60;

// What looks like a blank, or like nothing, and is neither; empty: none of them is in the word.
std::string_view unseen_in(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kUnseen{{
      {kByteOrderMark, "a byte order mark (U+FEFF)"},
      {"\xc2\xa0", "a no-break space (U+00A0)"},
      {"\xe2\x80\xaf", "a narrow no-break space (U+202F)"},
      {"\xe2\x80\x8b", "a zero-width space (U+200B)"},
      {"\xe3\x80\x80", "an ideographic space (U+3000)"},
      {"\xe2\x80", "a space or mark of typesetting (U+2000 to U+203F)"},
      {"\xe2\x88\x92", "a minus sign of typesetting (U+2212)"},
  }};
  for (const auto& [bytes, name] : kUnseen) {
    if (word.find(bytes) != std::string_view::npos) return name;
  }
  return {};
}

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
    if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
    while (!text_.empty()) {
      ++line_;
      const std::size_t end = std::min(text_.find('\n'), text_.size());
      parse_line(text_.substr(0, end));
      text_.remove_prefix(std::min(end + 1, text_.size()));
    }
    if (data_.file_rows == 0) fail_file("has no rows; expected lines of `label index:value ...`");
    data_.max_label_place = format("{}:{}", data_.name, max_label_line_);
    return std::move(data_);
  }

 private:
  [[noreturn]] void fail_file(const std::string& what) const {
    throw Error(Errc::invalid_file, format("{}: {}", data_.name, what));
  }
  [[noreturn]] void fail(std::string_view text, const std::string& expected) const {
    if (const std::string_view unseen = unseen_in(text); !unseen.empty()) {
      throw Error(
          Errc::invalid_file,
          format("{}:{}: there is {} in {}; write plain ASCII: spaces between label and features, - for "
                 "minus",
                 data_.name, line_, unseen, weft::quoted(text.substr(0, kShownWord))));
    }
    throw Error(Errc::invalid_file,
                format("{}:{}: found {}, expected {}", data_.name, line_, weft::quoted(text), expected));
  }

  void refuse_other_formats() const {
    if (text_.empty()) fail_file("is empty; expected LIBSVM text, lines of `label index:value ...`");
    const std::string_view format_name = known_format(text_);
    if (format_name == "IDX") {
      fail_file(
          "is IDX, expected LIBSVM text (plain or gzip); images are read by their names: "
          "NAME-images-idx3-ubyte beside NAME-labels-idx1-ubyte");
    }
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

  float parse_label(std::string_view text) {
    const auto label = parse_number(text);
    if (!label) {
      fail(text, text.find(':') == std::string_view::npos ? "a label (a number) at the start of the line"
                                                          : "a label (a number) before the first feature");
    }
    note_label(*label);
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

  void note_label(float label) {
    if (max_label_line_ != 0 && label <= data_.max_label) return;
    data_.max_label = label;
    max_label_line_ = line_;
  }

  void parse_feature(std::string_view word, bool ours) {
    const std::size_t colon = word.find(':');
    if (word.starts_with("qid:")) {
      fail(word,
           "a feature as index:value: qid names the query of a row of ranking data, which no model here "
           "uses; take them out, as sed -E 's/ qid:[^ ]+//' does");
    }
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
  std::uint64_t max_label_line_ = 0;
};

}  // namespace

Dataset parse_libsvm(std::string_view text, const std::string& name, Labels labels, RowShare share) {
  return Parser(text, name, labels, share).run();
}

Dataset read_libsvm(const std::string& path, Labels labels, RowShare share) {
  return parse_libsvm(read_file_bytes(path), path, labels, share);
}

}  // namespace weft::ps
