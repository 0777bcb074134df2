#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>

#include "blocks/conformance.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

PortOptions sharing(std::string name) {
  PortOptions options{.name = std::move(name)};
  options.shared_memory = SharedMemory::on;
  return options;
}

PortOptions pull_options(const Place& place) {
  PortOptions options = sharing("in");
  options.node = "server/0";
  options.bind = place.endpoints();
  return options;
}

PortOptions push_options(const Block& pull) {
  PortOptions options = sharing("out");
  options.node = "worker/0";
  options.connect = pull.endpoints();
  return options;
}

std::vector<float> numbers(std::size_t count) {
  std::vector<float> out(count);
  std::iota(out.begin(), out.end(), 0.0F);
  return out;
}

/// Sends tensors until one goes through shared memory: the segment is handed over beside the session.
template <class Send>
bool shared_by_now(Loop& loop, Block& push, Send&& send) {
  return eventually(loop, [&] {
    if (push.stats().sent_shared_bytes != 0) return true;
    send();
    return false;
  });
}

}  // namespace

WEFT_CONFORMS("a tensor goes through memory that sender and receiver share, and arrives whole") {
  Loop loop;
  Pull<> pull(loop, pull_options(place));
  Push<> push(loop, push_options(pull));
  const auto values = numbers(100'000);
  std::uint64_t got = 0, wrong = 0;
  pull.on_record([&](const RawRecord& r, const Meta&) {
    const auto tensors = r.tensors();
    const auto same = !tensors.empty() && std::ranges::equal(tensors[0].as<float>(), values);
    ++got;
    wrong += same ? 0U : 1U;
  });

  std::uint64_t sent = 0;
  REQUIRE(shared_by_now(loop, push, [&] {
    const Tensor tensor = Tensor::own(values);
    if (push.send(as_bytes("t"), {&tensor, 1}) == SendStatus::ok) ++sent;
  }));
  REQUIRE(push.settle(soon()));

  CHECK(got == sent);
  CHECK(wrong == 0);
  CHECK(pull.stats().received_shared_bytes == push.stats().sent_shared_bytes);
  CHECK(pull.stats().rejected_messages == 0);
}
