// SimAnswerer: the answering end of a simulated dealer-router link, with its handler.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <weft/protocol/reply_book.hpp>

#include "sim/link_peer.hpp"
#include "sim/node_journal.hpp"
#include "sim/request_world.hpp"

namespace weft::sim {

/// A reply that is kept: to that request, or an error.
struct SimReply {
  RequestId request = 0;
  wire::Code code = wire::Code::none;
  std::uint64_t size = 0;
  std::uint64_t commit = 0;
  [[nodiscard]] std::uint64_t bytes() const { return size; }
};

/// The replies of an answerer in its journal.
class SimReplyStore final : public protocol::ReplyStore<SimReply> {
 public:
  explicit SimReplyStore(NodeJournal& journal) : journal_(journal) {}
  void restore(const Floor& floor, const Kept& reply) const override;
  void put(std::string_view client, std::uint64_t epoch, std::uint64_t number, SimReply& reply) override;
  void erase(std::string_view client, std::uint64_t epoch, std::uint64_t number) override;
  void floor(std::string_view client, std::uint64_t epoch, std::uint64_t floor) override;
  void commit() override { (void)journal_.submit(); }
  [[nodiscard]] bool durable(std::uint64_t commit) const override {
    return commit <= journal_.store().durable();
  }

 private:
  NodeJournal& journal_;
};

class SimAnswerer final : public LinkProcess {
 public:
  SimAnswerer(RequestWorld& world, std::uint32_t index, std::uint32_t number);

  [[nodiscard]] bool at_rest() const override;

 protected:
  void on_start() override;
  void on_message(const SimMessage& message) override;
  TimePoint on_tick() override;
  void on_crash(bool power) override;
  void check_bounds() override;
  void on_flush() override;
  void on_handled() override;
  void on_up(LinkPeer&) override { pump(); }
  void on_down(LinkPeer& peer, bool restarted) override;
  World& world() override { return world_; }
  [[nodiscard]] protocol::Credit window() const override { return world_.options().window; }

 private:
  using Book = protocol::ReplyBook<SimReply>;
  /// A message of requests, until the last of them has been handed out.
  struct Hold {
    std::uint64_t epoch = 0, last = 0, bytes = 0;
  };
  struct Item {
    std::uint32_t asker = 0;
    std::uint64_t epoch = 0, number = 0;
    RequestId request = 0;
    std::shared_ptr<Hold> last{};  // the last one of its message
  };
  struct Ready {
    std::uint64_t first = 0;
    std::vector<RequestId> replies;
    wire::Code code = wire::Code::none;
    std::uint64_t bytes = 0;
  };
  struct Asker {
    std::deque<Ready> ready;
    std::uint64_t queued_bytes = 0;
    std::string client;
  };
  struct Commit {
    std::uint64_t number = 0;
    RequestId request = 0;
    std::vector<std::byte> key{};
  };

  bool open_journal();
  void make_book();
  void on_request(LinkPeer& peer, const SimMessage& message);
  bool fresh(LinkPeer& peer, std::uint64_t number);
  void on_cancel(LinkPeer& peer, std::uint64_t number);
  void handle_next();
  void answer(const Item& item);
  void keep(const Item& item, SimReply reply);
  void deliver(std::uint32_t asker, std::uint64_t epoch, std::uint64_t number, const SimReply& reply);
  void queue(std::uint32_t asker, std::uint64_t number, const SimReply& reply);
  void pump();
  void ask_flush();

  RequestWorld& world_;
  std::optional<NodeJournal> journal_;
  std::optional<SimReplyStore> store_;
  std::optional<Book> book_;
  std::vector<LinkPeer> peers_;
  std::vector<Asker> askers_;
  std::deque<Item> waiting_;    // for the handler
  std::vector<Item> parked_;    // the handler has them and answers later
  std::deque<Commit> commits_;  // submitted, and not yet known to be durable
  std::uint64_t committed_ = 0;
  bool busy_ = false;
  bool flushing_ = false;
};

}  // namespace weft::sim
