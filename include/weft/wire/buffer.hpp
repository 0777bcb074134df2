// Buffer: a growable block of bytes from a bounded pool, handed to a socket without a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include <weft/core/bytes.hpp>

namespace weft::wire {

class BufferPool;

/// Where a pool gets large blocks before it asks the heap: memory that peers share.
class BlockSource {
 public:
  struct Room {
    std::byte* data = nullptr;
    std::size_t capacity = 0;
    std::shared_ptr<const void> owner;  ///< gives the room back, on any thread
  };
  virtual ~BlockSource() = default;
  /// At least `capacity` bytes, 16-byte aligned; `data` is null when there are none now. Any thread.
  virtual Room take(std::size_t capacity) = 0;
};

/// Owns one block. Move-only. Growing may move the bytes. One thread at a time; the block may be given back
/// to its pool from any thread (a socket's I/O thread does).
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept : block_(other.block_), size_(other.size_) {
    other.block_ = nullptr, other.size_ = 0;
  }
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer() { reset(); }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t capacity() const { return block_ ? block_->capacity : 0; }
  [[nodiscard]] std::byte* data() { return block_ ? bytes_of_block(block_) : nullptr; }
  [[nodiscard]] const std::byte* data() const { return block_ ? bytes_of_block(block_) : nullptr; }
  [[nodiscard]] Bytes view() const { return {data(), size_}; }

  /// Keeps the block.
  void clear() { size_ = 0; }
  /// Cuts to `size` bytes, at most the present size.
  void truncate(std::size_t size) { size_ = size < size_ ? size : size_; }
  void reserve(std::size_t capacity) {
    if (capacity > this->capacity()) grow(capacity);
  }
  /// Room for `count` bytes, at least one, behind the last one; what the caller has written there counts
  /// after advance().
  std::byte* room(std::size_t count) {
    if (size_ + count > capacity()) grow(size_ + count);
    return bytes_of_block(block_) + size_;
  }
  void advance(std::size_t count) { size_ += count; }
  /// Appends `count` bytes that the caller fills in.
  std::byte* extend(std::size_t count) {
    if (count == 0) return data() + size_;
    std::byte* const at = room(count);
    size_ += count;
    return at;
  }
  void append(const void* bytes, std::size_t count) {
    if (count != 0) std::memcpy(extend(count), bytes, count);
  }
  void append(Bytes bytes) { append(bytes.data(), bytes.size()); }
  /// What msgpack-cxx's packer calls.
  void write(const char* bytes, std::size_t count) { append(bytes, count); }

  /// Gives the block back to its pool, or frees it.
  void reset();

  /// For the transport: gives up ownership. `give_back` takes the hint, from any thread, exactly once.
  struct Released {
    void* data;
    std::size_t size;
    void* hint;
  };
  [[nodiscard]] Released release();
  static void give_back(void* hint);
  /// The same in the shape that zmq_msg_init_data asks for.
  static void give_back_fn(void* /*data*/, void* hint) { give_back(hint); }

 private:
  friend class BufferPool;
  // Sixteen-byte aligned, and so are the bytes, which lie behind it unless they have an owner.
  struct alignas(16) Block {
    std::size_t capacity;
    std::shared_ptr<BufferPool> pool;  // null: plain heap
    std::byte* bytes;
    std::shared_ptr<const void> owner;
  };
  static std::byte* bytes_of_block(Block* block) { return block->bytes; }
  static Block* make_block(std::size_t capacity);
  static void free_block(Block* block);
  void grow(std::size_t needed);

  Block* block_ = nullptr;
  std::size_t size_ = 0;
};

/// Keeps returned blocks for the next taker, up to a bound in bytes. Thread-safe.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  /// `keep_bytes`: the most that idle blocks may hold together.
  static std::shared_ptr<BufferPool> make(std::size_t keep_bytes = 16ULL << 20);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// An empty buffer with at least `capacity` bytes of room.
  Buffer take(std::size_t capacity);
  /// From now on buffers of `from` bytes or more come from there while it has room.
  void draw_from(std::shared_ptr<BlockSource> source, std::size_t from);
  /// What idle blocks hold together now, for metrics.
  [[nodiscard]] std::size_t idle_bytes() const;

 private:
  explicit BufferPool(std::size_t keep_bytes);
  friend class Buffer;
  bool keep(Buffer::Block* block);  // false: the caller frees it
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weft::wire
