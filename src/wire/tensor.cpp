#include <weft/wire/tensor.hpp>

#include <array>
#include <limits>

#include <weft/wire/pack.hpp>

namespace weft {
namespace {

struct Entry {
  std::string_view name;
  std::size_t size;
};
// In the order of DType.
constexpr std::array<Entry, 13> kTypes{{{"BOOL", 1},
                                        {"U8", 1},
                                        {"I8", 1},
                                        {"U16", 2},
                                        {"I16", 2},
                                        {"F16", 2},
                                        {"BF16", 2},
                                        {"U32", 4},
                                        {"I32", 4},
                                        {"F32", 4},
                                        {"U64", 8},
                                        {"I64", 8},
                                        {"F64", 8}}};
constexpr std::size_t kMaxDimensions = 8;

}  // namespace

std::string_view to_string(DType type) {
  return kTypes[static_cast<std::size_t>(type)].name;
}

std::optional<DType> parse_dtype(std::string_view name) {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::size_t size_of(DType type) {
  return kTypes[static_cast<std::size_t>(type)].size;
}

namespace wire {
namespace {

std::optional<std::size_t> product(const std::vector<std::int64_t>& shape, DType dtype) {
  bool empty = false;
  std::size_t total = size_of(dtype);
  for (const std::int64_t n : shape) {
    if (n < 0) return std::nullopt;
    if (n == 0) {
      empty = true;
    } else if (total > std::numeric_limits<std::int64_t>::max() / static_cast<std::size_t>(n)) {
      return std::nullopt;
    } else {
      total *= static_cast<std::size_t>(n);
    }
  }
  return empty ? 0 : total;
}

}  // namespace

void pack_tensor_ref(Buffer& out, std::uint32_t frame, const Tensor& tensor) {
  Buffer payload;
  Pack pack(payload);
  pack.array(3);
  pack.uint(frame);
  pack.str(to_string(tensor.dtype));
  pack.array(tensor.shape.size());
  for (const std::int64_t n : tensor.shape) pack.sint(n);
  Pack(out).ext(kTensorExt, payload.view());
}

std::optional<TensorRef> unpack_tensor_ref(Bytes payload) {
  Unpack in(payload);
  if (in.array() != 3U) return std::nullopt;
  const auto frame = in.uint();
  const auto name = in.str();
  const auto dimensions = in.array();
  if (!frame || *frame >= kMaxFrames || !name || !dimensions || *dimensions > kMaxDimensions)
    return std::nullopt;
  const auto dtype = parse_dtype(*name);
  if (!dtype) return std::nullopt;
  TensorRef ref{.frame = static_cast<std::uint32_t>(*frame), .dtype = *dtype, .shape = {}};
  for (std::uint32_t i = 0; i < *dimensions; ++i) {
    const auto n = in.sint();
    if (!n) return std::nullopt;
    ref.shape.push_back(*n);
  }
  if (!in.done() || !product(ref.shape, ref.dtype)) return std::nullopt;
  return ref;
}

std::size_t byte_size(const TensorRef& ref) {
  return product(ref.shape, ref.dtype).value_or(0);
}

std::optional<Tensor> resolve(const TensorRef& ref, std::span<const Tensor> frames) {
  if (ref.frame >= frames.size()) return std::nullopt;
  const Tensor& frame = frames[ref.frame];
  if (product(ref.shape, ref.dtype) != frame.data.size()) return std::nullopt;
  return Tensor{ref.dtype, ref.shape, frame.data, frame.owner};
}

}  // namespace wire
}  // namespace weft
