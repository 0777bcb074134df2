// weft-server: one shard of a parameter server.
#include <memory>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/program/program.hpp>
#include <weft/ps/server.hpp>

namespace weft::server {
namespace {

using topology::BlockKind;
using topology::OptionType;

program::About about() {
  program::About it;
  const RecordType request = ps::request_type();
  it.description = {
      .program = "weft-server",
      .help = "Holds its share of the tables of a model, and runs the optimiser on what workers push.",
      .version = WEFT_VERSION,
      .ports = {{.name = "params",
                 .block = BlockKind::router,
                 .record = request.name,
                 .fingerprint = request.fingerprint,
                 .required = true,
                 .help = "Workers and observers ask here: pull, push, clock, barrier, stats."}},
      .options = {ps::tables_option(),
                  {.name = "workers",
                   .type = OptionType::integer,
                   .help =
                       "Workers that are waited for from the start; 0: as many as the topology links here.",
                   .default_value = 0,
                   .minimum = 0,
                   .maximum = 65'536}},
      .finite = false};
  it.examples = {
      {"weft-server --node server/0 --with 'tables={\"weights\": {\"optimizer\": {\"name\": \"adagrad\"}}}' "
       "--with workers=1 --bind params=tcp://127.0.0.1:5555",
       "the first server, with one sparse table; workers look for server/0, server/1, ..."}};
  return it;
}

/// Reports in a row that find requests waiting for a worker that never joined, before that is said.
constexpr int kLooks = 5;

ps::ShardOptions shard_options(const Node& node, const program::Options& options) {
  ps::ShardOptions shard;
  shard.index = node.plan().id.replica;
  shard.count = node.plan().replicas;
  shard.workers = static_cast<std::uint32_t>(options.integer("workers"));
  if (shard.workers == 0) {
    for (const topology::LinkPlan* link : node.links_of("params")) shard.workers += link->from_replicas;
  }
  shard.incarnation = node.port_options("params").epoch;
  return shard;
}

/// What a progress line and the summary show of a server; its `stats` operation tells everything.
Value summary(const ps::Server& server) {
  const ps::ShardStats stats = server.shard().stats();
  std::uint64_t rows = 0;
  for (const ps::TableStats& table : stats.tables) rows += table.rows;
  Value out = Value::map();
  out["rows"] = rows;
  out["pulls"] = stats.pulls;
  out["pushes"] = stats.pushes;
  out["waited"] = stats.waited;
  out["min_clock"] = stats.min_clock;
  out["max_clock"] = stats.max_clock;
  out["max_gap"] = stats.max_gap;
  const std::pair<const char*, std::uint64_t> unusual[] = {{"parked", stats.parked},
                                                           {"duplicates", stats.duplicates},
                                                           {"refused", stats.refused},
                                                           {"malformed", server.router().malformed()},
                                                           {"late_pushes", stats.late_pushes},
                                                           {"discarded_pushes", stats.discarded_pushes},
                                                           {"workers_dead", stats.workers_dead}};
  for (const auto& [name, count] : unusual) {
    if (count != 0) out[name] = count;
  }
  return out;
}

void set_up(Node& node, const program::Options& options) {
  auto* router = node.open<ps::ParamsRouter>("params");
  // Held by the node's handlers, so that it goes before the node's ports do.
  const auto server =
      std::make_shared<ps::Server>(*router, shard_options(node, options),
                                   ps::parse_tables(options.value("tables")), node.log().named("params"));
  node.on_peer([server](std::string_view, const PeerEvent& event) { server->on_peer(event); });
  node.on_report([&node, server, looks = 0]() mutable {
    // Asked for about once a second. A start is not over at the same moment everywhere.
    looks = server->waits_for().empty() ? 0 : looks + 1;
    if (looks == kLooks) node.log().warn(server->waits_for());
    return summary(*server);
  });
  node.on_late([&node] {
    node.fail(
        format("{} was started again amid the run: the rows that it held are gone, and what was learned "
               "with them; start the run anew",
               node.plan().id.text()),
        program::kExitUsage);
  });
  node.on_drain([&node, server] {
    server->begin_drain();
    node.set_result(summary(*server));
  });
}

}  // namespace
}  // namespace weft::server

int main(int argc, char** argv) {
  return weft::program::run(argc, argv, weft::server::about(), weft::server::set_up);
}
