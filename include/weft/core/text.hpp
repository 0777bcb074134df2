// Small text helpers that error sentences and parsers share.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// The candidate nearest to `word` (edit distance with transpositions, at most a third of its length and at
/// least one edit allowed), or nullopt: what "did you mean" offers.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates);

/// "a, b and c"; "nothing" when empty.
std::string join_words(const std::vector<std::string>& words, std::string_view last = "and");

/// The text in double quotes, cut to `most` characters, with control characters and bytes that are not UTF-8
/// escaped, for showing hostile or long input in an error.
std::string quoted(std::string_view text, std::size_t most = 60);

/// True when the bytes are well-formed UTF-8.
bool is_utf8(std::string_view text);

std::vector<std::string> split(std::string_view text, char separator);

}  // namespace weft
