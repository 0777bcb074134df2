// Programs: which file a `run:` means, and what that program says of itself.
#pragma once

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

/// Both together, as topology::load wants it.
topology::DescribeProgram describer();

}  // namespace weft::cli
