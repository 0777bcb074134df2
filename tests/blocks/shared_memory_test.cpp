#include <algorithm>
#include <memory>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>

#include "proxy.hpp"
#include "sharing.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

struct Text {
  std::string text;
  WEFT_RECORD(Text, text)
};

PortOptions push_options(const Block& pull) {
  PortOptions options = sharing("out");
  options.node = "worker/0";
  options.connect = pull.endpoints();
  return options;
}

std::vector<float> numbers(std::size_t count) {
  std::vector<float> out(count);
  std::iota(out.begin(), out.end(), 0.0F);
  return out;
}

/// Sends until something goes through shared memory: the segment is handed over beside the session.
template <class Send>
bool shared_by_now(Loop& loop, Block& push, Send&& send) {
  const std::uint64_t before = push.stats().sent_shared_bytes;
  return eventually(loop, [&] {
    if (push.stats().sent_shared_bytes != before) return true;
    send();
    return false;
  });
}

/// Sends numbered tensors and keeps count.
struct Sender {
  Push<> push;
  std::uint64_t sent = 0;
  Sender(Loop& loop, PortOptions options) : push(loop, std::move(options)) {}
  void send(std::size_t values = 50'000) {
    const Tensor tensor = Tensor::own(numbers(values));
    const std::string text = std::to_string(sent);
    REQUIRE(push.send(as_bytes(text), {&tensor, 1}, soon()) == SendStatus::ok);
    ++sent;
  }
  bool share(Loop& loop) {
    return shared_by_now(loop, push, [&] { send(); });
  }
};

/// Checks what comes, and keeps the tensors when told to.
struct Checked {
  Pull<> pull;
  std::set<std::string> texts;
  std::uint64_t got = 0, wrong = 0;
  bool keeps = false;
  std::vector<Tensor> kept;
  Checked(Loop& loop, PortOptions options) : pull(loop, std::move(options)) {
    pull.on_record([this](const RawRecord& r, const Meta&) {
      auto tensors = r.tensors();
      const auto values = tensors.empty() ? std::span<const float>() : tensors[0].as<float>();
      ++got;
      wrong += values.size() > 1 && values.back() == static_cast<float>(values.size() - 1) ? 0U : 1U;
      texts.emplace(r.text());
      if (keeps) kept.push_back(std::move(tensors[0]));
    });
  }
};

}  // namespace

WEFT_CONFORMS("a tensor goes through memory that sender and receiver share, and arrives whole") {
  Loop loop;
  Checked to(loop, pull_options(place));
  Sender from(loop, push_options(to.pull));

  REQUIRE(from.share(loop));
  for (int i = 0; i < 20; ++i) from.send();
  REQUIRE(from.push.settle(soon()));

  CHECK(to.got == from.sent);
  CHECK(to.texts.size() == from.sent);
  CHECK(to.wrong == 0);
  CHECK(to.pull.stats().received_shared_bytes == from.push.stats().sent_shared_bytes);
  CHECK(to.pull.stats().received_bytes == from.push.stats().sent_bytes);
  CHECK(to.pull.stats().rejected_messages == 0);
}

WEFT_CONFORMS("batches of records are built in shared memory and read there, in order") {
  Loop loop;
  Pull<> pull(loop, pull_options(place));
  Push<> push(loop, push_options(pull));
  const std::string padding(10'000, 'p');
  std::uint64_t sent = 0, got = 0;
  bool in_order = true;
  pull.on_record([&](const RawRecord& r, const Meta&) {
    in_order = in_order && r.text() == std::to_string(got) + padding;
    ++got;
  });
  const auto send = [&] {
    const std::string record = std::to_string(sent++) + padding;
    REQUIRE(push.send(as_bytes(record), soon()) == SendStatus::ok);
  };

  REQUIRE(shared_by_now(loop, push, [&] {
    for (int i = 0; i < 20; ++i) send();
  }));
  for (int i = 0; i < 2000; ++i) send();
  REQUIRE(push.settle(soon()));

  CHECK(got == sent);
  CHECK(in_order);
  CHECK(push.stats().sent_shared_bytes > 10'000'000);
}

WEFT_CONFORMS("records larger than a batch are shared as well, from either end that binds") {
  Loop loop;
  PortOptions out = sharing("out");
  out.node = "worker/0";
  out.bind = place.endpoints();
  Push<> push(loop, out);
  PortOptions in = sharing("in");
  in.connect = push.endpoints();
  Pull<> pull(loop, in);
  const std::string record(700'000, 'r');
  std::uint64_t sent = 0, got = 0;
  pull.on_record([&](const RawRecord& r, const Meta&) { got += r.text() == record ? 1U : 0U; });
  const auto send = [&] {
    ++sent;
    REQUIRE(push.send(as_bytes(record), soon()) == SendStatus::ok);
  };

  REQUIRE(shared_by_now(loop, push, send));
  for (int i = 0; i < 20; ++i) send();
  REQUIRE(push.settle(soon()));

  CHECK(got == sent);
  CHECK(push.stats().sent_shared_bytes >= 20 * record.size());
}

WEFT_CONFORMS("of large batches in shared memory eight are on their way") {
  Loop loop;
  PortOptions in = pull_options(place);
  in.window_bytes = 64 << 10;
  Checked to(loop, in);
  PortOptions out = push_options(to.pull);
  out.batch_records = 1;
  Sender from(loop, out);
  REQUIRE(from.share(loop));
  from.send();
  REQUIRE(eventually(loop, [&] { return from.push.stats().outstanding_records == 0; }));  // by no PING
  const std::uint64_t before = from.push.stats().sent_records;

  to.pull.pause(true);
  for (int i = 0; i < 12; ++i) from.send();
  (void)from.push.flush(Deadline::after(50ms));
  // Of the size of the last one: these are a digit longer.
  CHECK(from.push.stats().sent_records >= before + 7);
  to.pull.pause(false);

  REQUIRE(from.push.settle(soon()));
  CHECK(to.got == from.sent);
  CHECK(to.pull.stats().rejected_messages == 0);
}

WEFT_CONFORMS("what shared memory has no room for goes through the socket") {
  Loop loop;
  Checked to(loop, pull_options(place));
  to.keeps = true;
  PortOptions options = push_options(to.pull);
  options.shared_bytes = 512 << 10;
  Sender from(loop, options);

  REQUIRE(from.share(loop));
  for (int i = 0; i < 30; ++i) from.send();
  REQUIRE(from.push.settle(soon()));

  CHECK(to.got == from.sent);
  CHECK(to.wrong == 0);
  CHECK(from.push.stats().shared_memory_full > 0);
  for (const Tensor& tensor : to.kept) CHECK(tensor.as<float>().back() == 49'999.0F);

  to.kept.clear();
  to.keeps = false;
  CHECK(from.share(loop));  // there is room again
}

WEFT_CONFORMS("with acknowledgements, too, a receiver may keep what it got for as long as it likes") {
  Loop loop;
  PortOptions in = pull_options(place);
  in.delivery = Delivery::at_least_once;
  Checked to(loop, in);
  to.keeps = true;
  PortOptions out = push_options(to.pull);
  out.delivery = Delivery::at_least_once;
  Sender from(loop, out);

  REQUIRE(from.share(loop));
  for (int i = 0; i < 50; ++i) from.send();
  REQUIRE(from.push.settle(soon()));

  CHECK(from.push.stats().processed_records == from.sent);
  CHECK(to.texts.size() == from.sent);
  CHECK(to.wrong == 0);
  CHECK(from.push.stats().shared_memory_used > 1'000'000);
  from.push.close();
  for (const Tensor& tensor : to.kept) CHECK(tensor.as<float>().back() == 49'999.0F);
}

WEFT_CONFORMS("an end that shares nothing gets and gives everything through the socket") {
  Loop loop;
  PortOptions in = pull_options(place), plain = in;
  SUBCASE("the receiver") {
    in.shared_memory = SharedMemory::off;
  }
  SUBCASE("the sender") {}
  Checked to(loop, in);
  PortOptions out = push_options(to.pull);
  if (in.shared_memory != SharedMemory::off) out.shared_memory = SharedMemory::off;
  Sender from(loop, out);

  for (int i = 0; i < 20; ++i) from.send();
  REQUIRE(from.push.settle(soon()));

  CHECK(to.got == from.sent);
  CHECK(to.wrong == 0);
  CHECK(from.push.stats().sent_shared_bytes == 0);
  CHECK_FALSE(from.push.allocate(100'000).shared);
}

WEFT_CONFORMS("a tensor that was written in the port's memory is sent as it lies there") {
  Loop loop;
  Checked to(loop, pull_options(place));
  Sender from(loop, push_options(to.pull));
  REQUIRE(from.share(loop));
  REQUIRE(from.push.settle(soon()));

  auto room = from.push.allocate(40'000);
  REQUIRE(room.shared);
  REQUIRE(room.as<float>().size() == 10'000);
  std::iota(room.as<float>().begin(), room.as<float>().end(), 0.0F);
  const Tensor tensor = room.tensor<float>({100, 100});
  const std::uint64_t used = from.push.stats().shared_memory_used;
  const std::uint64_t before = from.push.stats().sent_shared_bytes;
  // One tensor may be sent any number of times.
  for (int i = 0; i < 100; ++i) {
    REQUIRE(from.push.send(as_bytes(std::to_string(++from.sent)), {&tensor, 1}, soon()) == SendStatus::ok);
  }
  REQUIRE(from.push.settle(soon()));

  CHECK(to.got == from.sent);
  CHECK(to.wrong == 0);
  CHECK(from.push.stats().sent_shared_bytes >= before + 4'000'000);
  CHECK(from.push.stats().shared_memory_used <= used);
}

WEFT_CONFORMS("memory from allocate() is there before any receiver, and is sent like any other") {
  Loop loop;
  Checked to(loop, pull_options(place));
  Sender from(loop, push_options(to.pull));
  const auto room = from.push.allocate(8'000);
  CHECK_FALSE(room.shared);
  std::iota(room.as<float>().begin(), room.as<float>().end(), 0.0F);
  const Tensor tensor = room.tensor<float>();

  REQUIRE(from.push.send(as_bytes("t"), {&tensor, 1}, soon()) == SendStatus::ok);
  REQUIRE(from.push.settle(soon()));

  CHECK(to.got == 1);
  CHECK(to.wrong == 0);
}

TEST_CASE("a receiver that comes back as a new process reads what its sender lends it, and loses nothing") {
  const Place place(Place::Kind::tcp);
  Loop loop;
  PortOptions in = pull_options(place);
  in.delivery = Delivery::at_least_once;
  in.epoch = 1000;
  auto first = std::make_unique<Checked>(loop, in);
  PortOptions out = push_options(first->pull);
  out.delivery = Delivery::at_least_once;
  out.heartbeat = 20ms;
  const std::vector<std::string> endpoints = first->pull.endpoints();
  Sender from(loop, out);
  REQUIRE(from.share(loop));
  first->keeps = true;
  for (int i = 0; i < 10; ++i) from.send();
  REQUIRE(eventually(loop, [&] { return !first->kept.empty(); }));

  std::vector<Tensor> kept = std::move(first->kept);
  std::set<std::string> texts = first->texts;
  first.reset();
  for (int i = 0; i < 10; ++i) from.send();
  in.bind = endpoints;
  in.epoch = 2000;
  std::unique_ptr<Checked> second;
  REQUIRE(eventually(loop, [&] {
    try {
      second = std::make_unique<Checked>(loop, in);
    } catch (const Error& error) {
      if (error.code() != Errc::address_in_use) throw;
    }
    return second != nullptr;
  }));
  REQUIRE(from.share(loop));
  REQUIRE(from.push.settle(soon()));

  texts.insert(second->texts.begin(), second->texts.end());
  CHECK(texts.size() == from.sent);
  CHECK(second->wrong == 0);
  CHECK(rejected(second->pull, wire::Rejection::bad_shared) == 0);
  CHECK(second->pull.stats().received_shared_bytes > 0);
  for (const Tensor& tensor : kept) CHECK(tensor.as<float>().back() == 49'999.0F);
}

TEST_CASE("what was lent in messages that a cut connection lost comes back") {
  Loop loop;
  PortOptions in = sharing("in");
  in.bind = {"tcp://127.0.0.1:*"};
  in.delivery = Delivery::at_least_once;
  Checked to(loop, in);
  Proxy proxy(loop, to.pull.endpoints()[0]);
  PortOptions out = sharing("out");
  out.connect = proxy.endpoints();
  out.delivery = Delivery::at_least_once;
  out.heartbeat = 20ms;
  out.dead_after = 10s;
  Sender from(loop, out);
  REQUIRE(from.share(loop));
  REQUIRE(from.push.settle(soon()));

  for (std::uint64_t round = 1; round <= 3; ++round) {
    proxy.hold();
    for (int i = 0; i < 5; ++i) from.send();
    REQUIRE(from.push.flush(soon()));
    proxy.cut();
    REQUIRE(
        eventually(loop, [&] { return from.push.stats().reconnects >= round && from.push.peers_up() == 1; }));
    REQUIRE(from.share(loop));
    REQUIRE(from.push.settle(soon()));
  }

  CHECK(to.texts.size() == from.sent);
  CHECK(to.wrong == 0);
  CHECK(rejected(to.pull, wire::Rejection::bad_shared) == 0);
  // All but the open batch of the port is free again, also what the receiver never heard of.
  CHECK(eventually(loop, [&] {
    from.send();
    return from.push.settle(soon()) && from.push.stats().shared_memory_used < 800'000;
  }));
}

WEFT_CONFORMS("requests and replies go through the memory of whoever sends them") {
  for (const Delivery delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    Loop loop;
    PortOptions in = sharing("answers");
    in.bind = place.endpoints();
    in.delivery = delivery;
    const auto router = take_over<Router<Text, Text>>(loop, in);
    router->on_request([](const Text& question, Responder<Text> respond) { respond.reply(question); });
    PortOptions out = sharing("asks");
    out.connect = router->endpoints();
    out.delivery = delivery;
    Dealer<Text, Text> dealer(loop, out);
    const Text question{.text = std::string(60'000, 'q')};
    std::uint64_t right = 0, asked = 0;

    REQUIRE(eventually(loop, [&] {
      const auto stats = dealer.stats();
      if (stats.sent_shared_bytes != 0 && stats.received_shared_bytes != 0) return true;
      ++asked;
      const auto reply = dealer.ask(question, soon());
      right += reply.ok() && reply.record->text == question.text ? 1U : 0U;
      return false;
    }));

    CHECK(right == asked);
    CHECK(router->stats().sent_shared_bytes >= question.text.size());
    CHECK(router->stats().rejected_messages == 0);
    CHECK(dealer.stats().rejected_messages == 0);
  }
}
