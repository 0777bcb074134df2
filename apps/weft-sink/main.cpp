// weft-sink: takes records and writes them as JSON lines.
#include <weft/program/program.hpp>

#include "sink.hpp"

namespace {

using weft::topology::BlockKind;
using weft::topology::OptionType;
using weft::topology::PortSide;

weft::program::About about() {
  weft::program::About it;
  it.description = {
      .program = "weft-sink",
      .help =
          "Takes records and writes each as a line of JSON to a file or standard output. Bytes become text, "
          "or "
          "{\"base64\": ...} where they are not UTF-8.",
      .version = WEFT_VERSION,
      .ports = {{.name = "in",
                 .block = BlockKind::any,
                 .required = true,
                 .help = "pull, sub or router (each request is answered with {received})",
                 .side = PortSide::to}},
      .options = {
          {.name = "output",
           .unit = "file of its own",
           .help = "File to write, \"-\": standard output.",
           .default_value = "-"},
          {.name = "append",
           .type = OptionType::boolean,
           .help = "Continue the file instead of a new one.",
           .default_value = false},
          {.name = "quiet",
           .type = OptionType::boolean,
           .help = "Count only, write nothing.",
           .default_value = false},
          {.name = "count",
           .type = OptionType::integer,
           .unit = "records",
           .help = "Ends after so many; 0: runs until it is drained.",
           .default_value = 0,
           .minimum = 0,
           .maximum = 9007199254740992.0},
          {.name = "topics",
           .type = OptionType::list,
           .help = "Sub: topic prefixes. Absent: every topic.",
           .fields = {{.name = "topic"}}},
          {.name = "with-origin",
           .type = OptionType::boolean,
           .help = "Lines are {from, topic, record} instead of the record alone.",
           .default_value = false},
          {.name = "check-field",
           .help = "A field that numbers the records 0, 1, 2, ...: the result says how many are distinct, "
                   "missing and there twice."},
          {.name = "ledger",
           .help =
               "Folder of a file that gets these numbers as they are taken and outlives a kill; once started "
               "again, the sink goes on from there, and \"count\" means distinct ones.",
           .needs = {"check-field"}}}};
  it.examples = {
      {"weft-sink --bind in=tcp://127.0.0.1:5555 --with count=5", "prints the first five records, and ends"},
      {"weft-sink --block in=sub --connect in=tcp://127.0.0.1:5556 --with 'topics=[\"orders/\"]'",
       "prints what is published under orders/"}};
  it.standalone = {{"in", BlockKind::pull}};
  return it;
}

}  // namespace

int main(int argc, char** argv) {
  return weft::program::run<weft::sink::Sink>(argc, argv, about());
}
