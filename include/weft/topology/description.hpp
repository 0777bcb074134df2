// What a program says of itself: its ports and its options. `weft check` holds a topology file against it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/value.hpp>

namespace weft::topology {

/// Which block a port opens. `any`: the program opens whatever the link asks for (generic nodes).
enum class BlockKind { push, pull, pub, sub, dealer, router, any };

std::string_view to_string(BlockKind kind);
std::optional<BlockKind> parse_block_kind(std::string_view text);

/// The end of a link that a port of block `any` stands at: `from` sends or asks, `to` receives or answers.
/// `either`: the topology says, or the block.
enum class PortSide { either, from, to };

std::string_view to_string(PortSide side);

struct PortDescription {
  std::string name = {};
  BlockKind block = BlockKind::any;
  /// Type name of the records, "any" matches every type. Dealer and router: the type of the request.
  std::string record = "any";
  /// Fingerprint of the type's name and field order, 0 when the record is "any".
  std::uint64_t fingerprint = 0;
  bool required = false;  ///< the program cannot work when the topology leaves this port unlinked
  std::string help = {};
  PortSide side = PortSide::either;
};

enum class OptionType { text, integer, number, boolean, duration, size, choice, list, map, record, any };

std::string_view to_string(OptionType type);

/// An option that goes with some choices of another one of the same map only.
struct OptionCondition {
  std::string option = {};  ///< type choice
  std::vector<std::string> values = {};
};

/// One typed option. Durations and sizes are written with units ("10s", "64MiB") and reach the program so.
struct OptionDescription {
  std::string name = {};
  OptionType type = OptionType::text;
  std::string unit = {};  ///< for people, e.g. "rows"
  std::string help = {};
  Value default_value = {};  ///< null: none
  bool required = false;
  std::optional<double> minimum = {};  ///< inclusive; in seconds for a duration, in bytes for a size
  std::optional<double> maximum = {};
  std::vector<std::string> choices = {};       ///< type choice: what is allowed
  std::vector<OptionDescription> fields = {};  ///< type record: the allowed keys; type list or map: one
                                               ///< element, the type of each item
  /// With any other value of that option this one is refused, and not required.
  std::optional<OptionCondition> when = {};
  std::vector<std::string> excludes = {};  ///< options of the same map that cannot stand beside it
  std::vector<std::string> needs = {};     ///< ... of which one has to
};

struct ProgramDescription {
  std::string program = {};
  std::string help = {};
  std::string version = {};
  std::vector<PortDescription> ports = {};
  /// True: any port name is accepted, each with block `any` (weft-relay, weft-exec).
  bool open_ports = false;
  std::vector<OptionDescription> options = {};
  /// What a node of this program is when the topology does not say: true ends by itself, false runs until
  /// drained.
  bool finite = false;
};

/// What is given beside an option, in the same map: a text stands for itself, null and an empty text for
/// nothing, all else for "given".
using GivenOptions = std::function<std::optional<std::string>(std::string_view name)>;
/// Why `option`, one of `options`, may not stand beside what is given: a piece of a sentence, "goes with
/// name: adam, not with sgd". nullopt: it may.
std::optional<std::string> misplaced(const OptionDescription& option,
                                     const std::vector<OptionDescription>& options,
                                     const GivenOptions& given);
/// Beside what is given the option must be there.
bool is_required(const OptionDescription& option, const std::vector<OptionDescription>& options,
                 const GivenOptions& given);

/// The JSON form that `--describe` prints (docs/reference/cli.md), and back. from_value throws
/// Error{invalid_file} when the tree is no description.
Value to_value(const ProgramDescription& description);
ProgramDescription description_from_value(const Value& value);

}  // namespace weft::topology
