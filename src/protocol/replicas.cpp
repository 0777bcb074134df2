#include <weft/protocol/replicas.hpp>

#include <algorithm>

namespace weft::protocol {

std::string_view to_string(Circuit circuit) {
  switch (circuit) {
    case Circuit::closed:
      return "closed";
    case Circuit::open:
      return "open";
    case Circuit::half_open:
      return "half-open";
  }
  return "unknown";
}

void ReplicaSet::offered(Id id, TimePoint now) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end()) return;
  ++found->second.outstanding;
  if (found->second.opens && now >= *found->second.opens) found->second.probing = true;
}

void ReplicaSet::succeeded(Id id) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end()) return;
  if (found->second.outstanding != 0) --found->second.outstanding;
  recovered(id);
}

void ReplicaSet::recovered(Id id) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end()) return;
  Replica& replica = found->second;
  replica.failures = replica.opened = 0;
  replica.opens.reset();
  replica.probing = false;
}

void ReplicaSet::withdrawn(Id id) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end()) return;
  Replica& replica = found->second;
  if (replica.outstanding != 0) --replica.outstanding;
  if (replica.outstanding == 0) replica.probing = false;  // the probe told nothing: another one may
}

void ReplicaSet::failed(Id id, TimePoint now) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end()) return;
  if (found->second.outstanding != 0) --found->second.outstanding;
  stumbled(id, now);
}

void ReplicaSet::stumbled(Id id, TimePoint now) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end() || options_.failures == 0) return;
  Replica& replica = found->second;
  ++replica.failures;
  // What was on its way when the circuit opened fails as well: that is no new news.
  if (replica.opens && !(replica.probing && now >= *replica.opens)) return;
  if (!replica.opens && replica.failures < options_.failures) return;
  ++opened_;
  replica.probing = false;
  replica.opens = now + probes_.wait(++replica.opened);
}

bool ReplicaSet::admits(Id id, TimePoint now) const {
  const auto found = replicas_.find(id);
  if (found == replicas_.end()) return false;
  const Replica& replica = found->second;
  return !replica.opens || (now >= *replica.opens && !replica.probing);
}

Circuit ReplicaSet::circuit(Id id, TimePoint now) const {
  const auto found = replicas_.find(id);
  if (found == replicas_.end() || !found->second.opens) return Circuit::closed;
  return now >= *found->second.opens ? Circuit::half_open : Circuit::open;
}

std::size_t ReplicaSet::outstanding(Id id) const {
  const auto found = replicas_.find(id);
  return found == replicas_.end() ? 0 : found->second.outstanding;
}

std::optional<TimePoint> ReplicaSet::next_probe(TimePoint now) const {
  std::optional<TimePoint> next;
  for (const auto& [id, replica] : replicas_) {
    if (replica.opens && *replica.opens > now) next = std::min(next.value_or(*replica.opens), *replica.opens);
  }
  return next;
}

}  // namespace weft::protocol
