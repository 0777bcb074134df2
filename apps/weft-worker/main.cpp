// weft-worker: trains a model on a parameter server.
#include <memory>

#include "worker.hpp"

namespace weft::worker {
namespace {

using topology::BlockKind;
using topology::OptionType;

program::About about() {
  program::About it;
  const RecordType request = ps::request_type();
  it.description = {
      .program = "weft-worker",
      .help =
          "Trains logistic or softmax regression on its share of the rows; worker 0 evaluates at the end.",
      .version = WEFT_VERSION,
      .ports = {{.name = "params",
                 .block = BlockKind::dealer,
                 .record = request.name,
                 .fingerprint = request.fingerprint,
                 .required = true,
                 .help = "The parameter server."}},
      .options =
          {{.name = "model",
            .type = OptionType::choice,
            .help =
                "logistic: a table of width 1; softmax: a dense table of features + 1 rows and a column for "
                "each class.",
            .default_value = "logistic",
            .choices = {"logistic", "softmax"}},
           {.name = "data",
            .help = "Rows to learn from: a LIBSVM file, a file of IDX images, or a folder with the four IDX "
                    "files; "
                    "plain or gzip. Empty: built-in rows, which softmax has not.",
            .default_value = ""},
           {.name = "test",
            .help = "Rows to evaluate on, as \"data\". Empty: those of the built-in data or of the folder.",
            .default_value = "",
            .needs = {"data"}},
           {.name = "builtin",
            .type = OptionType::record,
            .help = "The built-in rows, drawn from a known logistic model.",
            .fields = builtin_options()},
           {.name = "table", .help = "The table that holds the model.", .default_value = "weights"},
           {.name = "epochs",
            .type = OptionType::integer,
            .help = "Passes over the rows.",
            .default_value = 5,
            .minimum = 1,
            .maximum = 1e6},
           {.name = "batch",
            .type = OptionType::integer,
            .unit = "rows",
            .help = "Rows of one step of one worker.",
            .default_value = 100,
            .minimum = 1,
            .maximum = 1e7},
           {.name = "bias", .type = OptionType::boolean, .help = "Learns a bias too.", .default_value = true},
           {.name = "gradient",
            .type = OptionType::choice,
            .help = "How the gradients of the rows of a batch are joined.",
            .default_value = "mean",
            .choices = {"mean", "sum"}},
           {.name = "shuffle",
            .type = OptionType::boolean,
            .help = "Puts the rows in another order before each pass.",
            .default_value = true},
           {.name = "seed",
            .type = OptionType::integer,
            .help = "Of the order; each worker adds its index.",
            .default_value = 1,
            .minimum = 0,
            .maximum = 9007199254740992.0},
           {.name = "slow",
            .type = OptionType::duration,
            .help = "To see staleness at work: a pause before each step.",
            .default_value = "0s",
            .maximum = 3600},
           {.name = "slow-replica",
            .type = OptionType::integer,
            .help = "Which worker is slow; -1: all of them.",
            .default_value = 0,
            .minimum = -1,
            .maximum = 65535},
           {.name = "timeout",
            .type = OptionType::duration,
            .help = "How long a request may take; waiting for slower workers counts.",
            .default_value = "10m",
            .minimum = 0.1,
            .maximum = 86400}},
      .finite = true};
  it.examples = {{"weft-worker --with data=a9a --with test=a9a.t --connect params=tcp://127.0.0.1:5555",
                  "one worker by hand"}};
  return it;
}

}  // namespace
}  // namespace weft::worker

int main(int argc, char** argv) {
  using namespace weft;
  return program::run(argc, argv, worker::about(), [](Node& node, const program::Options& options) {
    const auto worker = std::make_shared<worker::Worker>(node, options);
    // Held by a handler of the node, so that it goes before the node's ports and loop do.
    node.on_report([worker] { return worker->progress(); });
  });
}
