// weft-relay: hands records on, from any pattern to any pattern.
#include <weft/program/program.hpp>

#include "relay.hpp"

namespace {

using weft::topology::BlockKind;
using weft::topology::OptionType;
using weft::topology::PortSide;

weft::program::About about() {
  weft::program::About it;
  it.description = {
      .program = "weft-relay",
      .help =
          "Hands records on, with their tensors, from any pattern to any pattern. When its receivers are "
          "full it "
          "stops taking records.",
      .version = WEFT_VERSION,
      .ports = {{.name = "in",
                 .block = BlockKind::any,
                 .required = true,
                 .help = "pull, sub or router",
                 .side = PortSide::to},
                {.name = "out",
                 .block = BlockKind::any,
                 .help =
                     "push, pub or dealer. A router without it answers each request with the request itself.",
                 .side = PortSide::from}},
      .options = {{.name = "work",
                   .type = OptionType::duration,
                   .help = "Processor time that each record costs: a stand-in for real work.",
                   .default_value = "0s",
                   .minimum = 0,
                   .maximum = 3600},
                  {.name = "topic",
                   .help = "Pub: where records go, \"orders/{region}/\". Absent: the topic of a Sub."},
                  {.name = "topics",
                   .type = OptionType::list,
                   .help = "Sub: topic prefixes. Absent: every topic.",
                   .fields = {{.name = "topic"}}},
                  {.name = "key-field",
                   .help = "distribute: hash: the field that is the key. Absent: the whole record."},
                  {.name = "to-field", .help = "distribute: explicit: the field that names the receiver."},
                  {.name = "timeout",
                   .type = OptionType::duration,
                   .help = "Dealer: how long a request may take.",
                   .default_value = "10s",
                   .minimum = 0.001,
                   .maximum = 86400}}};
  it.examples = {
      {"weft-relay --bind in=tcp://127.0.0.1:5555 --connect out=tcp://127.0.0.1:5556 --with work=1ms",
       "a stage of a pipeline that works a millisecond on each record"},
      {"weft-relay --block in=sub --connect in=tcp://127.0.0.1:5556 --block out=push "
       "--connect out=tcp://127.0.0.1:5557",
       "deals out what is published"}};
  it.standalone = {{"in", BlockKind::pull}, {"out", BlockKind::push}};
  return it;
}

}  // namespace

int main(int argc, char** argv) {
  return weft::program::run<weft::relay::Relay>(argc, argv, about());
}
