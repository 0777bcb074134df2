#include "stage.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>

#include "child.hpp"

namespace weft::cli::bench {
namespace fs = std::filesystem;

namespace {

constexpr auto kRunLimit = std::chrono::minutes(5);  // of one run

fs::path make_folder(const fs::path& parent, const char* what) {
  std::string name = (parent / "weft-bench-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr)
    throw Error(Errc::io, format("cannot make a folder in {} for the benchmark's {}", parent.string(), what));
  return name;
}

void add(Figures& all, const std::string& line) {
  const Value one = parse_json(line);
  const auto most = [&](double& to, const char* key) { to = std::max(to, one.get(key).as_double()); };
  most(all.seconds, "seconds");
  most(all.settled, "settled");
  most(all.p50, "p50");
  most(all.p99, "p99");
  most(all.memory, "memory");
  all.written += one.get("written").as_uint();
  all.read += one.get("read").as_uint();
}

/// What was written has to have been read, or the figures mean nothing.
void expect_all_read(const Figures& figures, const char* program, unsigned copies) {
  if (figures.read == figures.written * copies) return;
  throw Error(Errc::internal, format("{}: checksum {} was written {} times, and {} was read", program,
                                     figures.written, copies, figures.read));
}

}  // namespace

Stage::Stage(const Bench& options)
    : options_(options),
      programs_(fs::read_symlink("/proc/self/exe").parent_path()),
      scratch_(make_folder(fs::temp_directory_path(), "sockets")) {}

Stage::~Stage() {
  std::error_code ignored;
  fs::remove_all(scratch_, ignored);
  if (!journals_.empty()) fs::remove_all(journals_, ignored);
}

bool Stage::has(const char* program) const {
  return fs::exists(programs_ / program);
}

fs::path Stage::fresh_journal() {
  if (journals_.empty()) {
    if (!fs::is_directory(options_.directory)) {
      throw Error(Errc::invalid_argument,
                  format("--dir is \"{}\": there is no such folder", options_.directory));
    }
    journals_ = make_folder(options_.directory, "journals");
  }
  for (const auto& old : fs::directory_iterator(journals_)) fs::remove_all(old.path());
  return journals_;
}

std::vector<std::string> Stage::command(const char* program, const std::string& role,
                                        const std::string& endpoint, const Settings& settings) const {
  std::vector<std::string> words{(programs_ / program).string(), role, "endpoint=" + endpoint,
                                 "transport=" + options_.transport};
  for (const auto& [key, value] : settings) words.push_back(key + "=" + value);
  return words;
}

std::string Stage::fresh_endpoint(const Ends& ends) {
  const auto one = [&]() -> std::string {
    if (options_.transport == "inproc") return format("inproc://{}", endpoints_++);
    if (options_.transport == "ipc") return format("ipc://{}/{}", scratch_.string(), endpoints_++);
    return "tcp://127.0.0.1:*";  // shm: Weft's large frames leave it, plain libzmq knows nothing of it
  };
  // A Weft publisher has a second endpoint, where its subscribers tell how far they are.
  const bool two = ends.program == std::string(kWeft) && ends.bound == std::string("pub");
  return two ? one() + "," + one() : one();
}

Figures Stage::run(const Ends& ends, const Settings& settings, unsigned copies) {
  const std::string endpoint = fresh_endpoint(ends);
  const Figures figures = options_.transport == "inproc" ? in_one_process(ends, endpoint, settings)
                                                         : in_processes(ends, endpoint, settings);
  expect_all_read(figures, ends.program, copies);
  return figures;
}

Figures Stage::run_at(const std::string& endpoint, const Ends& ends, const Settings& settings) {
  const Figures figures = in_processes(ends, endpoint, settings);
  expect_all_read(figures, ends.program, 1);
  return figures;
}

Figures Stage::run_alone(const char* program, const char* role, const Settings& settings) {
  const Deadline deadline = Deadline::after(kRunLimit);
  Child child(interrupts_, command(program, role, "", settings));
  Figures figures;
  add(figures, child.line(deadline));
  child.join();
  return figures;
}

Figures Stage::in_processes(const Ends& ends, const std::string& endpoint, const Settings& settings) const {
  const Deadline deadline = Deadline::after(kRunLimit);
  Settings given = settings;
  given.emplace_back("peers", std::to_string(ends.number));
  Child bound(interrupts_, command(ends.program, ends.bound, endpoint, given));
  const std::string real = bound.line(deadline);
  std::vector<std::unique_ptr<Child>> connected;
  for (unsigned i = 0; i < ends.number; ++i) {
    Settings own = given;
    own.emplace_back("index", std::to_string(i));
    connected.push_back(
        std::make_unique<Child>(interrupts_, command(ends.program, ends.connected, real, own)));
  }
  Figures figures;
  for (const auto& child : connected) add(figures, child->line(deadline));
  add(figures, bound.line(deadline));
  for (const auto& child : connected) child->join();
  bound.join();
  return figures;
}

Figures Stage::in_one_process(const Ends& ends, const std::string& endpoint, const Settings& settings) const {
  const Deadline deadline = Deadline::after(kRunLimit);
  Settings given = settings;
  given.emplace_back("peers", std::to_string(ends.number));
  Child both(interrupts_,
             command(ends.program, format("{}+{}", ends.bound, ends.connected), endpoint, given));
  (void)both.line(deadline);
  Figures figures;
  for (unsigned i = 0; i < 1 + ends.number; ++i) add(figures, both.line(deadline));
  both.join();
  return figures;
}

}  // namespace weft::cli::bench
