#include <cmath>
#include <limits>

#include <doctest/doctest.h>
#include <msgpack.hpp>

#include <weft/wire/pack.hpp>

#include "wire/wire_support.hpp"

using namespace weft;
using namespace weft::wire;
using weft::wire::test::from_hex;
using weft::wire::test::packed;

namespace {

const std::vector<std::int64_t> kSigned{
    0,         1,         -1,       31,     -32,    -33,   127,   128,       -128,         -129,
    255,       256,       32767,    -32768, -32769, 65535, 65536, 1LL << 31, -(1LL << 31), -(1LL << 31) - 1,
    1LL << 32, INT64_MAX, INT64_MIN};
const std::vector<std::size_t> kSizes{0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000};

template <class T>
std::string by_msgpack(const T& value) {
  msgpack::sbuffer out;
  msgpack::pack(out, value);
  return {out.data(), out.size()};
}

}  // namespace

TEST_CASE("integers are packed byte for byte as msgpack-cxx packs them, and read back") {
  for (const std::int64_t v : kSigned) {
    CAPTURE(v);
    const std::string bytes = packed([&](Pack& p) { p.sint(v); });

    CHECK(bytes == by_msgpack(v));
    CHECK(Unpack(as_bytes(bytes)).sint() == v);
    CHECK(Unpack(as_bytes(bytes)).uint().has_value() == (v >= 0));
  }
  const std::string most = packed([](Pack& p) { p.uint(UINT64_MAX); });
  CHECK(most == by_msgpack(UINT64_MAX));
  CHECK(Unpack(as_bytes(most)).uint() == UINT64_MAX);
  CHECK_FALSE(Unpack(as_bytes(most)).sint());
}

TEST_CASE("integers of any width and sign form are read") {
  CHECK(Unpack(as_bytes(from_hex("cf0000000000000005"))).uint() == 5U);
  CHECK(Unpack(as_bytes(from_hex("d07f"))).uint() == 127U);
  CHECK(Unpack(as_bytes(from_hex("d30000000000000007"))).uint() == 7U);
  CHECK(Unpack(as_bytes(from_hex("ce80000000"))).sint() == 0x80000000LL);
  CHECK_FALSE(Unpack(as_bytes(from_hex("d0ff"))).uint());
}

TEST_CASE("text, binary and ext of every length class are packed as msgpack-cxx packs them, and read back") {
  for (const std::size_t size : kSizes) {
    CAPTURE(size);
    const std::string payload(size, 'q');
    const std::string text = packed([&](Pack& p) { p.str(payload); });
    const std::string binary = packed([&](Pack& p) { p.bin(as_bytes(payload)); });
    const std::string ext = packed([&](Pack& p) { p.ext(-7, as_bytes(payload)); });

    CHECK(text == by_msgpack(payload));
    CHECK(binary == by_msgpack(std::vector<char>(payload.begin(), payload.end())));
    msgpack::sbuffer reference;
    msgpack::packer<msgpack::sbuffer> packer(reference);
    packer.pack_ext(size, -7);
    packer.pack_ext_body(payload.data(), static_cast<std::uint32_t>(size));
    CHECK(ext == std::string(reference.data(), reference.size()));

    CHECK(Unpack(as_bytes(text)).str() == payload);
    CHECK_FALSE(Unpack(as_bytes(text)).bin());
    CHECK_FALSE(Unpack(as_bytes(binary)).str());
    CHECK(as_text(Unpack(as_bytes(binary)).bin().value()) == payload);
    CHECK(as_text(Unpack(as_bytes(text)).bytes().value()) == payload);
    CHECK(Unpack(as_bytes(ext)).ext()->type == -7);
    CHECK(as_text(Unpack(as_bytes(ext)).ext()->payload) == payload);
  }
}

TEST_CASE("heads of arrays and maps are packed as msgpack-cxx packs them, and read back") {
  for (const std::size_t size : kSizes) {
    CAPTURE(size);
    msgpack::sbuffer array;
    msgpack::packer<msgpack::sbuffer>(array).pack_array(static_cast<std::uint32_t>(size));
    msgpack::sbuffer map;
    msgpack::packer<msgpack::sbuffer>(map).pack_map(static_cast<std::uint32_t>(size));
    const std::string array_bytes = packed([&](Pack& p) { p.array(size); });
    const std::string map_bytes = packed([&](Pack& p) { p.map(size); });

    CHECK(array_bytes == std::string(array.data(), array.size()));
    CHECK(map_bytes == std::string(map.data(), map.size()));
    CHECK(Unpack(as_bytes(array_bytes + std::string(size, '\0'))).array() == size);
    CHECK(Unpack(as_bytes(map_bytes + std::string(2 * size, '\0'))).map() == size);
  }
}

TEST_CASE("a count that the bytes cannot hold is refused") {
  CHECK_FALSE(Unpack(as_bytes(from_hex("ddffffffff"))).array());
  CHECK_FALSE(Unpack(as_bytes(from_hex("dfffffffff 00 00"))).map());
  CHECK_FALSE(Unpack(as_bytes(from_hex("92 00"))).array());
  CHECK_FALSE(Unpack(as_bytes(from_hex("81 00"))).map());
  CHECK_FALSE(Unpack(as_bytes(from_hex("dbffffffff 41"))).str());
  CHECK_FALSE(Unpack(as_bytes(from_hex("c6ffffffff 41"))).bin());
  CHECK_FALSE(Unpack(as_bytes(from_hex("c9ffffffff 01 41"))).ext());
}

TEST_CASE("numbers, booleans and nil read what was packed and refuse other kinds without moving") {
  const std::string bytes = packed([](Pack& p) {
    p.real(1.5);
    p.boolean(true);
    p.boolean(false);
    p.nil();
    p.sint(-3);
  });
  Unpack in(as_bytes(bytes));

  CHECK_FALSE(in.nil());
  CHECK_FALSE(in.uint());
  CHECK_FALSE(in.sint());
  CHECK(in.real() == 1.5);
  CHECK(in.boolean() == true);
  CHECK_FALSE(in.real());
  CHECK(in.boolean() == false);
  CHECK_FALSE(in.boolean());
  CHECK(in.nil());
  CHECK_FALSE(in.uint());
  CHECK(in.real() == -3.0);
  CHECK(in.done());
  CHECK(Unpack(as_bytes(from_hex("ca3fc00000"))).real() == 1.5);
}

TEST_CASE("no prefix of an object is taken for a whole one") {
  const std::string whole = packed([](Pack& p) {
    p.array(6);
    p.uint(70000);
    p.str(std::string(40, 's'));
    p.map(1);
    p.str("k");
    p.bin(as_bytes("payload"));
    p.real(2.5);
    p.ext(1, as_bytes("abc"));
    p.sint(-70000);
  });

  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(Unpack(as_bytes(whole).first(size)).object());
    CHECK_FALSE(Unpack(as_bytes(whole).first(size)).value());
  }
  Unpack in(as_bytes(whole));
  CHECK(in.object()->size() == whole.size());
  CHECK(in.done());
}

TEST_CASE("nesting counts levels of arrays and maps and is bounded") {
  const std::string three = from_hex("91 81 01 91 05");
  CHECK(Unpack(as_bytes(three)).object(3));
  CHECK_FALSE(Unpack(as_bytes(three)).object(2));
  CHECK(Unpack(as_bytes(from_hex("05"))).object(0));
  CHECK_FALSE(Unpack(as_bytes(from_hex("90"))).object(0));

  const std::string deepest = std::string(kMaxRecordDepth, '\x91') + '\x01';
  CHECK(Unpack(as_bytes(deepest)).object());
  CHECK(Unpack(as_bytes(deepest)).value());
  CHECK_FALSE(Unpack(as_bytes('\x91' + deepest)).object());
  CHECK_FALSE(Unpack(as_bytes(std::string(1'000'000, '\x91') + '\x01')).object(1'000'000));
}

TEST_CASE("claims of gigabytes in a few bytes end at once") {
  // Each level claims all items that its bytes could hold, were they not also the next level's.
  std::string nested;
  for (int i = 0; i < 30; ++i) nested += from_hex("dd00001000");
  nested += std::string(0x1000, '\x01');

  CHECK_FALSE(Unpack(as_bytes(from_hex("ddffffffff"))).object());
  CHECK_FALSE(Unpack(as_bytes(from_hex("dfffffffff 01 01"))).object());
  CHECK_FALSE(Unpack(as_bytes(from_hex("c1"))).object());
  CHECK_FALSE(Unpack(as_bytes(nested)).object());
  CHECK_FALSE(Unpack(as_bytes(nested)).value());
}

TEST_CASE("every lead byte is measured as msgpack-cxx measures it") {
  for (int lead = 0; lead < 256; ++lead) {
    CAPTURE(lead);
    std::string bytes(1, static_cast<char>(lead));
    bytes += from_hex("00 00 00 02");  // any length field reads 0 or 2
    bytes += std::string(64, '\x01');
    std::size_t expected = 0;
    try {
      msgpack::unpack(bytes.data(), bytes.size(), expected);
    } catch (const msgpack::parse_error&) {
      expected = 0;
    }

    const auto found = Unpack(as_bytes(bytes)).object();

    CHECK((found ? found->size() : 0) == expected);
  }
}

TEST_CASE("a value tree comes back from msgpack as it was") {
  Value tree;
  tree["null"] = nullptr;
  tree["yes"] = true;
  tree["low"] = Value(INT64_MIN);
  tree["high"] = Value(UINT64_MAX);
  tree["edge"] = Value(INT64_MAX);
  tree["small"] = -5;
  tree["real"] = 0.25;
  tree["text"] = "h\xc3\xa9";
  tree["binary"] = Value::Binary{std::string("\0\xff", 2)};
  tree["list"] = Value::List{Value(1), Value(Value::List{}), Value(Value::Map{})};
  const std::string bytes = packed([&](Pack& p) { p.value(tree); });

  CHECK(Unpack(as_bytes(bytes)).value() == tree);

  std::size_t offset = 0;
  const auto object = msgpack::unpack(bytes.data(), bytes.size(), offset);
  CHECK(offset == bytes.size());
  CHECK(object.get().via.map.size == 10);
}

TEST_CASE("what msgpack-cxx packs is read as the same tree") {
  msgpack::sbuffer out;
  msgpack::packer<msgpack::sbuffer> packer(out);
  packer.pack_array(4);
  packer.pack(std::map<std::string, int>{{"a", 1}, {"b", -2}});
  packer.pack(2.5F);
  packer.pack(std::string("x"));
  packer.pack_nil();

  const auto tree = Unpack(as_bytes(std::string_view(out.data(), out.size()))).value();

  REQUIRE(tree);
  CHECK(*tree == Value(Value::List{Value(Value::Map{{"a", 1}, {"b", -2}}), Value(2.5), Value("x"), Value()}));
}

TEST_CASE("ext and keys that are not text become readable, and the last of equal keys holds") {
  const std::string ext = packed([](Pack& p) { p.ext(5, as_bytes("zz")); });
  CHECK(Unpack(as_bytes(ext)).value() == Value(Value::Map{{"ext", 5}, {"data", Value::Binary{"zz"}}}));

  const std::string keys = packed([](Pack& p) {
    p.map(4);
    p.uint(7);
    p.uint(1);
    p.boolean(true);
    p.uint(2);
    p.str("7");
    p.uint(3);
    p.nil();
    p.uint(4);
  });
  CHECK(Unpack(as_bytes(keys)).value() == Value(Value::Map{{"7", 3}, {"true", 2}, {"null", 4}}));
}

TEST_CASE("keys that hold keys that hold keys are written down once") {
  // Rendered as text at each level, thirty levels of escaping would make gigabytes of these bytes.
  const std::string nested = std::string(30, '\x81') + "\x01" + std::string(30, '\x02');

  const auto tree = Unpack(as_bytes(nested)).value();

  REQUIRE(tree);
  REQUIRE(tree->as_map().size() == 1);
  CHECK(tree->as_map()[0].first == "0x" + test::to_hex(as_bytes(nested).subspan(1, nested.size() - 2)));
  CHECK(Unpack(as_bytes(from_hex("81 9101 05"))).value() == Value(Value::Map{{"0x9101", 5}}));
  CHECK(Unpack(as_bytes(from_hex("81 d40107 05"))).value() == Value(Value::Map{{"0xd40107", 5}}));
}

TEST_CASE("a long map of hostile keys is read in one pass") {
  constexpr std::size_t count = 200'000;
  const std::string bytes = packed([](Pack& p) {
    p.map(count);
    for (std::size_t i = 0; i < count; ++i) {
      p.uint(i / 2);
      p.uint(i);
    }
  });

  const auto tree = Unpack(as_bytes(bytes)).value();

  REQUIRE(tree);
  CHECK(tree->as_map().size() == count / 2);
  CHECK(tree->as_map().back().second == Value(std::uint64_t{count - 1}));
}

TEST_CASE("mutated objects are measured as msgpack-cxx measures them") {
  std::mt19937_64 random(20240711);
  Value tree;
  tree["list"] = Value::List{Value(1), Value(-70000), Value(1.5), Value(std::string(40, 'x'))};
  tree["binary"] = Value::Binary{std::string(20, 'b')};
  tree["map"] = Value(Value::Map{{"k", true}, {"n", nullptr}});
  const std::string original = packed([&](Pack& p) { p.value(tree); });

  for (int round = 0; round < 20'000; ++round) {
    const std::string bytes = test::mutated(original, random);
    const auto found = Unpack(as_bytes(bytes)).object();
    std::size_t expected = 0;
    const std::size_t most = bytes.size();
    try {
      msgpack::unpack(bytes.data(), bytes.size(), expected, nullptr, nullptr,
                      msgpack::unpack_limit(most, most, most, most, most, kMaxRecordDepth));
    } catch (const std::exception&) {
      expected = 0;
    }
    CAPTURE(round);
    REQUIRE((found ? found->size() : 0) == expected);
    // What is structurally whole also reads as a tree.
    REQUIRE(Unpack(as_bytes(bytes)).value().has_value() == found.has_value());
  }
}
