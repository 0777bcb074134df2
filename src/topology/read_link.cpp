// One entry of `links:`.
#include <weft/core/text.hpp>

#include "model.hpp"
#include "reader.hpp"

namespace weft::topology {
namespace {

constexpr Duration kShortestSilence = std::chrono::milliseconds(100);
constexpr Duration kLongestSilence = std::chrono::hours(1);
// The bounds are those of the blocks, so that a file that passes can be run.
constexpr std::uint64_t kLeastQueue = 1ULL << 10;
constexpr std::uint64_t kMostQueue = 64ULL << 30;
constexpr std::uint64_t kLeastCredit = 4ULL << 10;
constexpr std::uint64_t kMostCredit = 4ULL << 30;
constexpr std::int64_t kMostQueued = 1'000'000'000;
constexpr std::uint64_t kLeastBatch = 64;
constexpr std::uint64_t kMostBatch = 64ULL << 20;
constexpr std::int64_t kMostBatched = 1 << 20;
constexpr Duration kLongestLinger = std::chrono::seconds(60);

void read_records(const Tree& tree, std::int64_t most, const std::string& path, std::uint64_t& out,
                  Problems& problems) {
  if (const auto records = read_integer(tree, 1, most, path, problems))
    out = static_cast<std::uint64_t>(*records);
}

// `64MiB`, or {bytes: 64MiB, records: 10000}.
void read_capacity(const Tree& tree, const std::string& path, LinkSpec& link, Problems& problems) {
  const auto read_bytes = [&](const Tree& at, const std::string& name) {
    link.plan.capacity_bytes =
        read_size_within(at, kLeastQueue, kMostQueue, name, problems).value_or(link.plan.capacity_bytes);
  };
  if (!tree.is_map()) return read_bytes(tree, path);
  MapReader map(tree, path, problems);
  if (const Tree* bytes = map.take("bytes")) read_bytes(*bytes, map.path("bytes"));
  if ((link.capacity_records = map.take("records"))) {
    read_records(*link.capacity_records, kMostQueued, map.path("records"), link.plan.capacity_records,
                 problems);
  }
  if (tree.members.empty()) report_wrong(tree, path, "a size, or a map with bytes and records", problems);
  map.finish();
}

// `4MiB`, or {bytes: 4MiB, records: 1}.
void read_prefetch(const Tree& tree, const std::string& path, LinkPlan& plan, Problems& problems) {
  const auto read_bytes = [&](const Tree& at, const std::string& name) {
    plan.prefetch_bytes =
        read_size_within(at, kLeastCredit, kMostCredit, name, problems).value_or(plan.prefetch_bytes);
  };
  if (!tree.is_map()) return read_bytes(tree, path);
  MapReader map(tree, path, problems);
  if (const Tree* bytes = map.take("bytes")) read_bytes(*bytes, map.path("bytes"));
  if (const Tree* records = map.take("records")) {
    read_records(*records, kMostQueued, map.path("records"), plan.prefetch_records, problems);
  }
  if (tree.members.empty()) report_wrong(tree, path, "a size, or a map with bytes and records", problems);
  map.finish();
}

// {records: 1000, bytes: 64KiB, linger: 5ms}
void read_batch(const Tree& tree, const std::string& path, LinkSpec& link, Problems& problems) {
  LinkPlan& plan = link.plan;
  if (tree.broken) return;
  if (!tree.is_map() || tree.members.empty()) {
    return report_wrong(tree, path, "a map with records, bytes or linger", problems);
  }
  MapReader map(tree, path, problems);
  if (const Tree* bytes = map.take("bytes")) {
    plan.batch_bytes = read_size_within(*bytes, kLeastBatch, kMostBatch, map.path("bytes"), problems)
                           .value_or(plan.batch_bytes);
  }
  if (const Tree* records = map.take("records")) {
    read_records(*records, kMostBatched, map.path("records"), plan.batch_records, problems);
  }
  if ((link.linger = map.take("linger"))) {
    plan.linger =
        read_duration_within(*link.linger, Duration::zero(), kLongestLinger, map.path("linger"), problems)
            .value_or(plan.linger);
  }
  map.finish();
}

void read_bounds(MapReader& map, LinkSpec& link, Problems& problems) {
  LinkPlan& plan = link.plan;
  if (const Tree* capacity = map.take("capacity"))
    read_capacity(*capacity, map.path("capacity"), link, problems);
  if ((link.prefetch = map.take("prefetch"))) {
    read_prefetch(*link.prefetch, map.path("prefetch"), plan, problems);
  }
  if ((link.batch = map.take("batch"))) read_batch(*link.batch, map.path("batch"), link, problems);
  if ((link.dead_after = map.take("dead-after"))) {
    plan.dead_after = read_duration_within(*link.dead_after, kShortestSilence, kLongestSilence,
                                           map.path("dead-after"), problems)
                          .value_or(plan.dead_after);
  }
  if ((link.overflow = map.take("overflow"))) {
    const auto overflow = read_word(*link.overflow, overflow_names(), map.path("overflow"), problems);
    plan.overflow = overflow.value_or(plan.overflow);
  } else if (link.pattern == Pattern::pub_sub) {
    plan.overflow = Overflow::drop_newest;  // a slow subscriber must not stop the publisher
  }
}

void read_addressing(MapReader& map, LinkSpec& link, Problems& problems) {
  if ((link.bind = map.take("bind"))) {
    static const Names<bool> ends{{true, "from"}, {false, "to"}};
    link.from_binds = read_word(*link.bind, ends, map.path("bind"), problems);
  }
  if ((link.transport = map.take("transport"))) {
    const auto transport = read_word(*link.transport, transport_names(), map.path("transport"), problems);
    link.plan.transport = transport.value_or(Transport::automatic);
    if (transport == Transport::inproc) {
      problems.add(*link.transport,
                   format("{} is inproc, which joins threads of one program; nodes are processes of their "
                          "own, so use ipc, tcp or auto",
                          map.path("transport")));
    }
  }
  if ((link.endpoint = map.take("endpoint"))) {
    link.endpoints = read_endpoints(*link.endpoint, map.path("endpoint"), problems);
  }
}

}  // namespace

std::vector<Located> read_endpoints(const Tree& tree, const std::string& path, Problems& problems) {
  std::vector<Located> out;
  const auto read_one = [&](const Tree& entry) {
    if (entry.is_text() && !entry.broken) {
      out.push_back({entry.text, &entry});
    } else {
      report_wrong(entry, path, "an address such as tcp://host:5000 or ipc:///run/x, or a list of them",
                   problems);
    }
  };
  if (!tree.is_list()) {
    read_one(tree);
    return out;
  }
  for (const Tree& item : tree.items) read_one(item);
  if (tree.items.empty()) report_wrong(tree, path, "one address a binding replica", problems);
  return out;
}

std::optional<PortRef> read_port(const Tree& tree, const std::string& path, Problems& problems) {
  if (tree.broken) return std::nullopt;
  if (tree.is_text()) {
    const std::vector<std::string> parts = split(tree.text, '.');
    if (parts.size() == 2 && is_name(parts[0]) && is_name(parts[1]))
      return PortRef{parts[0], parts[1], &tree};
  }
  report_wrong(tree, path, "a node and its port with a dot between, such as worker.updates", problems);
  return std::nullopt;
}

LinkSpec read_link(const Tree& tree, std::size_t index, Problems& problems) {
  LinkSpec link;
  link.place = tree.place;
  link.path = format("links[{}]", index);
  if (!expect_map(tree, link.path, problems)) return link;
  MapReader map(tree, link.path, problems);
  if (const Tree* from = map.need("from", tree.place, "the port that starts the talk, such as source.out")) {
    link.from = read_port(*from, map.path("from"), problems);
  }
  if (const Tree* to = map.need("to", tree.place, "the port at the other end, such as sink.in")) {
    link.to = read_port(*to, map.path("to"), problems);
  }
  if (const Tree* pattern = map.need("pattern", tree.place, "push-pull, pub-sub or dealer-router")) {
    link.pattern = read_word(*pattern, pattern_names(), map.path("pattern"), problems);
  }
  link.plan.pattern = link.pattern.value_or(Pattern::push_pull);
  read_promises(map, link, problems);
  if ((link.distribute = map.take("distribute"))) {
    const auto how = read_word(*link.distribute, distribute_names(), map.path("distribute"), problems);
    link.plan.distribute = how.value_or(Distribute::balance);
  }
  if ((link.wire = map.take("wire"))) {
    link.plan.wire =
        read_word(*link.wire, wire_names(), map.path("wire"), problems).value_or(WireMode::session);
  }
  if ((link.keep = map.take("keep"))) {
    static const Names<bool> kept{{true, "last"}};
    link.plan.keep_last = read_word(*link.keep, kept, map.path("keep"), problems).value_or(false);
  }
  read_bounds(map, link, problems);
  read_addressing(map, link, problems);
  map.finish();
  return link;
}

}  // namespace weft::topology
