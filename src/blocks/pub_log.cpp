#include "blocks/pub_log.hpp"

#include <algorithm>

#include <weft/wire/pack.hpp>

namespace weft::blocks {

using transport::Frame;

namespace {

constexpr std::size_t kSeqBytes = 8;

std::string key_of(std::string_view topic, std::uint64_t seq) {
  std::string key(topic);
  for (int shift = 56; shift >= 0; shift -= 8) key += static_cast<char>(seq >> shift & 0xFF);
  return key;
}

struct Head {
  std::uint64_t number = 0;
  std::uint32_t count = 0;
  std::vector<std::uint64_t> sizes;
  Bytes rest;
};

std::optional<Head> head_of(Bytes value) {
  wire::Unpack in(value);
  const auto number = in.uint();
  const auto count = in.uint();
  const auto frames = in.array();
  if (!number || !count || !frames || *frames > wire::kMaxFrames) return std::nullopt;
  Head head{*number, static_cast<std::uint32_t>(*count), {}, {}};
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < *frames; ++i) {
    const auto size = in.uint();
    if (!size || *size > value.size()) return std::nullopt;
    head.sizes.push_back(*size);
    sum += *size;
  }
  head.rest = in.rest();
  if (sum != head.rest.size()) return std::nullopt;
  return head;
}

}  // namespace

PubLog::PubLog(std::shared_ptr<Journal> journal, const std::string& port)
    : journal_(std::move(journal)), space_("log/" + port), state_space_("log-state/" + port) {}

std::uint64_t PubLog::epoch(std::uint64_t fresh) {
  if (const auto known = journal_->read(state_space_, as_bytes("epoch"))) {
    if (const auto epoch = wire::Unpack(*known).uint()) return *epoch;
  }
  wire::Buffer packed;
  wire::Pack(packed).uint(fresh);
  journal_->change().put(state_space_, as_bytes("epoch"), packed.view());
  return fresh;
}

std::vector<PubLog::Entry> PubLog::entries() const {
  std::vector<Entry> out;
  journal_->for_each(state_space_, [&](Bytes key, Bytes value) {
    if (!as_text(key).starts_with('#')) return;
    wire::Unpack in(value);
    const auto last = in.uint();
    const auto number = in.uint();
    if (!last || !number) return;
    out.push_back({std::string(as_text(key).substr(1)), *last, *number, 0, 0, false});
  });
  journal_->for_each(space_, [&](Bytes key, Bytes value) {
    const auto head = head_of(value);
    if (!head || key.size() < kSeqBytes) return;
    const std::size_t topic = key.size() - kSeqBytes;
    out.push_back({std::string(as_text(key).substr(0, topic)),
                   wire::detail::load<std::uint64_t>(key.data() + topic), head->number, head->count,
                   head->rest.size(), true});
  });
  std::ranges::sort(out, {}, &Entry::number);
  return out;
}

std::vector<Frame> PubLog::read(std::string_view topic, std::uint64_t seq) const {
  std::vector<Frame> frames;
  const auto value = journal_->read(space_, as_bytes(key_of(topic, seq)));
  const auto head = value ? head_of(*value) : std::nullopt;
  if (!head) return frames;
  std::size_t at = 0;
  for (const std::uint64_t size : head->sizes) {
    frames.emplace_back(head->rest.subspan(at, size));
    at += size;
  }
  return frames;
}

std::uint64_t PubLog::append(std::string_view topic, std::uint64_t seq, std::uint64_t number,
                             std::uint32_t count, const std::vector<Frame>& frames) {
  wire::Buffer head;
  wire::Pack(head).uint(number);
  wire::Pack(head).uint(count);
  wire::Pack(head).array(frames.size());
  for (const Frame& frame : frames) wire::Pack(head).uint(frame.size());
  std::vector<Bytes> parts{head.view()};
  for (const Frame& frame : frames) parts.push_back(frame.view());
  journal_->change().put(space_, as_bytes(key_of(topic, seq)), parts);
  return journal_->next();
}

std::optional<std::uint64_t> PubLog::accepted() const {
  if (const auto known = journal_->read(state_space_, as_bytes("accepted"))) {
    if (const auto records = wire::Unpack(*known).uint()) return *records;
  }
  std::uint64_t records = 0;
  std::uint64_t batches = 0;
  for (const Entry& entry : entries()) {
    if (!entry.retained || entry.number != ++batches) return std::nullopt;
    records += entry.count;
  }
  return records;
}

void PubLog::accept(std::uint64_t records) {
  wire::Buffer packed;
  wire::Pack(packed).uint(records);
  journal_->change().put(state_space_, as_bytes("accepted"), packed.view());
}

void PubLog::erase(std::string_view topic, std::uint64_t seq) {
  journal_->change().erase(space_, as_bytes(key_of(topic, seq)));
}

void PubLog::remember(std::string_view topic, std::uint64_t last, std::uint64_t number) {
  wire::Buffer packed;
  wire::Pack(packed).uint(last);
  wire::Pack(packed).uint(number);
  journal_->change().put(state_space_, as_bytes("#" + std::string(topic)), packed.view());
}

}  // namespace weft::blocks
