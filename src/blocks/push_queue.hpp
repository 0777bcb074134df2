// Where the batches of a Push wait, and the plain sockets that they leave by with `wire: native`.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <weft/protocol/choose.hpp>
#include <weft/transport/socket.hpp>
#include <weft/wire/batch.hpp>
#include <weft/wire/header.hpp>

#include "blocks/parcel.hpp"

namespace weft::blocks {

constexpr int kNativeHighWater = 100;  // batches a socket; about as many bytes as a session's window
constexpr Duration kNativeRetry = std::chrono::milliseconds(2);  // first; then twice as long each time
constexpr Duration kNativeLastRetry = std::chrono::milliseconds(50);

/// Batches that wait for one receiver (hash, explicit) or for any (round-robin, balance).
struct Queue {
  wire::BatchBuilder open;
  std::deque<wire::BatchBuilder::Batch> ready;
  std::size_t taken = 0;  // bytes of the oldest one's body that have left already
  // Acknowledged deliveries: of the open batch.
  BatchClass kind;
  std::uint32_t lane = 0;
  std::vector<std::uint64_t> keys;
  std::vector<std::uint64_t> correlations;
  explicit Queue(const std::shared_ptr<wire::BufferPool>& pool, std::size_t reserve) : open(pool, reserve) {}

  /// The first records of the oldest batch as one of their own: at most `records`, and `bytes`, but one.
  struct Part {
    wire::BatchBuilder::Batch batch;
    std::size_t body = 0;  // bytes that they take of the oldest one's body
  };
  [[nodiscard]] Part part(std::uint64_t records, std::uint64_t bytes,
                          const std::shared_ptr<wire::BufferPool>& pool) const;
  /// They have left.
  void take(const Part& part);
};

/// A plain PUSH socket to one PULL peer.
struct NativeTarget {
  std::string endpoint;
  transport::Socket socket;
  std::uint64_t hash = 0;
  std::uint64_t last_seq = 0;
  wire::DataHeader header;

  NativeTarget(Context& context, const std::string& to, wire::DataHeader head, Duration linger)
      : endpoint(to),
        socket(context, transport::SocketType::push,
               {.send_high_water = kNativeHighWater, .linger = linger, .immediate = true}),
        hash(protocol::name_hash(to)),
        header(std::move(head)) {
    socket.connect(to);
  }

  /// False: no room now. The batch is left as it is either way.
  bool send(const wire::BatchBuilder::Batch& batch, std::uint64_t fingerprint, wire::BufferPool& pool) {
    wire::Buffer head = pool.take(256);
    header.encode(last_seq + 1, batch.count, head, fingerprint);
    std::vector<transport::Frame> frames;
    frames.emplace_back(head.view());
    frames.emplace_back(batch.body.view());
    for (const Tensor& tensor : batch.tensors) frames.emplace_back(tensor);
    if (socket.send(frames) != transport::SendStatus::sent) return false;
    ++last_seq;
    return true;
  }
};

}  // namespace weft::blocks
