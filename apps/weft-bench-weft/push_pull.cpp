// One way: records of bytes, tensors from 64 KiB on, and typed records; under every delivery, with and
// without journals.
#include <algorithm>
#include <array>
#include <memory>
#include <type_traits>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/journal/journal.hpp>

#include "ends.hpp"

namespace weft::bench_ends {
namespace {

struct Order {
  std::uint64_t id = 0;
  std::int64_t account = 0;
  std::uint32_t quantity = 0;
  std::int32_t side = 0;
  double price = 0;
  std::uint64_t time = 0;
  std::array<unsigned char, ::bench::kBlob> blob{};
  WEFT_RECORD(Order, id, account, quantity, side, price, time, blob)
};

void set_commit(PortOptions& options, const Work& work, const std::string& journal) {
  if (!journal.empty()) {
    options.journal = Journal::open({.path = journal});
    options.capacity_bytes = 32ULL << 20;
    options.window_bytes = 16ULL << 20;  // what comes while two disks sync
  }
  if (work.commit == 0) return;
  options.batch_records = static_cast<std::uint32_t>(work.commit);
  options.batch_bytes = std::max(options.batch_bytes, work.commit * (work.size + 16));
}

std::uint64_t read_record(const RawRecord& record) {
  if (record.packed().size() < 64) {
    const auto tensors = record.tensors();
    if (!tensors.empty()) return ::bench::sum(tensors[0].data.data(), tensors[0].data.size());
  }
  return ::bench::sum(record.bytes().data(), record.bytes().size());
}

std::uint64_t read_record(const Order& order) {
  return ::bench::sum_order(order);
}

template <class T>
Figures pull(Context& context, const Work& work, const Say& say) {
  Loop loop(context);
  PortOptions options = bound_port(work, "in");
  set_commit(options, work, work.journal_to);
  Pull<T> pull(loop, options);
  say(pull.endpoints().at(0));
  Figures figures;
  std::uint64_t got = 0;
  TimePoint start;
  TimePoint end;
  pull.on_record([&](auto& record, const Meta&) {
    if (got == 0) start = Clock::now();
    figures.read += read_record(record);
    if (++got == work.count) end = Clock::now();
  });
  run_to(loop, got, work.count, "the sender fell silent");
  // The sender leaves first: it waits for our acknowledgement.
  drain(loop, pull);
  figures.seconds = std::chrono::duration<double>(end - start).count();
  return figures;
}

/// How one record of T is written and sent.
template <class T>
class Sender {
 public:
  Sender(Push<T>& push, const Work& work) : push_(push), work_(work), record_(work.size) {}

  std::uint64_t send(std::uint64_t number, SendStatus& status) {
    if constexpr (std::is_same_v<T, Order>) {
      const std::uint64_t written = ::bench::fill_order(order_, number);
      status = push_.send(order_, deadline_);
      return written;
    } else if (work_.size < ::bench::kLarge) {
      const std::uint64_t written = ::bench::fill(record_.data(), work_.size, number);
      status = push_.send(record_, deadline_);
      return written;
    } else {
      return send_large(number, status);
    }
  }

 private:
  std::uint64_t send_large(std::uint64_t number, SendStatus& status) {
    if (work_.transport == "shm") return send_shared(number, status);
    unsigned char* bytes = pool_->take();
    const std::uint64_t written = ::bench::fill(bytes, work_.size, number);
    Tensor tensor = Tensor::view(std::span<const std::uint8_t>(bytes, work_.size));
    tensor.owner =
        std::shared_ptr<const void>(bytes, [pool = pool_](unsigned char* back) { pool->give(back); });
    if constexpr (!std::is_same_v<T, Order>) status = push_.send(Bytes{}, {&tensor, 1}, deadline_);
    return written;
  }

  std::uint64_t send_shared(std::uint64_t number, SendStatus& status) {
    const TensorRoom room = push_.allocate(work_.size);
    const std::uint64_t written = ::bench::fill(room.as<unsigned char>().data(), work_.size, number);
    const Tensor tensor = room.tensor<std::uint8_t>({static_cast<std::int64_t>(work_.size)});
    if constexpr (!std::is_same_v<T, Order>) status = push_.send(Bytes{}, {&tensor, 1}, deadline_);
    return written;
  }

  Push<T>& push_;
  // Of the whole run: to read the clock for each record would cost a third of a small one's time.
  const Deadline deadline_ = long_patience();
  const Work& work_;
  // Shared with what is on its way: a thread of the context lets go of it last.
  std::shared_ptr<::bench::BufferPool> pool_ = std::make_shared<::bench::BufferPool>(work_.size);
  std::vector<std::byte> record_;
  Order order_;
};

template <class T>
Figures push(Context& context, const Work& work) {
  Loop loop(context);
  PortOptions options = connected_port(work, "out");
  set_commit(options, work, work.journal_from);
  Push<T> push(loop, options);
  ::bench::require(push.wait_for_peers(1, patience()), "the receiver did not answer");
  if (work.transport == "shm") {
    ::bench::require(loop.run_until([&] { return push.allocate(1).shared; }, patience()),
                     "the two ends share no memory");
  }
  Sender<T> sender(push, work);
  Figures figures;
  const TimePoint start = Clock::now();
  for (std::uint64_t i = 0; i < work.count; ++i) {
    SendStatus status = SendStatus::ok;
    figures.written += sender.send(i, status);
    ::bench::require(status == SendStatus::ok, "the receiver, or the journal, takes no more");
  }
  ::bench::require(push.settle(long_patience()), "the receiver did not acknowledge");
  figures.settled = ::bench::seconds_since(start);
  drain(loop, push);
  return figures;
}

}  // namespace

void add_push_pull(Roles& roles, Context& context) {
  roles["pull"] = [&](const Work& work, const Say& say) { return pull<Raw>(context, work, say); };
  roles["push"] = [&](const Work& work, const Say&) { return push<Raw>(context, work); };
  roles["typed-pull"] = [&](const Work& work, const Say& say) { return pull<Order>(context, work, say); };
  roles["typed-push"] = [&](const Work& work, const Say&) { return push<Order>(context, work); };
}

}  // namespace weft::bench_ends
