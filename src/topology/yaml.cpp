#include "yaml.hpp"

#include <algorithm>
#include <sstream>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

namespace weft::topology {
namespace {

// Ends the parse after a problem that makes going on pointless; caught in parse_yaml.
struct Stop {};

// The text by lines, to turn yaml-cpp's byte columns into characters and to show a line.
class Lines {
 public:
  Lines(const std::string& text, std::shared_ptr<const std::string> file)
      : text_(text), file_(std::move(file)) {
    std::string_view rest = text;
    while (true) {
      const std::size_t end = rest.find('\n');
      lines_.push_back(rest.substr(0, end));
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
  }

  [[nodiscard]] std::string_view line(int index) const {
    if (index < 0 || static_cast<std::size_t>(index) >= lines_.size()) return {};
    return lines_[static_cast<std::size_t>(index)];
  }

  [[nodiscard]] Place place(const YAML::Mark& mark) {
    if (mark.is_null()) return {file_, 0, 0};
    return {file_, static_cast<unsigned>(mark.line) + 1, characters_before(mark) + 1};
  }

  // True when the scalar at `mark`, its tag and anchor skipped, starts with a quote that nothing ends.
  // yaml-cpp takes the end of the file for the missing quote.
  [[nodiscard]] bool opens_unclosed_quote(const YAML::Mark& mark) const {
    if (mark.is_null() || mark.pos < 0 || static_cast<std::size_t>(mark.pos) >= text_.size()) return false;
    std::size_t at = static_cast<std::size_t>(mark.pos);
    while (at < text_.size() && (text_[at] == '&' || text_[at] == '!')) {
      at = text_.find_first_of(" \t\r\n", at);
      at = text_.find_first_not_of(" \t\r\n", at);
    }
    if (at >= text_.size() || (text_[at] != '"' && text_[at] != '\'')) return false;
    const char quote = text_[at++];
    while (at < text_.size() && text_[at] != quote) {
      at += quote == '"' && text_[at] == '\\' ? 2 : 1;
    }
    return at >= text_.size();
  }

  [[nodiscard]] bool tab_before(const YAML::Mark& mark) const {
    if (mark.is_null()) return false;
    const std::string_view before =
        line(mark.line).substr(0, static_cast<std::size_t>(std::max(0, mark.column)));
    return before.find_first_not_of(" \t") == std::string_view::npos &&
           before.find('\t') != std::string_view::npos;
  }

 private:
  // Characters of the mark's line before it. Marks mostly move forward, so counting goes on from the last
  // one: a file may be one line of a megabyte.
  unsigned characters_before(const YAML::Mark& mark) {
    const std::string_view row = line(mark.line);
    const std::size_t bytes = std::min(row.size(), static_cast<std::size_t>(std::max(0, mark.column)));
    if (mark.line != counted_line_ || bytes < counted_bytes_) {
      counted_line_ = mark.line;
      counted_bytes_ = 0;
      counted_characters_ = 0;
    }
    for (; counted_bytes_ < bytes; ++counted_bytes_) {
      if ((static_cast<unsigned char>(row[counted_bytes_]) & 0xC0) != 0x80) ++counted_characters_;
    }
    return counted_characters_;
  }

  std::string_view text_;
  std::shared_ptr<const std::string> file_;
  int counted_line_ = -1;
  std::size_t counted_bytes_ = 0;
  unsigned counted_characters_ = 0;
  std::vector<std::string_view> lines_;
};

std::size_t text_bytes(const Tree& tree) {
  std::size_t total = tree.text.size();
  for (const Tree& item : tree.items) total += text_bytes(item);
  for (const Member& member : tree.members) total += member.key.size() + text_bytes(member.value);
  return total;
}

std::size_t height(const Tree& tree) {
  std::size_t most = 0;
  for (const Tree& item : tree.items) most = std::max(most, height(item));
  for (const Member& member : tree.members) most = std::max(most, height(member.value));
  return tree.is_scalar() ? 0 : most + 1;
}

// Builds the tree from yaml-cpp's events, which, other than its nodes, show every duplicate key.
class Builder : public YAML::EventHandler {
 public:
  Builder(Lines& lines, Problems& problems) : lines_(lines), problems_(problems) {}

  std::optional<Tree> take() { return std::move(root_); }
  [[nodiscard]] bool tab_seen() const { return tab_seen_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ == 0) return;
    problems_.add(
        lines_.place(mark),
        "a second YAML document starts here; a topology file holds one, so remove the \"---\" and what "
        "follows or put it into a file of its own");
    throw Stop();
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Place place = lines_.place(mark);
    // An empty value has no place of its own: yaml-cpp gives that of the next token.
    if (!frames_.empty() && frames_.back().has_key) place = frames_.back().key_place;
    finish(make_scalar("", false, place), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const Place place = lines_.place(mark);
    check_tag(tag, place);
    check_tab(mark);
    if (tag != "?" && lines_.opens_unclosed_quote(mark)) {
      problems_.add(place, format("a quote is opened here and never closed: {}", weft::quoted(value, 30)));
      throw Stop();
    }
    if (value.find('\0') != std::string::npos) {
      problems_.add(place,
                    format("{} holds a zero byte, which no text of a topology may", weft::quoted(value)));
    }
    finish(make_scalar(value, tag != "?" && !tag.empty(), place), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      problems_.add(lines_.place(mark),
                    "this alias stands inside the value that it names; write the value out");
      throw Stop();
    }
    if (frames_.size() + height(found->second) > kDeepestNesting) too_deep(mark);
    spend(count(found->second) - 1, text_bytes(found->second), mark);
    finish(found->second, 0);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Tree::Kind::list, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Tree::Kind::map, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Tree tree;
    YAML::anchor_t anchor = 0;
    bool has_key = false;  // maps: a key was read, its value comes next
    bool discard = false;  // maps: that value is dropped, its key was refused
    std::string key;
    Place key_place;
    std::unordered_map<std::string, unsigned> seen;  // key to line
  };

  void check_tag(const std::string& tag, const Place& place) {
    if (tag.empty() || tag == "?" || tag == "!" || tag == "tag:yaml.org,2002:str") return;
    problems_.add(place,
                  format("the tag {} is not supported; write the value without it", weft::quoted(tag)));
  }

  void check_tab(const YAML::Mark& mark) {
    if (tab_seen_ || !lines_.tab_before(mark)) return;
    tab_seen_ = true;
    problems_.add({lines_.place(mark).file, static_cast<unsigned>(mark.line) + 1, 1},
                  "this line is indented with a tab; YAML wants spaces");
  }

  [[noreturn]] void too_deep(const YAML::Mark& mark) {
    problems_.add(lines_.place(mark),
                  format("lists and maps are nested more than {} deep here; a topology never needs that",
                         kDeepestNesting));
    throw Stop();
  }

  void spend(std::size_t values, std::size_t bytes, const YAML::Mark& mark) {
    values_ += values;
    bytes_ += bytes;
    if (values_ <= kMostValues && bytes_ <= 4 * kLongestFile) return;
    problems_.add(
        lines_.place(mark),
        format("the file holds more than {} values, aliases written out; make it smaller", kMostValues));
    throw Stop();
  }

  void open(Tree::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    check_tag(tag, lines_.place(mark));
    check_tab(mark);
    if (frames_.size() >= kDeepestNesting) too_deep(mark);
    Frame frame;
    frame.tree.kind = kind;
    frame.tree.place = lines_.place(mark);
    frame.anchor = anchor;
    frames_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    finish(std::move(frame.tree), frame.anchor);
  }

  void finish(Tree tree, YAML::anchor_t anchor) {
    if (++values_ > kMostValues) spend(0, 0, {});
    if (anchor != 0) anchors_[anchor] = tree;
    if (frames_.empty()) {
      root_ = std::move(tree);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.tree.is_list()) {
      frame.tree.items.push_back(std::move(tree));
    } else if (!frame.has_key) {
      take_key(frame, tree);
    } else {
      if (!frame.discard) frame.tree.members.push_back({frame.key, frame.key_place, std::move(tree)});
      frame.has_key = false;
      frame.discard = false;
    }
  }

  void take_key(Frame& frame, const Tree& tree) {
    frame.has_key = true;
    frame.key = tree.text;
    frame.key_place = tree.place;
    if (!tree.is_scalar() || (tree.kind == Tree::Kind::null && tree.text.empty())) {
      problems_.add(tree.place, format("a key must be a word, found {}", found(tree)));
      frame.discard = true;
      return;
    }
    if (tree.text == "<<" && !tree.quoted) {
      problems_.add(tree.place, "merge keys (\"<<\") are not supported; write the keys out, or use extends");
      frame.discard = true;
      return;
    }
    const auto [first, fresh] = frame.seen.emplace(tree.text, tree.place.line);
    if (fresh) return;
    frame.discard = true;
    problems_.add(tree.place,
                  format("the key {} stands twice in this map, first on line {}; keep one of them",
                         weft::quoted(tree.text), first->second));
  }

  Lines& lines_;
  Problems& problems_;
  std::vector<Frame> frames_;
  std::unordered_map<YAML::anchor_t, Tree> anchors_;
  std::optional<Tree> root_;
  std::size_t documents_ = 0;
  std::size_t values_ = 0;
  std::size_t bytes_ = 0;
  bool tab_seen_ = false;
};

// Says what yaml-cpp's terse reason usually means for the person who wrote the line.
std::string explain(const std::string& reason) {
  const auto has = [&](std::string_view part) { return reason.find(part) != std::string::npos; };
  if (has("end of map flow") || has("illegal flow end")) {
    return "a \"{\" and \"}\" do not match, or a comma is missing between two entries";
  }
  if (has("end of sequence flow"))
    return "a \"[\" and \"]\" do not match, or a comma is missing between two entries";
  if (has("end of map"))
    return "this line does not fit the map above it: look at its indentation and its colon";
  if (has("end of sequence"))
    return "this line does not fit the list above it: look at its indentation and its \"- \"";
  if (has("EOF in scalar")) return "a quote is opened and never closed";
  if (has("illegal map value"))
    return "a \":\" stands where no value can; look at the indentation, or put texts that hold \": \" in "
           "quotes";
  if (has("illegal map key"))
    return "a key stands where none can: look at the indentation of this line and the one above";
  if (has("illegal block entry")) return "a \"- \" stands where no list entry can: look at its indentation";
  if (has("tab")) return "this line is indented with a tab; YAML wants spaces";
  if (has("anchor is not defined"))
    return "this alias (\"*name\") names an anchor (\"&name\") that is not above it";
  if (has("unknown escape")) return reason + "; double a backslash, or use single quotes";
  if (has("unknown token")) return "a character stands here that can start no value; put the text in quotes";
  return reason;
}

void report(const YAML::Exception& error, Lines& lines, Problems& problems) {
  std::string_view line = lines.line(error.mark.line);
  const std::size_t start = line.find_first_not_of(" \t\r");
  const bool tab =
      start != std::string_view::npos && line.substr(0, start).find('\t') != std::string_view::npos;
  std::string message = "this is not valid YAML: ";
  const bool bare_param =
      error.msg.find("flow") != std::string::npos && line.find("${") != std::string_view::npos;
  message += tab ? "this line is indented with a tab; YAML wants spaces" : explain(error.msg);
  if (bare_param) message += "; inside { } and [ ] a ${param} needs quotes: \"${param}\"";
  if (!error.mark.is_null() && start != std::string_view::npos) {
    line.remove_prefix(start);
    while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
    message += format(" (the line is {})", weft::quoted(line));
  }
  problems.add(lines.place(error.mark), message);
}

// What must hold before yaml-cpp sees the bytes: it guesses other encodings, and takes some control
// characters for the end of the file.
bool check_bytes(const std::string& text, const std::shared_ptr<const std::string>& file,
                 Problems& problems) {
  if (text.size() > kLongestFile) {
    problems.add({file, 0, 0},
                 format("the file has {} bytes; a topology file may have {}", text.size(), kLongestFile));
    return false;
  }
  unsigned line = 0;
  for (const std::string& row : split(text, '\n')) {
    ++line;
    if (!is_utf8(row)) {
      problems.add({file, line, 1},
                   format("the line {} is not UTF-8; save the file as UTF-8", weft::quoted(row)));
      return false;
    }
    const auto control = [](char c) {
      const auto byte = static_cast<unsigned char>(c);
      return (byte < 0x20 && c != '\t' && c != '\r') || byte == 0x7F;
    };
    if (std::any_of(row.begin(), row.end(), control)) {
      problems.add({file, line, 1},
                   format("the line {} holds a control character; remove it", weft::quoted(row)));
      return false;
    }
  }
  return true;
}

}  // namespace

std::optional<Tree> parse_yaml(const std::string& text, const std::string& file, Problems& problems) {
  const auto name = std::make_shared<const std::string>(file);
  std::string body = text.starts_with("\xEF\xBB\xBF") ? text.substr(3) : text;
  if (!check_bytes(body, name, problems)) return std::nullopt;
  Lines lines(body, name);
  Builder builder(lines, problems);
  std::istringstream stream(body);
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) {
      problems.add({name, 1, 1}, "the file is empty; a topology starts with \"weft: 1\"");
      return std::nullopt;
    }
    parser.HandleNextDocument(builder);
  } catch (const Stop&) {
    return std::nullopt;
  } catch (const YAML::Exception& error) {
    if (!builder.tab_seen()) report(error, lines, problems);
    return std::nullopt;
  } catch (const std::exception& error) {
    problems.add({name, 0, 0}, format("this is not valid YAML: {}", error.what()));
    return std::nullopt;
  }
  return builder.take();
}

}  // namespace weft::topology
