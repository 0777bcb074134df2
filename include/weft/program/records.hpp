// Records as JSON and back, and the parts of a record that say where it goes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/core/value.hpp>
#include <weft/wire/batch.hpp>

namespace weft::program {

/// Any record as a tree that JSON can hold: bytes that are UTF-8 become text, others {"base64": ...}; a
/// tensor becomes {"dtype", "shape", "data": {"base64": ...}}.
Value record_to_value(const wire::RecordView& record);
/// The same on one line, without the line's end.
std::string record_to_json(const wire::RecordView& record);

/// One msgpack object; {"base64": "..."} becomes bytes again, anywhere in the tree.
void pack_value(const Value& value, wire::Buffer& out);
/// Appends one JSON text as a record that receivers take. False: it is none, and `why` says why.
bool pack_json(std::string_view text, wire::Buffer& out, std::string& why);
/// nullopt when the text is not base64 (RFC 4648, with padding).
std::optional<std::string> from_base64(std::string_view text);

/// A record that outlives its handler: the bytes are copied, the tensors share their frames.
class HeldRecord {
 public:
  explicit HeldRecord(const wire::RecordView& record)
      : packed_(as_text(record.packed)), tensors_(record.tensors.begin(), record.tensors.end()) {}
  [[nodiscard]] wire::RecordView view() const { return {as_bytes(packed_), tensors_}; }

 private:
  std::string packed_;
  std::vector<Tensor> tensors_;
};

/// The value of a top-level member of a record that is a map, as packed bytes; empty when there is none.
Bytes field_of(Bytes packed, std::string_view name);
/// The same as text: text as it is, numbers and booleans written out; nullopt when there is none.
std::optional<std::string> field_text(Bytes packed, std::string_view name);

/// "orders/{region}/" filled from the fields of a record.
class TopicTemplate {
 public:
  /// Throws Error{invalid_argument} on a brace without its partner, or a topic that no publisher may use.
  explicit TopicTemplate(std::string_view text = "");
  /// nullopt: the record has no such field; *missing then names it.
  [[nodiscard]] std::optional<std::string_view> of(Bytes packed, std::string* missing = nullptr);
  [[nodiscard]] bool empty() const { return parts_.empty(); }

 private:
  struct Part {
    std::string text;
    bool field = false;
  };
  std::vector<Part> parts_;
  std::string filled_;
};

}  // namespace weft::program
