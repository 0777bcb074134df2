// Any bytes as the body of a batch, the first two being the count: what check_body accepts can be walked,
// read as trees and packed again; what it refuses can still be handed to every reader without harm.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <weft/wire/codec.hpp>

namespace {

using namespace weft;
using namespace weft::wire;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Inner {
  std::int32_t x = 0;
  std::optional<double> y;
  WEFT_RECORD(Inner, x, y)
};
struct Sample {
  std::uint64_t id = 0;
  std::string text;
  std::vector<Inner> inner;
  std::map<std::string, std::int64_t> counts;
  Tensor tensor;
  WEFT_RECORD(Sample, id, text, inner, counts, tensor)
};

// A tree is packed in its shortest form and without repeated keys, so that only the tree must come back, not
// the bytes.
void require_tree_survives(Bytes record) {
  Unpack in(record);
  const auto tree = in.value();
  require(tree.has_value() && in.done());
  Buffer packed;
  Pack(packed).value(*tree);
  Unpack again(packed.view());
  const auto back = again.value(kMaxRecordDepth);
  // An ext becomes a map with members, one level deeper than it was.
  if (back) {
    Buffer twice;
    Pack(twice).value(*back);
    require(as_text(packed.view()) == as_text(twice.view()));
  }
}

void try_records(Bytes record, std::span<const Tensor> frames) {
  Sample sample;
  if (decode_record(RecordView{record, frames}, sample)) {
    BatchBuilder builder(BufferPool::make());
    encode_record(builder, sample);
    require(builder.count() == 1);
    const BatchBuilder::Batch batch = builder.take();
    require(check_body(batch.body.view(), 1) == Rejection::none);
  }
  std::vector<std::vector<float>> numbers;
  (void)decode_record(RecordView{record, frames}, numbers);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::uint64_t count = static_cast<std::uint64_t>(data[0]) << 8 | data[1];
  const Bytes body{reinterpret_cast<const std::byte*>(data + 2), size - 2};
  const std::vector<Tensor> frames{Tensor::own(std::vector<float>{1, 2, 3}),
                                   Tensor::own(std::vector<std::uint8_t>{})};

  try_records(body, frames);
  (void)Unpack(body).value();
  (void)unpack_tensor_ref(body);
  if (check_body(body, count) != Rejection::none) return 0;

  BatchReader reader(body);
  std::size_t walked = 0;
  std::uint64_t records = 0;
  for (; !reader.done(); ++records) {
    const Bytes record = reader.next();
    walked += record.size();
    require(RecordView{record, frames}.bytes().size() <= record.size());
    require_tree_survives(record);
    try_records(record, frames);
  }
  require(records == count && walked == body.size());
  return 0;
}
