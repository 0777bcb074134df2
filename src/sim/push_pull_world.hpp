// PushPullWorld: a simulated push-pull link.
#pragma once

#include <cstdint>

#include <weft/sim/push_pull.hpp>

#include "sim/oracle.hpp"
#include "sim/world.hpp"

namespace weft::sim {

/// Senders are its left end, receivers its right one.
class PushPullWorld final : public World {
 public:
  explicit PushPullWorld(const PushPullOptions& options);
  SimReport run();

  const PushPullOptions& options() const { return options_; }
  Oracle& oracle() { return oracle_; }
  SimReport& report() { return report_; }
  [[nodiscard]] std::uint32_t receiver(std::uint32_t number) const { return right(number); }

 protected:
  [[nodiscard]] std::uint64_t work_sent() const override { return report_.batches_sent; }
  void on_lost(const SimMessage& message) override {
    if (message.kind == SimKind::data) ++report_.batches_lost;
  }

 private:
  PushPullOptions options_;
  Oracle oracle_;
  SimReport report_;
};

}  // namespace weft::sim
