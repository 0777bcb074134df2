// What a server does with bytes that are no request of a client.
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <weft/blocks/dealer.hpp>

#include "ps/live_cluster.hpp"
#include "ps/tables.hpp"

using namespace weft;
using namespace weft::ps;
using namespace weft::ps::test;

namespace {

/// Sends any bytes as a request.
class AnyDealer : public DealerBase {
 public:
  AnyDealer(Loop& loop, PortOptions options) : DealerBase(loop, std::move(options), {}, {}), loop_(loop) {}
  std::string ask(const std::function<void(wire::BatchBuilder&)>& encode) {
    std::optional<std::string> end;
    submit({}, soon(), encode, [&](RawReply& reply) {
      end = reply.outcome == Outcome::ok ? "ok" : std::string(to_string(reply.outcome)) + ": " + reply.text;
    });
    (void)loop_.run_until([&] { return end.has_value(); }, soon());
    return end.value_or("nothing");
  }

 private:
  Loop& loop_;
};

/// Seven numbers, then bins.
std::function<void(wire::BatchBuilder&)> inside(std::vector<std::uint64_t> values,
                                                std::vector<std::string> bins) {
  return [values = std::move(values), bins = std::move(bins)](wire::BatchBuilder& batch) {
    batch.add([&](wire::Buffer& out) {
      wire::Pack pack(out);
      pack.array(values.size() + bins.size());
      for (const std::uint64_t value : values) pack.uint(value);
      for (const std::string& bin : bins) pack.bin(as_bytes(bin));
    });
  };
}

std::function<void(wire::BatchBuilder&)> numbers(std::vector<std::uint64_t> values,
                                                 std::vector<Tensor> tensors) {
  return [values = std::move(values), tensors = std::move(tensors)](wire::BatchBuilder& batch) {
    batch.add([&](wire::Buffer& out) {
      wire::Pack pack(out);
      pack.array(values.size() + tensors.size());
      for (const std::uint64_t value : values) pack.uint(value);
      for (const Tensor& tensor : tensors) wire::pack_tensor_ref(out, batch.add_tensor(tensor), tensor);
    });
  };
}

}  // namespace

TEST_CASE("hostile requests get an error with a sentence, are counted, and leave the server as it was") {
  LiveCluster cluster(
      "tcp", {table_of(R"({"aggregate": "sum", "optimizer": {"name": "sgd", "learning_rate": 1}})")}, 1, 1);
  const auto client = cluster.client(0);
  AnyDealer stranger(cluster.loop, {.name = "ask", .connect = cluster.endpoints()});
  const std::uint64_t observer = kObserver;
  const Tensor keys = Tensor::own(std::vector<std::uint64_t>{1, 2});
  const Tensor floats = Tensor::own(std::vector<float>{1, 2});
  const auto raw = [](std::string bytes) {
    return [bytes = std::move(bytes)](wire::BatchBuilder& batch) { batch.add_packed(as_bytes(bytes)); };
  };

  CHECK(stranger.ask(raw("\xA3yes")) == "remote error: a request is an array of 7 to 9 items, this is none");
  CHECK(stranger.ask(raw("\x92\x01\x02")) == "remote error: a request has 7 to 9 items, this one has 2");
  CHECK(stranger.ask(raw("\x97\x02\xFF\x01\x01\x01\x01\x01")) ==
        "remote error: item 1 of the request (table) is no unsigned integer");
  CHECK(stranger.ask(numbers({999, 0, observer, 0, 0, 0, 0}, {})) ==
        "remote error: operation 999 does not exist");
  CHECK(stranger.ask(numbers({2, 0, observer + 1, 0, 0, 0, 0}, {})) ==
        "remote error: item 2 of the request (worker) is 4294967296, expected at most 4294967295");
  CHECK(stranger.ask(numbers({2, 0, observer, 0, 0, 0, 0}, {floats})) ==
        "remote error: item 7 of the request (keys) is neither a bin of U64 nor a tensor of U64 that came "
        "with it");
  CHECK(stranger.ask(numbers({2, 0, observer, 0, 0, 0, 0}, {keys, keys})) ==
        "remote error: item 8 of the request (values) is neither a bin of F32 nor a tensor of F32 that came "
        "with it");
  CHECK(stranger.ask(numbers({2, 0, observer, 0, 0, 0, 0, 5}, {})) ==
        "remote error: item 7 of the request (keys) is neither a bin of U64 nor a tensor of U64 that came "
        "with it");
  CHECK(stranger.ask(inside({2, 0, observer, 0, 0, 0, 0}, {"1234567"})) ==
        "remote error: item 7 of the request (keys) is neither a bin of U64 nor a tensor of U64 that came "
        "with it");
  CHECK(stranger.ask(inside({3, 0, 0, 0, 1, 0, 0}, {"12345678", "12345"})) ==
        "remote error: item 8 of the request (values) is neither a bin of F32 nor a tensor of F32 that came "
        "with it");
  CHECK(stranger.ask(inside({2, 0, observer, 0, 0, 0, 0}, {""})) == "ok");
  CHECK(stranger.ask(inside({2, 0, observer, 0, 0, 0, 0}, {"12345678"})) == "ok");
  CHECK(stranger.ask(numbers({77, 0, observer, 0, 0, 0, 0}, {})) == "ok");  // a reply that refuses
  CHECK(stranger.ask(numbers({3, 0, 0, UINT64_MAX, 1, UINT64_MAX, UINT64_MAX}, {keys, floats})) == "ok");
  CHECK(stranger.ask(numbers({2, 0, observer, 0, 0, 0, 0}, {keys})) == "ok");

  CHECK(cluster.server(0).router().malformed() == 10);
  CHECK(cluster.server(0).report().get("refused").as_uint() == 2);
  std::vector<float> out(1, 9);
  CHECK(client->pull(0, std::vector<std::uint64_t>{1}, out, soon()).ok());
  CHECK(out[0] == 0);
}
