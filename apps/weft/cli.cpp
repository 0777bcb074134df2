// All declarations of options, in one file: the header of CLI11 costs three seconds a file.
#include "cli.hpp"

#include <iostream>

#include <CLI/CLI.hpp>

#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

namespace weft::cli {
namespace {

// "k=v" parts at the first "=": values may hold more of them.
void add_source(CLI::App& app, Source& source, bool required = true) {
  app.add_option("FILE", source.file, "Topology file")->required(required);
  app.add_option_function<std::vector<std::string>>(
         "--set",
         [&source](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) {
             const std::size_t at = text.find('=');
             if (at == std::string::npos || at == 0) {
               throw CLI::ValidationError("--set", "expected KEY=VALUE, found \"" + text + "\"");
             }
             source.sets.emplace_back(text.substr(0, at), text.substr(at + 1));
           }
         },
         "KEY=VALUE: a parameter, or with dots a path into the file, like nodes.worker.replicas=8")
      ->allow_extra_args(false);
}

void add_span(CLI::App& app, const std::string& name, Duration& to, const std::string& help) {
  app.add_option_function<std::string>(
      name,
      [&to, name](const std::string& text) {
        const auto span = parse_duration(text);
        if (!span || *span == Duration::zero()) {
          throw CLI::ValidationError(
              name, "expected a time with its unit, like 250ms or 10s, found \"" + text + "\"");
        }
        to = *span;
      },
      help);
}

constexpr const char* kTarget = "[RUN] NODE.PORT; RUN can be left out when only one run is live";

struct All {
  Check check;
  Graph graph;
  Up up;
  Ps ps;
  Logs logs;
  Down down;
  Run run;
  Send send;
  Recv recv;
  Tap tap;
  Chaos chaos;
  QueueVerb queue;
  JournalVerb journal;
  Bench bench;
  Sim sim;
};

CLI::App* add_check(CLI::App& app, Check& check) {
  auto* verb = app.add_subcommand("check", "Check a topology file; names every mistake with its place");
  add_source(*verb, check.source);
  verb->add_flag("--expand", check.expand, "Print the file as it will run");
  verb->add_flag("--json", check.json, "Print one JSON object");
  return verb;
}

CLI::App* add_graph(CLI::App& app, Graph& graph) {
  auto* verb = app.add_subcommand("graph", "Draw a topology");
  add_source(*verb, graph.source);
  verb->add_option("--format", graph.format, "mermaid, dot, ascii, or svg (needs Graphviz)")
      ->check(CLI::IsMember({"mermaid", "dot", "ascii", "svg"}))
      ->capture_default_str();
  return verb;
}

CLI::App* add_up(CLI::App& app, Up& up) {
  auto* verb =
      app.add_subcommand("up", "Run a topology on this machine; Ctrl-C drains it, a second one stops it");
  add_source(*verb, up.source);
  add_span(*verb, "--for", up.for_, "Drain after so long, like 10s");
  auto* detach =
      verb->add_flag("--detach,-d", up.detach, "Return when all nodes are ready, print the run's name");
  verb->add_flag("--json", up.json, "Print one JSON object at the end; logs go to stderr")->excludes(detach);
  verb->add_flag("--quiet,-q", up.quiet, "No logs and no progress line; they are in the run directory");
  verb->add_option("--run-dir", up.run_directory, "Folder that holds the runs");
  return verb;
}

CLI::App* add_ps(CLI::App& app, Ps& ps) {
  auto* verb = app.add_subcommand("ps", "List the runs of this user");
  verb->add_flag("--all,-a", ps.all, "Also runs that are over");
  verb->add_flag("--json", ps.json, "Print one JSON object");
  return verb;
}

CLI::App* add_logs(CLI::App& app, Logs& logs) {
  auto* verb = app.add_subcommand("logs", "Show what the nodes of a run wrote");
  verb->add_option("WORDS", logs.words, "[RUN] [NODE], like worker or worker/2")->expected(0, 2);
  verb->add_flag("--follow,-f", logs.follow, "Go on until the run is over");
  verb->add_option("--lines,-n", logs.lines, "Only the last so many of each node");
  return verb;
}

CLI::App* add_down(CLI::App& app, Down& down) {
  auto* verb = app.add_subcommand("down", "Drain a run and wait until it is over");
  verb->add_option("RUN", down.run,
                   "Name of the run, or its beginning; can be left out when only one is live");
  add_span(*verb, "--for", down.for_, "How long to wait (30s)");
  return verb;
}

CLI::App* add_run(CLI::App& app, Run& run) {
  auto* verb = app.add_subcommand("run", "Be one node of a topology, with addresses from the file");
  add_source(*verb, run.source);
  verb->add_option("--node", run.node, "Name of the node")->required();
  verb->add_option("--replica", run.replica, "Its number, from 0")->capture_default_str();
  verb->add_option("--log-level", run.log_level, "debug, info, warn, error or off")->capture_default_str();
  return verb;
}

CLI::App* add_send(CLI::App& app, Send& send) {
  auto* verb = app.add_subcommand("send", "Put records into a receiving port: JSON lines of standard input");
  verb->add_option("WORDS", send.words, kTarget)->required()->expected(1, 2);
  verb->add_option("--text", send.texts, "A record of text instead of standard input; may be repeated")
      ->allow_extra_args(false);
  verb->add_option("--topic", send.topic, "For a Sub: the topic, {FIELD} is filled in");
  verb->add_option("--count", send.count, "Stop after so many");
  add_span(*verb, "--for", send.for_, "How long it may take until all is received (10s)");
  return verb;
}

CLI::App* add_recv(CLI::App& app, Recv& recv) {
  auto* verb = app.add_subcommand("recv", "Take records from a sending port, as one more peer; JSON lines");
  verb->add_option("WORDS", recv.words, kTarget)->required()->expected(1, 2);
  verb->add_option("--topic", recv.topics, "Of a Pub: only topics that begin so; may be repeated")
      ->allow_extra_args(false);
  verb->add_option("--count", recv.count,
                   "Stop after so many; fewer in the time of --for (30s) is exit code 3");
  add_span(*verb, "--for", recv.for_, "Stop after so long; without it and --count: when the run ends");
  verb->add_flag("--with-origin", recv.with_origin, "Lines are {from, topic, record}");
  return verb;
}

CLI::App* add_tap(CLI::App& app, Tap& tap) {
  auto* verb = app.add_subcommand("tap", "Watch a port: a copy of its records, none is taken away");
  verb->add_option("WORDS", tap.words, kTarget)->required()->expected(1, 2);
  verb->add_option("--count", tap.count,
                   "Stop after so many; fewer in the time of --for (30s) is exit code 3");
  add_span(*verb, "--for", tap.for_, "Stop after so long; without it and --count: when the run ends");
  return verb;
}

CLI::App* add_chaos(CLI::App& app, Chaos& chaos) {
  auto* verb = app.add_subcommand(
      "chaos", "Run a topology, break its nodes and connections, and count what became of every record");
  add_source(*verb, chaos.source);
  verb->add_option("--kill", chaos.kill, "NODE or NODE/REPLICA whose processes get SIGKILL; may be repeated")
      ->allow_extra_args(false);
  add_span(*verb, "--every", chaos.every, "How often one of them is killed (200ms)");
  verb->add_option("--stop", chaos.stop,
                   "NODE or NODE/REPLICA whose processes get SIGSTOP, and SIGCONT later; may be repeated")
      ->allow_extra_args(false);
  add_span(*verb, "--stop-every", chaos.stop_every, "How often one of them is stopped (5s)");
  add_span(*verb, "--stop-for", chaos.stop_for, "How long it stays so (2s)");
  auto* fault =
      verb->add_option("--fault", chaos.fault,
                       "NAME=VALUE that breaks connections, like reset=2%, latency=20ms, blackhole-every=3s, "
                       "drop=0.1%; all are in weft-fault-proxy --help; may be repeated")
          ->allow_extra_args(false);
  verb->add_option("--on", chaos.on,
                   "NODE.PORT whose links --fault breaks; may be repeated; without it: all but pub-sub")
      ->allow_extra_args(false)
      ->needs(fault);
  verb->add_flag("--in-turn", chaos.in_turn, "One after the other instead of at random");
  verb->add_option("--seed", chaos.seed, "Of the choice at random")->capture_default_str();
  add_span(*verb, "--for", chaos.for_,
           "Break nodes for so long, then drain; without it: until the main nodes end");
  verb->add_flag("--ordered", chaos.ordered,
                 "Records of one source out of their order at a sink are a problem");
  verb->add_flag("--json", chaos.json, "Print one JSON object: {ledger, report}");
  verb->add_flag("--verbose", chaos.verbose,
                 "Show what the nodes write; else it is only in the run directory");
  verb->add_option("--run-dir", chaos.run_directory, "Folder that holds the runs");
  return verb;
}

// One of its verbs; which one is told by its name.
constexpr const char* kQueueFooter = R"(
Examples:
  weft queue ls                                 what each sending port of the run holds
  weft queue peek source.out --count 3
  weft queue clear train source/0.out --yes

Records of an acknowledged link (at-least-once, exactly-once) stay with their sender until they have been processed: that
is its queue. A link with best-effort has none to look at.)";

CLI::App* add_queue(CLI::App& app, QueueVerb& queue) {
  auto* verb =
      app.add_subcommand("queue", "What the senders of a live run hold: ls, peek; clear drops what waits");
  verb->require_subcommand(1);
  verb->footer(kQueueFooter);
  const auto add = [&](const char* name, const char* help) {
    auto* one = verb->add_subcommand(name, help);
    one->add_flag("--json", queue.json, "Print one JSON object");
    one->callback([&queue, name] { queue.what = name; });
    return one;
  };
  auto* ls = add("ls", "Sending ports with the records and bytes that they hold");
  ls->add_option("RUN", queue.run, "The run; the only live one when it is left out");
  auto* peek = add("peek", "The oldest records that a sending port holds; none is taken away");
  peek->add_option("WORDS", queue.words, kTarget)->required()->expected(1, 2);
  peek->add_option("--count", queue.count, "At most so many of each node")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  auto* clear = add("clear", "Drop what waits for a receiver (what is on its way to one is not touched)");
  clear->add_option("WORDS", queue.words, kTarget)->required()->expected(1, 2);
  clear->add_flag("--yes", queue.yes, "It is meant: what is dropped is lost");
  return verb;
}

CLI::App* add_journal_verb(CLI::App& journal, JournalVerb& to, const char* name, const char* help) {
  auto* verb = journal.add_subcommand(name, help);
  verb->add_option("FILE", to.file, "The journal: the directory that `journal:` names")->required();
  verb->add_flag("--json", to.json, "Print one JSON object");
  verb->callback([&to, name] { to.what = name; });
  return verb;
}

constexpr const char* kJournalFooter = R"(
Examples:
  weft journal ls updates.journal
  weft journal peek updates.journal outbox/updates --count 5
  weft journal verify updates.journal && echo sound
  weft journal purge updates.journal outbox/updates --yes
  weft journal damaged updates.journal
  weft journal damaged updates.journal --remove --yes

All but purge also work beside a running process that owns the journal.)";

CLI::App* add_journal(CLI::App& app, JournalVerb& journal) {
  auto* verb =
      app.add_subcommand("journal", "Look into a journal: ls, peek, verify; purge and damaged make room");
  verb->require_subcommand(1);
  verb->footer(kJournalFooter);
  add_journal_verb(*verb, journal, "ls", "Spaces with their values, segments, use of the disk");
  auto* peek = add_journal_verb(*verb, journal, "peek", "Keys and values of a space, none is taken away");
  peek->add_option("SPACE", journal.space, "As ls shows it")->required();
  peek->add_option("--count", journal.count, "At most so many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  peek->add_flag("--hex", journal.hex, "Whole values in hexadecimal digits");
  add_journal_verb(*verb, journal, "verify", "Read everything and name what is damaged; exit code 0 or 1");
  auto* purge =
      add_journal_verb(*verb, journal, "purge", "Erase all values of a space; nobody may own the journal");
  purge->add_option("SPACE", journal.space, "As ls shows it")->required();
  purge->add_flag("--yes", journal.yes, "It is meant: what is erased is lost");
  auto* damaged = add_journal_verb(*verb, journal, "damaged",
                                   "Files that were set aside as damaged; --remove frees their room");
  damaged->add_flag("--remove", journal.remove, "Delete them (with --yes)");
  damaged->add_flag("--yes", journal.yes, "It is meant: what can still be read in them is lost");
  return verb;
}

/// Bytes with or without a unit.
std::uint64_t size_of(const std::string& name, const std::string& text) {
  const bool bare = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  const auto size = parse_size(bare ? text + "B" : text);
  if (!size) throw CLI::ValidationError(name, "expected bytes, like 100 or 64KiB, found \"" + text + "\"");
  return *size;
}

constexpr const char* kBenchFooter = R"(
Each benchmark runs a plain libzmq program that does the same work in turn with Weft, and compares run by run.

Examples:
  weft bench throughput --size 100 --transport ipc
  weft bench throughput --typed
  weft bench latency --rate half
  weft bench requests --clients 1000
  weft bench ps --keys 1,100 --dense 1MiB
  weft bench journal --dir /var/tmp
  weft bench all --out results)";

void add_bench_cases(CLI::App& verb, Bench& bench) {
  verb.add_option("--delivery", bench.delivery, "throughput: best-effort, at-least-once or exactly-once")
      ->capture_default_str();
  verb.add_flag("--typed", bench.typed, "throughput: a struct of six numbers and 64 bytes");
  verb.add_option("--rate", bench.rate, "latency: requests a second; half: of what plain libzmq answers");
  verb.add_option("--window", bench.window, "requests, ps: outstanding (1000, 64)");
  verb.add_option("--clients", bench.clients, "requests: askers; many are also compared with 10")
      ->capture_default_str();
  verb.add_option("--subscribers", bench.subscribers, "pubsub, all: processes that subscribe")
      ->capture_default_str();
  verb.add_option("--workers", bench.workers, "ps, all: processes that push and pull")->capture_default_str();
  verb.add_option("--keys", bench.keys, "ps: keys of a sparse operation (1,100)")->delimiter(',');
  verb.add_option_function<std::vector<std::string>>(
          "--dense",
          [&bench](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) bench.dense.push_back(size_of("--dense", text));
          },
          "ps: size of a dense table that is pushed and pulled (64KiB,1MiB,16MiB)")
      ->delimiter(',');
  verb.add_option("--dir", bench.directory, "exactly-once throughput, journal, all: the folder of journals")
      ->capture_default_str();
  verb.add_option("--commit", bench.commit, "journal: records a commit")->capture_default_str();
  verb.add_option("--rabbitmq", bench.rabbitmq,
                  "journal, all: HOST:PORT of a broker that is measured as well");
  verb.add_option("--out", bench.out, "all: the folder for table.md, results.json and rate.svg");
}

CLI::App* add_bench(CLI::App& app, Bench& bench) {
  auto* verb =
      app.add_subcommand("bench", "Measure Weft and plain libzmq doing the same work, in pairs of runs");
  verb->add_option("BENCHMARK", bench.benchmark, "throughput, latency, requests, pubsub, ps, journal or all")
      ->required();
  verb->add_option("--transport", bench.transport,
                   "tcp, ipc, inproc or shm (Weft shares memory, libzmq uses tcp)")
      ->capture_default_str();
  verb->add_option_function<std::string>(
      "--size", [&bench](const std::string& text) { bench.size = size_of("--size", text); },
      "Bytes a record, like 100 or 64KiB (100; pubsub: 1024)");
  verb->add_option("--count", bench.count, "Records, or round trips, a run (by benchmark and size)");
  verb->add_option("--runs", bench.runs, "Pairs of runs")->capture_default_str();
  verb->add_flag("--json", bench.json, "Print one JSON object a case, each on a line");
  add_bench_cases(*verb, bench);
  verb->footer(kBenchFooter);
  verb->callback([verb, &bench] {
    for (const CLI::Option* option : verb->get_options()) {
      if (option->count() > 0) bench.given.push_back(option->get_name());
    }
  });
  return verb;
}

CLI::App* add_sim(CLI::App& app, Sim& sim) {
  auto* verb = app.add_subcommand(
      "sim", "Simulate the links of a topology under faults; without FILE, links and faults that seeds draw");
  add_source(*verb, sim.source, false);
  verb->add_option("--seed", sim.seed, "The run to make; without FILE, the first one (1)");
  verb->add_option("--seeds", sim.seeds, "Without FILE: so many runs, from that seed on")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000}))
      ->capture_default_str();
  verb->add_option("--kind", sim.kind, "Without FILE: only seeds that draw such a link")
      ->check(CLI::IsMember({"push-pull", "requests", "pub-sub"}));
  verb->add_option("--workers", sim.workers, "Processes at the end of each link that has more of them");
  verb->add_option("--records", sim.records, "Records of a link (1000, or ten a worker)");
  verb->add_option("--faults", sim.faults,
                   "NAME=NUMBER,...: loss, duplicate, reorder, partition (a message), slow (a link), crash, "
                   "pause (an event), power (a crash), full (a sync), skew, jump, delay (seconds); or none");
  add_span(*verb, "--for", sim.for_, "Faults happen for so long, in virtual time (20s)");
  verb->add_flag(
      "--pauses", sim.pauses,
      "Without FILE: each run again and again, with a process stopped at every moment of it in turn");
  verb->add_option("--pause", sim.pause, "Without FILE: one of these runs, PROCESS:MOMENT:TIME,...");
  verb->add_flag("--json", sim.json, "Print one JSON object");
  verb->footer(R"(
Examples:
  weft sim topologies/pipeline.yaml --set links.0.delivery=at-least-once --seed 7
  weft sim my.yaml --workers 10000 --faults loss=0.01,duplicate=0.01,reorder=0.05,crash=0.001
  weft sim --seeds 2000            links and faults of every mixture
  weft sim --seeds 2000 --kind requests            links of requests alone
  weft sim --seed 12200            one of them again

Exit codes: 0 every invariant held, 1 one did not, 2 wrong command line or topology file.)");
  return verb;
}

// True when the first word is no verb; says which one might have been meant.
bool is_unknown_verb(const CLI::App& app, const std::string& word) {
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (verb->get_name() == word) return false;
    verbs.push_back(verb->get_name());
  }
  const auto near = nearest(word, verbs);
  std::cerr << "weft: there is no verb " << weft::quoted(word)
            << (near ? "; did you mean " + weft::quoted(*near) + "?" : "; its verbs are " + join_words(verbs))
            << '\n';
  return true;
}

constexpr const char* kFooter = R"(
Examples:
  weft check topologies/pipeline.yaml           is the file right?
  weft graph topologies/pipeline.yaml --format ascii
  weft up topologies/pipeline.yaml --set records=10000
  weft up topologies/logs.yaml --for 10s --json | jq .result
  weft ps; weft logs -f; weft down
  echo '{"n": 1}' | weft send sink.in
  weft recv source.out --count 10
  weft chaos topologies/pipeline.yaml --kill relay --every 200ms --for 5s
  weft queue ls; weft queue peek source.out
  weft chaos topologies/pipeline.yaml --fault reset=2% --fault latency=5ms
  weft journal ls updates.journal
  weft bench throughput --size 100
  weft sim --seeds 2000                         does the protocol hold?

Exit codes: 0 done, 1 the run failed, 2 wrong command line or topology file, 3 not found or not in time.)";

}  // namespace

Command parse(int argc, char** argv, int& code) {
  All all;
  CLI::App app{"Weft: message topologies without a broker, on ZeroMQ.", "weft"};
  app.set_version_flag("--version", std::string("weft ") + WEFT_VERSION);
  app.require_subcommand(1);
  app.footer(kFooter);
  const auto* check = add_check(app, all.check);
  const auto* graph = add_graph(app, all.graph);
  const auto* up = add_up(app, all.up);
  const auto* ps = add_ps(app, all.ps);
  const auto* logs = add_logs(app, all.logs);
  const auto* down = add_down(app, all.down);
  const auto* run = add_run(app, all.run);
  const auto* send = add_send(app, all.send);
  const auto* recv = add_recv(app, all.recv);
  const auto* tap = add_tap(app, all.tap);
  const auto* chaos = add_chaos(app, all.chaos);
  const auto* queue = add_queue(app, all.queue);
  const auto* journal = add_journal(app, all.journal);
  const auto* bench = add_bench(app, all.bench);
  const auto* sim = add_sim(app, all.sim);
  if (argc > 1 && argv[1][0] != '-' && is_unknown_verb(app, argv[1])) {
    code = kUsage;
    return {};
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    code = app.exit(e, std::cout, std::cerr);
    return {};
  } catch (const CLI::ParseError& e) {
    std::string help = "weft";
    for (const CLI::App* verb : app.get_subcommands()) help += " " + verb->get_name();
    std::cerr << "weft: " << e.what() << "; see " << help << " --help\n";
    code = kUsage;
    return {};
  }
  if (*check) return all.check;
  if (*sim) return all.sim;
  if (*graph) return all.graph;
  if (*up) return all.up;
  if (*ps) return all.ps;
  if (*logs) return all.logs;
  if (*down) return all.down;
  if (*run) return all.run;
  if (*send) return all.send;
  if (*recv) return all.recv;
  if (*tap) return all.tap;
  if (*chaos) return all.chaos;
  if (*queue) return all.queue;
  if (*journal) return all.journal;
  if (*bench) return all.bench;
  return {};
}

}  // namespace weft::cli
