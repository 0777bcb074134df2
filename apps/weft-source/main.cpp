// weft-source: records from a file, standard input or a generator.
#include <weft/program/program.hpp>

#include "source.hpp"

namespace weft::source {
namespace {

using topology::BlockKind;
using topology::OptionType;
using topology::PortSide;

constexpr double kMostCount = 9007199254740992.0;  // what JSON numbers hold exactly

program::About about() {
  program::About it;
  it.description = {
      .program = "weft-source",
      .help = "Sends the lines or JSON lines of a file or of standard input, or records of a generator.",
      .version = WEFT_VERSION,
      .ports = {{.name = "out",
                 .block = BlockKind::any,
                 .required = true,
                 .help = "push, pub or dealer: where the records go",
                 .side = PortSide::from},
                {.name = "replies",
                 .block = BlockKind::any,
                 .help = "push or pub: the replies, when \"out\" is a dealer",
                 .side = PortSide::from}},
      .options =
          {{.name = "input", .help = "File to read, \"-\": standard input. Absent: the generator."},
           {.name = "format",
            .type = OptionType::choice,
            .help = "A line is a text, or one JSON value.",
            .default_value = "lines",
            .choices = {"lines", "json"}},
           {.name = "on-bad-line",
            .type = OptionType::choice,
            .help = "A line that is not JSON ends the run, or is left out and counted.",
            .default_value = "fail",
            .choices = {"fail", "skip"}},
           {.name = "repeat",
            .type = OptionType::integer,
            .help = "How often a file is read; 0: for ever.",
            .default_value = 1,
            .minimum = 0,
            .maximum = kMostCount},
           {.name = "generator",
            .type = OptionType::record,
            .help = "Records made up, without an input.",
            .fields = generator_options(),
            .excludes = {"input"}},
           {.name = "count",
            .type = OptionType::integer,
            .unit = "records",
            .help = "Ends after so many; 0: at the end of the input, for a generator never.",
            .default_value = 0,
            .minimum = 0,
            .maximum = kMostCount},
           {.name = "resume",
            .type = OptionType::boolean,
            .help = "Generator: once started again, goes on behind the last record that its port's journal "
                    "accepted; without a journal, behind the last one in its ledger.",
            .default_value = false},
           {.name = "ledger",
            .help = "Generator: folder of a file that gets the number of each record.",
            .excludes = {"input"}},
           {.name = "rate",
            .type = OptionType::number,
            .unit = "records/s",
            .help = "0: as fast as they are taken.",
            .default_value = 0,
            .minimum = 0,
            .maximum = 1e9},
           {.name = "topic", .help = "Pub: \"orders/{region}/\", filled from the fields of each record."},
           {.name = "topics",
            .type = OptionType::list,
            .help = "Pub: topics that the records take in turn.",
            .fields = {{.name = "topic"}},
            .excludes = {"topic"}},
           {.name = "key-field",
            .help = "distribute: hash: the field that is the key. Absent: the whole record."},
           {.name = "to-field",
            .help = "distribute: explicit: the field that names the receiver, like \"sink/1\"."},
           {.name = "timeout",
            .type = OptionType::duration,
            .help = "Dealer: how long a request may take.",
            .default_value = "10s",
            .minimum = 0.001,
            .maximum = 86400},
           {.name = "max-requests",
            .type = OptionType::integer,
            .help = "Dealer: requests on their way at once.",
            .default_value = 1024,
            .minimum = 1,
            .maximum = 1048576}},
      .finite = true};
  it.examples = {
      {"seq 5 | weft-source --with input=- --connect out=tcp://127.0.0.1:5555", "five lines to one pull"},
      {"weft-source --with 'generator={\"kind\":\"random\"}' --with rate=10 --block out=pub "
       "--bind out=tcp://127.0.0.1:5556",
       "ten records a second to whoever subscribes"}};
  it.standalone = {{"out", BlockKind::push}, {"replies", BlockKind::push}};
  return it;
}

}  // namespace

std::vector<topology::OptionDescription> generator_options() {
  return {{.name = "kind",
           .type = OptionType::choice,
           .help = "counter: {n}; random: {n, key, value}; template: the record under \"template\".",
           .default_value = "counter",
           .choices = {"counter", "random", "template"}},
          {.name = "size",
           .type = OptionType::size,
           .help = "Packed size that a counter or random record is padded up to; 0B: no padding.",
           .default_value = "0B",
           .maximum = 16777216},
          {.name = "seed",
           .type = OptionType::integer,
           .help = "Of the random numbers.",
           .default_value = 1,
           .minimum = 0,
           .maximum = kMostCount},
          {.name = "source",
           .type = OptionType::integer,
           .help = "Its numbers n begin at source * 2^40, so that those of several nodes differ.",
           .default_value = 0,
           .minimum = 0,
           .maximum = 4194303},
          {.name = "keys",
           .type = OptionType::integer,
           .help = "random: distinct keys.",
           .default_value = 1000,
           .minimum = 1,
           .maximum = kMostCount},
          {.name = "template",
           .type = OptionType::any,
           .help = "kind: template: the record. Texts in it may hold {n}, {random}, {node} and {replica}.",
           .required = true,
           .when = topology::OptionCondition{"kind", {"template"}}}};
}

}  // namespace weft::source

int main(int argc, char** argv) {
  return weft::program::run<weft::source::Source>(argc, argv, weft::source::about());
}
