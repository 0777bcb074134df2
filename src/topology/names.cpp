#include "names.hpp"

#include <algorithm>

namespace weft::topology {
namespace {

template <class Enum>
std::string_view name_of(Enum value, const Names<Enum>& names) {
  for (const auto& [candidate, name] : names) {
    if (candidate == value) return name;
  }
  return "unknown";
}

}  // namespace

const Names<BlockKind>& block_names() {
  static const Names<BlockKind> names{{BlockKind::push, "push"},     {BlockKind::pull, "pull"},
                                      {BlockKind::pub, "pub"},       {BlockKind::sub, "sub"},
                                      {BlockKind::dealer, "dealer"}, {BlockKind::router, "router"},
                                      {BlockKind::any, "any"}};
  return names;
}

const Names<PortSide>& side_names() {
  static const Names<PortSide> names{
      {PortSide::either, "either"}, {PortSide::from, "from"}, {PortSide::to, "to"}};
  return names;
}

const Names<OptionType>& option_type_names() {
  static const Names<OptionType> names{{OptionType::text, "text"},
                                       {OptionType::integer, "integer"},
                                       {OptionType::number, "number"},
                                       {OptionType::boolean, "boolean"},
                                       {OptionType::duration, "duration"},
                                       {OptionType::size, "size"},
                                       {OptionType::choice, "choice"},
                                       {OptionType::list, "list"},
                                       {OptionType::map, "map"},
                                       {OptionType::record, "record"},
                                       {OptionType::any, "any"}};
  return names;
}

const Names<Pattern>& pattern_names() {
  static const Names<Pattern> names{{Pattern::push_pull, "push-pull"},
                                    {Pattern::pub_sub, "pub-sub"},
                                    {Pattern::dealer_router, "dealer-router"}};
  return names;
}

const Names<Delivery>& delivery_names() {
  static const Names<Delivery> names{{Delivery::best_effort, "best-effort"},
                                     {Delivery::at_least_once, "at-least-once"},
                                     {Delivery::exactly_once, "exactly-once"}};
  return names;
}

const Names<Distribute>& distribute_names() {
  static const Names<Distribute> names{{Distribute::balance, "balance"},
                                       {Distribute::round_robin, "round-robin"},
                                       {Distribute::hash, "hash"},
                                       {Distribute::explicit_, "explicit"}};
  return names;
}

const Names<Overflow>& overflow_names() {
  static const Names<Overflow> names{{Overflow::block, "block"},
                                     {Overflow::drop_oldest, "drop-oldest"},
                                     {Overflow::drop_newest, "drop-newest"},
                                     {Overflow::fail, "fail"}};
  return names;
}

const Names<Transport>& transport_names() {
  static const Names<Transport> names{{Transport::automatic, "auto"},
                                      {Transport::tcp, "tcp"},
                                      {Transport::ipc, "ipc"},
                                      {Transport::inproc, "inproc"},
                                      {Transport::shm, "shm"}};
  return names;
}

const Names<WireMode>& wire_names() {
  static const Names<WireMode> names{{WireMode::session, "session"}, {WireMode::native, "native"}};
  return names;
}

const Names<Restart>& restart_names() {
  static const Names<Restart> names{
      {Restart::never, "never"}, {Restart::on_failure, "on-failure"}, {Restart::always, "always"}};
  return names;
}

const Names<From>& replay_names() {
  static const Names<From> names{
      {From::latest, "latest"}, {From::earliest, "earliest"}, {From::sequence, "sequence"}};
  return names;
}

std::string_view to_string(PortSide side) {
  return name_of(side, side_names());
}
std::string_view to_string(BlockKind kind) {
  return name_of(kind, block_names());
}
std::optional<BlockKind> parse_block_kind(std::string_view text) {
  return parse_name(text, block_names());
}
std::string_view to_string(OptionType type) {
  return name_of(type, option_type_names());
}
std::string_view to_string(Pattern v) {
  return name_of(v, pattern_names());
}
std::string_view to_string(Delivery v) {
  return name_of(v, delivery_names());
}
std::string_view to_string(Distribute v) {
  return name_of(v, distribute_names());
}
std::string_view to_string(Overflow v) {
  return name_of(v, overflow_names());
}
std::string_view to_string(Transport v) {
  return name_of(v, transport_names());
}
std::string_view to_string(WireMode v) {
  return name_of(v, wire_names());
}
std::string_view to_string(Restart v) {
  return name_of(v, restart_names());
}

std::string_view to_string(From v) {
  return name_of(v, replay_names());
}

BlockKind from_block(Pattern pattern) {
  switch (pattern) {
    case Pattern::push_pull:
      return BlockKind::push;
    case Pattern::pub_sub:
      return BlockKind::pub;
    case Pattern::dealer_router:
      return BlockKind::dealer;
  }
  return BlockKind::any;
}

BlockKind to_block(Pattern pattern) {
  switch (pattern) {
    case Pattern::push_pull:
      return BlockKind::pull;
    case Pattern::pub_sub:
      return BlockKind::sub;
    case Pattern::dealer_router:
      return BlockKind::router;
  }
  return BlockKind::any;
}

bool is_name(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto rest = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-'; };
  return !text.empty() && text.size() <= 64 && letter(text.front()) &&
         std::all_of(text.begin(), text.end(), rest);
}

}  // namespace weft::topology
