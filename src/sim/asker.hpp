// SimAsker: the asking end of a simulated dealer-router link, with who asks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include <weft/protocol/retry_book.hpp>

#include "sim/link_peer.hpp"
#include "sim/request_world.hpp"

namespace weft::sim {

class SimAsker final : public LinkProcess {
 public:
  SimAsker(RequestWorld& world, std::uint32_t index, std::uint64_t requests);

  [[nodiscard]] bool at_rest() const override { return made_ == requests_ && open_.empty(); }

 protected:
  void on_start() override;
  void on_message(const SimMessage& message) override;
  TimePoint on_tick() override;
  void on_crash(bool power) override;
  void check_bounds() override;
  void on_up(LinkPeer& peer) override;
  void on_down(LinkPeer& peer, bool restarted) override;
  World& world() override { return world_; }
  [[nodiscard]] protocol::Credit window() const override { return world_.options().window; }

 private:
  using Book = protocol::RetryBook;
  /// Requests that leave in one message.
  struct Open {
    std::vector<RequestId> requests;
    std::uint64_t first = 0;
    std::uint32_t attempt = 1;
  };

  [[nodiscard]] LinkPeer& peer_of(Book::Id replica) { return peers_[replica - 1]; }
  [[nodiscard]] static Book::Id replica_of(const LinkPeer& peer, const LinkPeer& first) {
    return static_cast<Book::Id>(&peer - &first) + 1;
  }
  /// The last requests: one to each answerer, when nothing has broken for a while.
  [[nodiscard]] std::uint64_t probes() const {
    return std::min<std::uint64_t>(world_.options().answerers, requests_ / 2);
  }
  void ask();
  void cancel(Book::Ticket ticket);
  void pump();
  [[nodiscard]] Book::View see(Book::Id id);
  void collect(const Book::Send& send);
  void flush(Book::Id id);
  void on_reply(LinkPeer& peer, const SimMessage& message);
  void finish(const Book::End& end);
  RequestId take(Book::Ticket ticket);

  RequestWorld& world_;
  std::uint64_t requests_;
  std::uint64_t made_ = 0;  // who asks goes on where it was
  std::optional<Book> book_;
  std::vector<LinkPeer> peers_;
  std::vector<Open> batches_;  // a replica each
  std::unordered_map<Book::Ticket, RequestId> open_;
  std::vector<std::pair<TimePoint, Book::Ticket>> cancels_;
  TimePoint next_request_ = TimePoint::min();
  Book::Ticket next_ticket_ = 1;
  bool changed_ = false;  // something may be sent that could not be before
};

}  // namespace weft::sim
