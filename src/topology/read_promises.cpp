// The keys of a link that say what is promised, how long, and from where.
#include <limits>

#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

#include "model.hpp"
#include "reader.hpp"

namespace weft::topology {
namespace {

constexpr std::int64_t kMostAttempts = 1'000'000;
constexpr Duration kShortestSpan = std::chrono::milliseconds(1);
constexpr Duration kLongestSpan = std::chrono::hours(8760);  // a year
constexpr std::uint64_t kMostRetained = 64ULL << 30;
constexpr std::size_t kLongestPath = 1024;
constexpr std::uint64_t kLeastSegment = 64ULL << 10, kMostSegment = 1ULL << 30;
constexpr std::uint64_t kLeastJournal = 4ULL << 20, kMostJournal = 1ULL << 40;

// Few segments are no journal: one is written, and of the others one must be dead to make room.
void read_journal_sizes(MapReader& map, LinkSpec& link, Problems& problems) {
  const auto read = [&](const char* key, const Tree*& at, std::uint64_t least, std::uint64_t most,
                        std::uint64_t& out) {
    if ((at = map.take(key))) out = read_size_within(*at, least, most, map.path(key), problems).value_or(0);
  };
  LinkPlan& plan = link.plan;
  read("segment", link.journal_segment, kLeastSegment, kMostSegment, plan.journal_segment);
  read("max", link.journal_max, kLeastJournal, kMostJournal, plan.journal_max);
  const std::uint64_t max = plan.journal_max != 0 ? plan.journal_max : 4ULL << 30;
  if (plan.journal_segment * 4 <= max) return;
  problems.add(
      *link.journal_segment,
      format("{} is {}, and a journal of {} has room for four segments or more; make the segment at "
             "most {}, or max larger",
             map.path("segment"), format_size(plan.journal_segment), format_size(max), format_size(max / 4)));
}

void read_journal(const Tree& tree, const std::string& path, LinkSpec& link, Problems& problems) {
  if (tree.is_text() && !tree.broken) {
    problems.add(
        tree, format("{} must say whose journal it is: {{from: path}}, {{to: path}} or both, found {}", path,
                     found(tree)));
    return;
  }
  if (!expect_map(tree, path, problems)) return;
  MapReader map(tree, path, problems);
  const auto read_path = [&](const char* key, const Tree*& at, std::string& out) {
    at = map.take(key);
    if (!at) return;
    const auto text = read_text(*at, map.path(key), problems);
    if (!text) return;
    out = *text;
    if (text->empty() || text->size() > kLongestPath || text->find('\0') != std::string::npos) {
      problems.add(*at, format("{} must be a path of 1 to {} bytes, found {}", map.path(key), kLongestPath,
                               text->empty() ? "nothing" : format("{} bytes", text->size())));
    }
  };
  read_path("from", link.journal_from, link.plan.journal_from);
  read_path("to", link.journal_to, link.plan.journal_to);
  read_journal_sizes(map, link, problems);
  map.finish();
  if (link.journal_from || link.journal_to) return;
  if (tree.members.empty()) return report_wrong(tree, path, "a map with from, to or both", problems);
  if (link.journal_segment || link.journal_max)
    problems.add(tree, format("{} must say whose journal it is besides: from: path, to: path or both", path));
}

void read_replay(const Tree& tree, const std::string& path, LinkPlan& plan, Problems& problems) {
  if (tree.kind == Tree::Kind::integer && !tree.broken) {
    const auto number = read_integer(tree, 0, std::numeric_limits<std::int64_t>::max() / 2, path, problems);
    plan.replay = From::sequence;
    plan.replay_sequence = static_cast<std::uint64_t>(number.value_or(0));
    return;
  }
  static const Names<From> words{{From::latest, "latest"}, {From::earliest, "earliest"}};
  if (tree.is_text()) {
    plan.replay = read_word(tree, words, path, problems).value_or(From::latest);
  } else {
    report_wrong(tree, path, "latest, earliest, or the sequence number behind which to begin", problems);
  }
}

// morgue.in, or {to: morgue.in, endpoint: tcp://h0:5000}
void read_dead_letter(const Tree& tree, const std::string& path, LinkSpec& link, Problems& problems) {
  link.dead_letter = &tree;
  if (tree.is_map() && !tree.broken) {
    MapReader map(tree, path, problems);
    const Tree* const to = map.need("to", tree.place, "the port that gets them, such as morgue.in");
    if ((link.dead_letter_endpoint = map.take("endpoint"))) {
      link.dead_letter_endpoints = read_endpoints(*link.dead_letter_endpoint, map.path("endpoint"), problems);
    }
    map.finish();
    if (!to) return;
    link.dead_letter = to;
    link.dead_letter_port = read_port(*to, map.path("to"), problems);
  } else {
    link.dead_letter_port = read_port(tree, path, problems);
  }
  if (link.dead_letter_port) link.plan.dead_letter = link.dead_letter->text;
}

}  // namespace

void read_promises(MapReader& map, LinkSpec& link, Problems& problems) {
  LinkPlan& plan = link.plan;
  if ((link.delivery = map.take("delivery"))) {
    plan.delivery = read_word(*link.delivery, delivery_names(), map.path("delivery"), problems)
                        .value_or(Delivery::best_effort);
  }
  if ((link.journal = map.take("journal"))) read_journal(*link.journal, map.path("journal"), link, problems);
  if ((link.priority = map.take("priority"))) {
    plan.priority = static_cast<unsigned>(
        read_integer(*link.priority, 0, 9, map.path("priority"), problems).value_or(plan.priority));
  }
  const auto read_span = [&](const char* key, const Tree*& at, Duration& out) {
    at = map.take(key);
    if (at)
      out = read_duration_within(*at, kShortestSpan, kLongestSpan, map.path(key), problems).value_or(out);
  };
  read_span("ttl", link.ttl, plan.ttl);
  read_span("delay", link.delay, plan.delay);
  if ((link.max_attempts = map.take("max-attempts"))) {
    plan.max_attempts = static_cast<unsigned>(
        read_integer(*link.max_attempts, 1, kMostAttempts, map.path("max-attempts"), problems).value_or(0));
  }
  if (const Tree* letters = map.take("dead-letter"))
    read_dead_letter(*letters, map.path("dead-letter"), link, problems);
  if ((link.retain = map.take("retain"))) {
    plan.retain_bytes = read_size_within(*link.retain, 0, kMostRetained, map.path("retain"), problems)
                            .value_or(plan.retain_bytes);
  }
  if ((link.replay = map.take("replay"))) read_replay(*link.replay, map.path("replay"), plan, problems);
}

}  // namespace weft::topology
