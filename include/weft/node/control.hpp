// The control link: what a node and its launcher say to each other, as Value maps over dealer-router.
//
// report: {op: "report", node, epoch, state, pid, endpoints: {link: address}, ports: {port: {counts, tap:
// address}},
//          progress, result, endless, cut_short: a signal came before the work was done, reason, missing}
//   answered by {}.
// watch:  {op: "watch", node, epoch, version}: parked until the launcher has something newer than `version`
//   answered by {version, go, peers: {link: [address, ...]}, gone: {link: number of peers that have ended for
//   good}, extra: {port: [address, ...]}, taps: [port, ...], asks: [{ask, op, port, limit}, ...]}.
// answer: {op: "answer", node, epoch, ask, value | error}: to one of `asks`; answered by {}.
//
// Guests (weft send, recv, tap) ask for what follows; it ends with their session:
// state:  {op: "state"}, answered by Launcher::state().
// attach: {op: "attach", node, port, endpoint}: the port connects to that endpoint as well (without
// `endpoint` the
//         guest connects to the port itself), detach: {op: "detach", node, port, endpoint}; answered by
//         {scope}.
// tap:    {op: "tap", node, port}, answered by {endpoint, scope} of a Pub with a copy of every record that
// passes,
//         topic = port, once the node has opened it; untap: {op: "untap", node, port}.
// peek:   {op: "peek", node, port, limit}, answered by {held, bytes, records: [{packed, to, priority,
// attempts,
//         seconds}, ...]} of what an acknowledging sender holds.
// clear:  {op: "clear", node, port}, answered by {dropped}: what waits there is dropped.
// down:   {op: "down"}: the run drains.
#pragma once

#include <optional>
#include <string_view>

#include <weft/blocks/block.hpp>
#include <weft/blocks/raw.hpp>
#include <weft/core/value.hpp>
#include <weft/wire/buffer.hpp>

namespace weft::control {

inline constexpr std::string_view kScope = "weft-control";
inline constexpr std::string_view kPort = "control";

/// One msgpack object.
wire::Buffer pack(const Value& message);
/// nullopt: not a map.
std::optional<Value> unpack(Bytes packed);
std::optional<Value> unpack(const RawRecord& record);

/// The counts of a port as a map, names as in PortStats; only rejections that occurred are listed by name.
Value to_value(const PortStats& stats);

}  // namespace weft::control
