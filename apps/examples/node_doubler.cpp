// A node program for topologies: takes numbers, sends them on doubled. Try: node_doubler --help
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/program/program.hpp>

struct Number {
  std::int64_t value = 0;
  WEFT_RECORD(Number, value)
};

int main(int argc, char** argv) {
  using weft::topology::BlockKind;
  const weft::program::About about{
      .description = {
          .program = "node_doubler",
          .help = "Multiplies numbers.",
          .version = "1",
          .ports = {weft::program::port<Number>("in", BlockKind::pull, "numbers"),
                    weft::program::port<Number>("out", BlockKind::push, "products")},
          .options = {{.name = "factor", .type = weft::topology::OptionType::integer, .default_value = 2}}}};
  return weft::program::run(argc, argv, about, [](weft::Node& node, const weft::program::Options& options) {
    auto* out = node.open<weft::Push<Number>>("out");
    auto* in = node.open<weft::Pull<Number>>("in");
    auto held = std::make_shared<std::optional<Number>>();  // a record that found no room
    in->on_record([=, factor = options.integer("factor")](Number& n, const weft::Meta&) {
      n.value *= factor;
      if (out->send(n) != weft::SendStatus::would_block) return;
      *held = n;
      in->pause(true);
    });
    out->on_room([=] {
      if (*held && out->send(**held) == weft::SendStatus::would_block) return;
      held->reset();
      in->pause(false);
    });
    node.hold_drain([held] { return held->has_value(); });
  });
}
