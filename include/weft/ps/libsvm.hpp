// Reading LIBSVM text.
#pragma once

#include <string>
#include <string_view>

#include <weft/ps/dataset.hpp>

namespace weft::ps {

/// Rows of `label index:value index:value ...`, one a line, plain or gzip. Indexes are kept as the file has
/// them (from 0 or from 1, in any order). `#` starts a comment; blank lines are skipped. Whole file in
/// memory. A byte order mark at the beginning is skipped.
///
/// Throws Error{not_found} or Error{io} when the file cannot be read; Error{invalid_file} with `file:line`
/// and the offending text when it is empty, cut, binary or another format (named where it is known), or has a
/// label that `labels` does not allow.
Dataset read_libsvm(const std::string& path, Labels labels = Labels::any, RowShare share = {});

/// The same from memory; `name` stands for the file in errors.
Dataset parse_libsvm(std::string_view text, const std::string& name, Labels labels = Labels::any,
                     RowShare share = {});

}  // namespace weft::ps
