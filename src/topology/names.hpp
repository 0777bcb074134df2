// The words of the file and the enums they stand for. Private to the topology layer.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/topology/description.hpp>
#include <weft/topology/plan.hpp>

namespace weft::topology {

template <class Enum>
using Names = std::vector<std::pair<Enum, std::string>>;

const Names<BlockKind>& block_names();
const Names<PortSide>& side_names();
const Names<OptionType>& option_type_names();
const Names<Pattern>& pattern_names();
const Names<Delivery>& delivery_names();
const Names<Distribute>& distribute_names();
const Names<Overflow>& overflow_names();
const Names<Transport>& transport_names();
const Names<WireMode>& wire_names();
const Names<Restart>& restart_names();
const Names<From>& replay_names();

template <class Enum>
std::optional<Enum> parse_name(std::string_view text, const Names<Enum>& names) {
  for (const auto& [value, name] : names) {
    if (name == text) return value;
  }
  return std::nullopt;
}

template <class Enum>
std::vector<std::string> words_of(const Names<Enum>& names) {
  std::vector<std::string> words;
  for (const auto& entry : names) words.push_back(entry.second);
  return words;
}

/// The blocks at the two ends of a pattern.
BlockKind from_block(Pattern pattern);
BlockKind to_block(Pattern pattern);

/// A letter or "_", then letters, digits, "_" and "-", at most 64: names of topologies, nodes, ports and
/// params.
bool is_name(std::string_view text);

}  // namespace weft::topology
