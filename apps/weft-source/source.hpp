// Source: takes records from an Input and sends them as fast as its rate and its receivers allow.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <weft/node/node.hpp>
#include <weft/program/any_port.hpp>
#include <weft/program/id_log.hpp>
#include <weft/program/options.hpp>
#include <weft/program/records.hpp>

#include "input.hpp"

namespace weft::source {

class Source {
 public:
  Source(Node& node, const program::Options& options);

 private:
  enum class Step { sent, blocked, stop };

  void start();
  /// Sends a bounded number of records, then lets the loop turn.
  void pump();
  /// Sends one record.
  Step step();
  bool fetch();
  void wait_for_time(std::uint64_t micros);
  void wait_for_input();
  void on_reply(const program::OutPort::Result& result);
  void open_ledger(const program::Options& options);
  void resume(const program::Options& options);
  void confirm_accepted();
  void forward_replies();
  void end_of_input();
  void finish_when_alone();
  void on_receiver(const PeerEvent& event);
  [[nodiscard]] bool abandoned() const;
  void finish_when_settled();
  void report_and_finish();
  void fail(const std::string& sentence);
  [[nodiscard]] Value result(bool drains = false);
  [[nodiscard]] double seconds() const;

  Node& node_;
  std::unique_ptr<Input> input_;
  program::OutPort out_;
  std::optional<program::OutPort> replies_;
  double rate_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t repeat_ = 1;
  std::vector<std::string> topics_;
  std::optional<program::IdLog> ledger_;
  std::size_t place_ = 0;      // of record_ in the ledger
  std::size_t confirmed_ = 0;  // entries of this incarnation that the port's journal has accepted
  std::size_t first_place_ = 0;
  std::uint64_t resumed_ = 0;   // records of earlier incarnations
  std::uint64_t accepted_ = 0;  // that the port's journal had accepted at the start

  wire::Buffer record_;
  bool have_record_ = false;
  bool started_ = false;
  bool stopped_ = false;
  bool ended_ = false;
  bool left_ = false;                           // a receiver has said goodbye
  std::map<std::string, TimePoint> receivers_;  // that have not, and since when they are dead (else max)
  bool waits_ = false;   // what a dead receiver had waits for it: a launcher says whether it comes back
  Duration patience_{};  // else: how long a dead receiver may take to come back
  bool finished_ = false;
  bool posted_ = false;
  bool waiting_ = false;  // for a timer or for input
  TimePoint start_{};
  TimePoint last_{};
  std::uint64_t sent_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t runs_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t failed_ = 0;
  std::string first_failure_;
  std::deque<program::HeldRecord> reply_queue_;
};

}  // namespace weft::source
