#include <weft/ps/table.hpp>

#include <algorithm>
#include <array>
#include <cassert>
#include <exception>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::ps {

Table::Table(TableSpec spec, std::uint32_t shard, std::uint32_t shards)
    : spec_(std::move(spec)), width_(spec_.width), state_width_(spec_.optimizer.state_width(spec_.width)) {
  if (spec_.kind == TableKind::sparse) return;
  range_ = dense_range(spec_.rows, shards, shard);
  const std::size_t count = range_.end - range_.begin;
  try {
    weights_.resize(count * width_);
    state_.resize(count * state_width_);
  } catch (const std::exception&) {
    throw Error(Errc::invalid_argument,
                format("table {} does not fit in memory: {} rows of {} floats with {} of state", spec_.name,
                       count, width_, state_width_));
  }
  for (std::size_t slot = 0; slot < count; ++slot) {
    make_row(static_cast<std::uint32_t>(slot), range_.begin + slot);
  }
}

std::uint64_t Table::rows() const {
  return spec_.kind == TableKind::dense ? range_.end - range_.begin : index_.size();
}

RowArena Table::arena() {
  if (spec_.kind == TableKind::dense) return {weights_.data(), width_, state_.data(), state_width_, width_};
  const std::size_t stride = width_ + state_width_;
  float* slab = weights_.data();
  return {slab, stride, slab ? slab + width_ : nullptr, stride, width_};
}

void Table::make_row(std::uint32_t slot, std::uint64_t key) {
  const RowArena rows = arena();
  spec_.initializer.fill(key, {rows.weights + slot * rows.weight_stride, width_});
  reset_state(spec_.optimizer, rows, slot);
}

std::span<const std::uint32_t> Table::slots_of(std::span<const std::uint64_t> keys) {
  slots_.resize(keys.size());
  if (spec_.kind == TableKind::dense) {
    for (std::size_t i = 0; i < keys.size(); ++i)
      slots_[i] = static_cast<std::uint32_t>(keys[i] - range_.begin);
    return slots_;
  }
  const std::size_t before = index_.size();
  index_.find_or_add(keys, slots_.data());
  if (index_.size() != before) {
    weights_.resize(index_.size() * (width_ + state_width_));
    for (std::size_t row = before; row < index_.size(); ++row)
      make_row(static_cast<std::uint32_t>(row), index_.keys()[row]);
  }
  return slots_;
}

std::optional<std::string> Table::key_fault(std::span<const std::uint64_t> keys) const {
  if (spec_.kind == TableKind::sparse) return std::nullopt;
  for (const std::uint64_t key : keys) {
    if (key >= range_.begin && key < range_.end) continue;
    return format("key {} is outside of the rows {} to {} of table {} that this server holds", key,
                  range_.begin, range_.end, spec_.name);
  }
  return std::nullopt;
}

bool Table::has_room(std::span<const std::uint64_t> keys) const {
  if (spec_.kind == TableKind::dense || index_.size() + keys.size() <= spec_.max_rows) return true;
  std::uint64_t missing = 0;
  for (const std::uint64_t key : keys) missing += index_.find(key) == RowIndex::kNone ? 1 : 0;
  return index_.size() + missing <= spec_.max_rows;
}

void Table::read(std::span<const std::uint64_t> keys, std::span<float> out) const {
  assert(out.size() == keys.size() * width_);
  float* to = out.data();
  if (spec_.kind == TableKind::dense) {
    for (const std::uint64_t key : keys) {
      to = std::copy_n(weights_.data() + (key - range_.begin) * width_, width_, to);
    }
    return;
  }
  const std::size_t stride = width_ + state_width_;
  std::array<std::uint32_t, 256> slots;
  for (; !keys.empty(); keys = keys.subspan(std::min(keys.size(), slots.size()))) {
    const auto some = keys.first(std::min(keys.size(), slots.size()));
    index_.find(some, slots.data());
    for (std::size_t i = 0; i < some.size(); ++i) {
      if (slots[i] == RowIndex::kNone) {
        spec_.initializer.fill(some[i], {to, width_});
        to += width_;
      } else {
        to = std::copy_n(weights_.data() + slots[i] * stride, width_, to);
      }
    }
  }
}

void Table::read_at(std::span<const std::uint32_t> slots, std::span<float> out) const {
  assert(out.size() == slots.size() * width_);
  const std::size_t stride = spec_.kind == TableKind::dense ? width_ : width_ + state_width_;
  float* to = out.data();
  for (const std::uint32_t slot : slots) to = std::copy_n(weights_.data() + slot * stride, width_, to);
}

std::span<const std::uint32_t> Table::update(std::span<const std::uint64_t> keys,
                                             std::span<const float> gradients, float scale) {
  assert(gradients.size() == keys.size() * width_);
  const auto slots = slots_of(keys);
  apply_gradients(spec_.optimizer, arena(), slots, gradients.data(), scale);
  updates_ += keys.size();
  return slots;
}

void Table::make_rows(std::span<const std::uint64_t> keys) {
  if (spec_.kind == TableKind::dense) return;
  (void)slots_of(keys);
}

void Table::assign(std::span<const std::uint64_t> keys, std::span<const float> values) {
  assert(values.size() == keys.size() * width_);
  const float* from = values.data();
  const auto slots = slots_of(keys);
  const RowArena rows = arena();
  for (const std::uint32_t slot : slots) {
    std::copy_n(from, width_, rows.weights + slot * rows.weight_stride);
    reset_state(spec_.optimizer, rows, slot);
    from += width_;
  }
  updates_ += keys.size();
}

}  // namespace weft::ps
