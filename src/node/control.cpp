#include <weft/node/control.hpp>
#include <weft/wire/pack.hpp>

namespace weft::control {

wire::Buffer pack(const Value& message) {
  wire::Buffer out;
  wire::Pack(out).value(message);
  return out;
}

std::optional<Value> unpack(Bytes packed) {
  auto value = wire::Unpack(packed).value();
  if (!value || !value->is_map()) return std::nullopt;
  return value;
}

std::optional<Value> unpack(const RawRecord& record) {
  return unpack(record.packed());
}

Value to_value(const PortStats& s) {
  Value out = Value::map();
  const auto put = [&out](std::string_view name, std::uint64_t count) { out[name] = count; };
  put("accepted_records", s.accepted_records);
  put("resumed_records", s.resumed_records);
  put("sent_records", s.sent_records);
  put("sent_batches", s.sent_batches);
  put("sent_bytes", s.sent_bytes);
  put("received_records", s.received_records);
  put("received_batches", s.received_batches);
  put("received_bytes", s.received_bytes);
  put("dropped_records", s.dropped_records);
  put("lost_records", s.lost_records);
  put("rejected_records", s.rejected_records);
  put("missed_batches", s.missed_batches);
  put("duplicate_batches", s.duplicate_batches);
  put("fenced_batches", s.fenced_batches);
  put("rejected_messages", s.rejected_messages);
  put("rejected_connections", s.rejected_connections);
  put("rejected_peers", s.rejected_peers);
  put("late_replies", s.late_replies);
  put("timed_out_requests", s.timed_out_requests);
  put("failed_requests", s.failed_requests);
  put("unkept_records", s.unkept_records);
  put("retried_requests", s.retried_requests);
  put("repeated_requests", s.repeated_requests);
  put("circuits_opened", s.circuits_opened);
  put("sent_shared_bytes", s.sent_shared_bytes);
  put("received_shared_bytes", s.received_shared_bytes);
  put("shared_memory_used", s.shared_memory_used);
  put("shared_memory_full", s.shared_memory_full);
  put("processed_records", s.processed_records);
  put("redelivered_records", s.redelivered_records);
  put("retransmitted_batches", s.retransmitted_batches);
  put("expired_records", s.expired_records);
  put("dead_lettered_records", s.dead_lettered_records);
  put("untaken_records", s.untaken_records);
  put("reconnects", s.reconnects);
  put("peers_up", s.peers_up);
  put("queued_records", s.queued_records);
  put("queued_bytes", s.queued_bytes);
  put("outstanding_records", s.outstanding_records);
  for (std::size_t i = 0; i < s.rejections.size(); ++i) {
    if (s.rejections[i] == 0) continue;
    out["rejections"][wire::to_string(static_cast<wire::Rejection>(i))] = s.rejections[i];
  }
  return out;
}

}  // namespace weft::control
