// weft bench: checks the options, runs the benchmark, prints or writes its reports.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

#include "../verbs.hpp"
#include "cases.hpp"

namespace weft::cli {
namespace {

using bench::Reports;
using bench::Stage;

const std::map<std::string, Reports (*)(Stage&)> kBenchmarks{
    {"throughput", bench::throughput}, {"latency", bench::latency}, {"requests", bench::requests},
    {"pubsub", bench::pub_sub},        {"ps", bench::parameters},   {"journal", bench::journal}};

/// Options that belong to some benchmarks only.
const std::map<std::string, std::vector<std::string>> kOptionsOf{
    {"--size", {"throughput", "latency", "requests", "pubsub", "journal"}},
    {"--delivery", {"throughput"}},
    {"--typed", {"throughput"}},
    {"--rate", {"latency"}},
    {"--window", {"requests", "ps"}},
    {"--clients", {"requests"}},
    {"--subscribers", {"pubsub", "all"}},
    {"--workers", {"ps", "all"}},
    {"--keys", {"ps"}},
    {"--dense", {"ps"}},
    {"--dir", {"throughput", "journal", "all"}},
    {"--commit", {"journal"}},
    {"--rabbitmq", {"journal", "all"}},
    {"--out", {"all"}}};

[[noreturn]] void refuse(const std::string& sentence) {
  throw Error(Errc::invalid_argument, sentence);
}

void in_bounds(const char* name, std::uint64_t value, std::uint64_t least, std::uint64_t most) {
  if (value < least || value > most)
    refuse(format("{} is {}: it must be from {} to {}", name, value, least, most));
}

void size_in_bounds(const char* name, std::uint64_t size, std::uint64_t least) {
  if (size < least || size > (64ULL << 20))
    refuse(format("{} is {}: it must be from {} to 64MiB", name, format_size(size), format_size(least)));
}

void check_names(const Bench& options) {
  std::vector<std::string> names{"all"};
  for (const auto& [name, run] : kBenchmarks) names.push_back(name);
  if (std::ranges::find(names, options.benchmark) == names.end())
    refuse(format("there is no benchmark \"{}\"; they are {}", options.benchmark, join_words(names)));
  for (const std::string& name : options.given) {
    const auto found = kOptionsOf.find(name);
    if (found == kOptionsOf.end() ||
        std::ranges::find(found->second, options.benchmark) != found->second.end())
      continue;
    refuse(format("{} is for {}, not for {}", name, join_words(found->second), options.benchmark));
  }
  const std::vector<std::string> transports{"tcp", "ipc", "inproc", "shm"};
  if (std::ranges::find(transports, options.transport) == transports.end())
    refuse(format("--transport is \"{}\": use {}", options.transport, join_words(transports)));
  if (options.transport == "shm" && (options.benchmark == "pubsub" || options.benchmark == "all"))
    refuse(format("{} does not go through shared memory: use tcp, ipc or inproc", options.benchmark));
  const std::vector<std::string> deliveries{"best-effort", "at-least-once", "exactly-once"};
  if (std::ranges::find(deliveries, options.delivery) == deliveries.end())
    refuse(format("--delivery is \"{}\": use {}", options.delivery, join_words(deliveries)));
}

/// amqp://USER:PASSWORD@HOST:PORT or HOST:PORT.
void check_broker(const std::string& text) {
  const std::size_t start = text.starts_with("amqp://") ? 7 : 0;
  const std::string place = text.substr(start, text.find('/', start) - start);
  const std::size_t colon = place.rfind(':');
  const std::string port = colon == std::string::npos ? "" : place.substr(colon + 1);
  if (colon == 0 || port.empty() || port.size() > 5 ||
      port.find_first_not_of("0123456789") != std::string::npos)
    refuse(format("--rabbitmq is \"{}\": expected HOST:PORT or amqp://USER:PASSWORD@HOST:PORT", text));
}

void check(const Bench& options) {
  check_names(options);
  if (!options.rabbitmq.empty()) check_broker(options.rabbitmq);
  if (options.size) size_in_bounds("--size", *options.size, 8);
  if (options.typed && options.size) refuse("--typed has a size of its own: leave --size out");
  in_bounds("--runs", options.runs, 1, 100);
  in_bounds("--count", options.count == 0 ? 2 : options.count, 2, 1'000'000'000);
  in_bounds("--window", options.window == 0 ? 1 : options.window, 1, 100'000);
  in_bounds("--clients", options.clients, 1, 5000);
  in_bounds("--subscribers", options.subscribers, 1, 64);
  in_bounds("--workers", options.workers, 1, 64);
  in_bounds("--commit", options.commit, 1, 65'536);
  for (const std::uint64_t keys : options.keys) in_bounds("--keys", keys, 1, 100'000);
  for (const std::uint64_t size : options.dense) {
    size_in_bounds("--dense", size, 1024);
    // Rows are of one width, and that is at most 65,536 floats.
    if (size % 4 != 0 || (size > (256ULL << 10) && size % (256ULL << 10) != 0))
      refuse(format("--dense is {}: it must be a multiple of 4B, above 256KiB of 256KiB", format_size(size)));
  }
  if (options.benchmark == "all" && options.out.empty())
    refuse("all needs --out: the folder that it writes to");
}

void print(const Reports& reports, bool json) {
  for (const Value& report : reports)
    std::printf("%s\n", json ? to_json(report).c_str() : bench::to_line(report).c_str());
  std::fflush(stdout);
}

Reports run(Stage& stage, Reports (*benchmark)(Stage&)) {
  Reports reports = benchmark(stage);
  print(reports, stage.options().json);
  return reports;
}

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  if (!out.flush()) throw Error(Errc::io, format("cannot write {}", path.string()));
}

/// A benchmark with other options than its defaults.
struct Row {
  const char* benchmark;
  std::function<void(Bench&)> change = [](Bench&) {};
};

/// The lines of the table. Those through shared memory are beside libzmq over tcp.
std::vector<Row> rows_of_all(const Bench& given) {
  const auto sized = [](std::uint64_t size, const char* transport = nullptr) {
    return [=](Bench& options) {
      options.size = size;
      if (transport != nullptr) options.transport = transport;
    };
  };
  constexpr std::uint64_t kKi = 1024;
  constexpr std::uint64_t kMi = kKi * kKi;
  std::vector<Row> rows;
  for (const std::uint64_t size : {std::uint64_t{16}, std::uint64_t{100}, kKi, 10 * kKi, kMi, 16 * kMi})
    rows.push_back({"throughput", sized(size)});
  rows.push_back({"throughput", [](Bench& options) { options.typed = true; }});
  rows.push_back({"throughput", [](Bench& options) { options.delivery = "at-least-once"; }});
  const bool shared = given.transport == "tcp";
  if (shared) {
    for (const std::uint64_t size : {10 * kKi, kMi, 16 * kMi})
      rows.push_back({"throughput", sized(size, "shm")});
  }
  rows.push_back({"latency"});
  rows.push_back({"latency", [](Bench& options) { options.rate = "half"; }});
  rows.push_back({"requests"});
  rows.push_back({"requests", [](Bench& options) { options.clients = 1000; }});
  rows.push_back({"pubsub"});
  rows.push_back({"ps"});
  if (shared) {
    rows.push_back({"ps", [](Bench& options) {
                      options.transport = "shm";
                      options.dense = {64 * kKi, kMi, 16 * kMi};
                    }});
  }
  rows.push_back({"journal"});
  return rows;
}

/// Every case, and the rate over the size.
void run_all(const Bench& given) {
  const std::filesystem::path folder = given.out;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw Error(Errc::io, format("cannot make {}: {}", folder.string(), error.message()));
  Reports all;
  for (const Row& row : rows_of_all(given)) {
    Bench options = given;
    row.change(options);
    Stage stage(options);
    const Reports some = run(stage, kBenchmarks.at(row.benchmark));
    all.insert(all.end(), some.begin(), some.end());
  }
  Stage stage(given);
  const Reports sizes = run(stage, bench::rate_over_size);
  Value results;
  results["cases"] = all;
  results["sizes"] = sizes;
  write(folder / "results.json", to_json(results, 2) + "\n");
  write(folder / "table.md", bench::to_table(all));
  write(folder / "rate.svg", bench::to_plot(sizes));
}

}  // namespace

namespace bench {

std::uint64_t count_for(const Bench& options, std::uint64_t bytes, std::uint64_t size, std::uint64_t least,
                        std::uint64_t most) {
  return options.count != 0 ? options.count : std::clamp(bytes / size, least, most);
}

}  // namespace bench

int run_verb(const Bench& options) {
  check(options);
  if (options.benchmark == "all") {
    run_all(options);
  } else {
    Stage stage(options);
    run(stage, kBenchmarks.at(options.benchmark));
  }
  return 0;
}

}  // namespace weft::cli
