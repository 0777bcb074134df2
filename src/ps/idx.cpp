#include <weft/ps/idx.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <vector>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "ps/file_bytes.hpp"

namespace weft::ps {
namespace {

/// One parsed file: unsigned bytes with their dimensions.
struct IdxFile {
  std::string bytes;  ///< the whole file; owns `data`
  std::vector<std::uint64_t> dimensions;
  std::size_t header = 0;
  [[nodiscard]] const unsigned char* data() const {
    return reinterpret_cast<const unsigned char*>(bytes.data()) + header;
  }
  [[nodiscard]] std::uint64_t items() const { return dimensions.front(); }
  /// Bytes of one item.
  [[nodiscard]] std::uint64_t size() const {
    std::uint64_t product = 1;
    for (std::size_t d = 1; d < dimensions.size(); ++d) product *= dimensions[d];
    return product;
  }
};

std::uint32_t big_endian(std::string_view bytes) {
  std::uint32_t number = 0;
  for (const char byte : bytes.substr(0, 4)) number = number << 8U | static_cast<unsigned char>(byte);
  return number;
}

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw Error(Errc::invalid_file, format("{}: {}", path, what));
}

void check_magic(const std::string& path, std::string_view bytes, std::size_t least, std::size_t most) {
  const std::string expected = least == most ? format("00 00 08 {:02x}", least)
                                             : format("00 00 08 {:02x} to 00 00 08 {:02x}", least, most);
  if (bytes.empty()) fail(path, "is empty, expected an IDX file");
  const std::string_view name = known_format(bytes);
  if (!name.empty() && name != "IDX") fail(path, format("is {}, expected an IDX file (plain or gzip)", name));
  const std::size_t dimensions = bytes.size() < 4 ? 0 : static_cast<unsigned char>(bytes[3]);
  if (name == "IDX" && dimensions >= least && dimensions <= most) return;
  if (name == "IDX" && dimensions == 1) fail(path, "is an IDX file of labels, expected one of images");
  if (name == "IDX" && least == 1) fail(path, "is an IDX file of images, expected one of labels");
  fail(path, format("is no IDX file of unsigned bytes: it starts with {}, expected the bytes {}",
                    weft::quoted(bytes.substr(0, 8)), expected));
}

/// Of `least` to `most` dimensions.
IdxFile open_idx(const std::string& path, std::size_t least, std::size_t most) {
  IdxFile file;
  file.bytes = read_file_bytes(path);
  check_magic(path, file.bytes, least, most);
  const auto dimensions = static_cast<std::size_t>(static_cast<unsigned char>(file.bytes[3]));
  file.header = 4 + 4 * dimensions;
  if (file.bytes.size() < file.header) fail(path, "is cut inside its header");
  std::uint64_t total = 1;
  for (std::size_t d = 0; d < dimensions; ++d) {
    const std::uint64_t extent = big_endian(std::string_view(file.bytes).substr(4 + 4 * d));
    if (extent == 0) fail(path, format("dimension {} is 0", d + 1));
    // Any total beyond the file is a cut file; stopping there keeps the product from wrapping around.
    total = total > file.bytes.size() ? total : total * extent;
    file.dimensions.push_back(extent);
  }
  const std::uint64_t held = file.bytes.size() - file.header;
  if (total > held)
    fail(path, format("is cut: its header promises more data than the {} bytes that follow", held));
  if (total < held) fail(path, format("has {} bytes after its end; expected {}", held - total, total));
  return file;
}

/// Some who unpack the files put a dot where the original has a dash.
std::array<std::string, 2> stems(IdxPart part, bool images) {
  const std::string start =
      format("{}-{}", part == IdxPart::train ? "train" : "t10k", images ? "images" : "labels");
  const std::string end = images ? "idx3-ubyte" : "idx1-ubyte";
  return {start + "-" + end, start + "." + end};
}

std::string find_in(const std::string& folder, IdxPart part, bool images) {
  const auto names = stems(part, images);
  for (const std::string& name : names) {
    for (const char* ending : {"", ".gz"}) {
      const std::string path = (std::filesystem::path(folder) / (name + ending)).string();
      std::error_code code;
      if (std::filesystem::is_regular_file(path, code)) return path;
    }
  }
  throw Error(Errc::not_found, format("{}: the folder has no {} (plain or .gz)", folder, names[0]));
}

}  // namespace

Dataset read_idx(const std::string& images_path, const std::string& labels_path, RowShare share) {
  const IdxFile images = open_idx(images_path, 2, 4);
  const IdxFile labels = open_idx(labels_path, 1, 1);
  if (images.items() != labels.items()) {
    throw Error(Errc::invalid_file, format("{} has {} images, but {} has {} labels", images_path,
                                           images.items(), labels_path, labels.items()));
  }
  Dataset data;
  data.name = images_path;
  data.file_rows = images.items();
  data.max_index = images.size() - 1;
  data.pixels = images.size();
  for (std::size_t d = 1; d < images.dimensions.size(); ++d)
    data.image_size += format("{}{}", d == 1 ? "" : " x ", images.dimensions[d]);
  const unsigned char* const largest = std::max_element(labels.data(), labels.data() + labels.items());
  data.max_label = static_cast<float>(*largest);
  data.max_label_place = format("{}: label {}", labels_path, largest - labels.data() + 1);
  const unsigned char* pixels = images.data();
  for (std::uint64_t row = 0; row < images.items(); ++row, pixels += images.size()) {
    if (!share.holds(row)) continue;
    for (std::uint64_t p = 0; p < images.size(); ++p) {
      if (pixels[p] == 0) continue;
      data.indexes.push_back(p);
      data.values.push_back(static_cast<float>(pixels[p]) / 255.0F);
    }
    data.end_row(static_cast<float>(labels.data()[row]));
  }
  return data;
}

Dataset read_idx_folder(const std::string& folder, IdxPart part, RowShare share) {
  const std::string images = find_in(folder, part, true);
  const std::string labels = find_in(folder, part, false);
  return read_idx(images, labels, share);
}

bool is_idx_folder(const std::string& folder) {
  std::error_code code;
  if (!std::filesystem::is_directory(folder, code)) return false;
  for (const IdxPart part : {IdxPart::train, IdxPart::test}) {
    for (const bool images : {true, false}) {
      for (const std::string& name : stems(part, images)) {
        const auto path = std::filesystem::path(folder) / name;
        if (std::filesystem::exists(path, code) || std::filesystem::exists(path.string() + ".gz", code))
          return true;
      }
    }
  }
  return false;
}

}  // namespace weft::ps
