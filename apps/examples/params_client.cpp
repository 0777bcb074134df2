// A worker of its own: learns y = 2x - 1 by pushing gradients. Usage: params_client ENDPOINT
#include <cstdio>
#include <vector>

#include <weft/ps/client.hpp>

int main(int argc, char** argv) {
  if (argc != 2) return std::puts("usage: params_client ENDPOINT"), 2;
  const auto soon = [] { return weft::Deadline::after(std::chrono::seconds(10)); };
  weft::Loop loop;
  weft::ps::Client client(loop, {.name = "params", .node = "worker/0", .connect = {argv[1]}}, {.worker = 0});
  client.join(soon());  // throws when the server is not there
  const std::uint32_t line = client.table("line");
  const std::vector<std::uint64_t> keys{0, 1};  // slope, offset
  std::vector<float> weights(2), gradient(2);

  for (int step = 0; step < 500; ++step) {
    const auto pulled = client.pull(line, keys, weights, soon());
    if (!pulled.ok()) return std::puts(pulled.text.c_str()), 1;
    gradient = {0, 0};
    for (const float x : {-1.0F, 0.0F, 1.0F, 2.0F}) {
      const float error = weights[0] * x + weights[1] - (2 * x - 1);
      gradient[0] += error * x;
      gradient[1] += error;
    }
    client.push(line, keys, gradient, nullptr);  // not waited for: the next pull sees it all the same
    client.clock(nullptr);
  }
  client.finish(nullptr);
  const auto end = client.flush(soon());
  std::printf("y = %.2f x + %.2f\n", weights[0], weights[1]);
  if (!end.ok()) std::puts(end.text.c_str());
  client.dealer().begin_drain();  // says goodbye
  return loop.run_until([&] { return client.dealer().drained(); }, soon()) && end.ok() ? 0 : 1;
}
