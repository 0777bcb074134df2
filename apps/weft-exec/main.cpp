// weft-exec: any command as a node, by JSON lines.
#include <weft/program/program.hpp>

#include "exec.hpp"

namespace {

using weft::topology::BlockKind;
using weft::topology::OptionType;
using weft::topology::PortSide;

weft::program::About about() {
  weft::program::About it;
  it.description = {
      .program = "weft-exec",
      .help =
          "Runs a command as a node: records are JSON lines on its standard input and output, its standard "
          "error "
          "goes to the log. At the end its input is closed, and what it still writes is sent; what has not "
          "ended then "
          "gets SIGTERM, and SIGKILL.",
      .version = WEFT_VERSION,
      .ports = {{.name = "in",
                 .block = BlockKind::any,
                 .help = "pull, sub or router: lines for the command. A router's reply is the next line that "
                         "it writes",
                 .side = PortSide::to},
                {.name = "out",
                 .block = BlockKind::any,
                 .help = "push, pub or dealer: its lines. A dealer's replies are lines for the command",
                 .side = PortSide::from}},
      .options = {{.name = "command",
                   .type = OptionType::any,

                   .help = "A text for /bin/sh -c, or a list: the program and its arguments.",
                   .required = true},
                  {.name = "on-bad-line",
                   .type = OptionType::choice,
                   .help = "A line that is not JSON ends the run, or is logged, counted and left out.",
                   .default_value = "fail",
                   .choices = {"fail", "skip"}},
                  {.name = "acknowledge",
                   .type = OptionType::choice,
                   .help = "The command is done with a line when it has come back for the next one, or when "
                           "it has written "
                           "a line for it (exactly-once needs that).",
                   .default_value = "taken",
                   .choices = {"taken", "answer"}},
                  {.name = "topic", .help = "Pub: where records go, \"orders/{region}/\"."},
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
  it.examples = {{"weft-exec --with 'command=jq -c --unbuffered .n' --bind in=tcp://127.0.0.1:5555 "
                  "--connect out=tcp://127.0.0.1:5556",
                  "a filter by jq"},
                 {"weft-exec --with 'command=[\"python3\", \"-u\", \"answer.py\"]' --block in=router "
                  "--bind in=tcp://127.0.0.1:5557",
                  "a Python script that answers requests"}};
  it.standalone = {{"in", BlockKind::pull}, {"out", BlockKind::push}};
  return it;
}

}  // namespace

int main(int argc, char** argv) {
  return weft::program::run<weft::exec::Exec>(argc, argv, about());
}
