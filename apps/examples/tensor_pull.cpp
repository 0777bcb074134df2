// Receives tensors: views of the received frames, which they keep alive. Usage: tensor_pull ENDPOINT COUNT
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include <weft/blocks/pull.hpp>

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: tensor_pull ENDPOINT COUNT"), 2;
  weft::Loop loop;
  weft::Pull<> pull(loop, {.name = "weights", .bind = {argv[1]}});
  const auto count = std::strtoull(argv[2], nullptr, 10);
  std::uint64_t received = 0;
  double sum = 0;
  pull.on_record([&](const weft::RawRecord& record, const weft::Meta&) {
    for (const weft::Tensor& tensor : record.tensors()) {
      const auto numbers = tensor.as<float>();  // tensor.shape is {256, 256}
      sum += std::accumulate(numbers.begin(), numbers.end(), 0.0);
    }
    ++received;
  });
  const bool all =
      loop.run_until([&] { return received >= count; }, weft::Deadline::after(std::chrono::seconds(20)));
  pull.begin_drain();
  (void)loop.run_until([&] { return pull.drained(); }, weft::Deadline::after(std::chrono::seconds(5)));
  std::printf("received %llu, sum %.0f\n", static_cast<unsigned long long>(received), sum);
  return all ? 0 : 1;
}
