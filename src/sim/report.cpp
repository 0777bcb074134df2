#include <weft/sim/report.hpp>

#include <weft/core/format.hpp>

namespace weft::sim {

std::string_view to_string(LinkKind kind) {
  switch (kind) {
    case LinkKind::push_pull:
      return "push-pull";
    case LinkKind::requests:
      return "requests";
    case LinkKind::pub_sub:
      return "pub-sub";
  }
  return "unknown";
}

Value RunReport::to_value() const {
  Value out = Value::map();
  out["ok"] = ok();
  out["seed"] = seed;
  out["messages"] = messages;
  out["messages_lost"] = messages_lost;
  out["events"] = events;
  out["trace_hash"] = format("{:016x}", trace_hash);
  out["virtual_seconds"] = std::chrono::duration<double>(virtual_time).count();
  Value& kinds = out["faults"] = Value::map();
  for (const auto& [kind, times] : faults) kinds[kind] = times;
  Value& sentences = out["problems"] = Value::list();
  for (const std::string& sentence : problems) sentences.push_back(sentence);
  return out;
}

}  // namespace weft::sim
