#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/wire/codec.hpp>

#include "wire/wire_support.hpp"

using namespace weft;
using namespace weft::wire;
using weft::wire::test::from_hex;
using weft::wire::test::Point;

namespace {

struct Shape {
  std::string name;
  std::vector<Point> corners;
  std::map<std::string, double> weights;
  std::optional<std::uint64_t> parent;
  std::vector<char> blob;
  bool closed = false;
  WEFT_RECORD(Shape, name, corners, weights, parent, blob, closed)
};

// Field names that a macro with careless parameter names would trip over.
struct Wide {
  int a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, j = 10;
  int k = 11, l = 12, m = 13, o = 14, pk = 15, packer = 16, object = 17, msgpack_object = 18, v = 19, t = 20;
  WEFT_RECORD(Wide, a, b, c, d, e, f, g, h, i, j, k, l, m, o, pk, packer, object, msgpack_object, v, t)
};

struct Gradient {
  std::uint64_t step = 0;
  Tensor values;
  std::vector<Tensor> more;
  WEFT_RECORD(Gradient, step, values, more)
};

struct Loose {
  Value anything;
  std::string note;
  WEFT_RECORD(Loose, anything, note)
};

struct Throwing {
  template <class Packer>
  void msgpack_pack(Packer& packer) const {
    packer.pack_array(2);
    packer.pack(Tensor::own(std::vector<float>{1}));
    throw std::runtime_error("cannot be packed");
  }
};

template <class T>
BatchBuilder::Batch batch_of(const T& record) {
  BatchBuilder builder(BufferPool::make());
  encode_record(builder, record);
  return builder.take();
}

template <class T>
bool decodes(const std::string& packed, std::span<const Tensor> tensors = {}) {
  T out;
  return decode_record(RecordView{as_bytes(packed), tensors}, out);
}

// What a receiver sees: frames are raw bytes, types and shapes come from the references.
std::vector<Tensor> as_received(const std::vector<Tensor>& sent) {
  std::vector<Tensor> frames;
  for (const Tensor& t : sent) {
    frames.push_back({DType::u8, {static_cast<std::int64_t>(t.data.size())}, t.data, t.owner});
  }
  return frames;
}

}  // namespace

TEST_CASE("a record of nested structs, containers and optionals comes back as it was") {
  Shape shape{
      "triangle", {{0, 0}, {4, 0}, {0, -3}}, {{"a", 0.5}, {"b", -2}}, 18446744073709551615ULL, {'x', '\0'},
      true};

  const BatchBuilder::Batch batch = batch_of(shape);
  REQUIRE(check_body(batch.body.view(), 1) == Rejection::none);
  Shape back;
  REQUIRE(decode_record(RecordView{batch.body.view(), {}}, back));

  CHECK(back.name == "triangle");
  REQUIRE(back.corners.size() == 3);
  CHECK(back.corners[2].y == -3);
  CHECK(back.weights == shape.weights);
  CHECK(back.parent == shape.parent);
  CHECK(back.blob == shape.blob);
  CHECK(back.closed);
}

TEST_CASE("a record is a plain msgpack array of its fields in order") {
  const BatchBuilder::Batch batch = batch_of(Point{7, -1});

  CHECK(test::to_hex(batch.body.view()) == "9207ff");
}

TEST_CASE("twenty fields, with any names, are packed and read") {
  Wide back;
  back.a = back.t = back.packer = back.object = 0;

  REQUIRE(decode_record(RecordView{batch_of(Wide{}).body.view(), {}}, back));

  CHECK(back.a == 1);
  CHECK(back.packer == 16);
  CHECK(back.object == 17);
  CHECK(back.t == 20);
}

TEST_CASE("plain types are records too") {
  std::string text;
  CHECK(decode_record(RecordView{batch_of(std::string("hello")).body.view(), {}}, text));
  CHECK(text == "hello");
  std::vector<float> numbers;
  CHECK(decode_record(RecordView{batch_of(std::vector<float>{1.5F, -2}).body.view(), {}}, numbers));
  CHECK(numbers == std::vector<float>{1.5F, -2});
}

TEST_CASE("a real number stays one, whatever its value") {
  CHECK(test::to_hex(batch_of(1.0).body.view()) == "cb3ff0000000000000");
  CHECK(test::to_hex(batch_of(2.0F).body.view()) == "ca40000000");
  for (const double v : {0.0, -0.0, 1.0, -3.0, 0.1, 18446744073709551616.0, -9223372036854775808.0, 1e300,
                         std::numeric_limits<double>::infinity()}) {
    CAPTURE(v);
    double back = 7;
    REQUIRE(decode_record(RecordView{batch_of(v).body.view(), {}}, back));
    CHECK(back == v);
    CHECK(std::signbit(back) == std::signbit(v));
    float narrow = 7;
    REQUIRE(decode_record(RecordView{batch_of(static_cast<float>(v)).body.view(), {}}, narrow));
    CHECK(narrow == static_cast<float>(v));
  }
  double from_integer = 0;
  CHECK(decode_record(RecordView{batch_of(5).body.view(), {}}, from_integer));
  CHECK(from_integer == 5);
}

TEST_CASE("a value tree is a record, alone and as a field") {
  const Value tree(
      Value::Map{{"n", -5}, {"big", 18446744073709551615ULL}, {"l", Value::List{Value("x"), Value()}}});
  Value alone;
  Loose loose;

  CHECK(decode_record(RecordView{batch_of(tree).body.view(), {}}, alone));
  CHECK(decode_record(RecordView{batch_of(Loose{tree, "after"}).body.view(), {}}, loose));

  CHECK(alone == tree);
  CHECK(loose.anything == tree);
  CHECK(loose.note == "after");
}

TEST_CASE("objects of another shape are refused") {
  CHECK(decodes<Point>(from_hex("92 01 02")));
  CHECK_FALSE(decodes<Point>(from_hex("91 01")));                     // a field less
  CHECK_FALSE(decodes<Point>(from_hex("93 01 02 03")));               // a field more
  CHECK_FALSE(decodes<Point>(from_hex("92 01 a161")));                // text for a number
  CHECK_FALSE(decodes<Point>(from_hex("92 01 cf7fffffffffffffff")));  // beyond the field's range
  CHECK_FALSE(decodes<Point>(from_hex("82 01 02 03 04")));            // a map
  CHECK_FALSE(decodes<Point>(from_hex("05")));
  CHECK_FALSE(decodes<Point>(from_hex("92 01 02 00")));  // more than one object
  CHECK_FALSE(decodes<Point>(from_hex("92 01")));        // cut short
  CHECK_FALSE(decodes<Point>(""));
  CHECK_FALSE(decodes<Value>(from_hex("01 02")));
  CHECK_FALSE(decodes<Value>(from_hex("c1")));
}

TEST_CASE("a missing field never keeps the value of the record before") {
  Point reused{5, 5};

  CHECK_FALSE(decode_record(RecordView{as_bytes(std::string_view("\x91\x01")), {}}, reused));
  CHECK(decode_record(RecordView{as_bytes(std::string_view("\x92\x01\x02")), {}}, reused));
  CHECK(reused.y == 2);
}

TEST_CASE("counts that the bytes cannot hold are refused without allocating for them") {
  for (const char* claim :
       {"ddffffffff", "dfffffffff", "c6ffffffff", "dbffffffff", "dd10000000", "ddffffffff01"}) {
    CAPTURE(claim);
    CHECK_FALSE(decodes<std::vector<Shape>>(from_hex(claim)));
    CHECK_FALSE(decodes<std::string>(from_hex(claim)));
  }
  CHECK_FALSE(decodes<std::vector<Point>>(std::string(1000, '\x91') + '\x01'));
}

TEST_CASE("a tensor field travels as a frame of its own without a copy") {
  Gradient sent{
      9, Tensor::own(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}), {Tensor::own(std::vector<double>{7})}};

  const BatchBuilder::Batch batch = batch_of(sent);
  REQUIRE(batch.tensors.size() == 2);
  CHECK(batch.tensors[0].data.data() == sent.values.data.data());
  const std::vector<Tensor> frames = as_received(batch.tensors);
  Gradient back;
  REQUIRE(decode_record(RecordView{batch.body.view(), frames}, back));

  CHECK(back.step == 9);
  CHECK(back.values.dtype == DType::f32);
  CHECK(back.values.shape == std::vector<std::int64_t>{2, 3});
  CHECK(back.values.data.data() == sent.values.data.data());
  CHECK(back.values.owner == sent.values.owner);
  CHECK(back.more.at(0).as<double>()[0] == 7);
}

TEST_CASE("each record of a batch refers to its own frames") {
  BatchBuilder builder(BufferPool::make());
  for (int i = 0; i < 3; ++i) {
    encode_record(builder,
                  Gradient{static_cast<std::uint64_t>(i), Tensor::own(std::vector<int>{i, i * 10}), {}});
  }
  const BatchBuilder::Batch batch = builder.take();
  const std::vector<Tensor> frames = as_received(batch.tensors);

  BatchReader reader(batch.body.view());
  for (int i = 0; i < 3; ++i) {
    Gradient back;
    REQUIRE(decode_record(RecordView{reader.next(), frames}, back));
    CHECK(back.values.as<int>()[1] == i * 10);
  }
  CHECK(reader.done());
}

TEST_CASE("a record whose tensor frame is missing or of another size is refused") {
  const BatchBuilder::Batch batch = batch_of(Gradient{1, Tensor::own(std::vector<float>{1, 2}), {}});
  std::vector<Tensor> frames = as_received(batch.tensors);
  Gradient out;

  CHECK(decode_record(RecordView{batch.body.view(), frames}, out));
  CHECK_FALSE(decode_record(RecordView{batch.body.view(), {}}, out));
  frames[0].data = frames[0].data.first(4);
  CHECK_FALSE(decode_record(RecordView{batch.body.view(), frames}, out));
  CHECK_FALSE(decodes<Gradient>(from_hex("93 01 d402 00 90")));  // an ext of another type
  CHECK_FALSE(decodes<Gradient>(from_hex("93 01 d401 00 90")));  // a reference that is none
}

TEST_CASE("a record that fails to pack leaves the batch as it was") {
  BatchBuilder builder(BufferPool::make());
  encode_record(builder, Point{1, 2});

  CHECK_THROWS_AS(encode_record(builder, Throwing{}), std::runtime_error);

  CHECK(builder.count() == 1);
  CHECK(builder.tensors().empty());
  CHECK(test::to_hex(builder.take().body.view()) == "920102");
}

TEST_CASE("a type's fingerprint is FNV-1a of its name and fields, as any language computes it") {
  // python3: h = 0xcbf29ce484222325
  //          for c in b"Point(x,y)": h = (h ^ c) * 0x100000001b3 % 2**64
  CHECK(type_fingerprint("Point", "x, y") == 0x305d5b93b6b526f1ULL);
  CHECK(record_type<Point>() == RecordType{"Point", 0x305d5b93b6b526f1ULL});
  CHECK(type_fingerprint("Sample", "id, shard,\n  score, weight, hot, payload") == 0x0054ee6aa85bfc16ULL);
  CHECK(type_fingerprint("X", "") == 0xd33da11a1b8928fcULL);
  CHECK(type_fingerprint("Point", "y, x") != type_fingerprint("Point", "x, y"));
}

TEST_CASE("types are compatible when one is any or both are the same") {
  const RecordType point = record_type<Point>();

  CHECK(record_type<std::string>().is_any());
  CHECK(compatible(point, point));
  CHECK(compatible(point, RecordType{}));
  CHECK(compatible(RecordType{}, point));
  CHECK_FALSE(compatible(point, record_type<Shape>()));
  CHECK_FALSE(compatible(point, RecordType{"Point", point.fingerprint + 1}));
}

TEST_CASE("mutated records decode or are refused, and never more than that") {
  std::mt19937_64 random(7);
  const BatchBuilder::Batch batch =
      batch_of(Gradient{1, Tensor::own(std::vector<float>{1, 2}), {Tensor::own(std::vector<float>{3})}});
  const std::vector<Tensor> frames = as_received(batch.tensors);
  const std::string original(as_text(batch.body.view()));
  const std::string shape(as_text(batch_of(Shape{"s", {{1, 2}}, {{"k", 1}}, 5, {'b'}, true}).body.view()));
  int refused = 0;

  for (int round = 0; round < 10'000; ++round) {
    refused += decodes<Gradient>(test::mutated(original, random), frames) ? 0 : 1;
    refused += decodes<Shape>(test::mutated(shape, random)) ? 0 : 1;
  }

  CHECK(refused > 0);
  CHECK(refused < 20'000);
}
