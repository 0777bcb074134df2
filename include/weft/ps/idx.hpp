// Reading IDX files, the format of MNIST.
#pragma once

#include <string>

#include <weft/ps/dataset.hpp>

namespace weft::ps {

/// Images and their labels, plain or gzip. Pixel p of an image becomes feature p with value pixel / 255;
/// zeros are left out. Format: http://yann.lecun.com/exdb/mnist/: big-endian magic 00 00 08 <dimensions>
/// (unsigned bytes), one u32 a dimension, then the data.
///
/// Throws Error{not_found}, Error{io}, or Error{invalid_file} that names file, what was found and what was
/// expected: other magic, absurd dimensions, a cut file, bytes after the end, counts of images and labels
/// that differ.
Dataset read_idx(const std::string& images, const std::string& labels, RowShare share = {});

/// The four files of MNIST in a folder.
enum class IdxPart { train, test };

/// Finds `train-images-idx3-ubyte` and `train-labels-idx1-ubyte` (or `t10k-...`), with or without `.gz`, also
/// with a dot before `idx`. Throws Error{not_found} that names what is missing.
Dataset read_idx_folder(const std::string& folder, IdxPart part, RowShare share = {});

/// True when the folder has at least one of these files.
bool is_idx_folder(const std::string& folder);

}  // namespace weft::ps
