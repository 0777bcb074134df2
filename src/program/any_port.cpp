#include <weft/program/any_port.hpp>

#include <utility>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pub.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/sub.hpp>
#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/program/records.hpp>
#include <weft/wire/buffer.hpp>

namespace weft::program {
namespace {

// The one link setting that all links of a port must share, and the direction that the program needs.
const topology::LinkPlan& link_of(Node& node, const std::string& port, bool sends) {
  const auto links = node.links_of(port);
  if (links.empty()) {
    throw Error(Errc::invalid_argument, format("{}: its port {} is not linked; add a link for it",
                                               node.plan().id.text(), weft::quoted(port)));
  }
  for (const topology::LinkPlan* link : links) {
    if (link->pattern != links.front()->pattern) {
      throw Error(
          Errc::invalid_argument,
          format("{}: its port {} is linked as {} and as {}; a port has one pattern, so use two ports",
                 node.plan().id.text(), weft::quoted(port), to_string(links.front()->pattern),
                 to_string(link->pattern)));
    }
  }
  for (const topology::EndPlan& end : node.plan().ends) {
    if (end.port == port && end.sender != sends) {
      throw Error(Errc::invalid_argument,
                  format("{}: its port {} {}, but it stands at \"{}\" of the link {}; swap the ends",
                         node.plan().id.text(), weft::quoted(port), sends ? "sends" : "receives",
                         end.sender ? "from" : "to", weft::quoted(end.link)));
    }
  }
  return *links.front();
}

// What a full log dropped would be a hole in it, and the count of what it has would no longer say which
// record is the next one: a generic node waits for its disk.
void wait_for_log(PortOptions& options) {
  if (options.journal && options.overflow != Overflow::fail) options.overflow = Overflow::block;
}

// Blocks whose records are forwarded with their tensors, whatever their shape.
class AnyRouter : public RouterBase {
 public:
  AnyRouter(Loop& loop, PortOptions options) : RouterBase(loop, std::move(options), {}, {}) {}
  using RouterBase::set_handler;
};

class AnyDealer : public DealerBase {
 public:
  AnyDealer(Loop& loop, PortOptions options) : DealerBase(loop, std::move(options), {}, {}) {}
  /// False: there is no room for it now, and `done` will not be called.
  [[nodiscard]] bool ask(const wire::RecordView& record, const RequestTo& to, Deadline deadline,
                         OutPort::Done done) {
    bool no_room = false;
    no_room_ = &no_room;
    submit(
        to, deadline, [&record](wire::BatchBuilder& b) { add_forwarded(b, record); },
        [this, done = std::move(done)](RawReply& raw) {
          // What is too large for any router has a code; this one has only come too early.
          bool* const early = std::exchange(no_room_, nullptr);
          if (early && raw.outcome == Outcome::no_room && raw.code == wire::Code::none) {
            *early = true;
            return;
          }
          if (!done) return;
          const bool ok = raw.outcome == Outcome::ok;
          const std::string text =
              ok || !raw.text.empty() ? std::move(raw.text) : std::string(to_string(raw.outcome));
          done({ok, code_of(raw), text, std::string(raw.peer), ok ? &raw.record : nullptr});
        });
    no_room_ = nullptr;
    return !no_room;
  }

 private:
  // Inside submit(), which calls `done` only for what it does not take.
  bool* no_room_ = nullptr;
  static wire::Code code_of(const RawReply& raw) {
    if (raw.outcome == Outcome::timed_out) return wire::Code::timed_out;
    if (raw.outcome == Outcome::ok || raw.code != wire::Code::none) return raw.code;
    return wire::Code::failed;
  }
};

}  // namespace

void Answer::reply(const wire::RecordView& record) {
  if (wanted()) ticket_.reply([&](wire::BatchBuilder& b) { add_forwarded(b, record); });
}

void Answer::reply_value(const Value& value) {
  if (wanted())
    ticket_.reply([&](wire::BatchBuilder& b) { b.add([&](wire::Buffer& out) { pack_value(value, out); }); });
}

void Answer::fail(wire::Code code, std::string_view text) {
  if (wanted()) ticket_.fail(code, text);
}

InPort::InPort(Node& node, const std::string& port, Settings settings, Handler handler)
    : pattern_(link_of(node, port, false).pattern) {
  auto shared = std::make_shared<Handler>(std::move(handler));
  const auto on_record = [shared](const RawRecord& record, const Meta& meta) {
    (*shared)(record.view(), meta, {});
  };
  if (pattern_ == topology::Pattern::push_pull) {
    auto* pull = node.open<Pull<Raw>>(port, [this](PortOptions& options) { journal_ = options.journal; });
    pull->on_record(on_record);
    pull_ = pull;
    delivery_ = link_of(node, port, false).delivery;
    pause_ = [pull](bool paused) { pull->pause(paused); };
    block_ = pull;
  } else if (pattern_ == topology::Pattern::pub_sub) {
    auto* sub = node.open<Sub<Raw>>(port, [&](PortOptions& options) { options.topics = settings.topics; });
    sub->on_record(on_record);
    pause_ = [sub](bool paused) { sub->pause(paused); };
    block_ = sub;
  } else {
    auto* router = node.open<AnyRouter>(port);
    router->set_handler([shared](const wire::RecordView& view, RouterBase::Ticket ticket) {
      const std::string peer = ticket.peer();
      const Meta meta{.peer = peer, .topic = {}};
      (*shared)(view, meta, Answer(std::move(ticket)));
      return true;
    });
    pause_ = [](bool) {};
    router_ = router;
    block_ = router;
  }
}

InPort::~InPort() = default;

void InPort::pause(bool paused) {
  pause_(paused);
}

void InPort::postpone() {
  if (pull_) pull_->postpone();
}

void InPort::judge(Verdict verdict) {
  if (pull_) pull_->judge(std::move(verdict));
}

Receipt InPort::defer() {
  if (router_) return router_->defer();
  return pull_ ? pull_->defer() : Receipt{};
}

bool InPort::settle(const Receipt& receipt, Verdict verdict) {
  if (router_) return router_->settle(receipt);
  return pull_ && pull_->settle(receipt, std::move(verdict));
}

Journal* InPort::on_commit(std::function<void()> prepare) {
  if (!pull_ || delivery_ == Delivery::best_effort) return nullptr;
  pull_->on_batch_end(std::move(prepare));
  return journal_.get();
}

struct OutPort::Impl {
  Settings settings;
  TopicTemplate topic;
  Loop* loop = nullptr;
  Distribute distribute = Distribute::balance;
  Push<Raw>* push = nullptr;
  Pub<Raw>* pub = nullptr;
  AnyDealer* dealer = nullptr;
  std::function<void()> room;
  bool blocked = false;
  bool told_no_space = false;
  Logger log;
  std::uint64_t unaddressed = 0;
  std::string receiver;

  explicit Impl(Settings given) : settings(std::move(given)), topic(settings.topic) {}

  // The receiver's name or the key, as the link's distribution asks. False: the record does not say.
  bool address(const wire::RecordView& record, PushBase::To& to) {
    if (distribute == Distribute::hash) {
      const Bytes key =
          settings.key_field.empty() ? record.packed : field_of(record.packed, settings.key_field);
      if (key.empty()) return false;
      to.key = key;
    } else if (distribute == Distribute::explicit_) {
      auto named = field_text(record.packed, settings.to_field);
      if (!named) return false;
      receiver = std::move(*named);
      to.peer = receiver;
    }
    return true;
  }

  SendStatus drop() {
    ++unaddressed;
    return SendStatus::dropped;
  }

  SendStatus send_push(const wire::RecordView& record) {
    if (distribute == Distribute::balance || distribute == Distribute::round_robin) {
      return waiting(push->forward(RawRecord(record)));
    }
    PushBase::To to;
    if (!address(record, to)) return drop();
    return waiting(push->forward(RawRecord(record), to));
  }

  /// A generic node waits until there is room on the disk, and says so; and for other peers than those that
  /// have refused it, which the node has said.
  SendStatus waiting(SendStatus status) {
    if (status == SendStatus::refused) return SendStatus::would_block;
    if (status != SendStatus::no_space) {
      told_no_space = false;
      return status;
    }
    if (!std::exchange(told_no_space, true)) log.warn("the journal has no room; waiting until there is some");
    return SendStatus::would_block;
  }

  SendStatus send_pub(const wire::RecordView& record, std::string_view named) {
    if (topic.empty()) return pub->forward(named, RawRecord(record));
    const auto filled = topic.of(record.packed);
    if (!filled) return drop();
    return pub->forward(*filled, RawRecord(record));
  }

  SendStatus send_request(const wire::RecordView& record, Done done) {
    if (dealer->open_requests() >= settings.max_requests) {
      blocked = true;
      return SendStatus::would_block;
    }
    PushBase::To to;
    if (!address(record, to)) {
      const SendStatus status = drop();
      if (done)
        done({false,
              wire::Code::bad_request,
              "the record does not say which receiver it is for",
              {},
              nullptr});
      return status;
    }
    const bool taken =
        dealer->ask(record, {.key = to.key, .peer = to.peer}, Deadline::after(settings.timeout),
                    [this, done = std::move(done)](const Result& result) {
                      if (done) done(result);
                      if (!std::exchange(blocked, false) || !room) return;
                      // Not from inside the reply: the handler may send many.
                      loop->post([this] {
                        if (room) room();
                      });
                    });
    if (taken) return SendStatus::ok;
    blocked = true;
    return SendStatus::would_block;
  }
};

OutPort::OutPort(Node& node, const std::string& port, Settings settings)
    : pattern_(link_of(node, port, true).pattern), impl_(std::make_unique<Impl>(std::move(settings))) {
  impl_->loop = &node.loop();
  impl_->log = node.log();
  impl_->distribute = link_of(node, port, true).distribute;
  if (impl_->distribute == Distribute::explicit_ && impl_->settings.to_field.empty() &&
      pattern_ != topology::Pattern::pub_sub) {
    throw Error(
        Errc::invalid_argument,
        format("{}: the link of its port {} says distribute: explicit, so the option \"to-field\" must name "
               "the member of a record that says which receiver it is for",
               node.plan().id.text(), weft::quoted(port)));
  }
  if (pattern_ == topology::Pattern::push_pull) {
    impl_->push = node.open<Push<Raw>>(port);
  } else if (pattern_ == topology::Pattern::pub_sub) {
    impl_->pub = node.open<Pub<Raw>>(port, wait_for_log);
  } else {
    impl_->dealer = node.open<AnyDealer>(port);
  }
}

OutPort::~OutPort() = default;

SendStatus OutPort::send(const wire::RecordView& record, std::string_view topic, Done done) {
  if (impl_->push) return impl_->send_push(record);
  if (impl_->pub) return impl_->send_pub(record, topic);
  return impl_->send_request(record, std::move(done));
}

void OutPort::on_room(std::function<void()> handler) {
  if (impl_->push) {
    impl_->push->on_room(std::move(handler));
  } else if (impl_->pub) {
    impl_->pub->on_room(std::move(handler));
  } else {
    impl_->room = std::move(handler);
  }
}

bool OutPort::settled() const {
  if (impl_->dealer) return impl_->dealer->open_requests() == 0;
  if (!impl_->push) return true;
  const PortStats stats = impl_->push->stats();
  return stats.queued_records == 0 && stats.outstanding_records == 0;
}

std::uint64_t OutPort::unaddressed() const {
  return impl_->unaddressed;
}

std::optional<std::uint64_t> OutPort::accepted_total() const {
  if (impl_->push && impl_->push->journaled()) return impl_->push->accepted_total();
  if (impl_->pub && impl_->pub->journaled()) return impl_->pub->accepted_total();
  return std::nullopt;
}

Block& OutPort::block() {
  if (impl_->push) return *impl_->push;
  if (impl_->pub) return *impl_->pub;
  return *impl_->dealer;
}

}  // namespace weft::program
