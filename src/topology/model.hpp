// The file as typed nodes and links, still with the places that later checks point at. Private.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <weft/topology/description.hpp>
#include <weft/topology/plan.hpp>

#include "problems.hpp"
#include "reader.hpp"
#include "tree.hpp"

namespace weft::topology {

inline constexpr unsigned kMostReplicas = 10'000;  ///< of one node, and of a topology in sum
inline constexpr std::size_t kMostNodes = 500;     ///< names under `nodes:`
inline constexpr std::size_t kMostLinks = 2'000;
inline constexpr std::size_t kMostConnections = 1'000'000;  ///< replicas times replicas, summed over links

/// `worker.params` at one end of a link.
struct PortRef {
  std::string node;
  std::string port;
  const Tree* at = nullptr;
};

/// A text of the file and where it stands.
struct Located {
  std::string text;
  const Tree* at = nullptr;
};

struct NodeSpec {
  std::string name;
  Place place;
  Located run;
  const Tree* replicas_at = nullptr;
  unsigned replicas = 1;
  bool replicas_known = true;  ///< false: the count was refused, so nothing can be held against it
  const Tree* with = nullptr;
  const Tree* args = nullptr;
  std::vector<const Tree*> arguments;
  std::vector<std::pair<std::string, const Tree*>> environment;
  std::optional<bool> finite;
  std::optional<bool> main;
  Restart restart = Restart::never;
  const Tree* restart_at = nullptr;
  unsigned max_restarts = 5;
  std::optional<Duration> grace;
  Duration hang_after = Duration::zero();
  LogBounds log;
  /// Filled from the caller's describe function.
  std::optional<ProgramDescription> description;
};

struct LinkSpec {
  Place place;
  std::string path;  ///< "links[2]" for sentences
  std::optional<PortRef> from, to;
  std::optional<Pattern> pattern;
  /// Settings; ids, replicas and the binding end are filled by resolve().
  LinkPlan plan;
  std::optional<bool> from_binds;
  const Tree *distribute = nullptr, *bind = nullptr, *wire = nullptr, *keep = nullptr, *prefetch = nullptr,
             *transport = nullptr, *overflow = nullptr, *dead_after = nullptr, *delivery = nullptr,
             *journal = nullptr, *journal_from = nullptr, *journal_to = nullptr, *journal_segment = nullptr,
             *journal_max = nullptr, *priority = nullptr, *ttl = nullptr, *delay = nullptr,
             *max_attempts = nullptr, *dead_letter = nullptr, *capacity_records = nullptr, *retain = nullptr,
             *replay = nullptr, *batch = nullptr, *linger = nullptr;
  std::optional<PortRef> dead_letter_port;
  const Tree* dead_letter_endpoint = nullptr;
  std::vector<Located> dead_letter_endpoints;
  std::vector<Located> endpoints;
  const Tree* endpoint = nullptr;
  /// What each binding replica binds and its peers are told; empty without explicit addresses.
  std::vector<std::string> addresses;
};

/// `hosts:` of one node.
struct HostsSpec {
  std::string node;
  Place place;
  std::vector<Located> hosts;
};

struct Model {
  Tree tree;  ///< owns what the specs point into
  std::string name;
  std::string description;
  std::vector<NodeSpec> nodes;
  std::vector<LinkSpec> links;
  std::vector<HostsSpec> hosts;
  Duration start_limit = std::chrono::seconds(20);
  std::optional<Duration> drain_limit;
  /// A link could not be read so far that its nodes are known: nodes without links may be its victims.
  bool unreadable_links = false;

  [[nodiscard]] const NodeSpec* node(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> node_names() const;
};

/// Tree to model; `model.tree` is set, everything else is filled. The model must not move afterwards.
void read_model(Model& model, Problems& problems);
/// One entry of `links:`. `index` counts from 0.
LinkSpec read_link(const Tree& tree, std::size_t index, Problems& problems);
/// "node.port", or nullopt after reporting.
std::optional<PortRef> read_port(const Tree& tree, const std::string& path, Problems& problems);
/// One address or a list of them, `tree` being the value of `path`.
std::vector<Located> read_endpoints(const Tree& tree, const std::string& path, Problems& problems);
/// The keys of a link that say what is promised: delivery, journal, priority, ttl, delay, max-attempts,
/// dead-letter, retain, replay.
void read_promises(MapReader& map, LinkSpec& link, Problems& problems);
/// One entry of `nodes:`.
NodeSpec read_node(const Member& member, Problems& problems);

/// Checks that need more than one part of the file: ports, patterns, cycles, who binds. Fills the link plans.
void check_links(Model& model, Problems& problems);
/// What one link promises, against its pattern and wire.
void check_promises(const LinkSpec& link, Problems& problems);
/// Adds the link that each `dead-letter:` stands for, behind those of the file, after checking where it
/// leads.
void add_dead_letter_links(Model& model, Problems& problems);
/// Links that share a port promise the same there. For links with filled plans.
void check_shared_promises(const Model& model, Problems& problems);
/// No two processes open one journal, who share one agree on its sizes, and what is to be kept in it fits.
/// For links with filled plans.
void check_journals(const Model& model, Problems& problems);
/// What `path` of the file is for one replica.
std::string journal_of(const std::string& path, const std::string& node, unsigned replica, unsigned replicas);
/// Reports that a key does not fit the rest of the link: `links[2].ttl does not fit here: <why>`.
void refuse(const Tree* at, const LinkSpec& link, std::string_view key, std::string_view why,
            Problems& problems);
/// Holds nodes and links against the programs' own descriptions.
void check_programs(Model& model, Problems& problems);
/// `with:` against the options of a program.
void check_options(const Tree& with, const std::vector<OptionDescription>& options, const std::string& path,
                   const std::string& program, Problems& problems);
/// `hosts:` and `endpoint:` to addresses of each binding replica; no two may be equal.
void check_endpoints(Model& model, Problems& problems);

/// Only for a model without problems.
Plan make_plan(const Model& model, const std::string& path);

}  // namespace weft::topology
