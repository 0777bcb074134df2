#include <weft/protocol/retry_book.hpp>

#include <algorithm>

#include <weft/protocol/choose.hpp>

namespace weft::protocol {

RetryBook::RetryBook(const RetryBookOptions& options)
    : options_(options), policy_(options.retry), replicas_(options.circuit) {
  options_.retry.check();
  options_.circuit.probe.check();
}

// ---- replicas

void RetryBook::add(Id id, std::uint64_t name, std::uint64_t key) {
  replicas_.add(id);
  const auto [at, fresh] = lanes_.try_emplace(id);
  at->second.name = name;
  at->second.key = key;
  // One that was forgotten and comes back must not see a number with two meanings.
  if (fresh) at->second.first = highest_ + 1;
}

bool RetryBook::remove(Id id) {
  const auto lane = lanes_.find(id);
  if (lane == lanes_.end()) return true;
  if (lane->second.open != 0) return false;
  lanes_.erase(lane);
  replicas_.remove(id);
  return true;
}

void RetryBook::up(Id id, std::uint64_t used) {
  const auto found = lanes_.find(id);
  if (found == lanes_.end()) return;
  Replica& lane = found->second;
  if (lane.sent.empty()) {
    lane.first = std::max(lane.first, used + 1);
    highest_ = std::max(highest_, lane.first - 1);
  }
  for (const Ticket ticket : lane.sent) {
    if (ticket == 0) continue;
    const auto at = requests_.find(ticket);
    if (at == requests_.end() || at->second.state != State::flying || at->second.at != id) continue;
    leave(ticket, at->second);
    replicas_.withdrawn(id);
    at->second.at = id;  // here and nowhere else: the same number, which the replica can tell
    make_ready(ticket, at->second);
  }
}

std::vector<RetryBook::End> RetryBook::down(Id id, bool life_over, TimePoint now) {
  std::vector<End> ends;
  const auto found = lanes_.find(id);
  if (found == lanes_.end()) return ends;
  const std::deque<Ticket> sent = found->second.sent;
  bool stumbled = false;
  for (const Ticket ticket : sent) {
    const auto at = ticket == 0 ? requests_.end() : requests_.find(ticket);
    if (at == requests_.end()) continue;
    Request& request = at->second;
    if (exact() && life_over) {
      if (request.state == State::flying) replicas_.withdrawn(id);
      ends.push_back(end_of(ticket, request, End::Why::unknown));
      close(at);
      continue;
    }
    if (request.at != id) continue;
    const bool flying = request.state == State::flying;
    if (!flying && request.state != State::ready) continue;
    if (flying) {
      // One death is one failure, however much was on its way.
      stumbled ? replicas_.withdrawn(id) : replicas_.failed(id, now);
      stumbled = true;
    }
    leave(ticket, request);
    if (auto end = fail(ticket, request, true, now)) {
      ends.push_back(*end);
      close(at);
    }
  }
  return ends;
}

// ---- requests

void RetryBook::open(Ticket ticket, TimePoint deadline, const Target& target) {
  const auto [at, fresh] = requests_.try_emplace(ticket);
  if (!fresh) return;
  at->second.target = target;
  at->second.deadline = deadline;
  deadlines_.emplace(deadline, ticket);
  make_ready(ticket, at->second);
}

std::vector<RetryBook::Placement> RetryBook::cancel(Ticket ticket) {
  const auto at = requests_.find(ticket);
  if (at == requests_.end()) return {};
  if (at->second.state == State::flying) replicas_.withdrawn(at->second.at);
  auto placements = at->second.placements;
  close(at);
  return placements;
}

std::set<RetryBook::Ticket>& RetryBook::queue_of(const Request& request) {
  const bool keyed = request.target.key && options_.distribute == Distribute::hash;
  return request.at != 0 || request.bound != 0 || request.target.only != 0 || keyed ? tied_ : free_;
}

void RetryBook::make_ready(Ticket ticket, Request& request) {
  request.state = State::ready;
  queue_of(request).insert(ticket);
}

/// Takes a request out of whatever state it is in; the caller puts it into the next one.
void RetryBook::leave(Ticket ticket, Request& request) {
  if (request.state == State::ready) queue_of(request).erase(ticket);
  if (request.state == State::flying) --flying_;
  if (request.when != TimePoint::max()) timers_.erase({request.when, ticket});
  request.when = TimePoint::max();
  request.state = State::resting;
}

void RetryBook::plan(Ticket ticket, Request& request, TimePoint when) {
  request.when = when;
  timers_.emplace(when, ticket);
}

void RetryBook::close(Requests::iterator at) {
  const auto placements = std::move(at->second.placements);
  leave(at->first, at->second);
  deadlines_.erase({at->second.deadline, at->first});
  requests_.erase(at);
  for (const Placement& p : placements) place_gone(p.replica, p.number);
}

void RetryBook::place_gone(Id id, std::uint64_t number) {
  const auto found = lanes_.find(id);
  if (found == lanes_.end()) return;
  Replica& lane = found->second;
  if (number < lane.first || number - lane.first >= lane.sent.size()) return;
  if (std::exchange(lane.sent[number - lane.first], 0) != 0) --lane.open;
  while (!lane.sent.empty() && lane.sent.front() == 0) {
    lane.sent.pop_front();
    ++lane.first;
  }
}

RetryBook::Requests::iterator RetryBook::at_number(Id id, std::uint64_t number) {
  const auto found = lanes_.find(id);
  if (found == lanes_.end()) return requests_.end();
  const Replica& lane = found->second;
  if (number < lane.first || number - lane.first >= lane.sent.size()) return requests_.end();
  const Ticket ticket = lane.sent[number - lane.first];
  return ticket == 0 ? requests_.end() : requests_.find(ticket);
}

// ---- sending

void RetryBook::pump(TimePoint now, const See& see, const Sink& sink) {
  for (auto at = tied_.begin(); at != tied_.end();) {
    const Ticket ticket = *at++;  // launch() takes it out
    Request& request = requests_.at(ticket);
    if (const Id id = choose(request, now, see); id != 0) launch(ticket, request, id, now, sink);
  }
  while (!free_.empty()) {
    const Ticket ticket = *free_.begin();
    Request& request = requests_.at(ticket);
    const Id id = choose_free(request, now, see);
    if (id == 0) break;  // what no replica takes from this one, it takes from none behind it
    launch(ticket, request, id, now, sink);
  }
}

RetryBook::Id RetryBook::choose(const Request& request, TimePoint now, const See& see) {
  const Id fixed = request.at != 0 ? request.at : request.bound;
  if (fixed != 0) {
    const View view = see(fixed);
    return view.usable && view.room ? fixed : 0;
  }
  if (request.target.only != 0) {
    for (const auto& [id, lane] : lanes_) {
      if (lane.name != request.target.only) continue;
      if (const View view = see(id); view.usable && view.room) return id;
    }
    return 0;
  }
  if (request.target.key && options_.distribute == Distribute::hash) {
    const Id id = owner(*request.target.key, see);
    if (id == 0) return 0;
    const View view = see(id);
    return view.usable && view.room ? id : 0;
  }
  return choose_free(request, now, see);
}

RetryBook::Id RetryBook::owner(std::uint64_t key, const See& see) const {
  std::vector<Candidate> candidates;
  std::vector<Id> ids;
  for (const auto& [id, lane] : lanes_) {
    if (!see(id).living) continue;
    candidates.push_back({.id = lane.key, .ready = true, .room = 0});
    ids.push_back(id);
  }
  const auto at = by_key(candidates, key);
  return at ? ids[*at] : 0;
}

/// In turn, or to who has the least to do; a replica that has just failed this request only when no other
/// takes it.
RetryBook::Id RetryBook::choose_free(const Request& request, TimePoint now, const See& see) {
  if (options_.distribute == Distribute::explicit_) return 0;
  Id best = 0;
  Id failed = 0;
  const auto better = [&](Id id) {
    return options_.distribute != Distribute::round_robin &&
           replicas_.outstanding(id) < replicas_.outstanding(best);
  };
  auto at = lanes_.upper_bound(last_choice_);
  for (std::size_t i = 0; i < lanes_.size(); ++i, ++at) {
    if (at == lanes_.end()) at = lanes_.begin();
    const Id id = at->first;
    const View view = see(id);
    if (!view.usable || !view.room || !view.window || !replicas_.admits(id, now)) continue;
    if (request.failed != 0 && id == request.last) {
      failed = id;
    } else if (best == 0 || better(id)) {
      best = id;
    }
  }
  if (best == 0) best = failed;
  if (best != 0) last_choice_ = best;
  return best;
}

void RetryBook::launch(Ticket ticket, Request& request, Id id, TimePoint now, const Sink& sink) {
  leave(ticket, request);
  request.state = State::flying;
  ++flying_;
  request.at = request.last = id;
  if (exact()) request.bound = id;
  if (++request.sends > 1) ++retries_;
  replicas_.offered(id, now);
  const auto known =
      std::ranges::find_if(request.placements, [&](const Placement& p) { return p.replica == id; });
  std::uint64_t number = 0;
  if (known != request.placements.end()) {
    number = known->number;
  } else {
    Replica& lane = lanes_.at(id);
    number = lane.first + lane.sent.size();
    lane.sent.push_back(ticket);
    ++lane.open;
    highest_ = std::max(highest_, number);
    request.placements.push_back({id, number});
  }
  plan(ticket, request, now + options_.attempt_timeout);
  sink({.ticket = ticket, .replica = id, .number = number, .attempt = request.sends});
}

std::uint64_t RetryBook::settled_below(Id id) const {
  const auto found = lanes_.find(id);
  return found == lanes_.end() ? 0 : found->second.first;
}

std::size_t RetryBook::open_at(Id id) const {
  const auto found = lanes_.find(id);
  return found == lanes_.end() ? 0 : found->second.open;
}

std::optional<RetryBook::Target> RetryBook::target(Ticket ticket) const {
  const auto found = requests_.find(ticket);
  return found == requests_.end() ? std::nullopt : std::optional(found->second.target);
}

// ---- ends

std::optional<RetryBook::Ticket> RetryBook::reply(Id id, std::uint64_t number) {
  const auto at = at_number(id, number);
  if (at == requests_.end()) return std::nullopt;
  const Ticket ticket = at->first;
  const Request& request = at->second;
  const bool flying = request.state == State::flying;
  if (flying && request.at == id) {
    replicas_.succeeded(id);
  } else {
    if (flying) replicas_.withdrawn(request.at);  // the other attempt is moot
    replicas_.recovered(id);
  }
  close(at);
  return ticket;
}

std::optional<RetryBook::End> RetryBook::error(Id id, std::uint64_t number, wire::Code code, TimePoint now) {
  const auto at = at_number(id, number);
  if (at == requests_.end()) return std::nullopt;
  const Ticket ticket = at->first;
  Request& request = at->second;
  const bool current = request.state == State::flying && request.at == id;
  const bool busy = code == wire::Code::full || code == wire::Code::retry;
  if (busy || (code == wire::Code::gone && !exact())) {
    // Nothing was done for this number. One that fell out of the window is asked anew.
    if (code == wire::Code::gone) {
      std::erase_if(request.placements, [&](const Placement& p) { return p.replica == id; });
      place_gone(id, number);
    }
    if (!current) return std::nullopt;
    busy ? replicas_.failed(id, now) : replicas_.withdrawn(id);
    leave(ticket, request);
    auto end = fail(ticket, request, !busy, now);
    if (end) close(requests_.find(ticket));
    return end;
  }
  // A handler that fails is a failing replica; one that refuses what it was asked is not.
  if (request.state == State::flying) {
    if (!current) {
      replicas_.withdrawn(request.at);
    } else if (code == wire::Code::failed) {
      replicas_.failed(id, now);
    } else {
      replicas_.succeeded(id);
    }
  }
  End end = end_of(ticket, request, code == wire::Code::gone ? End::Why::unknown : End::Why::remote_error);
  close(at);
  return end;
}

std::optional<RetryBook::End> RetryBook::fail(Ticket ticket, Request& request, bool at_once, TimePoint now) {
  ++request.failed;
  request.at = 0;
  if (!exact() && options_.max_attempts != 0 && request.failed >= options_.max_attempts) {
    return end_of(ticket, request, End::Why::exhausted);
  }
  // The first time elsewhere is at once: whoever waits should not wait for a back-off as well.
  if (at_once && request.failed == 1) {
    make_ready(ticket, request);
  } else {
    plan(ticket, request, now + policy_.wait(request.failed));
  }
  return std::nullopt;
}

RetryBook::End RetryBook::end_of(Ticket ticket, const Request& request, End::Why why) const {
  return {.ticket = ticket, .why = why, .attempts = request.sends, .last = request.last};
}

std::vector<RetryBook::End> RetryBook::tick(TimePoint now) {
  std::vector<End> ends;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto at = requests_.find(deadlines_.begin()->second);
    Request& request = at->second;
    if (request.state == State::flying) {
      // Its time was the asker's: only a whole time-out says something about the replica.
      request.when <= now ? replicas_.failed(request.at, now) : replicas_.withdrawn(request.at);
    }
    const bool offered = exact() && request.sends != 0;
    ends.push_back(end_of(at->first, request, offered ? End::Why::unknown : End::Why::deadline));
    close(at);
  }
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto at = requests_.find(timers_.begin()->second);
    Request& request = at->second;
    if (request.state != State::flying) {
      leave(at->first, request);
      make_ready(at->first, request);
      continue;
    }
    replicas_.failed(request.at, now);
    leave(at->first, request);
    if (auto end = fail(at->first, request, false, now)) {
      ends.push_back(*end);
      close(at);
    }
  }
  return ends;
}

TimePoint RetryBook::next_tick(TimePoint now) const {
  TimePoint next = TimePoint::max();
  if (!timers_.empty()) next = timers_.begin()->first;
  if (!deadlines_.empty()) next = std::min(next, deadlines_.begin()->first);
  if (!free_.empty()) next = std::min(next, replicas_.next_probe(now).value_or(TimePoint::max()));
  return next;
}

}  // namespace weft::protocol
