// What links promise: against their pattern and wire, at ports that they share, and the links that carry
// dead letters.
#include <map>
#include <set>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

#include "model.hpp"
#include "names.hpp"

namespace weft::topology {
namespace {

struct Key {
  const Tree*& at;
  std::string_view name;
};

/// Every key that is there is refused for the same reason, and then taken away: one reason a key is enough.
void refuse_all(std::initializer_list<Key> keys, const LinkSpec& link, std::string_view why,
                Problems& problems) {
  for (const Key& key : keys) {
    if (key.at) refuse(key.at, link, key.name, why, problems);
    key.at = nullptr;
  }
}

void check_best_effort(LinkSpec& link, Problems& problems) {
  // An end of it that was refused already says enough.
  const bool ends = link.plan.journal_from.empty() == (link.journal_from == nullptr) &&
                    link.plan.journal_to.empty() == (link.journal_to == nullptr);
  if (!ends) link.journal = nullptr;
  const std::string_view why =
      link.plan.wire == WireMode::native
          ? "wire: native has plain sockets, which acknowledge nothing; leave out wire, and set delivery: "
            "at-least-once"
          : "it needs acknowledged delivery, and this link is best-effort; set delivery: at-least-once";
  refuse_all({{link.journal, "journal"},
              {link.priority, "priority"},
              {link.ttl, "ttl"},
              {link.delay, "delay"},
              {link.max_attempts, "max-attempts"},
              {link.dead_letter, "dead-letter"},
              {link.capacity_records, "capacity.records"},
              {link.retain, "retain"},
              {link.replay, "replay"}},
             link, why, problems);
}

void check_pub_sub_promises(LinkSpec& link, Problems& problems) {
  if (link.plan.delivery == Delivery::exactly_once) {
    refuse(link.delivery, link, "delivery",
           "with pub-sub, at-least-once already applies every update once and in order, since duplicates are "
           "dropped; set delivery: at-least-once",
           problems);
  }
  refuse_all({{link.priority, "priority"}, {link.delay, "delay"}}, link,
             "with pub-sub the updates of a topic leave in their order and at once", problems);
  refuse_all({{link.ttl, "ttl"}}, link,
             "with pub-sub nothing waits for one receiver; retain bounds what is kept of the past", problems);
  refuse_all({{link.max_attempts, "max-attempts"}, {link.dead_letter, "dead-letter"}}, link,
             "with pub-sub no receiver is tried: each subscriber fetches what it missed", problems);
  refuse_all({{link.capacity_records, "capacity.records"}}, link,
             "only push-pull counts the records that wait; give the bytes", problems);
  refuse_all({{link.journal_to, "journal.to"}}, link,
             "with pub-sub the publisher keeps the log: use journal: {from: ...}, and replay to say where a "
             "subscriber begins",
             problems);
  const bool reliable = link.plan.delivery != Delivery::best_effort;
  if (reliable && link.replay && link.plan.replay != From::latest && !link.journal_from) {
    problems.add(*link.replay,
                 format("{}.replay is {}, and without a journal the publisher has only its window; add "
                        "journal: {{from: path}}, or use replay: latest",
                        link.path, weft::quoted(link.replay->text)));
  }
}

void check_requests(LinkSpec& link, Problems& problems) {
  refuse_all({{link.priority, "priority"}, {link.delay, "delay"}}, link,
             "with dealer-router a request leaves when it is made", problems);
  refuse_all({{link.ttl, "ttl"}}, link, "with dealer-router each request has a deadline of its own",
             problems);
  refuse_all(
      {{link.dead_letter, "dead-letter"}}, link,
      "with dealer-router every request ends in a reply or an error at the asker, so none is left over",
      problems);
  refuse_all({{link.capacity_records, "capacity.records"}}, link,
             "only push-pull counts the records that wait; give the bytes", problems);
  refuse_all(
      {{link.journal_from, "journal.from"}}, link,
      "with dealer-router a request ends with its asker; the answerer's marks are in journal: {to: ...}",
      problems);
}

void check_exactly_once(const LinkSpec& link, Problems& problems) {
  if (link.pattern == Pattern::pub_sub || link.journal_to) return;
  problems.add(*link.delivery,
               format("{}.delivery is exactly-once, which needs a journal at the receiving end, where marks "
                      "and results are committed together; add journal: {{to: path}}",
                      link.path));
}

std::string place_of(const LinkSpec& link) {
  return link.place.line == 0 ? "elsewhere" : format("on line {}", link.place.line);
}

/// Dead letters must end somewhere: not at a node that hands them on as its own.
class DeadLetterCircles {
 public:
  explicit DeadLetterCircles(const Model& model) {
    for (const LinkSpec& link : model.links) {
      if (link.dead_letter_port && link.from) leads_[link.from->node].insert(link.dead_letter_port->node);
    }
  }
  [[nodiscard]] bool leads_back(const std::string& from, const std::string& to) const {
    std::set<std::string> seen{to};
    std::vector<std::string> open{to};
    while (!open.empty()) {
      const std::string at = std::move(open.back());
      open.pop_back();
      if (at == from) return true;
      const auto next = leads_.find(at);
      if (next == leads_.end()) continue;
      for (const std::string& node : next->second) {
        if (seen.insert(node).second) open.push_back(node);
      }
    }
    return false;
  }

 private:
  std::map<std::string, std::set<std::string>> leads_;
};

bool same_port(const PortRef& a, const PortRef& b) {
  return a.node == b.node && a.port == b.port;
}

/// False after reporting that the dead letters of a link cannot go where it says.
bool check_letters(const LinkSpec& link, const DeadLetterCircles& circles, Problems& problems) {
  const PortRef& to = *link.dead_letter_port;
  if (same_port(to, *link.from) || same_port(to, *link.to)) {
    refuse(link.dead_letter, link, "dead-letter",
           format("{} is an end of this very link; name a port that others send to, or a new one",
                  weft::quoted(to.at->text)),
           problems);
    return false;
  }
  if (circles.leads_back(link.from->node, to.node)) {
    refuse(link.dead_letter, link, "dead-letter",
           to.node == link.from->node
               ? format("{} would get its own dead letters, and could take none while it drains; name a port "
                        "of another node",
                        weft::quoted(to.node))
               : format("the dead letters of {} would come back to it by way of those of {}; let one of them "
                        "lead to a node that has none",
                        weft::quoted(link.from->node), weft::quoted(to.node)),
           problems);
    return false;
  }
  return true;
}

LinkSpec link_for_letters(const LinkSpec& of) {
  LinkSpec link;
  link.place = of.dead_letter->place;
  link.path = of.path + ".dead-letter";
  link.from = PortRef{of.from->node, dead_letter_port(of.from->port), of.dead_letter};
  link.to = of.dead_letter_port;
  link.pattern = Pattern::push_pull;
  link.plan.pattern = Pattern::push_pull;
  link.plan.delivery = Delivery::at_least_once;
  link.plan.transport = of.plan.transport;
  link.plan.dead_after = of.plan.dead_after;
  link.endpoint = of.dead_letter_endpoint;
  link.endpoints = of.dead_letter_endpoints;
  // One journal for a record and its dead letter: it is in one of them, never in none or both.
  link.plan.journal_from = of.plan.journal_from;
  link.plan.dead_letters_of = format("{}.{}>{}.{}", of.from->node, of.from->port, of.to->node, of.to->port);
  return link;
}

/// Settings that belong to the port, and not to one link of it.
struct PortPromise {
  const LinkSpec* link;
  std::string journal;
};

std::string shown(const std::string& path) {
  return path.empty() ? "none" : weft::quoted(path);
}

std::string shown_replay(const LinkPlan& plan) {
  return plan.replay == From::sequence   ? std::to_string(plan.replay_sequence)
         : plan.replay == From::earliest ? "earliest"
                                         : "latest";
}

/// One difference is enough: the first that two links of a port have.
void compare(const LinkSpec& link, const PortRef& port, bool sender, const PortPromise& first,
             Problems& problems) {
  const LinkPlan& mine = link.plan;
  const LinkPlan& other = first.link->plan;
  const std::string name = weft::quoted(port.node + "." + port.port);
  const std::string where = place_of(*first.link);
  const auto report = [&](std::string_view what, std::string_view here, std::string_view there) {
    problems.add(*port.at,
                 format("the port {} has {} {} here and {} {}; a port promises one thing to all its "
                        "links, so make them alike, or use two ports",
                        name, what, here, there, where));
  };
  const std::string& journal = sender ? mine.journal_from : mine.journal_to;
  if (mine.delivery != other.delivery) {
    if (!mine.dead_letters_of.empty() || !other.dead_letters_of.empty()) {
      const LinkPlan& file = mine.dead_letters_of.empty() ? mine : other;
      problems.add(*port.at,
                   format("dead letters come to {} with at-least-once, and it is {} {}; make that link "
                          "at-least-once, or name another port",
                          name, to_string(file.delivery), where));
      return;
    }
    report("delivery", to_string(mine.delivery), to_string(other.delivery));
  } else if (journal != first.journal) {
    report("the journal", shown(journal), shown(first.journal));
  } else if (sender && mine.retain_bytes != other.retain_bytes) {
    report("retain", format("{} bytes", mine.retain_bytes), format("{} bytes", other.retain_bytes));
  } else if (!sender && shown_replay(mine) != shown_replay(other)) {
    report("replay", shown_replay(mine), shown_replay(other));
  }
}

}  // namespace

void refuse(const Tree* at, const LinkSpec& link, std::string_view key, std::string_view why,
            Problems& problems) {
  problems.add(*at, format("{}.{} does not fit here: {}", link.path, key, why));
}

void check_promises(const LinkSpec& link, Problems& problems) {
  if (!link.pattern) return;
  // A word that is none was reported; what it was meant to be is not known.
  if (link.delivery && link.delivery->text != to_string(link.plan.delivery)) return;
  if (link.plan.wire == WireMode::native && link.plan.delivery != Delivery::best_effort) {
    refuse(link.delivery, link, "delivery",
           "wire: native has plain sockets, which acknowledge nothing; leave out wire", problems);
    return;
  }
  // Before the delivery: what has no meaning for a pattern has none whatever is promised.
  LinkSpec left = link;  // what is not refused yet
  if (link.pattern == Pattern::pub_sub) check_pub_sub_promises(left, problems);
  if (link.pattern == Pattern::dealer_router) check_requests(left, problems);
  if (link.pattern != Pattern::pub_sub) {
    refuse_all({{left.retain, "retain"}, {left.replay, "replay"}}, link,
               "only a publisher keeps the past for its receivers, so the pattern must be pub-sub", problems);
  }
  if (link.plan.delivery == Delivery::best_effort) check_best_effort(left, problems);
  if (left.ttl && left.delay && link.plan.ttl != Duration::zero() && link.plan.ttl <= link.plan.delay) {
    problems.add(*link.ttl,
                 format("{}.ttl is {}, and a record may not leave before {} (delay): all of them "
                        "would expire; give a ttl that is longer than the delay",
                        link.plan.id, format_duration(link.plan.ttl), format_duration(link.plan.delay)));
  }
  if (link.plan.delivery == Delivery::exactly_once) check_exactly_once(link, problems);
}

void add_dead_letter_links(Model& model, Problems& problems) {
  const DeadLetterCircles circles(model);
  std::set<std::pair<std::string, std::string>> senders;
  std::vector<LinkSpec> more;
  for (const LinkSpec& link : model.links) {
    if (!link.dead_letter_port || !link.from || !link.to || link.pattern != Pattern::push_pull) continue;
    if (link.plan.delivery == Delivery::best_effort) continue;
    if (!senders.emplace(link.from->node, link.from->port).second)
      continue;  // a port with two links: told elsewhere
    if (check_letters(link, circles, problems)) more.push_back(link_for_letters(link));
  }
  for (LinkSpec& link : more) {
    for (const LinkSpec& other : model.links) {
      // The receiving port is one port, with one journal.
      if (other.to && other.pattern == Pattern::push_pull && same_port(*other.to, *link.to)) {
        link.plan.journal_to = other.plan.journal_to;
        break;
      }
    }
  }
  for (LinkSpec& link : more) model.links.push_back(std::move(link));
}

void check_shared_promises(const Model& model, Problems& problems) {
  std::map<std::pair<std::string, std::string>, PortPromise> seen;
  const auto look = [&](const LinkSpec& link, const PortRef& port, bool sender) {
    const std::string& journal = sender ? link.plan.journal_from : link.plan.journal_to;
    const auto [at, fresh] = seen.emplace(std::pair(port.node, port.port), PortPromise{&link, journal});
    if (fresh || at->second.link->pattern != link.pattern) return;
    const bool was_sender =
        at->second.link->from->node == port.node && at->second.link->from->port == port.port;
    if (was_sender == sender) compare(link, port, sender, at->second, problems);
  };
  for (const LinkSpec& link : model.links) {
    if (link.plan.id.empty() || !link.pattern) continue;
    look(link, *link.from, true);
    look(link, *link.to, false);
  }
}

}  // namespace weft::topology
