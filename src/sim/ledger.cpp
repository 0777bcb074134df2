#include <weft/sim/ledger.hpp>

#include <bit>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

namespace weft::sim {
namespace {

enum Flag : std::uint8_t {
  kAttempted = 1,
  kAccepted = 2,
  kRedelivered = 4,
  kProcessed = 8,
  kExpired = 16,
  kDeadLettered = 32,
  kPurged = 64,
  // The record's first fate was another one than being processed, though it was processed as well.
  kProcessedLater = 128,
};
constexpr unsigned kFates = kProcessed | kExpired | kDeadLettered | kPurged;

bool has(std::uint8_t flags, unsigned bits) {
  return (flags & bits) != 0;
}

bool is_lost(std::uint8_t flags) {
  return has(flags, kAccepted) && !has(flags, kFates);
}

bool is_contradicted(std::uint8_t flags) {
  return std::popcount(flags & kFates) > 1;
}

void count_record(std::uint8_t flags, LedgerCounts& to) {
  if (has(flags, kAttempted)) ++to.attempted;
  if (has(flags, kAccepted)) ++to.accepted;
  if (has(flags, kProcessed)) ++to.processed;
  if (has(flags, kExpired)) ++to.expired;
  if (has(flags, kDeadLettered)) ++to.dead_lettered;
  if (has(flags, kPurged)) ++to.purged;
  if (has(flags, kRedelivered)) ++to.redelivered;
  if (has(flags, kRedelivered) && has(flags, kProcessed)) ++to.recovered;
  if (!has(flags, kAccepted) && has(flags, kProcessed)) ++to.unconfirmed;
  if (is_contradicted(flags)) ++to.contradicted;
  if (!has(flags, kAccepted)) return;
  if (has(flags, kProcessed) && !has(flags, kProcessedLater)) {
    ++to.settled_processed;
  } else if (has(flags, kExpired)) {
    ++to.settled_expired;
  } else if (has(flags, kDeadLettered)) {
    ++to.settled_dead_lettered;
  } else if (has(flags, kPurged)) {
    ++to.settled_purged;
  } else {
    ++to.lost;
  }
}

std::string listed(const std::vector<std::string>& first, std::uint64_t all) {
  std::string out;
  for (const std::string& one : first) out += (out.empty() ? "" : ", ") + one;
  if (all > first.size()) out += format(" and {} more", humane_count(all - first.size()));
  return out;
}

struct Row {
  const char* name;
  std::uint64_t number;
  const char* meaning;
};

std::vector<Row> rows_of(const LedgerCounts& counts) {
  return {{"attempted", counts.attempted, "records that sources meant to send"},
          {"accepted", counts.accepted, "taken over by the sender"},
          {"processed", counts.processed, "at least once"},
          {"expired", counts.expired, ""},
          {"dead letters", counts.dead_lettered, ""},
          {"purged", counts.purged, ""},
          {"lost", counts.lost, "accepted, and without a fate"},
          {"duplicated", counts.duplicated, "processed once more"},
          {"recovered", counts.recovered, "processed after a redelivery"},
          {"unconfirmed", counts.unconfirmed, "processed, the source did not hear that it was accepted"},
          {"unexpected", counts.unexpected, "never attempted"},
          {"contradicted", counts.contradicted, "more than one fate"},
          {"out of order", counts.out_of_order, ""}};
}

}  // namespace

std::string to_text(RecordId id) {
  return format("{}:{}", source_of(id), number_of(id));
}

Ledger::Ledger(LedgerOptions options) : options_(options) {
  if (options_.named >= 1 && options_.named <= 1000) return;
  throw Error(Errc::invalid_argument, format("named is {}, but has to be 1 to 1000", options_.named));
}

std::uint8_t* Ledger::find(RecordId id) {
  const std::uint64_t page = id >> kPageShift;
  if (page != last_page_ || !last_) {
    const auto found = pages_.find(page);
    if (found == pages_.end()) return nullptr;
    last_page_ = page;
    last_ = found->second.get();
  }
  return &(*last_)[id & (last_->size() - 1)];
}

std::uint8_t* Ledger::known(RecordId id, std::string_view what) {
  std::uint8_t* flags = find(id);
  if (flags && has(*flags, kAttempted)) return flags;
  name(unexpected_, format("{} ({})", to_text(id), what));
  return nullptr;
}

void Ledger::name(Named& in, std::string text) const {
  ++in.times;
  if (in.first.size() < options_.named) in.first.push_back(std::move(text));
}

void Ledger::attempted(RecordId id) {
  std::uint8_t* flags = find(id);
  if (!flags) {
    auto page = std::make_unique<Page>();
    page->fill(0);
    pages_[id >> kPageShift] = std::move(page);
    flags = find(id);
  }
  *flags |= kAttempted;
}

void Ledger::accepted(RecordId id) {
  if (std::uint8_t* flags = known(id, "accepted")) *flags |= kAccepted;
}

void Ledger::redelivered(RecordId id) {
  if (std::uint8_t* flags = known(id, "redelivered")) *flags |= kRedelivered;
}

void Ledger::processed(RecordId id, std::string_view where, std::uint64_t key) {
  if (!where.empty()) {
    const auto place = places_.find(where);
    if (place != places_.end()) {
      ++place->second;
    } else {
      places_.emplace(where, 1);
    }
  }
  std::uint8_t* flags = known(id, "processed");
  if (!flags) return;
  if (has(*flags, kProcessed)) {
    name(duplicated_, where.empty() ? to_text(id) : format("{} (again at {})", to_text(id), where));
    return;
  }
  if (has(*flags, kFates)) *flags |= kProcessedLater;
  *flags |= kProcessed;
  if (options_.ordered) check_order(id, key);
}

void Ledger::check_order(RecordId id, std::uint64_t key) {
  const auto [at, first] = newest_.try_emplace({source_of(id), key}, number_of(id));
  if (first) return;
  if (number_of(id) < at->second) {
    name(out_of_order_, format("{} behind {}", to_text(id), to_text(record_id(source_of(id), at->second))));
  } else {
    at->second = number_of(id);
  }
}

void Ledger::set_fate(RecordId id, std::uint8_t bit, std::string_view what) {
  if (std::uint8_t* flags = known(id, what)) *flags |= bit;
}

void Ledger::expired(RecordId id) {
  set_fate(id, kExpired, "expired");
}
void Ledger::dead_lettered(RecordId id) {
  set_fate(id, kDeadLettered, "a dead letter");
}
void Ledger::purged(RecordId id) {
  set_fate(id, kPurged, "purged");
}

void Ledger::fault(std::string_view kind, std::uint64_t times) {
  faults_[std::string(kind)] += times;
}

template <class Visit>
void Ledger::for_each(const Visit& visit) const {
  for (const auto& [number, page] : pages_) {
    for (std::size_t i = 0; i < page->size(); ++i) {
      if ((*page)[i] != 0) visit((number << kPageShift) + i, (*page)[i]);
    }
  }
}

LedgerCounts Ledger::counts() const {
  LedgerCounts out;
  for_each([&](RecordId, std::uint8_t flags) { count_record(flags, out); });
  out.duplicated = duplicated_.times;
  out.unexpected = unexpected_.times;
  out.out_of_order = out_of_order_.times;
  out.faults.insert(faults_.begin(), faults_.end());
  return out;
}

std::vector<std::string> Ledger::problems() const {
  return problems(counts());
}

std::vector<std::string> Ledger::problems(const LedgerCounts& counts) const {
  Named lost;
  Named contradicted;
  if (counts.lost != 0 || counts.contradicted != 0) {
    for_each([&](RecordId id, std::uint8_t flags) {
      if (is_lost(flags)) name(lost, to_text(id));
      if (is_contradicted(flags)) name(contradicted, to_text(id));
    });
  }
  const bool once = options_.delivery == Delivery::exactly_once;
  std::vector<std::string> out;
  const auto say = [&out](bool wrong, const Named& named, std::string_view what) {
    if (!wrong || named.times == 0) return;
    out.push_back(format("{}: {} ({})", what, humane_count(named.times), listed(named.first, named.times)));
  };
  say(options_.delivery != Delivery::best_effort, lost, "lost although accepted");
  say(once, duplicated_, "processed more than once");
  say(once, contradicted, "more than one fate");
  say(true, unexpected_, "never attempted");
  say(options_.ordered, out_of_order_, "processed out of order");
  const std::uint64_t settled = counts.settled_processed + counts.settled_expired +
                                counts.settled_dead_lettered + counts.settled_purged + counts.lost;
  if (settled != counts.accepted) {
    out.push_back(format("the counts do not add up: {} accepted, but {} fates", counts.accepted, settled));
  }
  return out;
}

std::string Ledger::text() const {
  const LedgerCounts all = counts();
  std::string out;
  for (const Row& row : rows_of(all)) {
    std::string line = format("  {:<14}{:>16}  {}", row.name, humane_count(row.number), row.meaning);
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  if (!all.faults.empty()) out += "  faults\n";
  for (const auto& [kind, times] : all.faults) {
    out += format("    {:<12}{:>16}\n", kind, humane_count(times));
  }
  for (const std::string& sentence : problems(all)) out += "  problem: " + sentence + "\n";
  return out;
}

Value Ledger::to_value() const {
  const LedgerCounts all = counts();
  Value out = Value::map();
  out["attempted"] = all.attempted;
  out["accepted"] = all.accepted;
  out["processed"] = all.processed;
  out["expired"] = all.expired;
  out["dead_lettered"] = all.dead_lettered;
  out["purged"] = all.purged;
  out["lost"] = all.lost;
  out["duplicated"] = all.duplicated;
  out["redelivered"] = all.redelivered;
  out["recovered"] = all.recovered;
  out["unconfirmed"] = all.unconfirmed;
  out["unexpected"] = all.unexpected;
  out["contradicted"] = all.contradicted;
  out["out_of_order"] = all.out_of_order;
  Value& faults = out["faults"] = Value::map();
  for (const auto& [kind, times] : all.faults) faults[kind] = times;
  Value& places = out["processed_at"] = Value::map();
  for (const auto& [place, times] : places_) places[place] = times;
  const std::vector<std::string> found = problems(all);
  Value& sentences = out["problems"] = Value::list();
  for (const std::string& sentence : found) sentences.push_back(sentence);
  out["ok"] = found.empty();
  return out;
}

std::size_t Ledger::memory_bytes() const {
  return pages_.size() * sizeof(Page);
}

}  // namespace weft::sim
