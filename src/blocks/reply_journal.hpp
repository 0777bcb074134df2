// ReplyJournal: the replies of a Router that survive it, so that what was done is not done again by its next
// life.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <weft/journal/journal.hpp>
#include <weft/protocol/reply_book.hpp>

#include "blocks/stored.hpp"

namespace weft::blocks {

/// A reply that is kept: a record, or an error.
struct KeptReply {
  Stored record;
  wire::Code code = wire::Code::none;
  std::string text;
  std::uint64_t commit = 0;  // of the journal: it may leave when that is durable
  [[nodiscard]] std::uint64_t bytes() const { return kOverhead + record.bytes + text.size(); }
  static constexpr std::uint64_t kOverhead = 128;  // what it costs to remember it at all
};

/// What is said of (client, epoch, number). Belongs to the loop's thread.
class ReplyJournal final : public protocol::ReplyStore<KeptReply> {
 public:
  /// `port` names the spaces: it is unique among the ports that share a journal.
  ReplyJournal(std::shared_ptr<Journal> journal, std::string_view port);

  /// The epoch of the port, the same in every life: `wanted` (0: wall-clock microseconds) in the first one.
  /// Throws Error{io} when it cannot be made durable.
  std::uint64_t epoch(std::uint64_t wanted);

  /// What cannot be read is left out.
  void restore(const Floor& floor, const Kept& reply) const override;

  void put(std::string_view client, std::uint64_t epoch, std::uint64_t number, KeptReply& reply) override;
  void erase(std::string_view client, std::uint64_t epoch, std::uint64_t number) override;
  void floor(std::string_view client, std::uint64_t epoch, std::uint64_t floor) override;
  /// Nothing, while a hold is on.
  void commit() override { (void)journal_->submit(); }
  [[nodiscard]] bool durable(std::uint64_t commit) const override { return commit <= journal_->durable(); }

  [[nodiscard]] Journal& journal() { return *journal_; }

 private:
  std::shared_ptr<Journal> journal_;
  std::string replies_, floors_, self_;
};

}  // namespace weft::blocks
