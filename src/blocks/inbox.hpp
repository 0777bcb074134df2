// Inbox: received batches on their way to a handler, or to whoever asks for the next record.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <weft/blocks/block.hpp>
#include <weft/blocks/records.hpp>
#include <weft/transport/frame.hpp>
#include <weft/wire/batch.hpp>

namespace weft::blocks {

/// Of records whose sender says nothing else.
inline constexpr std::uint8_t kUsualPriority = 4;
/// Batches of each lower class that one class more overtakes, here as in protocol::Outbox.
inline constexpr std::int64_t kOvertakes = 1024;

/// A batch whose body has been checked.
struct InboxItem {
  transport::Frame body;
  std::vector<Tensor> tensors;
  std::string peer;
  std::string topic;
  std::uint64_t peer_id = 0;
  std::uint64_t epoch = 0;
  std::uint64_t seq = 0;
  std::uint64_t bytes = 0;
  std::uint32_t count = 0;  // records
  bool snapshot = false;
  bool reset = false;   // Sub: does not continue what came before
  bool lent = false;    // lies in its sender's memory
  bool report = false;  // its sender waits for the word that it was handled
  // Acknowledged deliveries.
  std::string stream;
  std::uint32_t attempt = 1;
  std::uint8_t priority = kUsualPriority;
  std::int64_t rank = 0;  // the inbox's: lower comes first
};

class Inbox {
 public:
  using Handler = std::function<void(Records&)>;

  Inbox();

  /// Behind a record or a batch's end that threw nothing is handed out any more: it would be acknowledged
  /// with what failed.
  bool strict = false;
  /// Called with the records of each batch, again when it has stopped before their end.
  Handler handler;
  /// Called before the first record of a batch is handed out.
  std::function<void(const InboxItem&)> on_begin;
  /// Called when the last record of a batch has been handled.
  std::function<void(InboxItem&)> on_done;
  /// Called for each record that was refused: too_deep or wrong_type.
  std::function<void(const InboxItem&, wire::Rejection why)> on_bad_record;

  void add(InboxItem item);
  /// Batches of different priorities have come: handing out waits until what else is there has been read.
  [[nodiscard]] bool ranks() const { return ranks_; }
  /// Hands records to the handler until none is left or the inbox is paused. Not re-entered by handlers.
  /// `most`: batches.
  void deliver(std::size_t most = SIZE_MAX);
  /// Hands records to `take` until it stops them, which it does behind the one that it takes. False: none is
  /// left. What the last record views stays valid until the next call.
  bool take_one(const Handler& take);
  /// Reports a batch as done whose last record was handed out; not while a handler runs, nor after one has
  /// thrown, which has not handled its record.
  void finish();
  void pause(bool paused);
  /// Takes those batches out that `is_void` says, which it is asked once of each; the one whose records are
  /// being handed out stays.
  void drop(const std::function<bool(const InboxItem&)>& is_void);
  /// Inside a handler: its record is not taken. Pauses; the record is handed out again afterwards.
  void postpone() { records_.postponed = records_.stop = paused_ = true; }
  [[nodiscard]] bool paused() const { return paused_; }
  [[nodiscard]] bool empty() const { return items_.empty() && ranked_.empty() && records_.rest.empty(); }
  void clear();
  /// The batch of the record that was handed out last, and its place in it; null before the first.
  [[nodiscard]] const InboxItem* current() const { return current_.get(); }
  [[nodiscard]] std::uint32_t index() const { return records_.meta.index; }

 private:
  bool open_next();
  void refuse(Bytes at) const;

  bool take_next();
  void end_current();

  std::deque<InboxItem> items_;                    // of the usual priority
  std::multimap<std::int64_t, InboxItem> ranked_;  // the others, by rank
  std::int64_t arrivals_ = 0;
  bool ranks_ = false;
  std::unique_ptr<InboxItem> current_;
  Records records_;  // what is left of the current batch
  bool paused_ = false;
  bool delivering_ = false;
  bool cleared_ = false;  // while delivering
  bool broken_ = false;   // handler or on_done has not returned, or has thrown
};

/// The tensor frames of a message, from frame `first` on, as views that keep their frames alive.
std::vector<Tensor> take_tensors(transport::Message& message, std::size_t first);

}  // namespace weft::blocks
