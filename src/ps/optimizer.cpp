// The build compiles this file without contraction of products and sums, so that the results are the same
// bits on every processor and in every vector width.
#include <weft/ps/optimizer.hpp>

#include <algorithm>
#include <bit>
#include <cmath>

#include "ps/bounded.hpp"
#include "ps/flush_denormals.hpp"
#include "ps/vectorised.hpp"

namespace weft::ps {
namespace {

// Each rule is a small struct whose call updates one row. The switch over kinds is outside the loop over
// rows. kElementwise: state k belongs to element k, so that rows which lie behind each other are as good as
// one long row.
//
// What is stored is finite whatever the finite gradient: bounded() stands where a number could have become an
// infinity that the next step would turn into a NaN (infinity less infinity, infinity times zero).

struct Sgd {
  static constexpr bool kElementwise = true;
  float rate, l2, scale;
  WEFT_INLINED void operator()(float* __restrict w, float*, const float* __restrict gradient,
                               std::size_t n) const {
    for (std::size_t k = 0; k < n; ++k) w[k] = bounded(w[k] - rate * (scale * gradient[k] + l2 * w[k]));
  }
};

struct Momentum {
  static constexpr bool kElementwise = true;
  float rate, l2, momentum, scale;
  WEFT_INLINED void operator()(float* __restrict w, float* __restrict v, const float* __restrict gradient,
                               std::size_t n) const {
    for (std::size_t k = 0; k < n; ++k) {
      v[k] = bounded(momentum * v[k] + (scale * gradient[k] + l2 * w[k]));
      w[k] = bounded(w[k] - rate * v[k]);
    }
  }
};

struct AdaGrad {
  static constexpr bool kElementwise = true;
  float rate, l2, epsilon, scale;
  WEFT_INLINED void operator()(float* __restrict w, float* __restrict sum, const float* __restrict gradient,
                               std::size_t n) const {
    for (std::size_t k = 0; k < n; ++k) {
      const float g = scale * gradient[k] + l2 * w[k];
      sum[k] = bounded_above(sum[k] + g * g);
      w[k] = bounded(w[k] - rate * g / (std::sqrt(sum[k]) + epsilon));
    }
  }
};

struct RmsProp {
  static constexpr bool kElementwise = true;
  float rate, l2, decay, epsilon, scale;
  WEFT_INLINED void operator()(float* __restrict w, float* __restrict mean, const float* __restrict gradient,
                               std::size_t n) const {
    for (std::size_t k = 0; k < n; ++k) {
      const float g = scale * gradient[k] + l2 * w[k];
      mean[k] = bounded_above(decay * mean[k] + (1 - decay) * g * g);
      w[k] = bounded(w[k] - rate * g / (std::sqrt(mean[k]) + epsilon));
    }
  }
};

struct Adam {
  static constexpr bool kElementwise = false;
  float rate, l2, beta1, beta2, epsilon, scale;
  WEFT_INLINED void operator()(float* __restrict w, float* __restrict state, const float* __restrict gradient,
                               std::size_t n) const {
    float* m = state;
    float* v = state + n;
    // A float counts exactly to 2^24; both corrections are 1 long before.
    float& steps = state[2 * n];
    if (steps < 16777216.0F) steps += 1;
    const float correct1 = 1 / (1 - std::pow(beta1, steps));
    const float correct2 = 1 / (1 - std::pow(beta2, steps));
    for (std::size_t k = 0; k < n; ++k) {
      const float g = scale * gradient[k] + l2 * w[k];
      m[k] = bounded(beta1 * m[k] + (1 - beta1) * g);
      v[k] = bounded_above(beta2 * v[k] + (1 - beta2) * g * g);
      w[k] = bounded(w[k] - rate * (m[k] * correct1) / (std::sqrt(bounded_above(v[k] * correct2)) + epsilon));
    }
  }
};

struct Ftrl {
  static constexpr bool kElementwise = false;
  float rate, beta, l1, l2, scale;
  WEFT_INLINED void operator()(float* __restrict w, float* __restrict state, const float* __restrict gradient,
                               std::size_t n) const {
    float* root = state;
    float* z = state + n;
    for (std::size_t k = 0; k < n; ++k) {
      const float g = bounded(scale * gradient[k] + l2 * w[k]);
      const float next = std::sqrt(bounded_above(root[k] * root[k] + g * g));
      z[k] = bounded(z[k] - (g - bounded_above((next - root[k]) / rate) * w[k]));
      root[k] = next;
      const float excess = std::fabs(z[k]) - l1;
      const float weight = std::copysign(excess, z[k]) / ((beta + next) / rate);
      w[k] = excess <= 0 ? 0.0F : bounded(weight);
    }
  }
};

struct Rows {
  RowArena arena;
  std::span<const std::uint32_t> slots;
  const float* gradients;
};

template <class Rule>
WEFT_INLINED void each_row(const Rule& rule, const Rows& rows) {
  const RowArena& arena = rows.arena;
  const std::size_t width = arena.width;
  const bool joined = Rule::kElementwise && arena.weight_stride == width &&
                      (arena.state_stride == width || arena.state_stride == 0);
  const float* gradients = rows.gradients;
  for (std::size_t i = 0; i < rows.slots.size();) {
    const std::size_t slot = rows.slots[i];
    std::size_t count = 1;
    while (joined && i + count < rows.slots.size() && rows.slots[i + count] == slot + count) ++count;
    rule(arena.weights + slot * arena.weight_stride, arena.state + slot * arena.state_stride, gradients,
         count * width);
    gradients += count * width;
    i += count;
  }
}

WEFT_VECTORISED void update(const Sgd& rule, const Rows& rows) {
  each_row(rule, rows);
}
WEFT_VECTORISED void update(const Momentum& rule, const Rows& rows) {
  each_row(rule, rows);
}
WEFT_VECTORISED void update(const AdaGrad& rule, const Rows& rows) {
  each_row(rule, rows);
}
WEFT_VECTORISED void update(const RmsProp& rule, const Rows& rows) {
  each_row(rule, rows);
}
WEFT_VECTORISED void update(const Adam& rule, const Rows& rows) {
  each_row(rule, rows);
}
WEFT_VECTORISED void update(const Ftrl& rule, const Rows& rows) {
  each_row(rule, rows);
}

// Without an early exit: it runs over every value of every push. The bits of positive floats are in the order
// of the numbers, those of infinity and NaN behind them.
WEFT_VECTORISED std::int32_t any_beyond(const float* values, std::size_t count, std::int32_t most) {
  std::int32_t bad = 0;
  for (std::size_t i = 0; i < count; ++i) {
    bad |= (std::bit_cast<std::int32_t>(values[i]) & kMagnitude) > most ? 1 : 0;
  }
  return bad;
}

}  // namespace

bool all_within(std::span<const float> values, float most) {
  return any_beyond(values.data(), values.size(), std::bit_cast<std::int32_t>(most)) == 0;
}

bool all_finite(std::span<const float> values) {
  return all_within(values, kMostFloat);
}

float OptimizerSpec::most_gradient() const {
  return kind == OptimizerKind::sgd || kind == OptimizerKind::momentum ? kMostFloat : kMostSquared;
}

float OptimizerSpec::most_weight() const {
  if (kind != OptimizerKind::ftrl) return kMostFloat;
  // Of z, which reset_state() makes of a weight; less the rounding of it.
  const double most = (static_cast<double>(kMostFloat) - l1) / beta * learning_rate * 0.999999;
  return static_cast<float>(std::min(most, static_cast<double>(kMostFloat)));
}

std::size_t OptimizerSpec::state_width(std::size_t width) const {
  switch (kind) {
    case OptimizerKind::sgd:
      return 0;
    case OptimizerKind::momentum:
    case OptimizerKind::adagrad:
    case OptimizerKind::rmsprop:
      return width;
    case OptimizerKind::adam:
      return 2 * width + 1;
    case OptimizerKind::ftrl:
      return 2 * width;
  }
  return 0;
}

void apply_gradients(const OptimizerSpec& spec, const RowArena& arena, std::span<const std::uint32_t> slots,
                     const float* gradients, float scale) {
  const FlushDenormals flushed;
  const auto run = [&](const auto& rule) { update(rule, {arena, slots, gradients}); };
  const float rate = spec.learning_rate;
  const float l2 = spec.l2;
  switch (spec.kind) {
    case OptimizerKind::sgd:
      return run(Sgd{rate, l2, scale});
    case OptimizerKind::momentum:
      return run(Momentum{rate, l2, spec.momentum, scale});
    case OptimizerKind::adagrad:
      return run(AdaGrad{rate, l2, spec.epsilon, scale});
    case OptimizerKind::rmsprop:
      return run(RmsProp{rate, l2, spec.decay, spec.epsilon, scale});
    case OptimizerKind::adam:
      return run(Adam{rate, l2, spec.beta1, spec.beta2, spec.epsilon, scale});
    case OptimizerKind::ftrl:
      return run(Ftrl{rate, spec.beta, spec.l1, l2, scale});
  }
}

void reset_state(const OptimizerSpec& spec, const RowArena& arena, std::uint32_t slot) {
  const FlushDenormals flushed;
  float* state = arena.state + slot * arena.state_stride;
  std::fill_n(state, spec.state_width(arena.width), 0.0F);
  if (spec.kind != OptimizerKind::ftrl) return;
  const float* w = arena.weights + slot * arena.weight_stride;
  float* z = state + arena.width;
  for (std::size_t k = 0; k < arena.width; ++k) {
    z[k] = w[k] == 0 ? 0.0F
                     : bounded(bounded(w[k] * spec.beta / spec.learning_rate) + std::copysign(spec.l1, w[k]));
  }
}

}  // namespace weft::ps
