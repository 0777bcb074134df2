#include "data.hpp"

#include <filesystem>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/ps/idx.hpp>
#include <weft/ps/libsvm.hpp>

namespace weft::worker {
namespace {

ps::SyntheticOptions builtin_from(const program::Options& options) {
  const Value& given = options.value("builtin");
  ps::SyntheticOptions out;
  const auto take = [&](std::string_view name, auto& field) {
    const Value& value = given.get(name);
    if (!value.is_null()) field = static_cast<std::remove_reference_t<decltype(field)>>(value.as_uint());
  };
  take("rows", out.rows);
  take("test-rows", out.test_rows);
  take("features", out.features);
  take("active", out.active);
  take("seed", out.seed);
  out.check();
  return out;
}

/// `.../train-images-idx3-ubyte.gz` -> `.../train-labels-idx1-ubyte.gz`; "" when this is no file of images.
std::string labels_of(const std::string& path) {
  for (const std::string_view joint : {"-", "."}) {
    const std::string images = format("images{}idx3", joint);
    const auto at = path.rfind(images);
    if (at == std::string::npos || path.find('/', at) != std::string::npos) continue;
    return std::string(path).replace(at, images.size(), format("labels{}idx1", joint));
  }
  return "";
}

}  // namespace

DataSource::DataSource(const program::Options& options, Model model)
    : model_(model),
      data_(options.text("data")),
      test_(options.text("test")),
      builtin_(builtin_from(options)) {
  if (builtin() && !test_.empty())
    options.refuse("test", "without \"data\" the built-in rows are used, which have their own test rows");
  if (builtin() && model == Model::softmax) {
    options.refuse("data",
                   "softmax has no built-in data: give a LIBSVM file, or the folder with the four IDX "
                   "files of MNIST (--set data=FOLDER)");
  }
}

bool DataSource::has_test() const {
  if (builtin() || !test_.empty()) return true;
  std::error_code code;
  return std::filesystem::is_directory(data_, code);
}

ps::Dataset DataSource::train(ps::RowShare share) const {
  return builtin() ? ps::SyntheticData(builtin_).train(share) : read(data_, false, share);
}

ps::Dataset DataSource::test() const {
  return builtin() ? ps::SyntheticData(builtin_).test() : read(test_.empty() ? data_ : test_, true, {});
}

ps::SyntheticData::Best DataSource::best(const ps::Dataset& test) const {
  return ps::SyntheticData(builtin_).best(test);
}

ps::Dataset DataSource::read(const std::string& path, bool test, ps::RowShare share) const {
  std::error_code code;
  if (std::filesystem::is_directory(path, code))
    return ps::read_idx_folder(path, test ? ps::IdxPart::test : ps::IdxPart::train, share);
  const std::string labels = labels_of(path);
  if (!labels.empty()) return ps::read_idx(path, labels, share);
  return ps::read_libsvm(path, model_ == Model::logistic ? ps::Labels::binary : ps::Labels::classes, share);
}

std::vector<topology::OptionDescription> builtin_options() {
  const auto count = [](std::string name, std::uint64_t otherwise, double least, double most,
                        std::string help) {
    topology::OptionDescription option;
    option.name = std::move(name);
    option.type = topology::OptionType::integer;
    option.help = std::move(help);
    option.default_value = otherwise;
    option.minimum = least;
    option.maximum = most;
    return option;
  };
  const ps::SyntheticOptions d;
  return {count("rows", d.rows, 1, 1e9, "training rows of all workers together"),
          count("test-rows", d.test_rows, 1, 1e9, "rows to evaluate on"),
          count("features", d.features, 2, 1e7, "features there are"),
          count("active", d.active, 1, 1000, "features of a row, at most half of all"),
          count("seed", d.seed, 0, 9007199254740992.0, "another seed, another model and other rows")};
}

}  // namespace weft::worker
