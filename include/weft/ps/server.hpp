// Server: one shard of a parameter server on a port. Embeddable in any program that has a Loop.
//
//   weft::ps::Server server(loop, {.node = "server/0", .bind = {"tcp://127.0.0.1:5555"}}, {.workers = 4},
//                           {{.name = "weights"}});
//   loop.run();
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <weft/core/log.hpp>
#include <weft/ps/link.hpp>
#include <weft/ps/shard.hpp>

namespace weft::ps {

/// Answers what clients ask, keeps the tickets of parked requests, and tells the shard who has gone: a peer
/// that said BYE has left, one that is dead or was started again is dead, and one that is only silent for a
/// while (suspect) is slow, which changes nothing. Owned and used by the loop's thread.
class Server {
 public:
  /// With a port of its own. Clients address shard i as the node "server/i": with an empty `port.node` it is
  /// named so. `shard.incarnation` 0: wall-clock microseconds.
  Server(Loop& loop, const PortOptions& port, ShardOptions shard, std::vector<TableSpec> tables);
  /// On a port that a Node has opened and owns: the server must be used no more when that is gone. Hand peer
  /// events to on_peer().
  Server(ParamsRouter& router, ShardOptions shard, std::vector<TableSpec> tables, Logger log = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void on_peer(const PeerEvent& event);
  /// Nobody is held any more: what is parked, and what would have to be, gets an error reply that says so.
  /// Everything else is still answered.
  void begin_drain();

  /// What keeps requests waiting that only a newcomer can end: "3 requests wait, and worker 2 has never
  /// joined (3 are expected: see the option workers)"; empty: nothing of that kind.
  [[nodiscard]] std::string waits_for() const;

  [[nodiscard]] const Shard& shard() const { return shard_; }
  [[nodiscard]] ParamsRouter& router() { return *router_; }
  [[nodiscard]] const ParamsRouter& router() const { return *router_; }
  /// Counters of the shard, and `malformed`: requests whose bytes were none.
  [[nodiscard]] Value report() const;

 private:
  struct Waiting {
    RouterBase::Ticket ticket;
    std::uint32_t worker;
  };
  void listen();
  void on_request(const Request& request, RouterBase::Ticket ticket);
  void answer(std::uint64_t number, RouterBase::Ticket& ticket, bool& answered);
  void answer_waiting();
  void gone(const std::string& node, bool orderly);

  std::unique_ptr<ParamsRouter> own_;
  ParamsRouter* router_;
  Shard shard_;
  Logger log_;
  std::uint64_t next_ticket_ = 1;
  std::unordered_map<std::uint64_t, Waiting> waiting_;  ///< parked in the shard
  struct Owner {
    std::string node;
    std::uint64_t epoch = 0;
  };
  std::unordered_map<std::uint32_t, Owner> owners_;  ///< by worker
  std::vector<Reply> replies_;                       ///< scratch
  bool draining_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weft::ps
