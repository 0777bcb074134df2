#include <doctest/doctest.h>

#include <weft/wire/buffer.hpp>
#include <weft/wire/pack.hpp>
#include <weft/wire/tensor.hpp>

#include "wire/wire_support.hpp"

using namespace weft;
using namespace weft::wire;
using weft::wire::test::packed;

namespace {

std::string reference(std::uint64_t frame, std::string_view dtype, const std::vector<std::int64_t>& shape) {
  return packed([&](Pack& p) {
    p.array(3);
    p.uint(frame);
    p.str(dtype);
    p.array(shape.size());
    for (const std::int64_t n : shape) p.sint(n);
  });
}

Tensor frame_of(std::size_t bytes) {
  return Tensor::own(std::vector<std::uint8_t>(bytes));
}

}  // namespace

TEST_CASE("element types have the names and sizes of safetensors") {
  const std::vector<std::pair<std::string_view, std::size_t>> expected{
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"U16", 2}, {"I16", 2}, {"F16", 2}, {"BF16", 2},
      {"U32", 4},  {"I32", 4}, {"F32", 4}, {"U64", 8}, {"I64", 8}, {"F64", 8}};
  for (const auto& entry : expected) {
    CAPTURE(entry.first);
    const auto type = parse_dtype(entry.first);
    REQUIRE(type);
    CHECK(to_string(*type) == entry.first);
    CHECK(size_of(*type) == entry.second);
  }
  CHECK_FALSE(parse_dtype("f32"));
  CHECK_FALSE(parse_dtype(""));
}

TEST_CASE("a tensor shows its numbers only as the type that it has") {
  const Tensor tensor = Tensor::own(std::vector<float>{1, 2, 3, 4}, {2, 2});

  CHECK(tensor.as<float>().size() == 4);
  CHECK(tensor.as<float>()[3] == 4);
  CHECK(tensor.as<double>().empty());
  CHECK(tensor.as<std::int32_t>().empty());
}

TEST_CASE("a tensor whose bytes are not aligned is not shown as numbers") {
  Tensor tensor = Tensor::own(std::vector<float>{1, 2});
  tensor.data = tensor.data.subspan(1, 4);

  CHECK(tensor.as<float>().empty());
}

TEST_CASE("a reference reads back with its frame, type and shape") {
  Buffer out;
  pack_tensor_ref(out, 3, Tensor::own(std::vector<double>(6), {2, 3}));

  const auto ext = Unpack(out.view()).ext();
  REQUIRE(ext);
  CHECK(ext->type == kTensorExt);
  const auto ref = unpack_tensor_ref(ext->payload);
  REQUIRE(ref);
  CHECK(ref->frame == 3);
  CHECK(ref->dtype == DType::f64);
  CHECK(ref->shape == std::vector<std::int64_t>{2, 3});
  CHECK(byte_size(*ref) == 48);
}

TEST_CASE("malformed references are refused") {
  CHECK(unpack_tensor_ref(as_bytes(reference(0, "F32", {1, 2, 3, 4, 5, 6, 7, 8}))));
  CHECK_FALSE(unpack_tensor_ref(as_bytes(reference(0, "F32", {1, 1, 1, 1, 1, 1, 1, 1, 1}))));
  CHECK_FALSE(unpack_tensor_ref(as_bytes(reference(0, "F31", {1}))));
  CHECK_FALSE(unpack_tensor_ref(as_bytes(reference(kMaxFrames, "F32", {1}))));
  CHECK_FALSE(unpack_tensor_ref(as_bytes(reference(0, "F32", {-1}))));
  CHECK_FALSE(unpack_tensor_ref(as_bytes(reference(0, "F32", {1LL << 40, 1LL << 40}))));
  CHECK_FALSE(unpack_tensor_ref(as_bytes(reference(0, "F64", {INT64_MAX}))));
  CHECK_FALSE(unpack_tensor_ref(as_bytes(reference(0, "F32", {1}) + '\x01')));
  CHECK_FALSE(unpack_tensor_ref(as_bytes(std::string_view("\x93\x00", 2))));
  CHECK_FALSE(unpack_tensor_ref({}));
  const std::string whole = reference(7, "BF16", {300, 70000});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK_FALSE(unpack_tensor_ref(as_bytes(whole).first(size)));
  }
}

TEST_CASE("a reference resolves to a view that shares the frame's owner") {
  const std::vector<Tensor> frames{frame_of(4), frame_of(24)};

  const auto found = resolve({.frame = 1, .dtype = DType::f32, .shape = {2, 3}}, frames);

  REQUIRE(found);
  CHECK(found->dtype == DType::f32);
  CHECK(found->shape == std::vector<std::int64_t>{2, 3});
  CHECK(found->data.data() == frames[1].data.data());
  CHECK(found->owner == frames[1].owner);
}

TEST_CASE("a reference without its frame or of another size does not resolve") {
  const std::vector<Tensor> frames{frame_of(24)};

  CHECK_FALSE(resolve({.frame = 1, .dtype = DType::f32, .shape = {6}}, frames));
  CHECK_FALSE(resolve({.frame = 0, .dtype = DType::f32, .shape = {5}}, frames));
  CHECK_FALSE(resolve({.frame = 0, .dtype = DType::f64, .shape = {6}}, frames));
  CHECK_FALSE(resolve({.frame = 0, .dtype = DType::f32, .shape = {-6}}, frames));
  CHECK(resolve({.frame = 0, .dtype = DType::u64, .shape = {3, 1}}, frames));
}

TEST_CASE("a tensor without numbers and one without dimensions have their sizes") {
  const std::vector<Tensor> frames{frame_of(0), frame_of(4)};

  CHECK(resolve({.frame = 0, .dtype = DType::f32, .shape = {0, 5}}, frames));
  CHECK(resolve({.frame = 1, .dtype = DType::f32, .shape = {}}, frames));
  CHECK_FALSE(resolve({.frame = 1, .dtype = DType::f32, .shape = {0}}, frames));
  CHECK(byte_size({.frame = 0, .dtype = DType::f32, .shape = {0, INT64_MAX}}) == 0);
}
