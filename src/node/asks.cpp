// Questions about a sender's queue, which somebody outside asks the launcher and only the node can answer.
#include <algorithm>

#include <weft/blocks/push.hpp>
#include <weft/core/format.hpp>
#include <weft/node/control.hpp>

#include "node/node_impl.hpp"

namespace weft {
namespace {

constexpr auto kAnswer = std::chrono::seconds(10);
constexpr std::uint64_t kMostShown = 1000;
constexpr std::size_t kMostShownBytes = 256 * 1024;

Value shown(const HeldRecord& record) {
  Value one = Value::map();
  one["packed"] = Value(Value::Binary{std::string(as_text(record.packed))});
  one["to"] = record.receiver;
  one["priority"] = static_cast<int>(record.priority);
  one["attempts"] = record.attempts;
  one["seconds"] = std::chrono::duration<double>(record.age).count();
  return one;
}

Value peek(const PushBase& push, std::uint64_t limit) {
  const PortStats stats = push.stats();
  Value out = Value::map();
  out["held"] = stats.queued_records + stats.outstanding_records;
  out["bytes"] = stats.queued_bytes;
  Value& records = out["records"] = Value::list();
  std::size_t bytes = 0;
  push.peek(std::min(limit, kMostShown), [&](const HeldRecord& record) {
    bytes += record.packed.size();
    if (bytes <= kMostShownBytes) records.push_back(shown(record));
  });
  return out;
}

}  // namespace

/// The list has what is not answered yet, so a question may come more than once.
void Node::Impl::answer_asks(const Value& asks) {
  if (!asks.is_list()) return;
  for (const Value& question : asks.as_list()) {
    const Value& number = question.get("ask");
    if (!number.is_int() || number.as_uint() <= last_ask) continue;
    last_ask = number.as_uint();
    Value message = answer(question);
    message["op"] = "answer";
    message["node"] = plan.id.text();
    message["epoch"] = options.epoch;
    message["ask"] = last_ask;
    control->request_packed(control::pack(message).view(), Deadline::after(kAnswer, Clock::now()),
                            [](Reply<RawRecord>&) {});
  }
}

Value Node::Impl::answer(const Value& question) {
  Value out = Value::map();
  const std::string& name = question.get("port").as_string();
  const NodePort* port = find(name);
  auto* const push = port ? dynamic_cast<PushBase*>(port->block.get()) : nullptr;
  if (!push) {
    out["error"] = format("{}.{} is not a push that has been opened", plan.id.text(), name);
    return out;
  }
  if (std::ranges::all_of(
          port->ends, [&](const auto* end) { return link(end->link).delivery == Delivery::best_effort; })) {
    out["error"] = format(
        "{}.{} is best-effort: it keeps nothing that could be shown or dropped; a link with "
        "`delivery: at-least-once` has a queue",
        plan.id.text(), name);
    return out;
  }
  if (question.get("op") == Value("clear")) {
    out["value"]["dropped"] = push->purge();
  } else {
    const Value& most = question.get("limit");
    out["value"] = peek(*push, most.is_int() ? most.as_uint() : kMostShown);
  }
  return out;
}

}  // namespace weft
