// Sends tensors beside a few bytes; their numbers are never encoded or copied. Usage: tensor_push ENDPOINT
// COUNT
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <weft/blocks/push.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: tensor_push ENDPOINT COUNT"), 2;
  weft::Loop loop;
  weft::Push<> push(loop, {.name = "weights", .connect = {argv[1]}});
  const auto count = std::strtoull(argv[2], nullptr, 10);
  for (std::uint64_t n = 0; n < count; ++n) {
    std::vector<float> numbers(256 * 256, static_cast<float>(n));
    const weft::Tensor tensors[] = {weft::Tensor::own(std::move(numbers), {256, 256})};
    const auto status = push.send(weft::as_bytes("layer"), tensors, weft::Deadline::after(10s));
    if (status != weft::SendStatus::ok) return std::printf("not sent: %s\n", to_string(status).data()), 1;
  }
  return push.settle(weft::Deadline::after(10s)) ? 0 : 1;
}
