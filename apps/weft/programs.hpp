// Programs: which file a `run:` means, and what that program says of itself.
#pragma once

#include <map>
#include <optional>
#include <string>

#include <weft/topology/topology.hpp>

namespace weft::cli {

/// The file that `program` means: beside weft, then on PATH; a name with a "/" is a path relative to
/// `directory`, the folder of the topology file. Throws Error{not_found} that says where it looked.
std::string find_program(const std::string& program, const std::string& directory);

/// Asks a program with --describe (5 s, 1 MiB). nullopt: it describes nothing. Only an ELF file, or a script
/// that holds the text "--describe", is asked: another script might do its work instead of answering.
std::optional<topology::ProgramDescription> describe_program(const std::string& path);

/// Finds and asks each program once.
class Catalog {
 public:
  struct Entry {
    std::string path;
    std::optional<topology::ProgramDescription> description;
  };
  /// Throws Error{not_found}, or Error{invalid_file} when a program's description is broken.
  const Entry& find(const std::string& program, const std::string& directory);
  /// As topology::load wants it; refers to this catalog.
  topology::DescribeProgram describer();

 private:
  std::map<std::string, Entry> known_;  // "directory program"
};

/// The folder of a topology file, as programs are found from there.
std::string folder_of(const std::string& file);

}  // namespace weft::cli
