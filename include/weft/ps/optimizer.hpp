// OptimizerSpec and the update rules that servers run on rows of float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <weft/core/value.hpp>

namespace weft::ps {

enum class OptimizerKind { sgd, momentum, adagrad, rmsprop, adam, ftrl };

std::string_view to_string(OptimizerKind kind);

/// Which rule, and its constants. With gradient g of a row's element w (`g += l2 * w` comes first in every
/// rule):
///
/// | kind     | rule                                                            | state    | source |
/// |----------|-----------------------------------------------------------------|----------|--------------------------|
/// | sgd      | w -= lr g                                                       | -        | Robbins & Monro
/// 1951     | | momentum | v = momentum v + g; w -= lr v                                   | v        |
/// Polyak 1964              | | adagrad  | n += g^2; w -= lr g / (sqrt(n) + epsilon)                       |
/// n        | Duchi et al. 2011        | | rmsprop  | n = decay n + (1 - decay) g^2; w -= lr g / (sqrt(n) +
/// epsilon)  | n        | Tieleman & Hinton 2012   | | adam     | t += 1; m = beta1 m + (1 - beta1) g; v =
/// beta2 v + (1 - beta2) g^2;                                   | |          | w -= lr (m / (1 - beta1^t)) /
/// (sqrt(v / (1 - beta2^t)) + epsilon) | m, v, t | Kingma & Ba 2015        | | ftrl     | n' = sqrt(n^2 +
/// g^2); z -= g - (n' - n) / lr * w; n = n';                                             | |          | w =
/// |z| <= l1 ? 0 : (z -+ l1) / ((beta + n) / lr)               | n, z     | McMahan et al. 2013      |
///
/// Adam's t counts the updates of the row, so that a rarely touched row of a sparse table is corrected by its
/// own history. All arithmetic is float32.
struct OptimizerSpec {
  OptimizerKind kind = OptimizerKind::sgd;
  float learning_rate = 0.1F;  ///< 1e-20 to 1e10; 0.001 by default for adam and rmsprop
  float l1 = 0;                ///< ftrl; 0 to 1e10
  float l2 = 0;                ///< every kind; 0 to 1e10
  float beta = 1;              ///< ftrl; 1e-20 to 1e10
  float momentum = 0.9F;       ///< momentum; 0 to 0.999999
  float decay = 0.9F;          ///< rmsprop; 0 to 0.999999
  float beta1 = 0.9F;          ///< adam; 0 to 0.999999
  float beta2 = 0.999F;        ///< adam; 0 to 0.999999
  float epsilon = 1e-8F;       ///< adagrad, rmsprop, adam; 1e-30 to 1e10

  static constexpr double kLeastFactor = 1e-20, kLeastEpsilon = 1e-30, kMostNumber = 1e10,
                          kMostFraction = 0.999999;

  /// From `{name: adagrad, learning_rate: 0.1}`. `where` opens the sentence of an error, e.g.
  /// "tables.weights.optimizer". Throws Error{invalid_argument} that names field, value and bound; a field
  /// that the named rule does not use is refused.
  static OptimizerSpec parse(const Value& value, const std::string& where);
  [[nodiscard]] Value to_value() const;

  /// Floats of state beside each row of `width` elements.
  [[nodiscard]] std::size_t state_width(std::size_t width) const;
  /// The largest gradient that the rule takes: one that it squares must have a square.
  [[nodiscard]] float most_gradient() const;
  /// The largest weight that may be assigned.
  [[nodiscard]] float most_weight() const;
};

/// Where rows lie. Element k of row `slot` is `weights[slot * weight_stride + k]`, 0 <= k < width; element k
/// of its state is `state[slot * state_stride + k]`, 0 <= k < state_width(width). Borrowed memory.
struct RowArena {
  float* weights = nullptr;
  std::size_t weight_stride = 0;
  float* state = nullptr;
  std::size_t state_stride = 0;
  std::size_t width = 0;
};

/// Runs the rule once for each slot, in order: `scale * gradients[i * width + k]` is the gradient of element
/// k of row `slots[i]`. Gradients must be finite; one beyond most_gradient() counts as that, and what grows
/// beyond the largest float stays there, so that rows are finite always. A slot that is named twice is
/// updated twice. Numbers below the normal ones are zeros, in gradients, rows and results.
void apply_gradients(const OptimizerSpec& spec, const RowArena& arena, std::span<const std::uint32_t> slots,
                     const float* gradients, float scale);

/// False: a NaN or an infinity is among them.
[[nodiscard]] bool all_finite(std::span<const float> values);
/// False: one of them is beyond `most` (0 or above), an infinity or a NaN.
[[nodiscard]] bool all_within(std::span<const float> values, float most);

/// Sets the state of a row whose weights were just given (by an initialiser or by assign): zeros, except that
/// ftrl chooses z so that the rule holds for these weights.
void reset_state(const OptimizerSpec& spec, const RowArena& arena, std::uint32_t slot);

}  // namespace weft::ps
