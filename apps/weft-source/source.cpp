#include "source.hpp"

#include <algorithm>
#include <cmath>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/units.hpp>
#include <weft/transport/loop.hpp>

namespace weft::source {
namespace {

constexpr int kRecordsPerTurn = 1024;
constexpr double kMicros = 1e6;
constexpr std::uint64_t kShortestPause = 1000;  // microseconds: below that, several records leave at once

program::OutPort::Settings port_settings(const program::Options& options) {
  return {.topic = options.text("topic"),
          .key_field = options.text("key-field"),
          .to_field = options.text("to-field"),
          .timeout = options.duration("timeout"),
          .max_requests = static_cast<std::size_t>(options.integer("max-requests"))};
}

}  // namespace

Source::Source(Node& node, const program::Options& options)
    : node_(node),
      input_(open_input(
          options,
          {.node = node.plan().id.text(), .index = node.plan().id.replica, .count = node.plan().replicas})),
      out_(node, "out", port_settings(options)),
      rate_(options.number("rate")),
      count_(static_cast<std::uint64_t>(options.integer("count"))),
      repeat_(static_cast<std::uint64_t>(options.integer("repeat"))),
      topics_(options.texts("topics")) {
  if (!topics_.empty() && !options.text("topic").empty()) {
    options.refuse("topics", "cannot stand beside \"topic\"; take one of them");
  }
  open_ledger(options);
  resume(options);
  if (count_ == 0 && (!options.has("input") || repeat_ == 0)) node.set_endless();
  if (node.linked("replies")) replies_.emplace(node, "replies", program::OutPort::Settings{});
  node.on_start([this] { start(); });
  node.on_drain([this] {
    stopped_ = true;
    node_.set_result(result(true));
  });
  // Replies that are still to come have to be handed on before the port for them closes.
  node.hold_drain([this] { return replies_ && (!out_.settled() || !reply_queue_.empty()); });
  node.on_peer([this](std::string_view port, const PeerEvent& event) {
    if (port == "out") on_receiver(event);
  });
  for (const topology::LinkPlan* link : node.links_of("out")) {
    waits_ = link->delivery != Delivery::best_effort && node.launched();
    patience_ = link->dead_after;
  }
  node.on_report([this] { return result(); });
  out_.on_room([this] { pump(); });
  if (replies_) {
    replies_->on_room([this] {
      forward_replies();
      pump();
    });
  }
  node.loop().on_idle([this] {
    confirm_accepted();
    finish_when_alone();
    finish_when_settled();
  });
}

void Source::open_ledger(const program::Options& options) {
  const std::string& folder = options.text("ledger");
  if (folder.empty()) return;
  if (options.has("input"))
    options.refuse("ledger", "cannot stand beside \"input\": only a generator numbers its records");
  ledger_.emplace(program::IdLog::file(folder, node_.plan().id.text(), "sent"));
  first_place_ = confirmed_ = ledger_->size();
}

// Numbers rise by one step a record, so how many records came before says which one is the next.
void Source::resume(const program::Options& options) {
  const auto accepted = out_.accepted_total();
  accepted_ = accepted.value_or(0);
  if (!options.boolean("resume")) return;
  if (options.has("input"))
    options.refuse("resume", "cannot stand beside \"input\": only a generator can go on in its midst");
  if (accepted) {
    resumed_ = *accepted;
    // What the journal accepted just before the process died has not been marked.
    for (std::size_t i = 0; ledger_ && i < ledger_->size(); ++i) {
      if (input_->index_of(ledger_->at(i).id) < resumed_) ledger_->mark(i);
    }
  } else if (!ledger_) {
    options.refuse("resume", "needs a port with a journal, or \"ledger\"");
  } else if (ledger_->size() != 0) {
    resumed_ = input_->index_of(ledger_->at(ledger_->size() - 1).id) + 1;
  }
  (void)input_->skip(resumed_);
}

// A journal accepts in the order of sending, and later than send() returns.
void Source::confirm_accepted() {
  if (!ledger_) return;
  const auto accepted = out_.accepted_total();
  if (!accepted) return;
  const std::size_t end =
      std::min(ledger_->size(), first_place_ + static_cast<std::size_t>(*accepted - accepted_));
  while (confirmed_ < end) ledger_->mark(confirmed_++);
}

void Source::start() {
  started_ = true;
  start_ = last_ = Clock::now();
  pump();
}

void Source::pump() {
  if (!started_ || stopped_ || ended_ || waiting_) return;
  try {
    for (int i = 0; i < kRecordsPerTurn; ++i) {
      if (step() != Step::sent) return;
    }
  } catch (const Error& e) {
    fail(e.what());
    return;
  }
  if (posted_) return;
  posted_ = true;
  node_.loop().post([this] {
    posted_ = false;
    pump();
  });
}

Source::Step Source::step() {
  if (!reply_queue_.empty()) return Step::blocked;
  if (rate_ > 0) {
    const double due = static_cast<double>(sent_ + dropped_) / rate_ * kMicros;
    const double now = std::chrono::duration<double, std::micro>(Clock::now() - start_).count();
    if (due > now) {
      wait_for_time(static_cast<std::uint64_t>(std::ceil(due - now)));
      return Step::stop;
    }
  }
  if (!have_record_ && !fetch()) return Step::stop;
  const std::string_view topic =
      topics_.empty() ? std::string_view() : topics_[(resumed_ + sent_ + dropped_) % topics_.size()];
  const auto status = out_.send_packed(record_.view(), topic,
                                       [this](const program::OutPort::Result& result) { on_reply(result); });
  if (status == SendStatus::would_block) return Step::blocked;
  have_record_ = false;
  if (status == SendStatus::ok) {
    if (ledger_ && !out_.accepted_total()) ledger_->mark(place_);
    ++sent_;
    return Step::sent;
  }
  if (status == SendStatus::dropped || status == SendStatus::no_peer) {
    ++dropped_;
    return Step::sent;
  }
  fail(format("record {} cannot be sent: {}", sent_ + dropped_ + 1, to_string(status)));
  return Step::stop;
}

// False: there is none now, or none any more.
bool Source::fetch() {
  if (count_ != 0 && resumed_ + sent_ + dropped_ >= count_) {
    end_of_input();
    return false;
  }
  for (;;) {
    record_.clear();
    switch (input_->next(record_)) {
      case Input::Next::record:
        have_record_ = true;
        if (ledger_) place_ = ledger_->append(input_->number().value_or(program::IdLog::kNoId));
        return true;
      case Input::Next::wait:
        wait_for_input();
        return false;
      case Input::Next::end:
        ++runs_;
        if ((repeat_ == 0 || runs_ < repeat_) && sent_ + dropped_ != 0 && input_->rewind()) continue;
        end_of_input();
        return false;
    }
  }
}

void Source::wait_for_time(std::uint64_t micros) {
  waiting_ = true;
  const auto pause = std::chrono::microseconds(std::max(micros, kShortestPause));
  node_.loop().at(Clock::now() + pause, [this] {
    waiting_ = false;
    pump();
  });
}

void Source::wait_for_input() {
  waiting_ = true;
  auto watch = std::make_shared<Loop::WatchId>();
  *watch = node_.loop().watch_fd(input_->fd(), [this, watch] {
    node_.loop().unwatch(*watch);
    waiting_ = false;
    pump();
  });
}

void Source::on_reply(const program::OutPort::Result& result) {
  if (result.ok) {
    ++answered_;
    if (!replies_) return;
    reply_queue_.emplace_back(*result.record);  // it may have to wait for room
    forward_replies();
    return;
  }
  if (failed_++ != 0) return;
  first_failure_ = result.peer.empty() ? result.text : format("{} said: {}", result.peer, result.text);
  node_.log().warn(format("a request failed: {}", first_failure_));
}

void Source::forward_replies() {
  while (!reply_queue_.empty()) {
    if (replies_->send(reply_queue_.front().view()) == SendStatus::would_block) return;
    reply_queue_.pop_front();
  }
}

void Source::end_of_input() {
  ended_ = true;
  if (input_->skipped() != 0) node_.log().warn(format("{} lines were left out: not JSON", input_->skipped()));
}

void Source::on_receiver(const PeerEvent& event) {
  using What = PeerEvent::What;
  if (event.what == What::up) {
    receivers_[event.node] = TimePoint::max();
  } else if (event.what == What::finished || event.what == What::draining) {
    left_ = true;
    receivers_.erase(event.node);
  } else if (event.what == What::dead && receivers_.contains(event.node)) {
    receivers_[event.node] = Clock::now();
    node_.loop().at(Clock::now() + patience_, [] {});  // a turn in which it is looked at again
    if (ended_ && !finished_ && !out_.settled()) {
      node_.log().warn(format("all records have been handed over, and {} is dead: this source waits for it{}",
                              event.node, waits_ ? "" : format(", {} at most", format_duration(patience_))));
    }
  }
}

// Nobody is there who could take what is left, and nobody will be.
bool Source::abandoned() const {
  return std::ranges::all_of(receivers_, [this](const auto& one) {
    return !waits_ && one.second != TimePoint::max() && Clock::now() - one.second >= patience_;
  });
}

// Receivers that said goodbye do not come back, so a source that has none left would wait for ever.
void Source::finish_when_alone() {
  if (!started_ || finished_ || stopped_ || out_.pattern() == topology::Pattern::pub_sub) return;
  if (out_.block().peers_up() != 0) return;
  const bool known = left_ || !receivers_.empty();  // plain sockets do not tell who is there
  if (ended_ ? out_.pattern() != topology::Pattern::push_pull || !known || !abandoned() : !left_) return;
  if (ended_ && out_.settled()) return;
  node_.log().info("all receivers have ended; so does this source");
  ended_ = true;
  report_and_finish();
}

void Source::finish_when_settled() {
  if (!ended_ || finished_ || stopped_) return;
  if (!out_.settled() || !reply_queue_.empty() || (replies_ && !replies_->settled())) return;
  report_and_finish();
}

void Source::report_and_finish() {
  finished_ = true;
  last_ = Clock::now();
  if (failed_ != 0) {
    node_.set_result(result());
    node_.fail(format("{} of {} requests were not answered; the first: {}", failed_, sent_, first_failure_));
  } else if (out_.unaddressed() != 0) {
    node_.set_result(result());
    node_.fail(format("{} records lack the field that says where they go", out_.unaddressed()));
  } else {
    node_.finish(result());
  }
}

void Source::fail(const std::string& sentence) {
  ended_ = finished_ = true;
  node_.set_result(result());
  node_.fail(sentence);
}

double Source::seconds() const {
  return std::chrono::duration<double>((finished_ ? last_ : Clock::now()) - start_).count();
}

Value Source::result(bool drains) {
  Value out = Value::map();
  // What the port has taken and not handed on yet is accepted, not sent. A drain hands it on.
  const std::uint64_t queued = drains ? 0 : std::min(sent_, out_.block().stats().queued_records);
  out["sent"] = sent_ - queued;
  if (queued != 0) out["accepted"] = sent_;
  if (started_) {
    const double span = seconds();
    out["seconds"] = std::round(span * 1e3) / 1e3;
    out["rate"] = span > 0 ? std::round(static_cast<double>(sent_) / span) : 0.0;
  }
  if (dropped_ != 0) out["dropped"] = dropped_;
  if (resumed_ != 0) out["resumed"] = resumed_;
  if (ended_ && resumed_ != 0 && sent_ + dropped_ == 0) {
    out["note"] =
        format("there was nothing to do: all {} records had been accepted before this start, as {} says",
               resumed_, ledger_ && !out_.accepted_total() ? "its ledger" : "the journal of port out");
  }
  if (input_->skipped() != 0) out["skipped"] = input_->skipped();
  if (out_.pattern() == topology::Pattern::dealer_router) {
    out["answered"] = answered_;
    out["failed"] = failed_;
  }
  return out;
}

}  // namespace weft::source
