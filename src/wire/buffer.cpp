#include <weft/wire/buffer.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <new>
#include <vector>

namespace weft::wire {
namespace {

constexpr std::size_t kSmallestBlock = 256;

std::size_t class_of(std::size_t capacity) {
  return static_cast<std::size_t>(std::countr_zero(capacity));
}

}  // namespace

Buffer::Block* Buffer::make_block(std::size_t capacity) {
  // Powers of two: a block fits a class of the pool, and pages that are never touched cost nothing.
  capacity = std::bit_ceil(std::max(capacity, kSmallestBlock));
  void* memory = std::malloc(sizeof(Block) + capacity);
  if (!memory) throw std::bad_alloc();
  auto* const bytes = static_cast<std::byte*>(memory) + sizeof(Block);
  return new (memory) Block{capacity, nullptr, bytes, nullptr};
}

void Buffer::free_block(Block* block) {
  block->~Block();
  std::free(block);
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    reset();
    std::swap(block_, other.block_);
    std::swap(size_, other.size_);
  }
  return *this;
}

void Buffer::reset() {
  if (block_) give_back(block_);
  block_ = nullptr;
  size_ = 0;
}

Buffer::Released Buffer::release() {
  const Released out{data(), size_, block_};
  block_ = nullptr;
  size_ = 0;
  return out;
}

void Buffer::give_back(void* hint) {
  auto* block = static_cast<Block*>(hint);
  if (!block) return;
  // An idle block must not keep its pool alive, and the pool must outlive the call.
  const std::shared_ptr<BufferPool> pool = std::move(block->pool);
  if (block->owner || !pool || !pool->keep(block)) free_block(block);
}

void Buffer::grow(std::size_t needed) {
  const std::size_t capacity = std::max(needed, 2 * this->capacity());
  Buffer wider;
  if (block_ && block_->pool) {
    wider = block_->pool->take(capacity);
  } else {
    wider.block_ = make_block(capacity);
  }
  if (size_ != 0) std::memcpy(wider.data(), data(), size_);
  std::swap(block_, wider.block_);
}

// Idle blocks by the power of two of their capacity, last in first out: the warmest is reused first.
struct BufferPool::State {
  std::mutex mutex;
  std::size_t keep_bytes = 0;
  std::size_t kept_bytes = 0;
  std::array<std::vector<Buffer::Block*>, 64> idle;
  std::shared_ptr<BlockSource> source;
  std::size_t source_from = std::numeric_limits<std::size_t>::max();
};

BufferPool::BufferPool(std::size_t keep_bytes) : state_(std::make_unique<State>()) {
  state_->keep_bytes = keep_bytes;
}

BufferPool::~BufferPool() {
  for (auto& blocks : state_->idle) {
    for (Buffer::Block* block : blocks) Buffer::free_block(block);
  }
}

std::shared_ptr<BufferPool> BufferPool::make(std::size_t keep_bytes) {
  return std::shared_ptr<BufferPool>(new BufferPool(keep_bytes));
}

Buffer BufferPool::take(std::size_t capacity) {
  const std::size_t fit = class_of(std::bit_ceil(std::max(capacity, kSmallestBlock)));
  // Up to four times too large is better than a new block; more would let small headers take the bodies'
  // blocks.
  const std::size_t last = std::min<std::size_t>(fit + 2, state_->idle.size() - 1);
  Buffer out;
  std::shared_ptr<BlockSource> source;
  {
    const std::lock_guard lock(state_->mutex);
    if (capacity >= state_->source_from) source = state_->source;
  }
  if (source) {
    auto room = source->take(capacity);
    if (room.data) {
      void* memory = std::malloc(sizeof(Buffer::Block));
      if (!memory) throw std::bad_alloc();
      out.block_ =
          new (memory) Buffer::Block{room.capacity, shared_from_this(), room.data, std::move(room.owner)};
      return out;
    }
  }
  {
    const std::lock_guard lock(state_->mutex);
    for (std::size_t c = fit; c <= last && !out.block_; ++c) {
      auto& blocks = state_->idle[c];
      if (blocks.empty()) continue;
      out.block_ = blocks.back();
      blocks.pop_back();
      state_->kept_bytes -= out.block_->capacity;
    }
  }
  if (!out.block_) out.block_ = Buffer::make_block(capacity);
  out.block_->pool = shared_from_this();
  return out;
}

void BufferPool::draw_from(std::shared_ptr<BlockSource> source, std::size_t from) {
  const std::lock_guard lock(state_->mutex);
  state_->source = std::move(source);
  state_->source_from = from;
}

std::size_t BufferPool::idle_bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->kept_bytes;
}

bool BufferPool::keep(Buffer::Block* block) {
  const std::lock_guard lock(state_->mutex);
  if (block->capacity > state_->keep_bytes - state_->kept_bytes) return false;
  state_->idle[class_of(block->capacity)].push_back(block);
  state_->kept_bytes += block->capacity;
  return true;
}

}  // namespace weft::wire
