// Hub: the sessions of one port. Owns its sockets, says and answers HELLO, keeps peers alive, counts what it
// refuses, and hands batches, requests and replies to the block that owns it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/transport/loop.hpp>
#include <weft/transport/shared.hpp>
#include <weft/transport/socket.hpp>
#include <weft/wire/batch.hpp>
#include <weft/wire/record_type.hpp>
#include <weft/wire/shared.hpp>

#include "blocks/guarded.hpp"
#include "blocks/peer.hpp"
#include "blocks/strangers.hpp"

namespace weft::blocks {

/// What the block does with what its Hub hears.
class HubClient {
 public:
  virtual ~HubClient() = default;
  /// DATA, REQUEST, REPLY, CANCEL and SYNC of a peer that is up. `message[at]` is the body frame, when there
  /// is one.
  virtual void on_message(Peer& peer, const wire::Header& header, transport::Message& message,
                          std::size_t at) = 0;
  /// The peer is up (again); its lanes are set for what comes next. Called before the event is emitted.
  virtual void on_up(Peer&) {}
  /// The peer gets nothing more and nothing comes from it for now: dead, finished, refused or removed.
  virtual void on_down(Peer&, PeerEvent::What) {}
  /// Credit came, or the peer began to drain.
  virtual void on_room(Peer&) {}
  /// A HELLO has told that the connection took with it what was sent after `accepted`, up to `said`: nothing
  /// is heard of that any more. Amid the HELLO: nobody else may be called from inside of it.
  virtual void on_lost(Peer&, std::uint64_t /*accepted*/, std::uint64_t /*said*/) {}

  // ---- acknowledged deliveries: the block keeps the streams, the hub only carries what is said of them ----

  /// True: `out`, `in` and `ack` of the peers are not used; the calls below are.
  [[nodiscard]] virtual bool keeps_streams() const { return false; }
  /// Adds what is known of the peer's streams to a HELLO, or an ACK, for it.
  virtual void describe(Peer&, wire::Header&) {}
  /// A HELLO was accepted; on_up() follows when the peer was not up. `fresh`: a new connection or a new life.
  virtual void on_met(Peer&, const wire::Header&, bool /*fresh*/) {}
  virtual void on_ack(Peer&, const wire::Header&) {}
  /// The peer is forgotten, by the owner's word or because it was dead for long.
  virtual void on_removed(Peer&) {}
};

/// A batch that ZeroMQ has no room for is offered again after so long.
inline constexpr Duration kRetrySendAfter = std::chrono::milliseconds(10);

/// Messages of one peer that break the protocol, before it is shut out.
inline constexpr unsigned kBadMessages = 64;

/// One key for who a peer says it is.
inline std::string name_key(std::string_view node, std::string_view port) {
  std::string key(node);
  key += '\0';
  key += port;
  return key;
}

class Hub {
 public:
  Hub(Loop& loop, const PortOptions& options, PortIdentity identity, HubClient& client);
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  void bind(const std::string& endpoint);
  void connect(const std::string& endpoint);
  void disconnect(const std::string& endpoint);
  [[nodiscard]] const std::vector<std::string>& endpoints() const { return bound_; }
  void set_data_endpoint(std::string endpoint) { identity_.data_endpoint = std::move(endpoint); }

  /// All peers, in the order in which they came.
  [[nodiscard]] const std::vector<std::unique_ptr<Peer>>& peers() const { return peers_; }
  [[nodiscard]] Peer* find(std::uint64_t id);
  [[nodiscard]] std::size_t peers_up() const;
  /// True while a peer that has not said BYE lives, be it silent for a while: slow is not dead.
  [[nodiscard]] bool anyone_living() const;
  /// Nobody can come any more: this port only connects, and each of its peers has been refused for good.
  [[nodiscard]] bool hopeless() const;
  /// Runs the loop until what only peers can bring about is done; false at the deadline, when hopeless(), or
  /// when the port is closed meanwhile: `done`, which may look at a block that is gone then, is not asked any
  /// more.
  [[nodiscard]] bool wait_for_peers(const std::function<bool()>& done, Deadline deadline);
  /// "dead", "connecting: the host name is unknown": for errors that name a peer.
  [[nodiscard]] static std::string state_of(const Peer& peer);

  /// Sends frames to a peer that is up. `unroutable` is taken as the peer's death: it is not up any more, and
  /// the block hears of it in the next turn (never from inside this call).
  transport::SendStatus send(Peer& peer, std::span<transport::Frame> frames);
  transport::SendStatus send_header(Peer& peer, const wire::Header& header);
  /// Lends what of a batch is worth it to a peer that shares memory. False: nothing; the frames go as they
  /// are. True: the header needs the flag kShared, lent_frames() are the frames behind it, and a failed send
  /// must be followed by take_back().
  bool lend(Peer& peer, Bytes body, std::span<const Tensor> tensors);
  /// Appends the list of what was lent. The other frames follow it, each for which `lent(i)` is false.
  void append_lent(std::vector<transport::Frame>& frames);
  [[nodiscard]] bool lent(std::size_t frame) const { return lent_[frame].has_value(); }
  void take_back(Peer& peer);
  /// Room for a tensor: in shared memory while a peer can read it, else from the heap.
  [[nodiscard]] TensorRoom allocate(std::size_t bytes);
  /// A batch with its header; false: it could not be sent now and `batch` is untouched.
  bool send_batch(Peer& peer, wire::Kind kind, std::uint64_t seq, wire::BatchBuilder::Batch& batch,
                  std::uint32_t flags = 0);
  /// What a REQUEST or REPLY to the peer says of the other direction (option `processed`); 0: nothing new.
  /// Once it is sent: peer.ack.told().
  [[nodiscard]] std::uint64_t said_beside(const Peer& peer, wire::Kind kind) const;
  /// The block is done with everything up to (epoch, seq): acknowledges when it is time.
  void settled(Peer& peer, std::uint64_t epoch, std::uint64_t seq, std::uint64_t bytes);
  void acknowledge(Peer& peer);
  /// An ACK with what the block says of the stream; `echo` is the number of the PING that it answers, if any.
  void acknowledge_stream(Peer& peer, std::optional<std::uint32_t> echo);
  void ping(Peer& peer);
  /// A PING whose number the ACK repeats.
  void probe(Peer& peer, std::uint32_t number);
  /// Acknowledges what is settled by then, and calls the block's on_room for that peer again.
  void tick_at(Peer& peer, TimePoint when) { plan_tick(peer, when); }
  void nack(Peer& peer, wire::Code code, std::string_view text);
  /// Says BYE to all peers that are up.
  void bye_all(std::uint32_t flags);
  void bye(Peer& peer, std::uint32_t flags);
  /// Says to one peer that nothing more comes; it counts as finished from then on.
  void finish(Peer& peer);

  /// Bytes of the largest frame that every peer takes which is not dead, refused or finished (of those that
  /// have said so), and that any of these takes which does not drain.
  [[nodiscard]] std::uint64_t frame_for_all() const { return frame_sizes().for_all; }
  [[nodiscard]] std::uint64_t frame_for_any() const { return frame_sizes().for_any; }
  /// Acknowledged deliveries: messages are sealed, so that one that was changed on its way is found.
  [[nodiscard]] bool seals() const { return options_.delivery != Delivery::best_effort; }
  /// A header for send(), with room for the seal.
  void encode(const wire::Header& header, wire::Buffer& out) const {
    (void)wire::encode(header, out, seals());
  }
  /// Fills in the seal of a message whose header is its first frame, and has room for one. send() does.
  static void seal(std::span<transport::Frame> frames);
  /// False: the message, whose header is its frame `at`, is not what was sent. True also without a seal.
  [[nodiscard]] static bool as_sent(const wire::Header& header, const transport::Message& message,
                                    std::size_t at);
  /// Counts a message that was changed on its way.
  void garbled(Peer* peer);

  /// Counts refused bytes; a peer that goes on with it is shut out.
  void reject(wire::Rejection why, Peer* peer);
  /// The same of so many records that came in a stream, and that its sender has to hear of.
  void reject_records(wire::Rejection why, Peer* peer, std::uint64_t records);
  /// Names, in the log, what a record that is about to be rejected is: the first one of each kind.
  void tell_unfit(std::string_view from, wire::Rejection why) const;
  /// Tells so, in an ACK or a HELLO, how many there were.
  void say_rejected(const Peer& peer, wire::Header& header) const;
  [[nodiscard]] wire::Header header(wire::Kind kind, std::uint64_t seq) const;
  wire::Buffer& scratch() { return scratch_; }
  void on_peer(std::function<void(const PeerEvent&)> handler) {
    peer_handler_ = guarded(calls_, std::move(handler));
  }
  void fill(PortStats& stats) const;
  /// Under best-effort: those that were on their way to whom is dead or gone.
  [[nodiscard]] std::uint64_t lost_records() const;
  PortStats& counts() { return counts_; }
  void close();
  [[nodiscard]] bool closed() const { return closed_; }
  Calls& calls() { return calls_; }
  /// Expires with the hub: for calls that come later.
  [[nodiscard]] const std::shared_ptr<bool>& alive() const { return alive_; }
  Loop& loop() { return loop_; }
  const PortOptions& options() const { return options_; }
  const PortIdentity& identity() const { return identity_; }
  const std::shared_ptr<wire::BufferPool>& pool() const { return pool_; }
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  /// "scope/node.port"
  [[nodiscard]] const std::string& stream() const { return stream_; }
  void emit(Peer& peer, PeerEvent::What what, wire::Code code = wire::Code::none, std::string text = {});

 private:
  Peer& add_peer(bool inbound);
  transport::Socket dial(const std::string& endpoint);
  void use(Peer& peer, transport::Socket socket);
  void reconnect(Peer& peer, bool ended);
  [[nodiscard]] transport::SocketOptions socket_options() const;
  void read_news(Peer& peer);
  void on_news(Peer& peer, transport::ConnectionNews news);
  void tell_trouble(Peer& peer, std::string text, wire::Code code);
  void give_up(Peer& peer, wire::Code code, std::string text);
  void remove_peer(Peer& peer, bool linger = false);
  void read_router();
  void read_dealer(Peer& peer);
  bool came_alone(int index);
  void handle(Peer* peer, std::string_view routing_id, transport::Message& message, std::size_t first);
  void on_hello(Peer* peer, std::string_view routing_id, const wire::Header& header,
                transport::Message& message);
  Peer* inbound_hello(std::string_view routing_id, const wire::Header& header, bool& new_connection);
  std::optional<std::pair<wire::Code, std::string>> refuse_hello(const wire::Header& header) const;
  /// False: its connection is gone, or it is not met any more.
  bool establish(Peer& peer, const wire::Header& header, bool new_connection);
  bool fenced(Peer& peer, std::string_view routing_id, const wire::Header& header);
  void rename(Peer& peer, const wire::Header& header);
  void open_lender();
  void borrow_from(Peer& peer, const wire::Header& header);
  bool send_lent(Peer& peer, wire::Kind kind, std::uint64_t seq, wire::BatchBuilder::Batch& batch,
                 std::uint32_t flags);
  bool resolve_shared(Peer& peer, transport::Message& message, std::size_t list);
  void meet_receiver(Peer& peer, const wire::Header& header, bool fresh_lane);
  std::uint64_t meet_sender(Peer& peer, const wire::Header& header);
  void lost_message(Peer& peer);
  struct FrameSizes {
    std::uint64_t for_all = 0, for_any = 0;
  };
  /// As compared when they were asked for last; each peer that comes, goes or changes makes them forgotten.
  [[nodiscard]] const FrameSizes& frame_sizes() const {
    if (!frame_sizes_) frame_sizes_ = compare_frames();
    return *frame_sizes_;
  }
  [[nodiscard]] FrameSizes compare_frames() const;
  void on_ack(Peer& peer, const wire::Header& header);
  bool acknowledged(Peer& peer, std::uint64_t seq, protocol::Credit credit);
  static void hear_rejected(Peer& peer, const wire::Options& options);
  void count_taken(Peer& peer, std::uint64_t records);
  void count_lost(Peer& peer, std::uint64_t records);
  void lose_flight(Peer& peer);
  void on_nack(Peer& peer, const wire::Header& header);
  void on_bye(Peer& peer, const wire::Header& header);
  void say_hello(Peer& peer);
  transport::SendStatus send_hello(Peer& peer, std::uint32_t attempt, std::uint64_t accepted);
  void nack_to(std::string_view routing_id, wire::Code code, std::string_view text);
  void apply(Peer& peer, const protocol::Session::Action& action);
  void lost(Peer& peer, PeerEvent::What what, std::string text);
  void report_gone(Peer& peer);
  bool make_room();
  [[nodiscard]] bool is_lost(const Peer& peer) const;
  void tick();
  bool tick(Peer& peer, TimePoint now);
  void plan_tick(Peer& peer, TimePoint when);
  void plan_timer(TimePoint when);

  Loop& loop_;
  PortOptions options_;
  PortIdentity identity_;
  HubClient& client_;
  std::uint64_t epoch_;
  std::string stream_;
  std::shared_ptr<wire::BufferPool> pool_;
  std::optional<transport::Socket> router_;  // one for all bound endpoints
  Loop::WatchId router_watch_ = 0;
  Strangers strangers_;  // at it
  std::vector<std::string> bound_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<std::unique_ptr<Peer>> graveyard_;  // removed, perhaps while their handler runs
  int busy_ = 0;                                  // read and tick calls on the stack
  std::unordered_map<std::string, Peer*> by_routing_id_;
  std::map<std::string, Peer*, std::less<>> inbound_by_name_;
  std::unordered_map<std::uint64_t, Peer*> by_id_;
  Peer* latest_ = nullptr;  // that find() has found: they come in runs
  std::unique_ptr<transport::Lender> lender_;
  std::vector<transport::Frame> frames_;  // of the batch that is being sent
  std::string offer_;                     // of the HELLO that is being said
  wire::SharedList lent_;                 // of the batch that is being sent
  wire::SharedList given_;                // of the message that is being read
  transport::Message inbox_;
  TimePoint last_read_{};  // when a message was read last
  wire::Buffer scratch_;
  std::vector<transport::Frame> outgoing_;  // memory of send_batch(); what was sent is empty
  std::uint64_t next_id_ = 1;
  std::uint32_t hello_attempts_ = 0;  // of peers that were removed: they may be connected to again
  std::set<std::pair<TimePoint, std::uint64_t>> ticks_;  // Peer::tick_at of those that have one, by id
  Loop::TimerId timer_ = 0;
  TimePoint timer_at_ = TimePoint::max();
  std::function<void(const PeerEvent&)> peer_handler_;
  Calls calls_;
  PortStats counts_;
  mutable std::optional<FrameSizes> frame_sizes_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool closed_ = false;
};

}  // namespace weft::blocks
