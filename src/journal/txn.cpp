#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/journal/journal.hpp>

#include "journal/format.hpp"

namespace weft {
namespace {

void check_names(std::string_view space, Bytes key) {
  if (space.empty() || space.size() > journal::kMaxSpace) {
    throw Error(Errc::invalid_argument,
                format("journal: a space has 1 to {} bytes, not {}", journal::kMaxSpace, space.size()));
  }
  if (key.size() > journal::kMaxKey) {
    throw Error(Errc::invalid_argument,
                format("journal: a key has at most {} bytes, not {}", journal::kMaxKey, key.size()));
  }
}

void check_range(const char* field, std::uint64_t value, std::uint64_t least, std::uint64_t most) {
  if (value >= least && value <= most) return;
  throw Error(Errc::invalid_argument,
              format("JournalOptions.{} is {}, allowed are {} to {} bytes", field, value, least, most));
}

}  // namespace

std::string_view to_string(CommitStatus status) {
  switch (status) {
    case CommitStatus::ok:
      return "ok";
    case CommitStatus::full:
      return "full";
    case CommitStatus::failed:
      return "failed";
  }
  return "unknown";
}

void JournalOptions::check() const {
  if (path.empty()) throw Error(Errc::invalid_argument, "JournalOptions.path is empty; name a directory");
  check_range("segment_bytes", segment_bytes, 64ULL << 10, 1ULL << 30);
  check_range("max_bytes", max_bytes, 2 * segment_bytes, UINT64_MAX);
  check_range("max_pending_bytes", max_pending_bytes, 64ULL << 10, 4ULL << 30);
}

void JournalTxn::put(std::string_view space, Bytes key, std::span<const Bytes> parts) {
  check_names(space, key);
  std::uint64_t size = encoded_.size();
  for (const Bytes& part : parts) size += part.size();
  if (size > journal::kMaxEntry) {
    throw Error(Errc::invalid_argument,
                format("journal: {} bytes of changes in one commit, at most {} are allowed; submit earlier",
                       size, journal::kMaxEntry));
  }
  journal::append_op(encoded_, journal::OpKind::put, space, key, parts);
  ++count_;
}

void JournalTxn::erase(std::string_view space, Bytes key) {
  check_names(space, key);
  journal::append_op(encoded_, journal::OpKind::erase, space, key, {});
  ++count_;
}

void JournalTxn::clear() {
  encoded_.clear();
  count_ = 0;
}

}  // namespace weft
