#include "sink.hpp"

#include <cmath>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/journal/journal.hpp>
#include <weft/program/records.hpp>
#include <weft/transport/loop.hpp>
#include <weft/wire/pack.hpp>

namespace weft::sink {
namespace {

constexpr std::string_view kSpace = "sink";
constexpr std::size_t kMostTopics = 1000;                    // told apart in the result
constexpr Duration kFirstCommit = std::chrono::seconds(60);  // a slow disk syncs three times for it

}  // namespace

Sink::Sink(Node& node, const program::Options& options)
    : node_(node),
      count_(static_cast<std::uint64_t>(options.integer("count"))),
      check_field_(options.text("check-field")),
      with_meta_(options.boolean("with-origin")) {
  open_ledger(options);
  auto topics = options.texts("topics");
  // Every subscriber gets each record; of the others, each replica gets some.
  const auto links = node.links_of("in");
  published_ = !links.empty() && links.front()->pattern == topology::Pattern::pub_sub;
  const bool alone = node.plan().replicas == 1 || published_;
  gets_all_ = alone && topics.empty();
  if (topics.empty()) topics.emplace_back();
  in_.emplace(node, "in", program::InPort::Settings{.topics = std::move(topics)},
              [this](const wire::RecordView& record, const Meta& meta, program::Answer answer) {
                take(record, meta, std::move(answer));
              });
  go_on_from_commit(options);
  read_ledger();
  node.loop().on_idle([this] { flush(); });
  node.on_drain([this] {
    draining_ = true;
    node_.set_result(result());
  });
  node.on_report([this] { return result(); });
  node.on_start([this] {
    if (!finished_ && complete()) finish();
  });
}

// A sink that is started again goes on from what it has done.
void Sink::open_ledger(const program::Options& options) {
  const std::string& folder = options.text("ledger");
  if (folder.empty()) return;
  if (check_field_.empty())
    options.refuse("ledger", "needs \"check-field\", the field with the number of a record");
  ledger_.emplace(program::IdLog::file(folder, node_.plan().id.text(), "taken"));
}

// Exactly-once: what was written behind the last commit will come again, so it is cut off.
void Sink::go_on_from_commit(const program::Options& options) {
  journal_ = in_->on_commit([this] { commit(); });
  const auto kept = journal_ ? journal_->read(kSpace, as_bytes(node_.plan().id.text())) : std::nullopt;
  if (!options.boolean("quiet")) {
    out_.emplace(options.text("output"), options.boolean("append") || kept.has_value());
  }
  if (!kept) return commit_beginning(options.boolean("append"));
  wire::Unpack in{Bytes(*kept)};
  if (in.array() != 2U) throw Error(Errc::io, "the sink's state in its journal cannot be read");
  committed_bytes_ = in.uint().value_or(0);
  const std::uint64_t entries = in.uint().value_or(0);
  if (out_) out_->cut(committed_bytes_);
  if (ledger_) ledger_->cut(entries);
}

// Where something is there already it is durable before the first record is taken: a death before the first
// commit shall find where to cut as well. An output that begins anew is cut off as a whole.
void Sink::commit_beginning(bool appends) {
  if (!journal_) return;
  commit();
  const bool submitted = journal_->submit() == CommitStatus::ok;
  if (submitted && !ledger_ && !(out_ && appends)) return;
  if (submitted) return await_beginning();
  fail_beginning();
}

// In the loop: on a slow disk this takes longer than a node that says nothing may take to start.
void Sink::await_beginning() {
  in_->pause(true);
  const auto look = [this, number = journal_->submitted()] {
    if (first_limit_ == 0 || journal_->durable() < number) return;
    node_.loop().cancel(std::exchange(first_limit_, 0));
    in_->pause(false);
  };
  first_limit_ = node_.loop().at(Clock::now() + kFirstCommit, [this] {
    first_limit_ = 0;
    try {
      fail_beginning();
    } catch (const Error& e) {
      fail(e.what());
    }
  });
  // Its writer tells on a thread of its own, also of a failure: then the node ends by itself.
  Loop& loop = node_.loop();
  news_ = journal_->subscribe([&loop, look, weak = std::weak_ptr<bool>(alive_)] {
    loop.post([look, weak] {
      if (!weak.expired()) look();
    });
  });
  loop.post([look, weak = std::weak_ptr<bool>(alive_)] {  // it may be durable by now
    if (!weak.expired()) look();
  });
}

void Sink::fail_beginning() {
  const std::string why = journal_->no_space() ? "there is no room on its disk" : "its disk does not answer";
  throw Error(Errc::io,
              format("{}: no first commit: {}", journal_->path(), journal_->failure().value_or(why)));
}

Sink::~Sink() {
  if (news_ != 0) journal_->unsubscribe(news_);
}

// Runs behind the last record of a batch, before its acknowledgement: what could not be written is not
// acknowledged, and comes again.
void Sink::commit() {
  try {
    if (out_ && journal_) committed_bytes_ = out_->sync();
    if (out_) out_->flush();
  } catch (const Error& e) {
    fail(e.what());
  }
  if (!journal_) return;
  wire::Buffer state;
  wire::Pack pack(state);
  pack.array(2);
  pack.uint(committed_bytes_);
  pack.uint(ledger_ ? ledger_->size() : 0);
  journal_->change().put(kSpace, as_bytes(node_.plan().id.text()), state.view());
}

void Sink::read_ledger() {
  if (!ledger_) return;
  received_ = ledger_->size();
  for (std::size_t i = 0; i < received_; ++i) {
    const std::uint64_t id = ledger_->at(i).id;
    if (id == program::IdLog::kNoId) {
      check_.see_none();
    } else {
      check_.see(id);
    }
  }
  first_ = last_ = Clock::now();
}

// With a ledger records may come again after a restart, and one that comes twice stands for none.
bool Sink::complete() const {
  return count_ != 0 && (ledger_ ? check_.distinct() : received_) >= count_;
}

void Sink::take(const wire::RecordView& record, const Meta& meta, program::Answer answer) {
  if (finished_) {
    if (published_) return;  // meant for all, whatever one of them wants
    ++extra_;
    answer.fail(wire::Code::denied, "this sink has what it was to take");
    return;
  }
  if (received_++ == 0) first_ = last_ = Clock::now();
  dirty_ = true;
  count_peer(meta);
  if (!check_field_.empty()) {
    try {
      check(record, meta);
    } catch (const Error& e) {
      answer.fail(wire::Code::failed, e.what());
      fail(e.what());
    }
  }
  if (out_) write(record, meta);
  if (answer.wanted()) {
    Value reply = Value::map();
    reply["received"] = received_;
    answer.reply_value(reply);
  }
  if (complete()) finish();
}

void Sink::count_peer(const Meta& meta) {
  if (peer_cell_ == nullptr || peer_name_ != meta.peer) {
    peer_name_ = meta.peer;
    peer_cell_ = &peers_[peer_name_];
  }
  ++*peer_cell_;
  if (meta.topic.empty()) return;
  const auto found = topics_.find(meta.topic);
  if (found != topics_.end()) {
    ++found->second;
  } else if (topics_.size() < kMostTopics) {
    topics_.emplace(meta.topic, 1);
  }
}

void Sink::check(const wire::RecordView& record, const Meta& meta) {
  const Bytes field = program::field_of(record.packed, check_field_);
  const auto number = field.empty() ? std::nullopt : wire::Unpack(field).uint();
  if (number) {
    check_.see(*number);
  } else {
    check_.see_none();
  }
  if (!ledger_) return;
  // Before the handler returns: what is acknowledged behind it is there, whatever dies then.
  const std::size_t place = ledger_->append(number.value_or(program::IdLog::kNoId));
  if (meta.attempt > 1) ledger_->mark(place);
}

void Sink::write(const wire::RecordView& record, const Meta& meta) {
  try {
    if (!with_meta_) {
      out_->write(program::record_to_json(record));
      return;
    }
    Value line = Value::map();
    line["from"] = meta.peer;
    if (!meta.topic.empty()) line["topic"] = meta.topic;
    line["record"] = program::record_to_value(record);
    out_->write(to_json(line));
  } catch (const Error& e) {
    fail(e.what());
  }
}

void Sink::flush() {
  if (!dirty_) return;
  dirty_ = false;
  last_ = Clock::now();
  if (draining_) node_.set_result(result());  // what was still on its way belongs to the outcome
  if (!out_) return;
  try {
    out_->flush();
  } catch (const Error& e) {
    fail(e.what());
  }
}

void Sink::finish() {
  finished_ = true;
  last_ = Clock::now();
  try {
    if (out_) {
      if (journal_) committed_bytes_ = out_->sync();
      out_->close();
    }
    out_.reset();
  } catch (const Error& e) {
    fail(e.what());
  }
  node_.finish(result());
}

// It leaves the handler and ends the node: the batch at hand is neither acknowledged nor committed.
void Sink::fail(const std::string& sentence) {
  out_.reset();
  finished_ = true;
  node_.set_result(result());
  throw Error(Errc::io, sentence);
}

Value Sink::result() const {
  Value out = Value::map();
  out["received"] = received_;
  if (received_ > 1) {
    const double span = std::chrono::duration<double>(last_ - first_).count();
    out["seconds"] = std::round(span * 1e3) / 1e3;
    if (span > 0) out["rate"] = std::round(static_cast<double>(received_) / span);
  }
  if (extra_ != 0) out["extra"] = extra_;
  if (!check_field_.empty()) {
    // Who is given a part of the numbers does not miss the others.
    const Value checked = check_.result();
    for (const auto& [name, value] : checked.as_map()) {
      if (gets_all_ || name != "missing") out[name] = value;
    }
  }
  Value peers = Value::map();
  for (const auto& [name, number] : peers_) peers[name] = number;
  if (!peers_.empty()) out["from"] = std::move(peers);
  if (!topics_.empty()) {
    Value topics = Value::map();
    for (const auto& [name, number] : topics_) topics[name] = number;
    out["topics"] = std::move(topics);
  }
  return out;
}

}  // namespace weft::sink
