// weft bench: Weft and plain libzmq doing the same work, in pairs of runs.
#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/time.hpp>
#include <weft/core/units.hpp>

#include "verbs.hpp"

extern char** environ;

namespace weft::cli {
namespace {

namespace fs = std::filesystem;

constexpr auto kRunLimit = std::chrono::minutes(5);  // of one end of one run

/// A child whose standard output is read line by line. Killed when it is forgotten.
class Child {
 public:
  explicit Child(const std::vector<std::string>& command) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) throw Error(Errc::io, "cannot make a pipe for a benchmark");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    std::vector<char*> argv;
    for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(fds[1]);
    out_ = fds[0];
    if (error != 0) {
      ::close(out_);
      pid_ = -1;
      throw Error(Errc::not_found,
                  format("cannot start {}: {}", command[0], std::generic_category().message(error)));
    }
  }
  ~Child() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    ::close(out_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  std::string line(Deadline deadline) {
    for (;;) {
      if (const auto end = text_.find('\n'); end != std::string::npos) {
        std::string first = text_.substr(0, end);
        text_.erase(0, end + 1);
        return first;
      }
      pollfd wait{out_, POLLIN, 0};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.left(Clock::now())).count();
      char chunk[4096];
      const ssize_t got = poll(&wait, 1, static_cast<int>(left)) > 0 ? read(out_, chunk, sizeof chunk) : 0;
      if (got <= 0)
        throw Error(Errc::timed_out, "one end of the benchmark ended, or said nothing, before its figures");
      text_.append(chunk, static_cast<std::size_t>(got));
    }
  }
  void join() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      throw Error(Errc::peer_lost, "one end of the benchmark failed; its own message is above");
    }
  }

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  std::string text_;
};

struct Runner {
  const Bench& options;
  std::string program;  // this weft, which is also the Weft end
  std::uint64_t count;
  fs::path scratch;
  unsigned sockets = 0;

  /// Who receives (and binds) and who sends.
  [[nodiscard]] bool latency() const { return options.benchmark == "latency"; }

  std::vector<std::string> command(bool weft, const char* role, const std::string& endpoint,
                                   int high_water) const {
    const std::string size = std::to_string(options.size);
    const std::string number = std::to_string(count);
    if (weft) return {program, "bench-peer", role, endpoint, size, number};
    const fs::path plain = fs::path(program).parent_path() / "weft-bench-libzmq";
    return {plain.string(), role, endpoint, size, number, std::to_string(high_water)};
  }

  /// One run in two processes; the figures of the end that measures.
  Value run(bool weft, int high_water) {
    const Deadline deadline = Deadline::after(kRunLimit);
    const std::string endpoint =
        options.transport == "tcp" ? "tcp://127.0.0.1:*" : format("ipc://{}/{}", scratch.string(), sockets++);
    Child bound(command(weft, latency() ? "router" : "pull", endpoint, high_water));
    const std::string real = bound.line(deadline);
    Child connected(command(weft, latency() ? "dealer" : "push", real, high_water));
    const Value figures = parse_json((latency() ? connected : bound).line(deadline));
    connected.join();
    bound.join();
    return figures;
  }
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double rounded(double v) {
  return std::round(v * 1000) / 1000;
}

/// The same payload has to have arrived, or the comparison means nothing.
void same_work(const Value& a, const Value& b) {
  if (a.get("checksum") == b.get("checksum")) return;
  throw Error(Errc::internal, format("the two programs did different work: checksums {} and {}",
                                     to_json(a.get("checksum")), to_json(b.get("checksum"))));
}

Value throughput(Runner& bench) {
  std::vector<double> weft;
  std::vector<double> plain;
  std::vector<double> ratios;
  const auto rate = [&](const Value& figures) {
    return static_cast<double>(bench.count - 1) / figures.get("seconds").as_double();
  };
  for (unsigned i = 0; i < bench.options.runs; ++i) {
    const Value ours = bench.run(true, 0);
    const Value low = bench.run(false, 1000);
    const Value high = bench.run(false, 100'000);
    same_work(ours, low);
    weft.push_back(rate(ours));
    plain.push_back(std::max(rate(low), rate(high)));
    ratios.push_back(weft.back() / plain.back());
    if (!bench.options.json) {
      std::printf("  run %u: weft %.3f M/s, libzmq %.3f M/s, ratio %.2f\n", i + 1, weft.back() / 1e6,
                  plain.back() / 1e6, ratios.back());
      std::fflush(stdout);
    }
  }
  Value out;
  out["unit"] = "records/s";
  out["weft"] = std::round(median(weft));
  out["libzmq"] = std::round(median(plain));
  out["ratio"] = rounded(median(ratios));
  out["spread"] = Value::List{Value(rounded(*std::ranges::min_element(ratios))),
                              Value(rounded(*std::ranges::max_element(ratios)))};
  return out;
}

Value latency(Runner& bench) {
  std::vector<double> weft;
  std::vector<double> plain;
  std::vector<double> p50;
  std::vector<double> p99;
  for (unsigned i = 0; i < bench.options.runs; ++i) {
    const Value ours = bench.run(true, 0);
    const Value theirs = bench.run(false, 1000);
    same_work(ours, theirs);
    weft.push_back(ours.get("p50").as_double());
    plain.push_back(theirs.get("p50").as_double());
    p50.push_back(weft.back() / plain.back());
    p99.push_back(ours.get("p99").as_double() / theirs.get("p99").as_double());
    if (!bench.options.json) {
      std::printf("  run %u: weft p50 %.1f us, libzmq p50 %.1f us, ratio %.2f (p99 %.2f)\n", i + 1,
                  weft.back(), plain.back(), p50.back(), p99.back());
      std::fflush(stdout);
    }
  }
  Value out;
  out["unit"] = "us";
  out["weft"] = rounded(median(weft));
  out["libzmq"] = rounded(median(plain));
  out["ratio"] = rounded(median(p50));
  out["ratio_p50"] = rounded(median(p50));
  out["ratio_p99"] = rounded(median(p99));
  out["spread"] = Value::List{Value(rounded(*std::ranges::min_element(p50))),
                              Value(rounded(*std::ranges::max_element(p50)))};
  return out;
}

void check(const Bench& options) {
  const auto refuse = [](const std::string& sentence) { throw Error(Errc::invalid_argument, sentence); };
  if (options.benchmark != "throughput" && options.benchmark != "latency") {
    refuse(format("there is no benchmark \"{}\": use throughput or latency", options.benchmark));
  }
  if (options.transport != "tcp" && options.transport != "ipc") {
    refuse(format("--transport is \"{}\": use tcp or ipc", options.transport));
  }
  if (options.size < 8 || options.size > (64ULL << 20)) {
    refuse(format("--size is {}: it must be from 8B to 64MiB", format_size(options.size)));
  }
  if (options.runs < 1 || options.runs > 100)
    refuse(format("--runs is {}: it must be from 1 to 100", options.runs));
}

std::uint64_t default_count(const Bench& options) {
  if (options.benchmark == "latency") return 10'000;
  return std::clamp<std::uint64_t>((1ULL << 30) / options.size, 200, 5'000'000);
}

}  // namespace

int run_verb(const Bench& options) {
  check(options);
  std::string name = (fs::temp_directory_path() / "weft-bench-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr)
    throw Error(Errc::io, "cannot make a directory for the benchmark's sockets");
  struct Remove {
    fs::path path;
    ~Remove() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  } remove{name};
  Runner bench{options, fs::read_symlink("/proc/self/exe").string(),
               options.count != 0 ? options.count : default_count(options), name};
  if (!options.json) {
    std::printf("%s, %s records over %s, %s a run, %u pairs of runs\n", options.benchmark.c_str(),
                format_size(options.size).c_str(), options.transport.c_str(),
                humane_count(bench.count).c_str(), options.runs);
  }
  Value figures = bench.latency() ? latency(bench) : throughput(bench);
  Value out;
  out["case"] = options.benchmark;
  out["size"] = options.size;
  out["transport"] = options.transport;
  for (const auto& [key, value] : figures.as_map()) out[key] = value;
  out["runs"] = options.runs;
  if (options.json) {
    std::printf("%s\n", to_json(out).c_str());
  } else {
    std::printf("weft %s %s, libzmq %s %s, ratio %s (median of pairs; spread %s)\n",
                to_json(out["weft"]).c_str(), out["unit"].as_string().c_str(), to_json(out["libzmq"]).c_str(),
                out["unit"].as_string().c_str(), to_json(out["ratio"]).c_str(),
                to_json(out["spread"]).c_str());
  }
  return 0;
}

}  // namespace weft::cli
