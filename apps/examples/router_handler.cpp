// Answers requests with a handler, until the asker says goodbye. Usage: router_handler ENDPOINT
#include <cstdio>

#include <weft/blocks/router.hpp>

struct Numbers {
  double a = 0, b = 0;
  WEFT_RECORD(Numbers, a, b)
};
struct Quotient {
  double value = 0;
  WEFT_RECORD(Quotient, value)
};

int main(int argc, char** argv) {
  if (argc != 2) return std::puts("usage: router_handler ENDPOINT"), 2;
  weft::Loop loop;
  weft::Router<Numbers, Quotient> router(loop, {.name = "divide", .bind = {argv[1]}});
  bool finished = false;
  router.on_request([](const Numbers& n, weft::Responder<Quotient> respond) {
    if (n.b == 0) return respond.fail(weft::wire::Code::bad_request, "b is zero");  // arrives as an error
    respond.reply({n.a / n.b});  // a Responder may also be kept and answered later
  });
  router.on_peer(
      [&](const weft::PeerEvent& event) { finished |= event.what == weft::PeerEvent::What::finished; });
  return loop.run_until([&] { return finished; }, weft::Deadline::after(std::chrono::seconds(20))) ? 0 : 1;
}
