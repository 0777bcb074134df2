#include "blocks/topics.hpp"

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/wire/limits.hpp>

namespace weft::blocks {

std::string own_topics(std::string_view node, std::string_view port, std::uint64_t epoch) {
  return std::string(kTopicSub) + format("{}.{}/{}.", node.substr(0, 100), port.substr(0, 30), epoch);
}

std::optional<std::string> topic_frame(std::string_view topic) {
  if (is_reserved(topic) || !is_utf8(topic)) return std::nullopt;
  std::string frame(topic);
  if (!frame.empty() && !frame.ends_with('/')) frame += '/';
  if (frame.size() > wire::kMaxTopicBytes) return std::nullopt;
  return frame;
}

std::string data_endpoint_beside(const std::string& side) {
  if (!side.starts_with("tcp://")) return side + ".data";
  return side.substr(0, side.rfind(':')) + ":*";
}

std::string reachable(const std::string& data, const std::string& side) {
  for (const std::string_view wildcard : {"tcp://0.0.0.0:", "tcp://*:", "tcp://[::]:"}) {
    if (data.starts_with(wildcard) && side.starts_with("tcp://")) {
      return side.substr(0, side.rfind(':') + 1) + data.substr(wildcard.size());
    }
  }
  return data;
}

}  // namespace weft::blocks
