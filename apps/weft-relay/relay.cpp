#include "relay.hpp"

#include <algorithm>
#include <memory>

#include <weft/core/format.hpp>
#include <weft/transport/loop.hpp>

namespace weft::relay {
namespace {

constexpr Duration kBreathEvery = std::chrono::milliseconds(20);
constexpr std::size_t kMostHeld = 65536;  // requests that wait for room; further ones are refused

}  // namespace

Relay::Relay(Node& node, const program::Options& options) : node_(node), work_(options.duration("work")) {
  if (node.linked("out")) {
    out_.emplace(node, "out",
                 program::OutPort::Settings{.topic = options.text("topic"),
                                            .key_field = options.text("key-field"),
                                            .to_field = options.text("to-field"),
                                            .timeout = options.duration("timeout")});
    out_->on_room([this] { release(); });
  }
  auto topics = options.texts("topics");
  if (topics.empty()) topics.emplace_back();
  in_.emplace(node, "in", program::InPort::Settings{.topics = std::move(topics)},
              [this](const wire::RecordView& record, const Meta& meta, program::Answer answer) {
                take(record, meta, std::move(answer));
              });
  if (!out_ && in_->pattern() != topology::Pattern::dealer_router) {
    options.refuse("out", "this port is not linked; only a relay that answers requests can do without it");
  }
  node.on_drain([this] {
    draining_ = true;
    node_.set_result(result());
  });
  node.hold_drain([this] { return !held_.empty(); });
  node.on_report([this] { return result(); });
  node.loop().on_idle([this] {
    if (draining_) node_.set_result(result());
  });
}

void Relay::take(const wire::RecordView& record, const Meta& meta, program::Answer answer) {
  work();
  if (in_->pattern() == topology::Pattern::push_pull) {
    // What is not handed on is not acknowledged either.
    if (!hand_on(record, meta.topic, answer)) in_->postpone();
    return;
  }
  if (!held_.empty() || !hand_on(record, meta.topic, answer)) hold(record, meta, std::move(answer));
}

// Keeps the processor busy, as real work would, and lets heartbeats out.
void Relay::work() {
  if (work_ == Duration::zero()) return;
  const TimePoint begin = Clock::now();
  const TimePoint end = begin + work_;
  if (breathed_ == TimePoint{}) breathed_ = begin;
  TimePoint now = begin;
  for (;;) {
    if (now - breathed_ >= kBreathEvery) {
      node_.loop().breathe();
      breathed_ = Clock::now();
    }
    if (now >= end) return;
    now = Clock::now();
  }
}

bool Relay::hand_on(const wire::RecordView& record, std::string_view topic, program::Answer& answer) {
  SendStatus status = SendStatus::ok;
  if (!out_) {
    answer.reply(record);
    ++answered_;
  } else if (out_->pattern() == topology::Pattern::dealer_router) {
    ask(record, answer, status);
  } else {
    status = out_->send(record, topic);
    if (status == SendStatus::ok) answer.reply(record);
  }
  if (status == SendStatus::would_block) return false;
  if (status == SendStatus::ok) {
    ++relayed_;
  } else if (status == SendStatus::failed) {
    node_.fail("the journal of port out cannot be written any more");
    return false;
  } else {
    ++dropped_;
    answer.fail(wire::Code::failed, format("the relay cannot hand it on: {}", to_string(status)));
  }
  return true;
}

void Relay::ask(const wire::RecordView& record, program::Answer& answer, SendStatus& status) {
  auto kept = std::make_shared<program::Answer>(std::move(answer));
  status = out_->send(record, {}, [this, kept](const program::OutPort::Result& result) {
    if (result.ok) {
      ++answered_;
      kept->reply(*result.record);
      return;
    }
    if (failed_++ == 0) node_.log().warn(format("a request failed: {}", result.text));
    kept->fail(result.code, result.text);
  });
  if (status == SendStatus::would_block) answer = std::move(*kept);
}

void Relay::hold(const wire::RecordView& record, const Meta& meta, program::Answer answer) {
  if (held_.size() >= kMostHeld) {
    ++dropped_;
    answer.fail(wire::Code::full, "the relay has too many requests waiting");
    return;
  }
  held_.push_back({program::HeldRecord(record), std::string(meta.topic), std::move(answer)});
  in_->pause(true);
}

void Relay::release() {
  while (!held_.empty()) {
    Held& first = held_.front();
    if (!hand_on(first.record.view(), first.topic, first.answer)) return;
    held_.pop_front();
  }
  in_->pause(false);
}

Value Relay::result() const {
  Value out = Value::map();
  out["relayed"] = relayed_;
  if (dropped_ != 0) out["dropped"] = dropped_;
  if (!held_.empty()) out["held"] = held_.size();
  if (answered_ != 0 || failed_ != 0) {
    out["answered"] = answered_;
    out["failed"] = failed_;
  }
  return out;
}

}  // namespace weft::relay
