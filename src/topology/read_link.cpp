// One entry of `links:`.
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

#include "model.hpp"
#include "reader.hpp"

namespace weft::topology {
namespace {

constexpr Duration kShortestSilence = std::chrono::milliseconds(100);
constexpr Duration kLongestSilence = std::chrono::hours(1);

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

// Settings of deliveries that this version does not make: they are held to their types, then refused, so that
// a file written for a later version fails at once and not at run time.
void refuse_later_keys(MapReader& map, Problems& problems) {
  const auto refuse = [&](const Tree& at, std::string_view key, std::string_view what) {
    problems.add(at, format("{} is not available in this version: {}; remove the key", map.path(key), what));
  };
  constexpr std::string_view kNeedsDelivery =
      "it belongs to acknowledged delivery, and delivery is best-effort only";
  if (const Tree* journal = map.take("journal")) {
    if (expect_map(*journal, map.path("journal"), problems)) refuse(*journal, "journal", kNeedsDelivery);
  }
  if (const Tree* priority = map.take("priority")) {
    if (read_integer(*priority, 0, 9, map.path("priority"), problems)) {
      refuse(*priority, "priority", "records leave in the order in which they came");
    }
  }
  for (const char* key : {"ttl", "delay"}) {
    const Tree* span = map.take(key);
    if (span && read_duration(*span, map.path(key), problems))
      refuse(*span, key, "records carry no times of their own");
  }
  if (const Tree* attempts = map.take("max-attempts")) {
    if (read_integer(*attempts, 1, 1'000'000, map.path("max-attempts"), problems)) {
      refuse(*attempts, "max-attempts", kNeedsDelivery);
    }
  }
  if (const Tree* letters = map.take("dead-letter")) {
    if (read_port(*letters, map.path("dead-letter"), problems))
      refuse(*letters, "dead-letter", kNeedsDelivery);
  }
}

void read_delivery(MapReader& map, Problems& problems) {
  const Tree* tree = map.take("delivery");
  if (!tree) return;
  const auto delivery = read_word(*tree, delivery_names(), map.path("delivery"), problems);
  if (delivery && *delivery != Delivery::best_effort) {
    problems.add(*tree,
                 format("{}: {} is not available in this version: links are best-effort; leave the key out",
                        map.path("delivery"), quoted(tree->text)));
  }
}

// The bounds are those of the blocks, so that a file that passes can be run.
void read_size_within(const Tree& tree, const std::string& path, std::uint64_t least, std::uint64_t most,
                      std::uint64_t& out, Problems& problems) {
  const auto size = read_size(tree, path, problems);
  if (size && (*size < least || *size > most)) {
    problems.add(tree, format("{} must be from {} to {}, found {}", path, format_size(least),
                              format_size(most), quoted(tree.text)));
  } else if (size) {
    out = *size;
  }
}

void read_silence(const Tree& tree, const std::string& path, Duration& out, Problems& problems) {
  const auto span = read_duration(tree, path, problems);
  if (span && (*span < kShortestSilence || *span > kLongestSilence)) {
    problems.add(tree, format("{} must be from {} to {}, found {}", path, format_duration(kShortestSilence),
                              format_duration(kLongestSilence), quoted(tree.text)));
  } else if (span) {
    out = *span;
  }
}

void read_bounds(MapReader& map, LinkSpec& link, Problems& problems) {
  LinkPlan& plan = link.plan;
  if (const Tree* capacity = map.take("capacity")) {
    read_size_within(*capacity, map.path("capacity"), 1ULL << 10, 64ULL << 30, plan.capacity_bytes, problems);
  }
  if ((link.prefetch = map.take("prefetch"))) {
    read_size_within(*link.prefetch, map.path("prefetch"), 4ULL << 10, 4ULL << 30, plan.prefetch_bytes,
                     problems);
  }
  if ((link.dead_after = map.take("dead-after"))) {
    read_silence(*link.dead_after, map.path("dead-after"), plan.dead_after, problems);
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
    const std::string path = map.path("endpoint");
    const auto read_one = [&](const Tree& entry) {
      if (entry.is_text() && !entry.broken) {
        link.endpoints.push_back({entry.text, &entry});
      } else {
        report_wrong(entry, path, "an address such as tcp://host:5000 or ipc:///run/x, or a list of them",
                     problems);
      }
    };
    if (link.endpoint->is_list()) {
      for (const Tree& item : link.endpoint->items) read_one(item);
      if (link.endpoint->items.empty())
        report_wrong(*link.endpoint, path, "one address a binding replica", problems);
    } else {
      read_one(*link.endpoint);
    }
  }
}

}  // namespace

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
  read_delivery(map, problems);
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
  refuse_later_keys(map, problems);
  map.finish();
  return link;
}

}  // namespace weft::topology
