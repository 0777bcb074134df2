#include <string>

#include <doctest/doctest.h>

#include <weft/wire/pack.hpp>
#include <weft/wire/shared.hpp>

using namespace weft;
using namespace weft::wire;

TEST_CASE("a list of shared frames is read as it was written") {
  const SharedList list{SharedRef{1, 4097, 32768, 100'000}, std::nullopt,
                        SharedRef{~std::uint64_t{0}, 1, 0, 0}};
  Buffer bytes;
  encode_shared(list, bytes);

  SharedList back;
  REQUIRE(decode_shared(bytes.view(), back));
  CHECK(back == list);
}

TEST_CASE("what is no list of shared frames is refused") {
  SharedList back;
  const auto refused = [&](auto write) {
    Buffer bytes;
    Pack pack(bytes);
    write(pack);
    return !decode_shared(bytes.view(), back);
  };

  CHECK(refused([](Pack&) {}));
  CHECK(refused([](Pack& p) { p.uint(1); }));
  CHECK(refused([](Pack& p) { p.array(1); }));
  CHECK(refused([](Pack& p) { p.array(1), p.uint(1); }));
  CHECK(refused([](Pack& p) { p.array(1), p.array(3), p.uint(1), p.uint(1), p.uint(1); }));
  CHECK(refused([](Pack& p) { p.array(1), p.array(4), p.uint(1), p.uint(1), p.uint(1), p.str("1"); }));
  CHECK(refused([](Pack& p) { p.array(0), p.nil(); }));
  CHECK(refused([](Pack& p) {
    p.array(257);
    for (int i = 0; i < 257; ++i) p.nil();
  }));
  CHECK_FALSE(refused([](Pack& p) { p.array(1), p.nil(); }));
}
