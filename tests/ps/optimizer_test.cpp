#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/core/json.hpp>
#include <weft/ps/optimizer.hpp>

#include "ps/flush_denormals.hpp"
#include "ps/random.hpp"

using namespace weft;
using namespace weft::ps;

namespace {

/// One row of one element, updated with each gradient in turn; the weights after each update.
std::vector<float> run(const std::string& json, float start, const std::vector<float>& gradients,
                       float scale = 1) {
  const OptimizerSpec spec = OptimizerSpec::parse(parse_json(json), "optimizer");
  std::vector<float> state(spec.state_width(1) + 1, -1.0F);
  float weight = start;
  const RowArena arena{&weight, 1, state.data(), spec.state_width(1), 1};
  const std::vector<std::uint32_t> slots{0};
  reset_state(spec, arena, 0);
  std::vector<float> weights;
  for (const float gradient : gradients) {
    apply_gradients(spec, arena, slots, &gradient, scale);
    weights.push_back(weight);
  }
  return weights;
}

void check_near(const std::vector<float>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(static_cast<double>(found[i]) == doctest::Approx(expected[i]).epsilon(2e-6));
  }
}

}  // namespace

// Expected values are worked out by hand from the rules in the header.

TEST_CASE("sgd steps against the gradient, with L2 added") {
  check_near(run(R"({"name": "sgd", "learning_rate": 0.5})", 1, {2, -1}), {0.0, 0.5});
  check_near(run(R"({"name": "sgd", "learning_rate": 0.5, "l2": 0.1})", 1, {2}), {1 - 0.5 * 2.1});
  check_near(run(R"({"name": "sgd", "learning_rate": 0.5})", 1, {2}, 0.25F), {0.75});
}

TEST_CASE("momentum keeps going in the direction of earlier gradients") {
  // v: 1, 0.9 + 1 = 1.9, 1.71 + 0 = 1.71
  check_near(run(R"({"name": "momentum", "learning_rate": 0.1, "momentum": 0.9})", 0, {1, 1, 0}),
             {-0.1, -0.29, -0.461});
}

TEST_CASE("adagrad divides by the root of the summed squares") {
  // n: 9, 25: steps 0.1 * 3 / 3 and 0.1 * 4 / 5
  check_near(run(R"({"name": "adagrad", "learning_rate": 0.1})", 0, {3, 4}), {-0.1, -0.18});
}

TEST_CASE("rmsprop divides by the root of the moving mean of squares") {
  // n: 0.25 * 4 = 1; 0.75 + 0.25 * 16 = 4.75
  check_near(run(R"({"name": "rmsprop", "learning_rate": 0.1, "decay": 0.75})", 0, {2, 4}),
             {-0.2, -0.2 - 0.4 / std::sqrt(4.75)});
}

TEST_CASE("adam's first step has the size of the learning rate, whatever the gradient") {
  check_near(run(R"({"name": "adam", "learning_rate": 0.01})", 0, {1000}), {-0.01});
  // Second step by hand: m = 0.09 + 0.2 = 0.29 -> / 0.19; v = 0.000999 + 0.004 -> / 0.001999
  const double m = (0.9 * 0.1 + 0.1 * 2) / (1 - 0.81);
  const double v = (0.999 * 0.001 + 0.001 * 4) / (1 - 0.999 * 0.999);
  const std::vector<float> found = run(R"({"name": "adam", "learning_rate": 0.01})", 0, {1, 2});
  CHECK(static_cast<double>(found[1]) == doctest::Approx(-0.01 - 0.01 * m / std::sqrt(v)).epsilon(1e-4));
}

TEST_CASE("ftrl keeps a weight at zero until its gradients pass l1") {
  // z: -0.5 (inside l1 = 1), then -1.5; n = sqrt(0.25), sqrt(0.25 + 1)
  const double n = std::sqrt(1.25);
  check_near(run(R"({"name": "ftrl", "learning_rate": 0.5, "beta": 1, "l1": 1})", 0, {0.5, 1}),
             {0.0, -0.5 / ((1 + n) / 0.5)});
}

TEST_CASE("ftrl continues from a weight that was assigned") {
  // With a vanishing gradient the rule must give the weight back.
  check_near(run(R"({"name": "ftrl", "learning_rate": 0.5, "beta": 2, "l1": 0.25})", -0.75F, {0}), {-0.75});
}

TEST_CASE("each optimiser updates rows of any width and only the slots that were named") {
  for (const char* name : {"sgd", "momentum", "adagrad", "rmsprop", "adam", "ftrl"}) {
    CAPTURE(std::string(name));
    const OptimizerSpec spec =
        OptimizerSpec::parse(parse_json(std::string(R"({"name": ")") + name + "\"}"), "optimizer");
    const std::size_t width = 3;
    const std::size_t stride = width + spec.state_width(width);
    std::vector<float> slab(4 * stride, 0.0F);
    const RowArena arena{slab.data(), stride, slab.data() + width, stride, width};
    const std::vector<std::uint32_t> slots{2, 0};
    const std::vector<float> gradients{1, 2, 3, 4, 5, 6};

    apply_gradients(spec, arena, slots, gradients.data(), 1);

    for (const std::size_t slot : {0U, 2U}) {
      for (std::size_t k = 0; k < width; ++k) CHECK(slab[slot * stride + k] < 0);
    }
    for (const std::size_t slot : {1U, 3U}) {
      for (std::size_t k = 0; k < stride; ++k) CHECK(slab[slot * stride + k] == 0);
    }
  }
}

TEST_CASE("a wrong optimiser is refused with field, value and bound") {
  const auto refuse = [](const std::string& json, const std::string& sentence) {
    CAPTURE(json);
    CHECK_THROWS_WITH_AS(OptimizerSpec::parse(parse_json(json), "tables.w.optimizer"),
                         doctest::Contains(sentence.c_str()), Error);
  };
  refuse(R"({"name": "adagard"})",
         "tables.w.optimizer.name: expected sgd, momentum, adagrad, rmsprop, adam or ftrl "
         "(did you mean adagrad?), found \"adagard\"");
  refuse(R"({"learning_rate": 0})",
         "tables.w.optimizer.learning_rate: expected a number from 1e-20 to 10000000000, found 0");
  refuse(R"({"learning_rate": 1e-40})", "expected a number from 1e-20 to 10000000000, found 1e-40");
  refuse(R"({"learning_rate": 1e39})", "expected a number from 1e-20 to 10000000000, found 1e+39");
  refuse(R"({"learning_rate": "fast"})", "expected a number from 1e-20 to 10000000000, found \"fast\"");
  refuse(R"({"name": "adam", "beta1": 1})",
         "tables.w.optimizer.beta1: expected a number from 0 to 0.999999, found 1");
  refuse(R"({"name": "sgd", "l1": 0.1})", "tables.w.optimizer.l1: optimizer sgd has no such field");
  refuse(R"({"l2": -1})", "tables.w.optimizer.l2: expected a number from 0 to 10000000000, found -1");
  refuse(R"("adam")", "tables.w.optimizer: expected a map of fields, found text");
}

namespace {

/// One row, element by element, as the rules stand in the header. Compiled without contraction, as they are.
void update_row(const OptimizerSpec& o, float* w, float* state, const float* gradient, std::size_t n,
                float scale) {
  const FlushDenormals flushed;
  const auto clip = [](float x, float most) { return x > most ? most : x < -most ? -most : x; };
  const float huge = std::numeric_limits<float>::max();
  float correct1 = 1;
  float correct2 = 1;
  if (o.kind == OptimizerKind::adam) {
    state[2 * n] += 1;
    correct1 = 1 / (1 - std::pow(o.beta1, state[2 * n]));
    correct2 = 1 / (1 - std::pow(o.beta2, state[2 * n]));
  }
  for (std::size_t k = 0; k < n; ++k) {
    const float sum = scale * gradient[k] + o.l2 * w[k];
    const float g = o.kind == OptimizerKind::ftrl ? clip(sum, huge) : sum;
    switch (o.kind) {
      case OptimizerKind::sgd:
        w[k] -= o.learning_rate * g;
        break;
      case OptimizerKind::momentum:
        state[k] = clip(o.momentum * state[k] + g, huge);
        w[k] -= o.learning_rate * state[k];
        break;
      case OptimizerKind::adagrad:
        state[k] = clip(state[k] + g * g, huge);
        w[k] -= o.learning_rate * g / (std::sqrt(state[k]) + o.epsilon);
        break;
      case OptimizerKind::rmsprop:
        state[k] = clip(o.decay * state[k] + (1 - o.decay) * g * g, huge);
        w[k] -= o.learning_rate * g / (std::sqrt(state[k]) + o.epsilon);
        break;
      case OptimizerKind::adam: {
        float& m = state[k];
        float& v = state[n + k];
        m = clip(o.beta1 * m + (1 - o.beta1) * g, huge);
        v = clip(o.beta2 * v + (1 - o.beta2) * g * g, huge);
        w[k] -= o.learning_rate * (m * correct1) / (std::sqrt(clip(v * correct2, huge)) + o.epsilon);
        break;
      }
      case OptimizerKind::ftrl: {
        float& root = state[k];
        float& z = state[n + k];
        const float next = std::sqrt(clip(root * root + g * g, huge));
        z = clip(z - (g - clip((next - root) / o.learning_rate, huge) * w[k]), huge);
        root = next;
        const float excess = std::fabs(z) - o.l1;
        w[k] = excess <= 0 ? 0.0F : std::copysign(excess, z) / ((o.beta + next) / o.learning_rate);
        break;
      }
    }
    w[k] = clip(w[k], huge);
  }
}

// With L2, and for rates at both ends of what is allowed.
std::vector<OptimizerSpec> every_rule() {
  std::vector<OptimizerSpec> out;
  for (const char* name : {"sgd", "momentum", "adagrad", "rmsprop", "adam", "ftrl"}) {
    for (const char* more :
         {"", R"(, "learning_rate": 1e-20)", R"(, "learning_rate": 1e10, "l2": 1e10)", R"(, "l2": 0.125)"}) {
      out.push_back(OptimizerSpec::parse(parse_json(std::string(R"({"name": ")") + name + "\"" + more + "}"),
                                         "optimizer"));
    }
  }
  return out;
}

std::uint32_t bits(float value) {
  return std::bit_cast<std::uint32_t>(value);
}

}  // namespace

TEST_CASE(
    "every optimiser gives the bits of a loop over single elements, at any width and place of the rows") {
  Random random(11);
  const auto draw = [&] { return static_cast<float>(random.normal()); };
  for (const char* name : {"sgd", "momentum", "adagrad", "rmsprop", "adam", "ftrl"}) {
    for (const std::size_t width : {1U, 2U, 3U, 7U, 8U, 9U, 15U, 16U, 17U, 31U, 33U, 100U, 1023U}) {
      for (const bool beside : {false, true}) {  // state beside its row, as in sparse tables
        CAPTURE(std::string(name));
        CAPTURE(width);
        CAPTURE(beside);
        const OptimizerSpec spec = OptimizerSpec::parse(
            parse_json(std::string(R"({"name": ")") + name + R"(", "l2": 0.125})"), "optimizer");
        const std::size_t rows = 9;
        const std::size_t state_width = spec.state_width(width);
        std::vector<float> slab(rows * (width + state_width));
        for (float& value : slab) value = draw();
        float* state = slab.data() + (beside ? width : rows * width);
        const RowArena arena{slab.data(), beside ? width + state_width : width, state,
                             beside ? width + state_width : state_width, width};
        for (std::uint32_t slot = 0; slot < rows; ++slot) reset_state(spec, arena, slot);
        std::vector<float> expected = slab;
        float* const expected_state = expected.data() + (state - slab.data());
        // Runs of neighbours, gaps, one twice, and one backwards.
        const std::vector<std::uint32_t> slots{0, 1, 2, 5, 6, 6, 8, 4, 3, 4};
        std::vector<float> gradients(slots.size() * width);

        for (int step = 0; step < 3; ++step) {
          for (float& gradient : gradients) gradient = draw();
          gradients.back() = -0.0F;
          apply_gradients(spec, arena, slots, gradients.data(), 0.25F);
          for (std::size_t i = 0; i < slots.size(); ++i) {
            update_row(spec, expected.data() + slots[i] * arena.weight_stride,
                       expected_state + slots[i] * arena.state_stride, gradients.data() + i * width, width,
                       0.25F);
          }
        }

        CHECK(std::memcmp(slab.data(), expected.data(), slab.size() * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("one number that is not finite is found wherever it is") {
  const float inf = std::numeric_limits<float>::infinity();
  for (const std::size_t size : {1U, 7U, 8U, 9U, 33U, 100U}) {
    std::vector<float> values(size, std::numeric_limits<float>::max());
    CHECK(all_finite(values));
    for (std::size_t i = 0; i < size; ++i) {
      for (const float bad : {inf, -inf, std::numeric_limits<float>::quiet_NaN()}) {
        values[i] = bad;
        CHECK_FALSE(all_finite(values));
      }
      values[i] = -0.0F;
    }
    CHECK(all_finite(values));
  }
  CHECK(all_finite({}));
}

TEST_CASE("a row is finite after every series of finite gradients, and so is its state") {
  constexpr float kHuge = std::numeric_limits<float>::max();
  const std::vector<float> hard{kHuge,  -kHuge, 3e19F, -3e19F, 1.8446743e19F, 5.02e19F, 1e-45F,
                                1e-30F, 0,      1,     -1};
  Random random(3);
  for (const OptimizerSpec& spec : every_rule()) {
    CAPTURE(to_string(spec.kind));
    CAPTURE(spec.learning_rate);
    const std::size_t width = 8;
    const std::size_t state_width = spec.state_width(width);
    for (const float start : {0.0F, 1.0F, -spec.most_weight(), spec.most_weight()}) {
      std::vector<float> row(width + state_width, 0.0F);
      std::fill_n(row.begin(), width, start);
      const RowArena arena{row.data(), row.size(), row.data() + width, row.size(), width};
      const std::vector<std::uint32_t> slots{0};
      reset_state(spec, arena, 0);
      REQUIRE(all_finite(row));
      std::vector<float> expected = row;
      for (int step = 0; step < 200; ++step) {
        std::vector<float> gradient(width);
        for (float& g : gradient) g = hard[random.below(hard.size())];
        apply_gradients(spec, arena, slots, gradient.data(), 1);
        update_row(spec, expected.data(), expected.data() + width, gradient.data(), width, 1);
        REQUIRE(all_finite(row));
        REQUIRE(std::memcmp(row.data(), expected.data(), row.size() * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("state that decays ends at zero, and leaves no number that is too small to be normal") {
  for (const OptimizerSpec& spec : every_rule()) {
    CAPTURE(to_string(spec.kind));
    const std::size_t width = 8;
    std::vector<float> row(width + spec.state_width(width), 0.0F);
    const RowArena arena{row.data(), row.size(), row.data() + width, row.size(), width};
    const std::vector<std::uint32_t> slots{0};
    reset_state(spec, arena, 0);
    std::vector<float> gradient(width, 1e-18F);
    apply_gradients(spec, arena, slots, gradient.data(), 1);
    std::fill(gradient.begin(), gradient.end(), 1e-44F);  // as good as none
    for (int step = 0; step < 1200; ++step) apply_gradients(spec, arena, slots, gradient.data(), 1);

    for (const float value : row) {
      const std::uint32_t magnitude = bits(value) & 0x7FFFFFFFU;
      CHECK((magnitude == 0 || magnitude >= 0x00800000U));
    }
  }
}

TEST_CASE("a gradient that has no square, and a weight that ftrl has no state for, are told from others") {
  const OptimizerSpec ftrl = OptimizerSpec::parse(parse_json(R"({"name": "ftrl"})"), "optimizer");
  CHECK(all_within(std::vector<float>{ftrl.most_gradient(), -ftrl.most_gradient()}, ftrl.most_gradient()));
  CHECK_FALSE(all_within(std::vector<float>{0, -1.85e19F}, ftrl.most_gradient()));
  CHECK(std::isfinite(ftrl.most_gradient() * ftrl.most_gradient()));
  CHECK(ftrl.most_weight() > 1e37F);
  CHECK_FALSE(all_within(std::vector<float>{3.4e38F}, ftrl.most_weight()));
}
