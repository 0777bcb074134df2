// A Dealer that tries again: at-least-once and exactly-once. The RetryBook decides; this keeps the requests'
// bytes until they have ended, and turns decisions into messages.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <weft/protocol/retry_book.hpp>

#include "blocks/dealer_impl.hpp"
#include "blocks/stored.hpp"

namespace weft {
namespace blocks {

/// A router as the book knows it: it keeps its id, and its numbers, over connections and restarts.
struct Replica {
  std::string node;
  std::uint64_t peer = 0;  // the Peer through which it is reached now, or was last
  std::uint64_t epoch = 0;
  wire::BatchBuilder open;
  std::uint64_t first = 0;  // number that the open batch begins with
  std::uint32_t attempt = 1;
  explicit Replica(const std::shared_ptr<wire::BufferPool>& pool) : open(pool, 16 * 1024) {}
};

}  // namespace blocks

struct RetryDealer final : DealerBase::Impl {
  using Id = protocol::RetryBook::Id;
  struct Open {
    blocks::Stored request;
    std::string only;  // not empty: this router and no other
    Done done;
  };

  protocol::RetryBook book;
  std::unordered_map<RequestId, Open> requests;
  std::map<Id, blocks::Replica> replicas;
  std::map<std::string, Id, std::less<>> by_name;  // name_key(node, port)
  std::unordered_map<std::uint64_t, Id> by_peer;
  wire::BatchBuilder scratch;
  RequestId next_id = 1;
  Id next_replica = 1;
  std::uint64_t kept_bytes = 0;
  std::vector<std::pair<RequestId, std::uint64_t>> oversize;  // too large for their router's frames
  bool changed = false;  // something may be sent that could not be before: see change()
  Loop::TimerId timer = 0;
  TimePoint timer_at = TimePoint::max();

  RetryDealer(Loop& loop, PortOptions given, RecordType request, RecordType reply);

  RequestId add(const RequestTo& to, Deadline deadline, const Encode& encode, Done done) override;
  bool cancel(RequestId id) override;
  [[nodiscard]] bool has_room(const RequestTo& to) override;
  [[nodiscard]] std::size_t open_requests() const override { return requests.size(); }
  void fill(PortStats& stats) const override;
  void send_all() override;
  void refuse_oversize() override;
  void refuse_waiting() override;
  void end_all() override;

  [[nodiscard]] bool asked(const Peer& peer) const override { return by_peer.contains(peer.id); }
  void on_reply(std::uint64_t peer_id, std::uint64_t number, RawReply& reply) override;
  void on_up(Peer& peer) override;
  void on_room(Peer& peer) override;
  void on_down(Peer& peer, PeerEvent::What what) override;

  void change() {
    changed = true;
    wake();
  }

 private:
  Id replica_of(const Peer& peer);
  void forget_replicas();
  Peer* peer_of(Id id);
  protocol::RetryBook::View see(Id id);
  void collect(const protocol::RetryBook::Send& send);
  void flush(Id id, blocks::Replica& replica);
  void say_bye_when_idle(Peer& peer);
  void plan();
  void on_time();
  /// Takes the request out and tells who waits for it. False: this block is closed.
  bool finish(RequestId id, RawReply& reply);
  bool finish_all(const std::vector<protocol::RetryBook::End>& ends, std::string_view what);
  void explain(const protocol::RetryBook::End& end, const Open& open, std::string_view what, RawReply& reply);
};

}  // namespace weft
