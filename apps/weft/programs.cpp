#include "programs.hpp"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

#include "command.hpp"

namespace weft::cli {
namespace {

namespace fs = std::filesystem;

constexpr Duration kDescribeTime = std::chrono::seconds(5);
constexpr std::size_t kDescribeBytes = 1UL << 20;
constexpr std::size_t kLookAt = 1UL << 20;  // bytes of a script in which "--describe" is looked for

bool is_executable_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

fs::path own_folder() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path() : self.parent_path();
}

std::vector<std::string> path_folders() {
  const char* path = std::getenv("PATH");
  std::vector<std::string> folders;
  for (std::string& folder : split(path ? path : "/usr/local/bin:/usr/bin:/bin", ':')) {
    if (!folder.empty()) folders.push_back(std::move(folder));
  }
  return folders;
}

// The programs that stand beside weft, for "did you mean".
std::vector<std::string> neighbours() {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(own_folder(), ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("weft-")) names.push_back(name);
  }
  return names;
}

bool may_be_asked(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kLookAt, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text.starts_with(
             "\x7F"
             "ELF") ||
         text.find("--describe") != std::string::npos;
}

/// One that somebody stops while it is asked, and one of Weft's own that has no time to answer on a busy
/// machine, is not taken for a program that describes nothing: it would be started like a script, and fail as
/// one.
void check_not_stopped(const std::string& path, const CommandResult& answer) {
  if (!answer.started || answer.too_long) return;
  if (answer.timed_out && fs::path(path).parent_path() == own_folder()) {
    throw Error(Errc::timed_out,
                format("{} did not say within {} what it is (--describe); the machine may be busy: try again",
                       path, format_duration(kDescribeTime)));
  }
  for (const int number : {SIGHUP, SIGINT, SIGKILL, SIGTERM}) {
    if (answer.timed_out || answer.status != 128 + number) continue;
    throw Error(
        Errc::io,
        format("{} was stopped by a signal ({}) while it was asked what it is (--describe); try again", path,
               strsignal(number)));
  }
}

}  // namespace

std::string find_program(const std::string& program, const std::string& directory) {
  if (program.find('/') != std::string::npos) {
    const fs::path path = fs::path(program).is_absolute() ? fs::path(program) : fs::path(directory) / program;
    if (is_executable_file(path)) return fs::absolute(path).lexically_normal();
    throw Error(Errc::not_found, fs::exists(path)
                                     ? format("{} is not an executable file; try chmod +x", path.string())
                                     : format("there is no program {}", path.string()));
  }
  const fs::path own = own_folder();
  if (is_executable_file(own / program)) return own / program;
  for (const std::string& folder : path_folders()) {
    if (is_executable_file(fs::path(folder) / program)) return fs::absolute(fs::path(folder) / program);
  }
  const auto near = nearest(program, neighbours());
  throw Error(
      Errc::not_found,
      format("there is no program {}: it is neither in {} (beside weft) nor on PATH{}", weft::quoted(program),
             own.string(), near ? format("; did you mean {}?", weft::quoted(*near)) : ""));
}

std::optional<topology::ProgramDescription> describe_program(const std::string& path) {
  if (!may_be_asked(path)) return std::nullopt;
  const CommandResult answer =
      run_command({path, "--describe"}, "", kDescribeBytes, Deadline::after(kDescribeTime));
  check_not_stopped(path, answer);
  if (!answer.started || answer.timed_out || answer.too_long || answer.status != 0) return std::nullopt;
  const auto value = try_parse_json(answer.out);
  if (!value || !value->is_map()) return std::nullopt;
  return topology::description_from_value(*value);
}

const Catalog::Entry& Catalog::find(const std::string& program, const std::string& directory) {
  const std::string key = directory + " " + program;
  const auto found = known_.find(key);
  if (found != known_.end()) return found->second;
  Entry entry{find_program(program, directory), std::nullopt};
  entry.description = describe_program(entry.path);
  return known_.emplace(key, std::move(entry)).first->second;
}

topology::DescribeProgram Catalog::describer() {
  return [this](const std::string& program, const std::string& directory) {
    return find(program, directory).description;
  };
}

std::string folder_of(const std::string& file) {
  const std::string folder = fs::path(file).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace weft::cli
