#include <weft/transport/frame.hpp>

#include <cassert>
#include <cstring>
#include <new>
#include <utility>

#include <zmq.h>

#include "tsan.hpp"

namespace weft::transport {
namespace {

static_assert(sizeof(zmq_msg_t) == 64, "Frame::storage_ holds a zmq_msg_t");
static_assert(alignof(zmq_msg_t) <= alignof(std::max_align_t));

// Below these sizes a copy costs less than the bookkeeping of shared ownership.
constexpr std::size_t kAdoptBuffer = 512;
constexpr std::size_t kShareTensor = 4096;

using Owner = std::shared_ptr<const void>;

zmq_msg_t* message_of(void* storage) {
  return static_cast<zmq_msg_t*>(storage);
}

void init_copy(void* storage, Bytes bytes) {
  if (zmq_msg_init_size(message_of(storage), bytes.size()) != 0) throw std::bad_alloc();
  if (!bytes.empty()) std::memcpy(zmq_msg_data(message_of(storage)), bytes.data(), bytes.size());
}

// Both run on an I/O thread as a rule.
void give_back_buffer(void* data, void* hint) {
  tsan_taken_over(data);
  wire::Buffer::give_back(hint);
}

void drop_owner(void* data, void* hint) {
  tsan_taken_over(data);
  delete static_cast<Owner*>(hint);
}

}  // namespace

Frame::Frame() noexcept {
  zmq_msg_init(message_of(storage_));
}

Frame::Frame(Bytes bytes) {
  init_copy(storage_, bytes);
}

Frame::Frame(wire::Buffer&& buffer) {
  if (buffer.size() < kAdoptBuffer) {
    init_copy(storage_, buffer.view());
    buffer.reset();
    return;
  }
  const auto released = buffer.release();
  if (zmq_msg_init_data(message_of(storage_), released.data, released.size, give_back_buffer,
                        released.hint) != 0) {
    wire::Buffer::give_back(released.hint);
    throw std::bad_alloc();
  }
}

Frame::Frame(const Tensor& tensor) {
  if (!tensor.owner || tensor.data.size() < kShareTensor) {
    init_copy(storage_, tensor.data);
    return;
  }
  auto share = std::make_unique<Owner>(tensor.owner);
  // libzmq takes a pointer to non-const and does not write through it.
  void* data = const_cast<std::byte*>(tensor.data.data());
  if (zmq_msg_init_data(message_of(storage_), data, tensor.data.size(), drop_owner, share.get()) != 0) {
    throw std::bad_alloc();
  }
  share.release();
}

// A zmq_msg_t holds no pointer into itself, and zmq_msg_move() does no more than this to an empty target.
Frame::Frame(Frame&& other) noexcept {
  std::memcpy(storage_, other.storage_, sizeof storage_);
  zmq_msg_init(message_of(other.storage_));
}

Frame& Frame::operator=(Frame&& other) noexcept {
  if (this != &other) zmq_msg_move(message_of(storage_), message_of(other.storage_));
  return *this;
}

Frame::~Frame() {
#ifdef WEFT_TSAN
  // Giving back what was never sent, or what another frame shares: what this thread did to it comes first.
  if (zmq_msg_size(message_of(storage_)) >= kAdoptBuffer)
    tsan_handed_over(zmq_msg_data(message_of(storage_)));
#endif
  zmq_msg_close(message_of(storage_));
}

Bytes Frame::view() const {
  return {static_cast<const std::byte*>(zmq_msg_data(message_of(storage_))),
          zmq_msg_size(message_of(storage_))};
}

std::size_t Frame::size() const {
  return zmq_msg_size(message_of(storage_));
}

void Frame::overwrite_end(Bytes bytes) {
  assert(bytes.size() <= size());
  auto* const data = static_cast<std::byte*>(zmq_msg_data(message_of(storage_)));
  std::memcpy(data + (size() - bytes.size()), bytes.data(), bytes.size());
}

Frame Frame::share() const {
  Frame copy;
  zmq_msg_copy(message_of(copy.storage_), message_of(storage_));
  return copy;
}

}  // namespace weft::transport
