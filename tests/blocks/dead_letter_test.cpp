#include <array>
#include <vector>

#include <doctest/doctest.h>

#include <weft/blocks/dead_letter.hpp>
#include <weft/blocks/raw.hpp>
#include <weft/wire/limits.hpp>
#include <weft/wire/pack.hpp>

using namespace weft;

namespace {

wire::BatchBuilder::Batch letter_of(const wire::RecordView& record) {
  wire::BatchBuilder batch(wire::BufferPool::make());
  add_dead_letter(batch, "a.out>b.in",
                  {.record = record,
                   .reason = "max-attempts",
                   .attempts = 3,
                   .receiver = "b/1",
                   .accepted_micros = 1'700'000'000'000'000,
                   .died_micros = 1'700'000'000'500'000});
  return batch.take();
}

}  // namespace

TEST_CASE("a dead letter is a map around the record as it was sent") {
  wire::Buffer record;
  wire::Pack(record).map(1);
  wire::Pack(record).str("n");
  wire::Pack(record).uint(7);

  const auto batch = letter_of({.packed = record.view(), .tensors = {}});

  CHECK(batch.count == 1);
  CHECK(wire::check_body(batch.body.view(), 1) == wire::Rejection::none);
  const Value letter = wire::Unpack(batch.body.view()).value().value();
  CHECK(letter.get("reason") == Value("max-attempts"));
  CHECK(letter.get("attempts") == Value(3));
  CHECK(letter.get("link") == Value("a.out>b.in"));
  CHECK(letter.get("first_sent") == Value(1'700'000'000'000'000));
  CHECK(letter.get("died") == Value(1'700'000'000'500'000));
  CHECK(letter.get("receiver") == Value("b/1"));
  CHECK(letter.get("record").get("n") == Value(7));
}

TEST_CASE("the tensors of a dead record come along") {
  std::vector<float> numbers{1, 2, 3};
  wire::BatchBuilder sent(wire::BufferPool::make());
  const std::array tensors{Tensor::view(std::span<const float>(numbers))};
  add_raw(sent, as_bytes("model"), tensors);
  const auto first = sent.take();

  const auto batch = letter_of({.packed = first.body.view(), .tensors = first.tensors});

  REQUIRE(batch.tensors.size() == 1);
  CHECK(batch.tensors[0].data.size() == 12);
  CHECK(wire::check_body(batch.body.view(), 1) == wire::Rejection::none);
}

TEST_CASE("a record that is nested to the limit is carried as its bytes") {
  wire::Buffer record;
  for (std::size_t i = 0; i < wire::kMaxRecordDepth; ++i) wire::Pack(record).array(1);
  wire::Pack(record).uint(1);

  const auto batch = letter_of({.packed = record.view(), .tensors = {}});

  CHECK(wire::check_body(batch.body.view(), 1) == wire::Rejection::none);
}
