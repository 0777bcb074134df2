// The command line of the ends of benchmarks, and one process that is both ends.
#include "work.hpp"

#include <algorithm>

namespace bench {
namespace {

std::uint64_t number_of(const std::string& key, const std::string& text) {
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(text.c_str(), &end, 10);
  if (text.empty() || *end != 0) throw std::runtime_error(key + " is no number: " + text);
  return value;
}

Work parse(int argc, char** argv) {
  Work work;
  const std::map<std::string, std::string*> texts{{"endpoint", &work.endpoint},
                                                  {"transport", &work.transport},
                                                  {"delivery", &work.delivery},
                                                  {"journal-from", &work.journal_from},
                                                  {"journal-to", &work.journal_to}};
  const std::map<std::string, std::uint64_t*> numbers{
      {"size", &work.size},    {"count", &work.count},     {"peers", &work.peers},
      {"index", &work.index},  {"clients", &work.clients}, {"window", &work.window},
      {"keys", &work.keys},    {"rate", &work.rate},       {"high-water", &work.high_water},
      {"commit", &work.commit}};
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    const std::size_t at = std::min(word.find('='), word.size());
    const std::string key = word.substr(0, at);
    const std::string value = at < word.size() ? word.substr(at + 1) : std::string();
    if (const auto text = texts.find(key); text != texts.end()) {
      *text->second = value;
    } else if (const auto number = numbers.find(key); number != numbers.end()) {
      *number->second = number_of(key, value);
    } else {
      throw std::runtime_error("there is no key " + key);
    }
  }
  require(work.size >= 8 && work.count >= 1 && work.peers >= 1 && work.clients >= 1 && work.window >= 1,
          "size is at least 8; count, peers, clients and window are at least 1");
  return work;
}

void print(const Figures& f) {
  std::printf(
      "{\"seconds\": %.9f, \"settled\": %.9f, \"written\": %llu, \"read\": %llu, \"p50\": %.3f, \"p99\": "
      "%.3f, "
      "\"memory\": %.0f}\n",
      f.seconds, f.settled, static_cast<unsigned long long>(f.written),
      static_cast<unsigned long long>(f.read), f.p50, f.p99, f.memory);
  std::fflush(stdout);
}

void say_aloud(const std::string& endpoint) {
  std::printf("%s\n", endpoint.c_str());
  std::fflush(stdout);
}

const Role& role_of(const Roles& roles, const std::string& name) {
  const auto found = roles.find(name);
  if (found != roles.end()) return found->second;
  std::string names;
  for (const auto& [known, role] : roles) names += " " + known;
  throw std::runtime_error("there is no role " + name + "; the roles are" + names);
}

/// A failed end ends the process at once: the others would wait for it.
std::thread start(const char* program, const Role& role, const Work& work, const Say& say, Figures& figures) {
  return std::thread([program, &role, work, say, &figures] {
    try {
      figures = role(work, say);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s: %s\n", program, e.what());
      std::fflush(stderr);
      std::_Exit(1);
    }
  });
}

void run_both(const char* program, const Role& bound, const Role& connected, Work work) {
  std::promise<std::string> told;
  std::future<std::string> endpoint = told.get_future();
  std::vector<Figures> figures(1 + work.peers);
  std::vector<std::thread> threads;
  threads.push_back(start(
      program, bound, work, [&](const std::string& text) { told.set_value(text); }, figures[0]));
  work.endpoint = endpoint.get();
  for (work.index = 0; work.index < work.peers; ++work.index) {
    threads.push_back(start(
        program, connected, work, [](const std::string&) {}, figures[1 + work.index]));
  }
  for (std::thread& thread : threads) thread.join();
  say_aloud(work.endpoint);
  for (const Figures& one : figures) print(one);
}

/// Thousands of clients are thousands of sockets.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

void set_percentiles(Figures& figures, std::vector<double>& micros) {
  std::sort(micros.begin(), micros.end());
  figures.p50 = micros[micros.size() / 2];
  figures.p99 = micros[micros.size() * 99 / 100];
}

int run_roles(int argc, char** argv, const Roles& roles) {
  try {
    require(argc >= 2, "usage: ROLE key=value...; run by `weft bench`, which has the help");
    const std::string role = argv[1];
    const Work work = parse(argc, argv);
    raise_file_limit();
    if (const std::size_t plus = role.find('+'); plus != std::string::npos) {
      run_both(argv[0], role_of(roles, role.substr(0, plus)), role_of(roles, role.substr(plus + 1)), work);
    } else {
      print(role_of(roles, role)(work, say_aloud));
    }
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", argv[0], e.what());
    return 1;
  }
}

}  // namespace bench
