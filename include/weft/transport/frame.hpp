// Frame and Message: what sockets send and receive, without a copy where that pays.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/wire/buffer.hpp>
#include <weft/wire/tensor.hpp>

namespace weft::transport {

/// One frame of a message; owns its bytes. Move-only; one thread at a time.
class Frame {
 public:
  Frame() noexcept;
  /// Copies.
  explicit Frame(Bytes bytes);
  /// Takes the buffer over without a copy (small ones are copied, which is cheaper); its block returns to its
  /// pool.
  explicit Frame(wire::Buffer&& buffer);
  /// Shares the tensor's owner until the bytes are out; copies when the tensor is small or has no owner.
  explicit Frame(const Tensor& tensor);
  Frame(Frame&& other) noexcept;
  Frame& operator=(Frame&& other) noexcept;
  ~Frame();

  [[nodiscard]] Bytes view() const;
  [[nodiscard]] std::size_t size() const;
  /// A second reference to the same bytes (for sending one batch to several peers).
  [[nodiscard]] Frame share() const;
  /// Writes over the last bytes of a frame that is a copy of its own, and that nobody shares.
  void overwrite_end(Bytes bytes);

 private:
  friend class Socket;
  void* raw() noexcept { return storage_; }
  alignas(std::max_align_t) mutable unsigned char storage_[64];  // a zmq_msg_t; checked in the .cpp
};

/// The frames of one message. Keeps its memory when cleared, so that one Message serves a whole receive loop.
class Message {
 public:
  [[nodiscard]] std::size_t size() const { return frames_.size(); }
  [[nodiscard]] bool empty() const { return frames_.empty(); }
  Frame& operator[](std::size_t i) { return frames_[i]; }
  const Frame& operator[](std::size_t i) const { return frames_[i]; }
  void clear() { frames_.clear(), oversize_ = false; }
  void push_back(Frame frame) { frames_.push_back(std::move(frame)); }
  auto begin() { return frames_.begin(); }
  auto end() { return frames_.end(); }
  /// More frames arrived than protocol 1 allows; the rest was dropped. Reject the message.
  [[nodiscard]] bool oversize() const { return oversize_; }

 private:
  friend class Socket;
  std::vector<Frame> frames_;
  bool oversize_ = false;
};

}  // namespace weft::transport
