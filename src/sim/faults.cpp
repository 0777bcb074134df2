#include <weft/sim/faults.hpp>

#include <array>
#include <charconv>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "sim/draw.hpp"

namespace weft::sim {
namespace {

using namespace std::chrono_literals;

struct Name {
  std::string_view text;
  double Faults::*field;
};
constexpr std::array<Name, 11> kNames{{{"loss", &Faults::loss},
                                       {"duplicate", &Faults::duplicate},
                                       {"reorder", &Faults::reorder},
                                       {"partition", &Faults::partition},
                                       {"slow", &Faults::slow},
                                       {"crash", &Faults::crash},
                                       {"power", &Faults::power},
                                       {"pause", &Faults::pause},
                                       {"full", &Faults::full},
                                       {"skew", &Faults::skew},
                                       {"jump", &Faults::jump}}};

double number(std::string_view name, std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    throw Error(Errc::invalid_argument, format("fault {}: '{}' is not a number", name, text));
  return value;
}

void set(Faults& faults, std::string_view name, std::string_view text) {
  const double value = number(name, text);
  if (name == "delay") {
    if (!(value >= 0 && value <= 10))
      throw Error(Errc::invalid_argument, format("fault delay: {} s is not in 0 to 10", value));
    faults.delay = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
    return;
  }
  for (const Name& known : kNames) {
    if (known.text != name) continue;
    faults.*known.field = value;
    return;
  }
  std::string all = "delay";
  for (const Name& known : kNames) all += format(", {}", known.text);
  throw Error(Errc::invalid_argument, format("unknown fault '{}'; there are {}", name, all));
}

}  // namespace

void Faults::check() const {
  for (const Name& known : kNames) {
    const double value = this->*known.field;
    const double most = known.field == &Faults::skew ? 0.1 : 1;
    if (!(value >= 0 && value <= most))
      throw Error(Errc::invalid_argument, format("fault {}: {} is not in 0 to {}", known.text, value, most));
  }
}

Faults parse_faults(std::string_view text) {
  Faults faults;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos)
      throw Error(Errc::invalid_argument, format("fault '{}' has no value: write it as name=number", item));
    set(faults, item.substr(0, equals), item.substr(equals + 1));
  }
  faults.check();
  return faults;
}

std::string to_text(const Faults& faults) {
  const Faults none;
  std::string out;
  for (const Name& known : kNames) {
    if (faults.*known.field != none.*known.field)
      out += format("{}{}={}", out.empty() ? "" : ",", known.text, faults.*known.field);
  }
  if (faults.delay != none.delay)
    out += format("{}delay={}", out.empty() ? "" : ",", std::chrono::duration<double>(faults.delay).count());
  return out;
}

Faults draw_faults(Random& random) {
  Faults faults;
  const auto sometimes = [&random](double most) { return random.chance(0.5) ? most * random.unit() : 0.0; };
  faults.loss = sometimes(0.1);
  faults.duplicate = sometimes(0.1);
  faults.reorder = sometimes(0.2);
  faults.partition = sometimes(0.004);
  faults.slow = sometimes(0.5);
  faults.crash = sometimes(0.01);
  faults.power = random.unit();
  faults.pause = sometimes(0.01);
  faults.full = sometimes(0.05);
  faults.skew = sometimes(0.02);
  faults.jump = sometimes(1);
  faults.delay = random.between(20us, 20ms);
  return faults;
}

Faults calm_faults(Faults faults, Random& random) {
  faults.pause = 0;
  faults.crash /= 2;
  if (random.chance(0.3)) return faults;
  return {.slow = faults.slow, .skew = faults.skew, .delay = faults.delay};
}

}  // namespace weft::sim
