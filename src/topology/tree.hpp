// The located tree of a topology file: what YAML said, and where. Private to the topology layer.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/value.hpp>

namespace weft::topology {

/// Where a key or value stands. Lines and columns count from 1, columns in characters; line 0: no place.
struct Place {
  std::shared_ptr<const std::string> file;
  unsigned line = 0;
  unsigned column = 0;
};

struct Member;

/// One value of the file. Scalars keep their source text; maps keep the order of the file and hold a key
/// once.
struct Tree {
  enum class Kind { null, boolean, integer, number, text, list, map };

  Kind kind = Kind::null;
  Place place;
  std::string text;     ///< scalars: as written, without quotes
  bool quoted = false;  ///< scalars: in quotes or a block, so it is text whatever it looks like
  Value scalar;         ///< scalars: the typed value
  std::string note;     ///< where the value came from when it is not the file's own, e.g. "from ${workers}"
  bool broken = false;  ///< a problem names this value already: readers say no more about it
  /// Holds "${node}" or "${replica}", which stand for those of each process; in `text` a "${" that is meant
  /// as it stands is still "$${".
  bool of_process = false;
  std::vector<Tree> items;
  std::vector<Member> members;

  [[nodiscard]] bool is_map() const { return kind == Kind::map; }
  [[nodiscard]] bool is_list() const { return kind == Kind::list; }
  [[nodiscard]] bool is_scalar() const { return !is_map() && !is_list(); }
  [[nodiscard]] bool is_text() const { return kind == Kind::text; }
  [[nodiscard]] const Tree* find(std::string_view key) const;
  [[nodiscard]] Tree* find(std::string_view key);
};

struct Member {
  std::string key;
  Place place;  ///< of the key
  Tree value;
};

/// A scalar typed by the core rules of YAML 1.2: null, true/false, integers, numbers, else text.
Tree make_scalar(std::string text, bool quoted, Place place);
Tree make_map(Place place);

/// How many values the tree holds, itself included.
std::size_t count(const Tree& tree);

/// What an error says it found: `text "many"`, `the bare number 10`, `a list`, `nothing`.
std::string found(const Tree& tree);

/// Maps merge deeply, anything else of `over` replaces.
void merge(Tree& base, Tree over);

Value to_value(const Tree& tree);

/// As the process `node`/`replica` gets them: its text, and its value.
std::string text_for(const Tree& tree, const std::string& node, unsigned replica);
Value to_value_for(const Tree& tree, const std::string& node, unsigned replica);

/// Block-style YAML that reads back as the same tree. Texts that hold "${" are escaped as "$${".
std::string emit_yaml(const Tree& tree);

}  // namespace weft::topology
