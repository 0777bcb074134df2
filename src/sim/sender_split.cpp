// Batches of a simulated sender that are dealt out in parts, and what its journal keeps of each.
#include "sim/sender.hpp"

namespace weft::sim {

using protocol::Outbox;
using protocol::OutboxEntry;

// What its receiver has room for, and the rest.
void SimSender::split(std::uint64_t id, std::uint32_t records) {
  const SimBatchPtr whole = batches_.at(id);
  OutboxEntry entry = *outbox_->waiting(id);
  const auto middle = whole->records.begin() + static_cast<std::ptrdiff_t>(records);
  std::vector<std::shared_ptr<SimBatch>> parts;
  std::vector<Outbox::Part> sizes;
  for (const auto& [first, last] :
       {std::pair(whole->records.begin(), middle), std::pair(middle, whole->records.end())}) {
    auto part = std::make_shared<SimBatch>(*whole);
    part->records.assign(first, last);
    part->bytes = part->records.size() * world_.options().record_bytes;
    sizes.push_back({part->bytes, static_cast<std::uint32_t>(part->records.size())});
    parts.push_back(std::move(part));
  }
  const std::uint64_t first = outbox_->split(id, sizes).front();
  entry.order = entry.order != 0 ? entry.order : id;
  keep(first, *parts[0], entry);
  batches_[first] = std::move(parts[0]);
  entry.part += records;
  keep(id, *parts[1], entry);
  keep_past(first);
  keep_past(id);
  batches_[id] = std::move(parts[1]);
}

void SimSender::keep(std::uint64_t id, const SimBatch& batch, const OutboxEntry& entry) {
  if (!journal_) return;
  std::vector<std::uint64_t> numbers{batch.bytes, batch.key,   entry.priority,
                                     entry.lane,  entry.order, entry.part};
  numbers.insert(numbers.end(), batch.records.begin(), batch.records.end());
  journal_->changes().put("entry", pack_numbers({id}), pack_numbers(numbers));
}

void SimSender::accept(const SimBatchPtr& batch, OutboxEntry entry) {
  entry.id = 0;
  const std::uint64_t id = outbox_->accept(entry);
  batches_[id] = batch;
  if (!journal_) return;
  keep(id, *batch, entry);
  if (entry.attempts != 0 || entry.order != 0) keep_past(id);
  unconfirmed_.emplace_back(journal_->store().next(), batch);
}

void SimSender::keep_past(std::uint64_t id) {
  const OutboxEntry* const entry = outbox_->entry(id);
  if (!journal_ || !entry) return;
  journal_->changes().put(
      "past", pack_numbers({id}),
      pack_numbers({entry->attempts, entry->order, entry->suspect ? 1U : 0U, entry->part}));
}

}  // namespace weft::sim
