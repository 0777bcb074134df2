// The losses and gradients of logistic and softmax regression over a batch and its pulled parameters.
#pragma once

#include <cstddef>
#include <span>

#include <weft/ps/batch.hpp>

namespace weft::ps {

// Labels are 0 or 1 for logistic, 0 .. classes-1 for softmax. The loss of a row is -ln of the probability
// that the model gave to its label, in nats. Sums are in double.

/// weights[l] belongs to batch.keys()[l]. Writes gradient[l] = scale * sum over rows of dloss/dweights[l];
/// use scale = 1 / batch.rows() for the mean. Result: the loss summed over the rows, before any update.
double logistic_gradient(const Batch& batch, std::span<const float> weights, std::span<float> gradient,
                         float scale);

/// weights[l * classes + c] belongs to class c of batch.keys()[l]; gradient has the same shape. A label that
/// is no class throws Error{invalid_argument}.
double softmax_gradient(const Batch& batch, std::size_t classes, std::span<const float> weights,
                        std::span<float> gradient, float scale);

/// margins[r] = sum of value * weight over the features of row r: the log-odds of label 1.
void logistic_margins(const Batch& batch, std::span<const float> weights, std::span<double> margins);

/// scores[r * classes + c]: the unnormalised log-probability of class c.
void softmax_scores(const Batch& batch, std::size_t classes, std::span<const float> weights,
                    std::span<float> scores);

/// ln(1 + e^x) without overflow; the loss of a row with label 0 and margin x, and of label 1 with margin -x.
double softplus(double x);
/// 1 / (1 + e^-x)
double sigmoid(double x);
/// ln of the sum of e^scores.
double log_sum_exp(std::span<const float> scores);

}  // namespace weft::ps
