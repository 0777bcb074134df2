#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/transport/frame.hpp>
#include <weft/transport/socket.hpp>

#include "support.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;

namespace {

wire::Buffer filled(wire::BufferPool& pool, std::size_t size, char content = 'b') {
  auto buffer = pool.take(size);
  std::memset(buffer.extend(size), content, size);
  return buffer;
}

// A tensor of `count` floats whose owner's end can be seen from any thread.
Tensor watched_tensor(std::size_t count, std::shared_ptr<std::atomic<bool>> released) {
  std::shared_ptr<float[]> values(new float[count], [released](const float* p) {
    delete[] p;
    *released = true;
  });
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  Tensor tensor = Tensor::view(std::span<const float>(values.get(), count));
  tensor.owner = values;
  return tensor;
}

}  // namespace

TEST_CASE("a frame copies bytes, and an empty one has none") {
  std::string source = "hello";
  const Frame frame(as_bytes(source));
  source = "xxxxx";

  CHECK(as_text(frame.view()) == "hello");
  CHECK(Frame().size() == 0);
  CHECK(Frame(Bytes{}).size() == 0);
}

TEST_CASE("a frame adopts a large buffer without a copy and copies a small one") {
  auto pool = wire::BufferPool::make();
  auto large = filled(*pool, 4096);
  auto small = filled(*pool, 100);
  const auto* large_bytes = large.data();
  const auto* small_bytes = small.data();

  const Frame adopted(std::move(large));
  const Frame copied(std::move(small));

  CHECK(adopted.view().data() == large_bytes);
  CHECK(adopted.size() == 4096);
  CHECK(copied.view().data() != small_bytes);
  CHECK(as_text(copied.view()) == std::string(100, 'b'));
  CHECK(large.empty());  // NOLINT(bugprone-use-after-move): what it promises
  CHECK(small.empty());  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("an empty buffer makes an empty frame") {
  CHECK(Frame(wire::Buffer()).size() == 0);
}

TEST_CASE("an adopted buffer returns to its pool once it has been sent") {
  for (const std::string endpoint : {"tcp://127.0.0.1:*", "inproc://pool"}) {
    CAPTURE(endpoint);
    Loop loop;
    auto pool = wire::BufferPool::make();
    Socket pull(loop.context(), SocketType::pull);
    Socket push(loop.context(), SocketType::push);
    push.connect(pull.bind(endpoint));
    auto buffer = filled(*pool, 100'000, 'z');
    const auto* block = buffer.data();
    REQUIRE(push.send(Frame(std::move(buffer))) == SendStatus::sent);

    const auto received = receive(loop, pull);

    REQUIRE(received.size() == 1);
    CHECK(received[0] == std::string(100'000, 'z'));
    std::vector<wire::Buffer> others;  // what the pool gives while the block is still out
    CHECK(eventually(loop, [&] {
      others.push_back(pool->take(100'000));
      return others.back().data() == block;
    }));
  }
}

TEST_CASE("a tensor's owner is released after the bytes are out, and not before") {
  Loop loop;
  Socket pull(loop.context(), SocketType::pull);
  Socket push(loop.context(), SocketType::push);
  push.connect(pull.bind("tcp://127.0.0.1:*"));
  auto released = std::make_shared<std::atomic<bool>>(false);
  auto tensor = watched_tensor(1 << 16, released);
  Frame frame(tensor);
  CHECK(frame.view().data() == tensor.data.data());
  tensor = {};
  CHECK_FALSE(*released);

  REQUIRE(push.send(std::move(frame)) == SendStatus::sent);
  Message message;
  REQUIRE(eventually(loop, [&] { return pull.receive(message); }));

  REQUIRE(message.size() == 1);
  REQUIRE(message[0].size() == 4 << 16);
  std::vector<float> values(1 << 16);
  std::memcpy(values.data(), message[0].view().data(), message[0].size());
  CHECK(values[12345] == 12345.0F);
  CHECK(eventually(loop, [&] { return released->load(); }));
}

TEST_CASE("a tensor's owner is released when its frame is never sent") {
  auto released = std::make_shared<std::atomic<bool>>(false);
  {
    const Frame frame(watched_tensor(5000, released));
    CHECK_FALSE(*released);
  }
  CHECK(*released);
}

TEST_CASE("a small tensor and one without an owner are copied") {
  auto released = std::make_shared<std::atomic<bool>>(false);
  const Frame small(watched_tensor(10, released));
  CHECK(*released);
  CHECK(small.size() == 40);

  const std::vector<float> borrowed(10'000, 1.5F);
  const auto view = Tensor::view(std::span<const float>(borrowed));
  const Frame copied(view);
  CHECK(copied.view().data() != view.data.data());
  CHECK(copied.size() == 40'000);
}

TEST_CASE("a shared frame refers to the same bytes and outlives the first") {
  auto pool = wire::BufferPool::make();
  Frame second;
  const std::byte* bytes = nullptr;
  {
    const Frame first(filled(*pool, 2000, 's'));
    bytes = first.view().data();
    second = first.share();
  }

  CHECK(second.view().data() == bytes);
  CHECK(as_text(second.view()) == std::string(2000, 's'));
}

TEST_CASE("one batch goes to several peers by shared frames") {
  Loop loop;
  auto pool = wire::BufferPool::make();
  std::vector<Socket> pulls;
  std::vector<Socket> pushes;
  for (int i = 0; i < 3; ++i) {
    pulls.emplace_back(loop.context(), SocketType::pull);
    pushes.emplace_back(loop.context(), SocketType::push);
    pushes.back().connect(pulls.back().bind("tcp://127.0.0.1:*"));
  }
  const Frame batch(filled(*pool, 10'000, 'm'));

  for (auto& push : pushes) REQUIRE(push.send(batch.share()) == SendStatus::sent);

  for (auto& pull : pulls) CHECK(receive(loop, pull) == Strings{std::string(10'000, 'm')});
  CHECK(as_text(batch.view()) == std::string(10'000, 'm'));
}

TEST_CASE("a moved-from frame is empty, and moving onto itself keeps the bytes") {
  Frame first(as_bytes("abc"));
  Frame second(std::move(first));
  CHECK(first.size() == 0);  // NOLINT(bugprone-use-after-move): what it promises
  auto& alias = second;
  second = std::move(alias);
  CHECK(as_text(second.view()) == "abc");
}
