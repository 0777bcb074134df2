#include "input.hpp"

#include <string_view>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/program/line_reader.hpp>
#include <weft/program/records.hpp>
#include <weft/wire/pack.hpp>

namespace weft::source {
namespace {

constexpr std::size_t kShown = 80;  // bytes of an offending line

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

/// Each line is a record of text (bytes where it is not UTF-8), or each line is a JSON value.
class FileInput final : public Input {
 public:
  FileInput(const std::string& path, bool json, bool skip_bad)
      : lines_(path), json_(json), skip_bad_(skip_bad) {}

  Next next(wire::Buffer& out) override {
    std::string_view line;
    for (;;) {
      switch (lines_.next(line)) {
        case program::LineReader::Next::wait:
          return Next::wait;
        case program::LineReader::Next::end:
          return Next::end;
        case program::LineReader::Next::line:
          if (json_ ? add_json(line, out) : add_line(line, out)) return Next::record;
      }
    }
  }
  bool rewind() override { return lines_.rewind(); }
  [[nodiscard]] int fd() const override { return lines_.fd(); }
  [[nodiscard]] std::uint64_t skipped() const override { return skipped_; }

 private:
  static bool add_line(std::string_view line, wire::Buffer& out) {
    wire::Pack pack(out);
    if (is_utf8(line)) {
      pack.str(line);
    } else {
      pack.bin(as_bytes(line));
    }
    return true;
  }

  bool add_json(std::string_view line, wire::Buffer& out) {
    if (is_blank(line)) return false;
    std::string why;
    if (program::pack_json(line, out, why)) return true;
    if (skip_bad_) {
      ++skipped_;
      return false;
    }
    throw Error(Errc::invalid_file,
                format("{}:{}: expected one JSON value a line, found {} ({}){}", lines_.name(),
                       lines_.number(), weft::quoted(line, kShown), why,
                       lines_.unfinished() ? "; the file ends here without a line end: was it cut?" : ""));
  }

  program::LineReader lines_;
  bool json_;
  bool skip_bad_;
  std::uint64_t skipped_ = 0;
};

}  // namespace

std::unique_ptr<Input> open_input(const program::Options& options, const Replica& replica) {
  if (!options.has("input")) return make_generator(options, replica);
  if (options.has("generator"))
    options.refuse("generator", "cannot stand beside \"input\"; take one of them");
  return std::make_unique<FileInput>(options.text("input"), options.text("format") == "json",
                                     options.text("on-bad-line") == "skip");
}

}  // namespace weft::source
