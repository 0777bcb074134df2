// weft queue: what the senders of a live run hold, as a broker's console shows its queues.
#include <cstdio>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/program/records.hpp>

#include "guest.hpp"
#include "table.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

constexpr Duration kAnswer = std::chrono::seconds(10);

/// The node's sending push-pull ports, each once.
std::vector<const Value*> sending_ends(const Value& node) {
  std::vector<const Value*> out;
  if (!node.get("ends").is_list()) return out;
  std::string last;
  for (const Value& end : node.get("ends").as_list()) {
    if (end.get("pattern") != Value("push-pull") || end.get("sender") != Value(true)) continue;
    if (end.get("port") == Value(last)) continue;
    last = end.get("port").as_string();
    out.push_back(&end);
  }
  return out;
}

int list_queues(const QueueVerb& verb) {
  const launch::RunInfo run = pick_run(verb.run);
  Table table(
      {"port", "delivery", ">waiting", ">on their way", ">bytes", ">expired", ">dropped", ">dead letters"});
  Value list = Value::list();
  if (run.state.get("nodes").is_list()) {
    for (const Value& node : run.state.get("nodes").as_list()) {
      for (const Value* end : sending_ends(node)) {
        const Value& counts = node.get("ports").get(end->get("port").as_string());
        Value one = Value::map();
        one["node"] = node.get("name");
        one["port"] = end->get("port");
        one["delivery"] = end->get("delivery");
        std::vector<std::string> row = {
            format("{}.{}", node.get("name").as_string(), end->get("port").as_string()),
            humane(end->get("delivery"))};
        for (const char* count : {"queued_records", "outstanding_records", "queued_bytes", "expired_records",
                                  "dropped_records", "dead_lettered_records"}) {
          one[count] = counts.get(count).is_int() ? counts.get(count) : Value(0);
          row.push_back(humane(one.get(count)));
        }
        table.add(std::move(row));
        list.push_back(std::move(one));
      }
    }
  }
  if (verb.json) {
    Value out = Value::map();
    out["run"] = run.id;
    out["queues"] = std::move(list);
    std::printf("%s\n", to_json(out).c_str());
  } else if (table.empty()) {
    std::printf("the run %s has no sending push-pull port\n", run.id.c_str());
  } else {
    std::printf("%s", table.text("").c_str());
  }
  return kOk;
}

/// Asks each node that the target names.
std::vector<std::pair<const GuestPeer*, Value>> ask_all(Guest& guest, const QueueVerb& verb) {
  std::vector<std::pair<const GuestPeer*, Value>> answers;
  for (const GuestPeer& peer : guest.peers()) {
    Value question = Value::map();
    question["op"] = verb.what;
    question["node"] = peer.node;
    question["port"] = peer.port;
    question["limit"] = verb.count;
    answers.emplace_back(&peer, guest.ask(question, Deadline::after(kAnswer)));
  }
  return answers;
}

Value record_of(const Value& shown) {
  Value out = Value::map();
  for (const char* key : {"to", "priority", "attempts", "seconds"}) out[key] = shown.get(key);
  out["record"] =
      program::record_to_value({.packed = as_bytes(shown.get("packed").as_binary()), .tensors = {}});
  return out;
}

int peek(Guest& guest, const QueueVerb& verb) {
  Value list = Value::list();
  for (const auto& [peer, answer] : ask_all(guest, verb)) {
    Value one = Value::map();
    one["node"] = peer->node;
    one["port"] = peer->port;
    one["held"] = answer.get("held");
    one["bytes"] = answer.get("bytes");
    Value& records = one["records"] = Value::list();
    if (answer.get("records").is_list()) {
      for (const Value& shown : answer.get("records").as_list()) records.push_back(record_of(shown));
    }
    if (!verb.json) {
      std::printf("%s.%s holds %s records, %s bytes\n", peer->node.c_str(), peer->port.c_str(),
                  humane(one.get("held")).c_str(), humane(one.get("bytes")).c_str());
      for (const Value& record : records.as_list()) {
        const std::string& to = record.get("to").as_string();
        std::printf("  %s  %s\n", to.empty() ? "waits" : format("at {}", to).c_str(),
                    to_json(record.get("record")).c_str());
      }
    }
    list.push_back(std::move(one));
  }
  if (verb.json) {
    Value out = Value::map();
    out["queues"] = std::move(list);
    std::printf("%s\n", to_json(out).c_str());
  }
  return kOk;
}

int clear(Guest& guest, const QueueVerb& verb) {
  if (!verb.yes)
    throw Error(Errc::invalid_argument, "queue clear loses what it drops: say --yes when it is meant");
  Value list = Value::list();
  for (const auto& [peer, answer] : ask_all(guest, verb)) {
    Value one = Value::map();
    one["node"] = peer->node;
    one["port"] = peer->port;
    one["dropped"] = answer.get("dropped");
    if (!verb.json) {
      std::printf("%s.%s: %s records dropped\n", peer->node.c_str(), peer->port.c_str(),
                  humane(answer.get("dropped")).c_str());
    }
    list.push_back(std::move(one));
  }
  if (verb.json) {
    Value out = Value::map();
    out["queues"] = std::move(list);
    std::printf("%s\n", to_json(out).c_str());
  }
  return kOk;
}

}  // namespace

int run_verb(const QueueVerb& verb) {
  if (verb.what == "ls") return list_queues(verb);
  const Target target = find_target(verb.words);
  Loop loop;
  Guest guest(loop, target, Deadline::after(kAnswer));
  if (!guest.sends() || guest.pattern() != "push-pull") {
    throw Error(
        Errc::invalid_argument,
        format("{}.{} is not the sending end of a push-pull link, so it has no queue; weft queue ls shows "
               "those that have",
               target.node, target.port));
  }
  return verb.what == "peek" ? peek(guest, verb) : clear(guest, verb);
}

}  // namespace weft::cli
