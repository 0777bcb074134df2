#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

using namespace weft;

TEST_CASE("a value keeps the order of its keys and reads back what JSON wrote") {
  Value v;
  v["zeta"] = 1;
  v["alpha"] = Value::List{Value(true), Value(1.5), Value("x\ny")};
  v["big"] = 18446744073709551615ULL;

  const std::string text = to_json(v);

  CHECK(text == R"({"zeta":1,"alpha":[true,1.5,"x\ny"],"big":18446744073709551615})");
  CHECK(parse_json(text) == v);
}

TEST_CASE("broken JSON is refused with its place") {
  CHECK_THROWS_WITH_AS(parse_json("{\"a\": 1,\n \"b\": }"), doctest::Contains("line 2, column 7"), Error);
  CHECK(!try_parse_json(std::string(100, '[')));
}

TEST_CASE("a value of another kind is refused by name") {
  CHECK_THROWS_WITH_AS((void)Value("x").as_int(), "expected integer, found text", Error);
  CHECK_THROWS_AS((void)Value(-1).as_uint(), Error);
}

TEST_CASE("durations and sizes need a unit and read back what was written") {
  CHECK(parse_duration("10s") == std::chrono::seconds(10));
  CHECK(parse_duration("1.5s") == std::chrono::milliseconds(1500));
  CHECK(parse_size("64MiB") == 64ULL << 20);
  for (const char* bad : {"10", "", "s", "-1s", "10 s", "10parsecs", "1e3s", "nan s"}) {
    CAPTURE(bad);
    CHECK(!parse_duration(bad));
    CHECK(!parse_size(bad));
  }
  CHECK(format_duration(std::chrono::milliseconds(250)) == "250ms");
  CHECK(format_duration(std::chrono::seconds(90)) == "90s");
  CHECK(format_duration(-std::chrono::milliseconds(5)) == "-5ms");
  CHECK(format_size(1 << 20) == "1MiB");
  CHECK(format_size(1000) == "1000B");
  CHECK(humane_count(1234567) == "1,234,567");
}

TEST_CASE("the nearest word is offered only when it is near") {
  CHECK(nearest("wrokers", {"workers", "servers"}) == "workers");
  CHECK(!nearest("banana", {"workers", "servers"}));
}

TEST_CASE("quoted text is cut and escaped") {
  CHECK(quoted("a\nb\x01\xff") == "\"a\\nb\\x01\\xff\"");
  CHECK(quoted("abcdef", 3) == "\"abc...\"");
  CHECK(is_utf8("h\xc3\xa9"));
  CHECK_FALSE(is_utf8("\xc0\x80"));
}
