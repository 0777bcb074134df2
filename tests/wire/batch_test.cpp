#include <doctest/doctest.h>

#include <weft/wire/batch.hpp>

#include "wire/wire_support.hpp"

using namespace weft;
using namespace weft::wire;
using weft::wire::test::from_hex;
using weft::wire::test::packed;

TEST_CASE("records come out of a batch one by one as they went in") {
  BatchBuilder builder(BufferPool::make());
  builder.add_bin(as_bytes("first"));
  builder.add_packed(as_bytes(from_hex("93 01 02 03")));
  builder.add([](Buffer& out) { Pack(out).str("third"); });
  CHECK(builder.count() == 3);

  const BatchBuilder::Batch batch = builder.take();

  CHECK(batch.count == 3);
  CHECK(batch.bytes == batch.body.size());
  REQUIRE(check_body(batch.body.view(), batch.count) == Rejection::none);
  BatchReader reader(batch.body.view());
  CHECK(as_text(RecordView{reader.next(), {}}.bytes()) == "first");
  CHECK(test::to_hex(reader.next()) == "93010203");
  CHECK(as_text(RecordView{reader.next(), {}}.bytes()) == "third");
  CHECK(reader.done());
}

TEST_CASE("a builder starts anew after its batch was taken") {
  BatchBuilder builder(BufferPool::make());
  builder.add_bin(as_bytes("x"));
  builder.add_tensor(Tensor::own(std::vector<float>{1, 2}));
  CHECK(builder.bytes() == 3 + 8);
  const BatchBuilder::Batch first = builder.take();

  CHECK(builder.empty());
  CHECK(builder.bytes() == 0);
  CHECK(builder.tensors().empty());
  builder.add_bin(as_bytes("yy"));
  const BatchBuilder::Batch second = builder.take();

  CHECK(first.bytes == 11);
  CHECK(test::to_hex(first.body.view()) == "c40178");
  CHECK(test::to_hex(second.body.view()) == "c4027979");
  CHECK(second.tensors.empty());
}

TEST_CASE("a batch without records has an empty body that is accepted") {
  BatchBuilder builder(BufferPool::make());

  const BatchBuilder::Batch batch = builder.take();

  CHECK(batch.count == 0);
  CHECK(check_body(batch.body.view(), 0) == Rejection::none);
}

TEST_CASE("a small batch does not hold a large block, and a large one is not copied") {
  BatchBuilder builder(BufferPool::make(), 64 * 1024);
  builder.add_bin(as_bytes("small"));
  CHECK(builder.take().body.capacity() < 1024);

  builder.add_bin(as_bytes(std::string(40'000, 'x')));
  const std::byte* const data = builder.body().data();

  CHECK(builder.take().body.data() == data);
}

TEST_CASE("rolling back takes away records and tensors since the mark") {
  BatchBuilder builder(BufferPool::make());
  builder.add_bin(as_bytes("keep"));
  const BatchBuilder::Mark mark = builder.mark();
  builder.add_bin(as_bytes("drop"));
  builder.add_tensor(Tensor::own(std::vector<double>(100)));

  builder.roll_back(mark);

  CHECK(builder.count() == 1);
  CHECK(builder.bytes() == 6);
  CHECK(builder.tensors().empty());
  CHECK(check_body(builder.take().body.view(), 1) == Rejection::none);
}

TEST_CASE("a borrowed tensor is copied when it joins a batch and an owned one is not") {
  BatchBuilder builder(BufferPool::make());
  std::vector<float> numbers{1, 2, 3};
  const Tensor owned = Tensor::own(std::vector<float>{4, 5, 6});

  CHECK(builder.add_tensor(Tensor::view(std::span<const float>(numbers))) == 0);
  CHECK(builder.add_tensor(owned) == 1);
  numbers.assign({9, 9, 9});

  const BatchBuilder::Batch batch = builder.take();
  CHECK(batch.tensors[0].as<float>()[0] == 1);
  CHECK(batch.tensors[0].owner);
  CHECK(batch.tensors[1].data.data() == owned.data.data());
}

TEST_CASE("a body is refused when its records are not what the count says") {
  const std::string body = from_hex("c40178 01 93010203");

  CHECK(check_body(as_bytes(body), 3) == Rejection::none);
  CHECK(check_body(as_bytes(body), 2) == Rejection::bad_body);
  CHECK(check_body(as_bytes(body), 4) == Rejection::bad_body);
  CHECK(check_body(as_bytes(body), 0) == Rejection::bad_body);
  CHECK(check_body(as_bytes(body), UINT64_MAX) == Rejection::bad_body);
  CHECK(check_body(as_bytes(body).first(body.size() - 1), 3) == Rejection::bad_body);
  CHECK(check_body(as_bytes(body + '\x01'), 3) == Rejection::bad_body);
  CHECK(check_body(as_bytes(from_hex("c1")), 1) == Rejection::bad_body);
}

TEST_CASE("a record that is nested too deep is refused by name") {
  const std::string deepest = std::string(kMaxRecordDepth, '\x91') + '\x01';

  CHECK(check_body(as_bytes(deepest), 1) == Rejection::none);
  CHECK(check_body(as_bytes('\x91' + deepest), 1) == Rejection::too_deep);
  CHECK(check_body(as_bytes(std::string(1'000'000, '\x91') + '\x01'), 1) == Rejection::too_deep);
  CHECK(check_body(as_bytes(std::string(1'000'000, '\x91')), 1) == Rejection::bad_body);
  CHECK(check_record(as_bytes(deepest)) == Rejection::none);
  CHECK(check_record(as_bytes(deepest + '\x01')) == Rejection::bad_body);
  CHECK(check_record(as_bytes("")) == Rejection::bad_body);
}

TEST_CASE("a record that is nested too deep costs nothing but itself") {
  const std::string deep = std::string(40, '\x91') + '\x01';
  const std::string body = '\x01' + deep + '\x02';
  REQUIRE(check_body(as_bytes(body), 3) == Rejection::too_deep);
  CHECK(check_body(as_bytes(body), 2) == Rejection::bad_body);

  Bytes rest = as_bytes(body);
  CHECK(as_text(next_object(rest)) == "\x01");
  CHECK(next_object(rest).empty());
  CHECK(as_text(next_object(rest)) == "\x02");
  CHECK(rest.empty());
  BatchReader reader(as_bytes(body));
  CHECK(as_text(reader.next()) == "\x01");
  CHECK(as_text(reader.next()) == deep);
  CHECK(as_text(reader.next()) == "\x02");
  CHECK(reader.done());
}

TEST_CASE("five bytes that claim gigabytes are refused") {
  for (const char* claim : {"ddffffffff", "dfffffffff", "c6ffffffff", "dbffffffff", "c9ffffffff"}) {
    CAPTURE(claim);
    CHECK(check_body(as_bytes(from_hex(claim)), 1) == Rejection::bad_body);
  }
}

TEST_CASE("mutated bodies are accepted only when the reader can walk them to their end") {
  std::mt19937_64 random(42);
  BatchBuilder builder(BufferPool::make());
  for (int i = 0; i < 5; ++i) builder.add_bin(as_bytes(std::string(static_cast<std::size_t>(i) * 20, 'r')));
  builder.add_packed(as_bytes(from_hex("82 a16b 93010203 a16c c0")));
  const BatchBuilder::Batch batch = builder.take();
  const std::string original(as_text(batch.body.view()));
  int accepted = 0;

  for (int round = 0; round < 20'000; ++round) {
    const std::string body = test::mutated(original, random);
    if (check_body(as_bytes(body), batch.count) != Rejection::none) continue;
    ++accepted;
    BatchReader reader(as_bytes(body));
    std::size_t walked = 0;
    std::size_t records = 0;
    for (; !reader.done(); ++records) walked += reader.next().size();
    REQUIRE(records == batch.count);
    REQUIRE(walked == body.size());
  }

  CHECK(accepted > 0);
}

TEST_CASE("a body that changes after it was checked ends early, within its bytes") {
  std::string body = "\xC4\x03one\xC4\x03two";
  REQUIRE(check_body(as_bytes(body), 2) == Rejection::none);
  BatchReader reader(as_bytes(body));
  CHECK(reader.next().size() == 5);

  body[6] = '\x7F';  // the second record now claims more than there is
  CHECK(reader.next().empty());

  CHECK(reader.done());
}
