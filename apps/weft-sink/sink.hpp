// Sink: counts records and writes them as JSON lines.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <weft/node/node.hpp>
#include <weft/program/any_port.hpp>
#include <weft/program/id_log.hpp>
#include <weft/program/options.hpp>
#include <weft/transport/loop.hpp>

#include "line_writer.hpp"
#include "sequence_check.hpp"

namespace weft::sink {

class Sink {
 public:
  Sink(Node& node, const program::Options& options);
  ~Sink();
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

 private:
  void take(const wire::RecordView& record, const Meta& meta, program::Answer answer);
  void write(const wire::RecordView& record, const Meta& meta);
  void check(const wire::RecordView& record, const Meta& meta);
  void open_ledger(const program::Options& options);
  void go_on_from_commit(const program::Options& options);
  void commit_beginning(bool appends);
  void await_beginning();
  [[noreturn]] void fail_beginning();
  void commit();
  void read_ledger();
  [[nodiscard]] bool complete() const;
  void count_peer(const Meta& meta);
  void flush();
  void finish();
  [[noreturn]] void fail(const std::string& sentence);
  [[nodiscard]] Value result() const;

  Node& node_;
  std::optional<LineWriter> out_;
  std::uint64_t count_;
  std::string check_field_;
  bool with_meta_;
  bool gets_all_ = true;    // of its sources: no other replica and no choice of topics takes a part
  bool published_ = false;  // each subscriber gets every record
  std::optional<program::InPort> in_;

  std::uint64_t received_ = 0;
  std::uint64_t extra_ = 0;  // behind the last one that was asked for
  bool finished_ = false;
  bool dirty_ = false;
  bool draining_ = false;
  TimePoint first_{};
  TimePoint last_{};
  std::map<std::string, std::uint64_t, std::less<>> peers_;
  std::map<std::string, std::uint64_t, std::less<>> topics_;
  std::uint64_t* peer_cell_ = nullptr;  // of the peer that sent last
  std::string peer_name_;
  SequenceCheck check_;
  std::optional<program::IdLog> ledger_;
  Journal* journal_ = nullptr;  // exactly-once: output and ledger are committed with the marks
  std::uint64_t committed_bytes_ = 0;
  std::size_t news_ = 0;           // of the journal: its subscription
  Loop::TimerId first_limit_ = 0;  // not 0: nothing is taken before the first commit is durable
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for calls that come later
};

}  // namespace weft::sink
