#include "blocks/reply_journal.hpp"

#include <utility>
#include <vector>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/wire/limits.hpp>
#include <weft/wire/pack.hpp>

namespace weft::blocks {
namespace {

constexpr std::size_t kNumber = 8;
constexpr Duration kFirstCommit = std::chrono::seconds(60);

/// Most significant byte first, so that keys are in the order of numbers.
void append_number(std::string& out, std::uint64_t number) {
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(number >> shift & 0xFFU);
}
std::uint64_t read_number(std::string_view bytes) {
  std::uint64_t number = 0;
  for (const char c : bytes.substr(0, kNumber)) number = number << 8U | static_cast<unsigned char>(c);
  return number;
}
std::string key_of(std::string_view client, std::uint64_t epoch, std::uint64_t number) {
  std::string key(client);
  append_number(key, epoch);
  append_number(key, number);
  return key;
}

/// [code, text, record, tensor, ...]: the tensors' types and shapes are in the record, which refers to them.
wire::Buffer encode(const KeptReply& reply) {
  wire::Buffer out;
  wire::Pack pack(out);
  pack.array(3 + reply.record.tensors.size());
  pack.uint(static_cast<std::uint8_t>(reply.code));
  pack.str(reply.text);
  pack.bin(reply.record.packed);
  for (const Tensor& tensor : reply.record.tensors) pack.bin(tensor.data);
  return out;
}

bool decode(Bytes value, KeptReply& out) {
  wire::Unpack in(value);
  const auto items = in.array();
  if (!items || *items < 3 || *items > 3 + wire::kMaxTensors) return false;
  const auto code = in.uint();
  const auto text = in.str();
  const auto packed = in.bin();
  if (!code || *code > UINT8_MAX || !text || !packed) return false;
  out.code = static_cast<wire::Code>(*code);
  out.text = *text;
  out.record.packed.assign(packed->begin(), packed->end());
  out.record.bytes = packed->size();
  for (std::uint32_t i = 3; i < *items; ++i) {
    const auto data = in.bin();
    if (!data) return false;
    auto owned = std::make_shared<const std::vector<std::byte>>(data->begin(), data->end());
    out.record.bytes += owned->size();
    out.record.tensors.push_back(
        {DType::u8, {static_cast<std::int64_t>(owned->size())}, Bytes(*owned), owned});
  }
  if (out.code != wire::Code::none) return in.done();
  return in.done() && wire::check_body(out.record.packed, 1) == wire::Rejection::none;
}

}  // namespace

ReplyJournal::ReplyJournal(std::shared_ptr<Journal> journal, std::string_view port)
    : journal_(std::move(journal)),
      replies_(format("replies/{}", port)),
      floors_(format("settled/{}", port)),
      self_(format("router/{}", port)) {}

std::uint64_t ReplyJournal::epoch(std::uint64_t wanted) {
  if (const auto kept = journal_->read(self_, as_bytes("epoch")); kept && kept->size() == kNumber) {
    return read_number(as_text(*kept));
  }
  std::string value;
  const std::uint64_t epoch = wanted != 0 ? wanted : wall_micros();
  append_number(value, epoch);
  journal_->change().put(self_, as_bytes("epoch"), as_bytes(value));
  if (journal_->submit() != CommitStatus::ok ||
      !journal_->wait_durable(journal_->submitted(), Deadline::after(kFirstCommit))) {
    throw Error(Errc::io, format("journal {}: the epoch of {} cannot be made durable: {}", journal_->path(),
                                 self_, journal_->failure().value_or("no room, or too slow")));
  }
  return epoch;
}

void ReplyJournal::restore(const Floor& floor, const Kept& reply) const {
  // Copied first: who restores may change the journal.
  struct Item {
    std::string key;
    std::string value;
  };
  std::vector<Item> items;
  const auto collect = [&items](Bytes key, Bytes value) {
    items.push_back({std::string(as_text(key)), std::string(as_text(value))});
  };
  journal_->for_each(floors_, collect);
  for (const Item& item : items) {
    if (item.value.size() != 2 * kNumber) continue;
    floor(item.key, read_number(item.value), read_number(std::string_view(item.value).substr(kNumber)));
  }
  items.clear();
  journal_->for_each(replies_, collect);
  for (const Item& item : items) {
    KeptReply kept;
    if (item.key.size() < 2 * kNumber || !decode(as_bytes(item.value), kept)) continue;
    const std::string_view key(item.key);
    const std::size_t client = key.size() - 2 * kNumber;
    reply(key.substr(0, client), read_number(key.substr(client)), read_number(key.substr(client + kNumber)),
          std::move(kept));
  }
}

void ReplyJournal::put(std::string_view client, std::uint64_t epoch, std::uint64_t number, KeptReply& reply) {
  const std::string key = key_of(client, epoch, number);
  const wire::Buffer value = encode(reply);
  journal_->change().put(replies_, as_bytes(key), value.view());
  reply.commit = journal_->next();
}

void ReplyJournal::erase(std::string_view client, std::uint64_t epoch, std::uint64_t number) {
  const std::string key = key_of(client, epoch, number);
  journal_->change().erase(replies_, as_bytes(key));
}

void ReplyJournal::floor(std::string_view client, std::uint64_t epoch, std::uint64_t floor) {
  std::string value;
  append_number(value, epoch);
  append_number(value, floor);
  journal_->change().put(floors_, as_bytes(client), as_bytes(value));
}

}  // namespace weft::blocks
