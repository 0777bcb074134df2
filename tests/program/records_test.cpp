#include <string>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/core/json.hpp>
#include <weft/program/records.hpp>
#include <weft/wire/pack.hpp>

using namespace weft;

namespace {

wire::Buffer packed(std::string_view json) {
  wire::Buffer out;
  program::pack_value(parse_json(json), out);
  return out;
}

}  // namespace

TEST_CASE("a record that was JSON comes back as the same JSON") {
  for (const std::string json :
       {R"({"a":1,"b":[true,null,-2.5],"c":{"d":"text"}})", R"("text")", "17", "18446744073709551615", "[]",
        R"({"base64":"/wABAg=="})", R"({"deep":[{"base64":"gA=="}]})"}) {
    CAPTURE(json);
    const wire::Buffer record = packed(json);

    CHECK(program::record_to_json({record.view(), {}}) == json);
  }
}

TEST_CASE("bytes that are text are shown as text") {
  wire::Buffer record;
  wire::Pack(record).bin(as_bytes("a line"));

  CHECK(program::record_to_json({record.view(), {}}) == "\"a line\"");
}

TEST_CASE("text that is not UTF-8 is shown as its bytes, and so are keys") {
  wire::Buffer record;
  wire::Pack pack(record);
  pack.map(2);
  pack.str("name");
  pack.str("caf\xe9");
  pack.str("caf\xe9");
  pack.uint(1);

  CHECK(program::record_to_json({record.view(), {}}) ==
        R"({"name":{"base64":"Y2Fm6Q=="},"{\"base64\":\"Y2Fm6Q==\"}":1})");
}

TEST_CASE("JSON that no receiver could take is refused with the reason") {
  wire::Buffer out;
  std::string why;
  const auto nested = [](std::size_t levels) {
    return std::string(levels, '[') + '1' + std::string(levels, ']');
  };
  CHECK(program::pack_json(nested(32), out, why));
  const std::size_t before = out.size();
  CHECK(!program::pack_json(nested(33), out, why));
  CHECK(why == "it is nested deeper than 32 levels");
  CHECK(!program::pack_json("hello", out, why));
  CHECK(why == "invalid literal; last read: 'h'");
  CHECK(out.size() == before);
}

TEST_CASE("a tensor is shown with its type, shape and bytes") {
  const std::vector<std::uint8_t> numbers{1, 2, 3, 255};
  const Tensor tensor = Tensor::view(std::span<const std::uint8_t>(numbers), {2, 2});
  wire::Buffer record;
  wire::pack_tensor_ref(record, 0, tensor);

  CHECK(program::record_to_json({record.view(), std::span(&tensor, 1)}) ==
        R"({"dtype":"U8","shape":[2,2],"data":{"base64":"AQID/w=="}})");
}

TEST_CASE("base64 is read back, and refused when it is none") {
  CHECK(program::from_base64("AQID/w==") == std::string("\x01\x02\x03\xFF"));
  CHECK(program::from_base64("") == std::string());
  CHECK_FALSE(program::from_base64("AQI"));
  CHECK_FALSE(program::from_base64("AQ=D"));
  CHECK_FALSE(program::from_base64("A==="));
  CHECK_FALSE(program::from_base64("AQ!D"));
}

TEST_CASE("a field of a record is found by its name") {
  const wire::Buffer record = packed(R"({"region":"eu","n":7,"list":[1]})");

  CHECK(program::field_text(record.view(), "region") == "eu");
  CHECK(program::field_text(record.view(), "n") == "7");
  CHECK_FALSE(program::field_text(record.view(), "list"));
  CHECK_FALSE(program::field_text(record.view(), "absent"));
  CHECK_FALSE(program::field_text(packed("17").view(), "n"));
}

TEST_CASE("a topic is filled from the fields of a record") {
  program::TopicTemplate topic("orders/{region}/{n}");
  const wire::Buffer record = packed(R"({"region":"eu","n":7})");

  CHECK(topic.of(record.view()) == "orders/eu/7");
}

TEST_CASE("a record without the field of a topic has no topic, and the field is named") {
  program::TopicTemplate topic("orders/{region}");
  std::string missing;

  CHECK_FALSE(topic.of(packed("{}").view(), &missing));
  CHECK(missing == "region");
}

TEST_CASE("a topic that no publisher may use is refused") {
  CHECK_THROWS_AS(program::TopicTemplate("a{b"), Error);
  CHECK_THROWS_AS(program::TopicTemplate("a}b"), Error);
  CHECK_THROWS_AS(program::TopicTemplate("a{}b"), Error);
  CHECK_THROWS_AS(program::TopicTemplate(std::string(191, 'x')), Error);
  CHECK_THROWS_AS(program::TopicTemplate(std::string_view("\0x", 2)), Error);
}
