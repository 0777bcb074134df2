// ReliablePull: the acknowledged side of a Pull. Puts the batches of each sender in order, tells copies from
// news, and acknowledges what has been processed, with a journal only once that is durable.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <weft/blocks/pull.hpp>
#include <weft/protocol/inbound.hpp>

#include "blocks/durable.hpp"
#include "blocks/hub.hpp"
#include "blocks/inbox.hpp"

namespace weft::blocks {

class ReliablePull {
 public:
  /// `hand_out` is called when the inbox has more.
  ReliablePull(Hub& hub, Inbox& inbox, std::function<void()> hand_out);
  ~ReliablePull() { close(); }
  ReliablePull(const ReliablePull&) = delete;
  ReliablePull& operator=(const ReliablePull&) = delete;
  void close();

  // ---- what the hub tells ----

  void describe(Peer& peer, wire::Header& header);
  /// Bytes that an honest peer may have on its way and unhandled here.
  [[nodiscard]] std::uint64_t most_held(const Peer& peer) const;
  void on_met(Peer& peer, const wire::Header& header);
  /// The hub has forgotten the peer.
  void on_removed(Peer& peer);
  /// `item` has the checked frames of the message; empty for a place in which nothing comes.
  void on_batch(Peer& peer, const wire::Header& header, InboxItem item);
  void on_void(Peer& peer, const wire::Header& header);
  /// Its records cannot be told apart: all of them are refused for good.
  void on_unreadable(Peer& peer, const wire::Header& header, std::uint64_t count);

  // ---- records ----

  /// The inbox begins a batch, or is done with it.
  void begin(const InboxItem& item);
  void done(InboxItem& item);
  /// Of the record that the handler has at the moment.
  void note(const InboxItem& item, std::uint32_t index, Verdict outcome);
  Receipt defer(const InboxItem& item, std::uint32_t index);
  bool settle(const Receipt& receipt, Verdict outcome);
  /// Batches that are not settled: handed out, deferred, or not yet durable.
  [[nodiscard]] bool idle() const { return open_.empty() && pending_.empty() && finished_.empty(); }
  void fill(PortStats& stats) const;
  /// Senders of which something is remembered.
  [[nodiscard]] std::size_t senders_known() const { return streams_.size(); }

 private:
  struct Refusal {
    std::vector<std::pair<std::uint32_t, bool>> records;  // (place in the batch, refused for good)
    std::string text;
    Duration delay = Duration::zero();
  };
  struct Stream {
    explicit Stream(protocol::InboundStream::Limits limits) : in(limits) {}
    protocol::InboundStream in;
    std::map<std::uint64_t, InboxItem> held;   // wait for an earlier one
    std::map<std::uint64_t, Refusal> refused;  // told to the sender until it answers
    std::uint64_t peer = 0;                    // id
    std::uint64_t window = 0;                  // bytes, for the largest batches that have come
    std::uint64_t undurable = 0;               // bytes that were handled and are not told
    std::uint64_t granted = 0;                 // of them, what the sender was given on top of its window
    bool report = false;                       // the sender waits for the word on what has been published
    bool away = false;                         // the hub has forgotten its peer
    bool finished = false;                     // by its word, nothing more comes in this epoch

    // Its sender has begun a new life.
    void forget() {
      held.clear();
      refused.clear();
      undurable = granted = window = 0;
    }
  };
  using Key = std::pair<std::string, std::uint64_t>;  // stream, sequence
  struct Open {
    std::uint64_t epoch = 0;
    std::uint64_t bytes = 0;
    bool report = false;              // its sender waits for the word
    std::set<std::uint32_t> waiting;  // deferred records without an outcome
    bool handed_out = false;          // the inbox is done with it
    bool again = false;               // its sender waits for the outcome
    Refusal refusal;
  };
  struct Pending {
    std::uint64_t commit = 0;
    std::string stream;
    std::uint64_t epoch = 0, seq = 0, bytes = 0;
    bool refused = false;
    bool report = false;
    bool again = false;
  };

  static std::string stream_name(const Peer& peer) { return peer.node + "." + peer.port; }
  Stream& stream_of(Peer& peer);
  void load(const std::string& name, Stream& stream);
  void let_go(std::string name);
  [[nodiscard]] bool works_for(const std::string& name) const;
  bool begin_stream(const std::string& name, Stream& stream, const wire::Header& header);
  void deliver_due(Stream& stream, Peer& peer);
  void deliver(Peer& peer, InboxItem item);
  static void drop_held(Stream& stream);
  void drop_void(const std::string& name, Stream& stream);
  void finish(const std::string& name, std::uint64_t seq, Open& open);
  void write_finished();
  void write_marks(const std::string& name, const Stream& stream);
  void publish(const Pending& pending);
  void acknowledge_soon(Stream& stream, std::uint64_t bytes, bool report);
  void acknowledge(Stream& stream, Peer& peer);
  void grant(const std::string& name);
  static void judge(Refusal& refusal, std::uint32_t index, Verdict outcome);
  void send_refusal(Peer& peer, std::uint64_t seq, const Refusal& refusal);
  void on_news();

  Hub& hub_;
  Inbox& inbox_;
  std::function<void()> hand_out_;
  const PortOptions& options_;
  Durable journal_;
  std::string marks_space_, refused_space_;
  std::map<std::string, Stream> streams_;
  std::deque<std::string> away_;  // names of streams that were let go, oldest first
  std::map<Key, Open> open_;
  std::deque<Pending> pending_;
  std::uint64_t redelivered_ = 0;
  std::vector<Pending> finished_;  // to be written when the transaction ends
  std::size_t prepare_ = 0;        // id of the call before a commit
  bool entered_ = false;
  bool refused_ = false;
};

}  // namespace weft::blocks
