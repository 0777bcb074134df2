#include <weft/ps/server.hpp>

#include <utility>

#include <weft/core/format.hpp>
#include <weft/ps/staleness_clock.hpp>

namespace weft::ps {
namespace {

PortOptions named(PortOptions port, std::uint32_t index) {
  if (port.node.empty()) port.node = format("server/{}", index);
  return port;
}

ShardOptions incarnate(ShardOptions options) {
  if (options.incarnation == 0) options.incarnation = wall_micros();
  return options;
}

}  // namespace

Server::Server(Loop& loop, const PortOptions& port, ShardOptions shard, std::vector<TableSpec> tables)
    : own_(std::make_unique<ParamsRouter>(loop, named(port, shard.index))),
      router_(own_.get()),
      shard_(incarnate(shard), std::move(tables)),
      log_(port.log) {
  router_->on_peer([this](const PeerEvent& event) { on_peer(event); });
  listen();
}

Server::Server(ParamsRouter& router, ShardOptions shard, std::vector<TableSpec> tables, Logger log)
    : router_(&router), shard_(incarnate(shard), std::move(tables)), log_(std::move(log)) {
  listen();
}

void Server::listen() {
  shard_.write_into([router = router_](std::size_t bytes) { return router->allocate(bytes); });
  router_->on_request(
      [this](const Request& request, RouterBase::Ticket ticket) { on_request(request, std::move(ticket)); });
}

Server::~Server() {
  router_->on_request([](const Request&, RouterBase::Ticket ticket) {
    ticket.fail(wire::Code::failed, "the parameter server was closed");
  });
  if (own_) router_->on_peer(nullptr);
}

void Server::on_request(const Request& request, RouterBase::Ticket ticket) {
  // An index out of range is the shard's to refuse; it must not take room here.
  if (request.op == Op::join && request.worker < StalenessClock::kMaxWorkers) {
    Owner& owner = owners_[request.worker];
    if (request.epoch >= owner.epoch) owner = {ticket.peer(), request.epoch};
  }
  const std::uint64_t number = next_ticket_++;
  replies_.clear();
  shard_.on_request(number, request, replies_);
  bool answered = false;
  answer(number, ticket, answered);
  if (answered) return;
  if (draining_) {
    shard_.cancel(number);
    ticket.fail(wire::Code::failed, "the server is stopping: nobody is waited for any more");
    return;
  }
  waiting_.emplace(number, Waiting{std::move(ticket), request.worker});
}

/// Sends the replies that came out: to `ticket` (of `number`) and to those that waited.
void Server::answer(std::uint64_t number, RouterBase::Ticket& ticket, bool& answered) {
  for (Reply& reply : replies_) {
    if (reply.ticket == number) {
      ParamsRouter::answer(ticket, std::move(reply));
      answered = true;
      continue;
    }
    auto waiting = waiting_.extract(reply.ticket);
    if (!waiting.empty()) ParamsRouter::answer(waiting.mapped().ticket, std::move(reply));
  }
  replies_.clear();
}

void Server::answer_waiting() {
  RouterBase::Ticket none;
  bool answered = false;
  answer(0, none, answered);
}

void Server::on_peer(const PeerEvent& event) {
  switch (event.what) {
    case PeerEvent::What::finished:
      return gone(event.node, true);
    case PeerEvent::What::dead:
    case PeerEvent::What::restarted:
    case PeerEvent::What::refused:
      return gone(event.node, false);
    default:
      return;
  }
}

void Server::gone(const std::string& node, bool orderly) {
  using State = StalenessClock::State;
  std::vector<std::uint32_t> workers;
  for (const auto& [worker, owner] : owners_) {
    const State state = shard_.clock().state(worker);
    if (owner.node == node && (state == State::running || state == State::finished))
      workers.push_back(worker);
  }
  for (const std::uint32_t worker : workers) {
    const bool ran = shard_.clock().state(worker) == State::running;
    replies_.clear();
    if (orderly) {
      Request leave;
      leave.op = Op::leave;
      leave.worker = worker;
      leave.epoch = owners_[worker].epoch;
      leave.clock = shard_.clock().clock(worker);
      shard_.on_request(next_ticket_++, leave, replies_);
    } else {
      shard_.on_worker_dead(worker, replies_);
    }
    answer_waiting();
    std::erase_if(waiting_, [&](const auto& entry) { return entry.second.worker == worker; });
    if (ran) {
      log_.warn(format("worker {} ({}) {} before it had finished; the others go on without it", worker, node,
                       orderly ? "left" : "was lost"));
    }
  }
}

void Server::begin_drain() {
  draining_ = true;
  for (auto& [number, waiting] : waiting_) {
    shard_.cancel(number);
    waiting.ticket.fail(wire::Code::failed, "the server is stopping: nobody is waited for any more");
  }
  waiting_.clear();
}

std::string Server::waits_for() const {
  const std::string who = shard_.missing();
  const std::uint64_t parked = shard_.stats().parked;
  if (who.empty() || parked == 0) return "";
  return format("{} request{}, and {} never joined: {} workers are expected", parked,
                parked == 1 ? " waits" : "s wait", who, shard_.expected_workers());
}

Value Server::report() const {
  Value value = shard_.stats().to_value();
  value["malformed"] = router_->malformed();
  return value;
}

}  // namespace weft::ps
