// What a Node holds. Private.
#pragma once

#include <csignal>
#include <map>
#include <memory>
#include <set>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pub.hpp>
#include <weft/node/node.hpp>

namespace weft {

/// A port of the plan and the block that serves it.
struct NodePort {
  std::string name;
  std::vector<const topology::EndPlan*> ends;
  std::unique_ptr<Block> block;
  std::vector<std::string> bound;            // endpoints of the ends that bind, in their order
  std::set<std::string> connected;           // endpoints that the block was told to connect to
  std::set<std::string> peers_at;            // those among them that promised peers are at
  std::map<std::string, std::string> peers;  // node -> last event, for those who ask what is missing
  std::map<std::string, bool>
      away;  // peers that were told to be silent (false) or gone (true), and are not back
  std::map<std::string, std::string> refused;    // peers that are given up for good, and why
  std::map<std::string, std::uint64_t> lost_to;  // best-effort: records that dead peers had not answered for
  std::uint64_t returns = 0;                     // peers that were gone and came back
  std::uint64_t guests = 0;                      // peers that the plan does not name, as often as they came
  std::unique_ptr<Pub<>> tap;
  std::string tap_error;                     // why there is none although somebody asked
  bool receives = false;                     // drains first
  TimePoint deserted_at = TimePoint::max();  // draining: since when all its peers have ended and are silent
  bool letters = false;  // carries the dead letters of another port: no business of the program, drains last
};

struct Node::Impl {
  Node& self;
  Loop& loop;
  topology::NodePlan plan;
  NodeOptions options;
  NodeState state = NodeState::created;
  std::map<std::string, std::shared_ptr<Journal>> journals;  // by absolute path
  std::vector<std::unique_ptr<NodePort>> ports;
  std::unique_ptr<Dealer<>> control;
  std::uint64_t version = 0;
  std::uint64_t last_ask = 0;               // answered
  std::map<std::string, std::size_t> gone;  // link -> peers that have ended for good, by the launcher's word
  bool watching = false;
  bool go = false;
  bool launcher_lost = false;
  bool obeying = false;  // a peer is left on the launcher's word
  bool draining_senders = false;
  bool draining_letters = false;
  bool start_posted = false;
  bool started = false;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);  // for calls that come later
  int exit_code = 0;
  int signals = -1;  // signalfd
  sigset_t mask_before{};
  int signals_seen = 0;
  std::int64_t launcher = 0;      // its process, by its own word
  bool launcher_drains = false;   // the whole run, in the order of its links
  Loop::TimerId asked_timer = 0;  // somebody else has sent a signal
  Loop::WatchId signal_watch = 0;
  Loop::HookId hook = 0;
  Loop::TimerId limit = 0;
  Loop::TimerId reporter = 0;
  Loop::TimerId journal_watch = 0;
  Loop::TimerId ask_again = 0;
  std::function<void()> start_handler;
  std::function<void()> late_handler;
  std::function<void()> drain_handler;
  std::function<bool()> not_ready;  // holds the start
  std::function<bool()> busy;       // holds the senders' drain
  std::function<std::string()> busy_with;
  std::function<void(std::string_view, const PeerEvent&)> peer_handler;
  std::function<Value()> report_handler;
  Value result;
  bool endless = false;    // it has no end of its own
  bool work_done = false;  // the program has said so
  bool cut_short = false;  // a signal came before that
  std::string reason;

  Impl(Node& node, Loop& l, topology::NodePlan p, NodeOptions o)
      : self(node), loop(l), plan(std::move(p)), options(std::move(o)) {}

  NodePort* find(std::string_view name);
  const topology::LinkPlan& link(std::string_view id) const;
  [[nodiscard]] std::string scope() const;
  // rendezvous.cpp
  [[nodiscard]] std::string wildcard(const topology::EndPlan& end, const topology::LinkPlan& link) const;
  [[nodiscard]] std::string socket_for(std::string_view prefix, std::string_view port) const;

  // node.cpp: life
  void enter(NodeState next);
  void begin();
  void step();  // after every turn: has something that we wait for come true?
  void start();
  void begin_drain();
  void drain_step();
  void end_drained();
  void stop(int code);
  void fail(std::string sentence, int code = 1);
  void on_signal();
  void on_stranger();
  void cut_short_by_signal();
  [[nodiscard]] bool is_launchers(std::uint32_t sender) const;
  void on_event(NodePort& port, const PeerEvent& event);
  void tell_of(NodePort& port, const PeerEvent& event);
  void on_refused(NodePort& port, const PeerEvent& event, bool promised);
  [[nodiscard]] std::string losses() const;  // to peers that died and did not come back; empty: none
  [[nodiscard]] bool all_peers_up() const;
  [[nodiscard]] bool deserted(const NodePort& port) const;
  [[nodiscard]] std::string missing() const;
  [[nodiscard]] std::string why_missing(const NodePort& port, const topology::EndPlan& end,
                                        const topology::PeerPlan& peer) const;
  [[nodiscard]] std::string left() const;
  [[nodiscard]] static std::string unheard(const std::string& port, const PubBase& pub);

  // journals.cpp, dead_letters.cpp: what acknowledged links need
  /// Throws Error that names node, port and path.
  std::shared_ptr<Journal> journal_of(std::string_view port, const std::string& path);
  /// A journal that takes nothing any more ends the node: its ports would wait for ever.
  void check_journals();
  void open_dead_letters(const NodePort& port);

  // rendezvous.cpp: what the launcher hears and says
  void open_control();
  void report(bool last = false);
  void leave_word(Bytes message) const;
  void watch();
  void apply(const Value& news);
  void connect_from_plan();
  void set_peers(NodePort& port, std::set<std::string> promised, const std::set<std::string>& extra);
  void set_tap(NodePort& port, bool on);
  void open_tap(NodePort& port);
  void answer_asks(const Value& asks);
  Value answer(const Value& question);
  [[nodiscard]] Value snapshot() const;
};

}  // namespace weft
