// Relay: hands records on, from any pattern to any pattern.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include <weft/node/node.hpp>
#include <weft/program/any_port.hpp>
#include <weft/program/options.hpp>
#include <weft/program/records.hpp>

namespace weft::relay {

/// in -> out: what happens to a request, and to the reply of one:
///   push, pub -> push, pub   handed on
///   dealer    -> push, pub   handed on and answered with the request itself
///   dealer    -> dealer      handed on; the reply, or the error, goes back
///   push, pub -> dealer      asked; replies are counted
///   dealer    -> nothing     answered with the request itself
class Relay {
 public:
  Relay(Node& node, const program::Options& options);

 private:
  void take(const wire::RecordView& record, const Meta& meta, program::Answer answer);
  /// False: there is no room now.
  bool hand_on(const wire::RecordView& record, std::string_view topic, program::Answer& answer);
  void ask(const wire::RecordView& record, program::Answer& answer, SendStatus& status);
  void hold(const wire::RecordView& record, const Meta& meta, program::Answer answer);
  void release();
  void work();
  [[nodiscard]] Value result() const;

  struct Held {
    program::HeldRecord record;
    std::string topic;
    program::Answer answer;
  };

  Node& node_;
  Duration work_;
  std::optional<program::OutPort> out_;
  std::optional<program::InPort> in_;
  std::deque<Held> held_;
  TimePoint breathed_{};
  bool draining_ = false;
  std::uint64_t relayed_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t failed_ = 0;
};

}  // namespace weft::relay
