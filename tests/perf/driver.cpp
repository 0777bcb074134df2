// The hot path in one process and one thread, so that a tool can count its instructions. Run by
// instructions.py under callgrind: each case leaves a dump with its name, and a line "CASE RECORDS" on
// standard output. Without callgrind it only does the work.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <valgrind/callgrind.h>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>
#include <weft/protocol/lane.hpp>
#include <weft/wire/codec.hpp>
#include <weft/wire/header.hpp>

namespace {

using namespace weft;

constexpr std::size_t kRecords = 10'000;
constexpr std::uint64_t kWindow = 64ULL << 20;  // nothing waits for credit
constexpr std::uint64_t kEpoch = 1'700'000'000'000'000;
constexpr std::string_view kStream = "train/worker/2.updates>server/1";

struct Sample {
  std::uint64_t id = 0;
  std::uint32_t shard = 0;
  double score = 0;
  float weight = 0;
  bool hot = false;
  std::string payload;
  WEFT_RECORD(Sample, id, shard, score, weight, hot, payload)
};

Sample sample(std::size_t i) {
  return {1'000'000'000'000 + i,
          static_cast<std::uint32_t>(i % 1000),
          0.25 * static_cast<double>(i),
          0.5F,
          i % 2 == 0,
          std::string(64, 'p')};
}

/// What is inside the life of a Counted is counted under its name.
class Counted {
 public:
  explicit Counted(const char* name) : name_(name) {
    CALLGRIND_ZERO_STATS;
    start();
  }
  ~Counted() {
    pause();
    CALLGRIND_DUMP_STATS_AT(name_);
    std::printf("%s %zu\n", name_, records_);
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  void start() { CALLGRIND_TOGGLE_COLLECT; }
  void pause() { CALLGRIND_TOGGLE_COLLECT; }
  void records(std::size_t count) { records_ = count; }

 private:
  const char* name_;
  std::size_t records_ = kRecords;
};

void require(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "driver: %s\n", what);
  std::exit(1);
}

Deadline soon() {
  return Deadline::after(std::chrono::seconds(60));
}

// ---- encoding and decoding ----

template <class Add>
void encode(const char* name, Add&& add) {
  wire::BatchBuilder builder(wire::BufferPool::make(), 128 * 1024);
  for (int round = 0; round < 2; ++round) {  // the first one warms the pool
    if (round == 0) {
      for (std::size_t i = 0; i < kRecords / 10; ++i) add(builder, i);
      (void)builder.take();
      continue;
    }
    Counted counted(name);
    for (std::size_t i = 0; i < kRecords; ++i) {
      add(builder, i);
      if (builder.bytes() >= 96 * 1024) (void)builder.take();
    }
  }
}

void encode_and_decode() {
  const std::vector<std::byte> small(16, std::byte{1});
  const std::vector<std::byte> usual(100, std::byte{1});
  const Sample typed = sample(7);
  encode("encode_raw_16", [&](wire::BatchBuilder& b, std::size_t) { b.add_bin(small); });
  encode("encode_raw_100", [&](wire::BatchBuilder& b, std::size_t) { b.add_bin(usual); });
  encode("encode_typed", [&](wire::BatchBuilder& b, std::size_t) { wire::encode_record(b, typed); });

  wire::BatchBuilder builder(wire::BufferPool::make());
  for (std::size_t i = 0; i < kRecords; ++i) wire::encode_record(builder, sample(i));
  const auto batch = builder.take();
  Sample out;
  wire::BatchReader reader(batch.body.view());
  std::vector<Bytes> records;
  while (!reader.done()) records.push_back(reader.next());
  Counted counted("decode_typed");
  for (const Bytes record : records) {
    require(wire::decode_record(wire::RecordView{record, {}}, out), "a record did not decode");
  }
}

void headers() {
  const wire::DataHeader fixed(wire::Kind::data, kStream, kEpoch);
  wire::Buffer out;
  fixed.encode(1, 1, out);
  {
    Counted counted("encode_header");
    for (std::size_t i = 0; i < kRecords; ++i) {
      out.clear();
      fixed.encode(70'000 + i, 960, out);
    }
  }
  wire::Header header;
  Counted counted("decode_header");
  for (std::size_t i = 0; i < kRecords; ++i) {
    require(wire::decode(out.view(), header) == wire::Rejection::none, "a header was refused");
  }
}

// What is done with the records of a batch besides handing them to a handler.
void batch() {
  wire::BatchBuilder builder(wire::BufferPool::make());
  const std::vector<std::byte> record(100, std::byte{1});
  for (std::size_t i = 0; i < kRecords; ++i) builder.add_bin(record);
  const auto made = builder.take();
  Counted counted("batch");
  require(wire::check_body(made.body.view(), made.count) == wire::Rejection::none, "a body was refused");
  wire::BatchReader reader(made.body.view());
  std::size_t bytes = 0;
  while (!reader.done()) bytes += reader.next().size();
  require(bytes == made.body.size(), "a batch came out otherwise");
}

// One batch each: its place in the lane, its acknowledgement on the wire, the credit that comes back.
void acknowledge() {
  const protocol::Credit window{2ULL << 20, 1024};
  protocol::SendLane out(kEpoch);
  protocol::ReceiveLane in;
  protocol::AckPolicy policy(window);
  require(out.acknowledge(0, window) == protocol::SendLane::Ack::ok, "no credit");
  wire::Buffer packed;
  packed.reserve(4096);
  wire::Header back;
  Counted counted("acknowledge");
  for (std::size_t i = 0; i < kRecords; ++i) {
    require(out.admits(100), "no room");
    const std::uint64_t seq = out.send(100, 1);
    require(in.arrive(kEpoch, seq).verdict == protocol::ReceiveLane::Verdict::accept, "not accepted");
    (void)policy.settled(100);
    wire::Header ack{.kind = wire::Kind::ack, .stream = kStream, .epoch = kEpoch, .seq = seq, .options = {}};
    ack.options.credit_bytes = window.bytes;
    ack.options.credit_batches = window.batches;
    ack.options.mark(wire::Options::credit);
    packed.clear();
    wire::encode(ack, packed);
    require(wire::decode(packed.view(), back) == wire::Rejection::none, "an ACK was refused");
    policy.sent();
    require(out.acknowledge(back.seq, {back.options.credit_bytes, back.options.credit_batches}) ==
                protocol::SendLane::Ack::ok,
            "an ACK was not taken");
  }
}

// ---- blocks: both ends in one loop ----

PortOptions port(const char* name, Delivery delivery) {
  PortOptions options;
  options.name = name;
  options.window_bytes = kWindow;
  options.capacity_bytes = kWindow;
  options.delivery = delivery;
  return options;
}

/// Pushes, and then pulls, so that the two are counted apart. `acknowledge`: with what follows until all is
/// settled.
template <class T, class Record>
void push_pull(const char* push_name, const char* pull_name, Delivery delivery, const Record& record) {
  Loop loop;
  auto in = port("in", delivery);
  in.bind = {std::string("inproc://") + pull_name};
  Pull<T> pull(loop, in);
  auto out = port("out", delivery);
  out.connect = pull.endpoints();
  Push<T> push(loop, out);
  std::size_t got = 0;
  std::size_t bytes = 0;
  pull.on_record([&](auto& r, const Meta&) {
    ++got;
    if constexpr (std::is_same_v<T, Raw>) {
      bytes += r.bytes().size();
    } else {
      bytes += r.payload.size();
    }
  });
  require(push.wait_for_peers(1, soon()), "no peer");
  for (const bool warm : {true, false}) {
    const std::size_t before = got;
    const auto fill = [&] {
      for (std::size_t i = 0; i < kRecords; ++i) require(push.send(record) == SendStatus::ok, "not sent");
    };
    const auto drain = [&] {
      require(loop.run_until([&] { return got == before + kRecords; }, soon()), "records are missing");
      if (delivery != Delivery::best_effort) require(push.settle(soon()), "not settled");
    };
    if (warm) {
      fill();
      drain();
      require(push.settle(soon()), "not settled");
      continue;
    }
    {
      Counted counted(push_name);
      fill();
    }
    Counted counted(pull_name);
    drain();
  }
  require(bytes != 0, "nothing came");
}

/// One record a batch and a turn of the loop: what a lone record costs from send() to its handler.
void lone_record() {
  Loop loop;
  auto in = port("in", Delivery::best_effort);
  in.bind = {"inproc://lone"};
  Pull<> pull(loop, in);
  auto out = port("out", Delivery::best_effort);
  out.connect = pull.endpoints();
  Push<> push(loop, out);
  std::size_t got = 0;
  pull.on_record([&](const RawRecord&, const Meta&) { ++got; });
  require(push.wait_for_peers(1, soon()), "no peer");
  const std::vector<std::byte> record(100, std::byte{1});
  const auto one = [&] {
    const std::size_t next = got + 1;
    require(push.send(record) == SendStatus::ok, "not sent");
    require(loop.run_until([&] { return got == next; }, soon()), "a record is missing");
  };
  for (int i = 0; i < 300; ++i) one();
  Counted counted("lone_record");
  constexpr std::size_t records = 2000;
  for (std::size_t i = 0; i < records; ++i) one();
  counted.records(records);
}

void requests() {
  Loop loop;
  auto in = port("answers", Delivery::best_effort);
  in.bind = {"inproc://answers"};
  Router<> router(loop, in);
  router.on_request([](const RawRecord& query, Responder<Raw> respond) { respond.reply(query.bytes()); });
  auto out = port("ask", Delivery::best_effort);
  out.connect = router.endpoints();
  Dealer<> dealer(loop, out);
  require(dealer.wait_for_peers(1, soon()), "no router");
  const std::vector<std::byte> record(100, std::byte{1});
  std::size_t done = 0;
  const auto lone = [&] { require(dealer.ask(record, soon()).ok(), "no reply"); };
  const auto windows = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t before = done;
      const Deadline deadline = soon();
      for (int j = 0; j < 1000; ++j) {
        dealer.request(record, deadline, [&](Reply<RawRecord>& reply) { done += reply.ok() ? 1 : 0; });
      }
      require(loop.run_until([&] { return done == before + 1000; }, soon()), "replies are missing");
    }
  };
  windows(2);
  {
    Counted counted("requests");
    windows(kRecords / 1000);
  }
  for (int i = 0; i < 300; ++i) lone();
  Counted counted("lone_request");
  constexpr std::size_t records = 1000;
  for (std::size_t i = 0; i < records; ++i) lone();
  counted.records(records);
}

/// One request at a time of each of 300 askers in turn: a request costs what it is, not what waits beside it.
void many_askers() {
  Loop loop;
  const auto quiet = [](const char* name) {
    auto options = port(name, Delivery::best_effort);
    options.heartbeat = std::chrono::minutes(10);  // however long it takes under a tool
    options.dead_after = std::chrono::hours(1);
    return options;
  };
  auto in = quiet("answers");
  in.bind = {"inproc://many"};
  Router<> router(loop, in);
  router.on_request([](const RawRecord& query, Responder<Raw> respond) { respond.reply(query.bytes()); });
  std::vector<std::unique_ptr<Dealer<>>> dealers;
  for (int i = 0; i < 300; ++i) {
    auto out = quiet("ask");
    out.node = "asker/" + std::to_string(i);
    out.connect = router.endpoints();
    dealers.push_back(std::make_unique<Dealer<>>(loop, out));
  }
  const std::vector<std::byte> record(100, std::byte{1});
  const auto all = [&] {
    for (const auto& dealer : dealers) require(dealer->ask(record, soon()).ok(), "no reply");
  };
  for (int i = 0; i < 2; ++i) all();
  Counted counted("lone_request_of_300");
  for (int i = 0; i < 2; ++i) all();
  counted.records(2 * dealers.size());
}

}  // namespace

int main() {
  const std::vector<std::byte> small(16, std::byte{1});
  const std::vector<std::byte> usual(100, std::byte{1});
  encode_and_decode();
  headers();
  batch();
  acknowledge();
  push_pull<Raw>("push_raw_16", "pull_raw_16", Delivery::best_effort, Bytes(small));
  push_pull<Raw>("push_raw_100", "pull_raw_100", Delivery::best_effort, Bytes(usual));
  push_pull<Sample>("push_typed", "pull_typed", Delivery::best_effort, sample(7));
  push_pull<Raw>("push_acknowledged", "pull_acknowledged", Delivery::at_least_once, Bytes(usual));
  lone_record();
  requests();
  many_askers();
}
