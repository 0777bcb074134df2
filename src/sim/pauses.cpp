#include <weft/sim/pauses.hpp>

#include <algorithm>
#include <charconv>
#include <string>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/units.hpp>
#include <weft/sim/random.hpp>

namespace weft::sim {
namespace {

using namespace std::chrono_literals;

// A peer that is silent for 10 s is given up.
constexpr std::uint64_t kShortest = 1, kSuspect = 1000, kAlive = 9500, kDead = 10'500, kLong = 16'000,
                        kLongest = 40'000;  // ms

Duration draw_span(Random& random, bool dead) {
  const std::uint64_t span =
      !dead ? random.chance(0.5) ? random.between(kShortest, kSuspect) : random.between(kSuspect, kAlive)
      : random.chance(0.7) ? random.between(kDead, kLong)
                           : random.between(kLong, kLongest);
  return std::chrono::milliseconds(span);
}

std::uint64_t take_number(std::string_view item, std::string_view& rest, std::string_view what) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (error != std::errc{} || end == rest.data() + rest.size() || *end != ':')
    throw Error(Errc::invalid_argument,
                format("pause '{}' has no {}: write it as PROCESS:MOMENT:TIME, like 3:17:12.5s", item, what));
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()) + 1);
  return number;
}

Pause parse_pause(std::string_view item) {
  std::string_view rest = item;
  Pause pause;
  const std::uint64_t process = take_number(item, rest, "process");
  pause.moment = take_number(item, rest, "moment");
  const auto span = parse_duration(rest);
  if (process > 200'000 || pause.moment == 0 || !span || *span < Duration::zero() || *span > 1h)
    throw Error(Errc::invalid_argument,
                format("pause '{}': the process is a number from 0 to 200000, the moment one from 1 on, the "
                       "time from 0 to 1h",
                       item));
  pause.process = static_cast<std::uint32_t>(process);
  pause.span = *span;
  return pause;
}

/// One seed, run by run.
class Player {
 public:
  Player(std::uint64_t seed, const PlayOnce& play) : play_(play), random_(seed ^ 0xC5CEDULL) {
    report_.seed = seed;
  }

  PausesReport run() {
    std::vector<std::uint64_t> moments = once({}).moments;
    // In half of the seeds a process has been given up before, and what is stopped now is amid the way back.
    std::vector<Pause> before;
    if (report_.ok() && random_.chance(0.5)) {
      const auto process = static_cast<std::uint32_t>(random_.below(moments.size()));
      const std::uint64_t most = std::max<std::uint64_t>(moments[process], 1);
      before = {{process, random_.between(std::uint64_t{1}, most), draw_span(random_, random_.chance(0.8))}};
      moments = once(before).moments;
    }
    for (std::uint32_t process = 0; process < moments.size(); ++process) {
      for (std::uint64_t moment = 1; moment <= moments[process] && report_.ok(); ++moment) {
        ++report_.moments;
        for (const bool dead : {false, true}) {
          std::vector<Pause> pauses = before;
          pauses.push_back({process, moment, draw_span(random_, dead)});
          if (report_.ok()) (void)once(pauses);
        }
      }
    }
    return std::move(report_);
  }

 private:
  RunReport once(const std::vector<Pause>& pauses) {
    RunReport one = play_(pauses);
    ++report_.runs;
    report_.events += one.events;
    report_.longest = std::max(report_.longest, one.back_after);
    if (one.ok()) return one;
    report_.problems = one.problems;
    report_.pauses = to_text(pauses);
    return one;
  }

  const PlayOnce& play_;
  Random random_;
  PausesReport report_;
};

}  // namespace

std::vector<Pause> parse_pauses(std::string_view text) {
  std::vector<Pause> pauses;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    pauses.push_back(parse_pause(item));
  }
  return pauses;
}

std::string to_text(const std::vector<Pause>& pauses) {
  std::string out;
  for (const Pause& pause : pauses)
    out += format("{}{}:{}:{}", out.empty() ? "" : ",", pause.process, pause.moment,
                  format_duration(pause.span));
  return out;
}

Value PausesReport::to_value() const {
  Value out = Value::map();
  out["ok"] = ok();
  out["seed"] = seed;
  out["runs"] = runs;
  out["moments"] = moments;
  out["events"] = events;
  out["longest_seconds"] = std::chrono::duration<double>(longest).count();
  out["pauses"] = pauses;
  Value& sentences = out["problems"] = Value::list();
  for (const std::string& sentence : problems) sentences.push_back(sentence);
  return out;
}

PausesReport play_pauses(std::uint64_t seed, const PlayOnce& play) {
  return Player(seed, play).run();
}

}  // namespace weft::sim
