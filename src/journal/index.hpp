// Where the live values are: space -> ordered key -> place, and for each segment what in it is alive.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <weft/core/bytes.hpp>

namespace weft::journal {

/// Where the record of a put is.
struct Place {
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
};

struct Segment;

/// One live value. Those of one segment are a list, oldest first: what has to be moved to free the segment.
struct Live {
  Place place;
  std::uint32_t value_bytes = 0;
  const std::string* space = nullptr;
  const std::string* key = nullptr;
  Segment* segment = nullptr;
  Live* before = nullptr;
  Live* behind = nullptr;
};

struct Segment {
  std::uint64_t number = 0;
  std::uint64_t salt = 0;
  std::uint64_t first_entry = 0;
  std::uint64_t end = 0;         ///< where the next entry goes
  std::uint64_t live_bytes = 0;  ///< of records that are alive
  std::uint64_t live_values = 0;
  bool damaged = false;  ///< kept aside instead of deleted
  Live* first = nullptr;
  Live* last = nullptr;
};

using Keys = std::map<std::string, Live, std::less<>>;

/// One thread's.
class Index {
 public:
  Index() = default;
  Index(const Index&) = delete;  // values point to each other
  Index& operator=(const Index&) = delete;

  /// `place.segment` must have been added.
  void put(std::string_view space, Bytes key, Place place, std::uint32_t value_bytes);
  void erase(std::string_view space, Bytes key);
  void move(Live& live, Place place);
  /// Forgets a value that turned out to be unreadable.
  void forget(Live& live);
  [[nodiscard]] const Live* find(std::string_view space, Bytes key) const;
  [[nodiscard]] const Keys* keys(std::string_view space) const;

  Segment& add_segment(std::uint64_t number);
  /// With all that is alive in it.
  void remove_segment(std::uint64_t number);
  [[nodiscard]] std::map<std::uint64_t, Segment>& segments() { return segments_; }
  [[nodiscard]] const std::map<std::uint64_t, Segment>& segments() const { return segments_; }
  [[nodiscard]] const std::map<std::string, Keys, std::less<>>& spaces() const { return spaces_; }

  [[nodiscard]] std::uint64_t live_values() const { return live_values_; }
  [[nodiscard]] std::uint64_t live_value_bytes() const { return live_value_bytes_; }
  [[nodiscard]] std::uint64_t live_record_bytes() const { return live_record_bytes_; }
  /// Of all segments.
  [[nodiscard]] std::uint64_t total_bytes() const { return total_bytes_; }
  void grow(Segment& segment, std::uint64_t end) {
    total_bytes_ += end - segment.end;
    segment.end = end;
  }

 private:
  void link(Live& live, Place place, std::uint32_t value_bytes);
  void unlink(Live& live);

  std::map<std::uint64_t, Segment> segments_;
  std::map<std::string, Keys, std::less<>> spaces_;
  std::uint64_t live_values_ = 0;
  std::uint64_t live_value_bytes_ = 0;
  std::uint64_t live_record_bytes_ = 0;
  std::uint64_t total_bytes_ = 0;
};

}  // namespace weft::journal
