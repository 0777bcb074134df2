// Topics: how their names become frames, and the reserved ones (docs/reference/wire.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weft::blocks {

/// Every subscriber of a publisher has this one: PING and BYE.
inline constexpr std::string_view kTopicAll{"\0weft/all", 9};
/// Begins the subscription that is a subscriber's own.
inline constexpr std::string_view kTopicSub{"\0weft/sub/", 10};

/// How the own subscriptions of one subscriber begin: `port` of `node`, started with `epoch`. A count
/// follows.
std::string own_topics(std::string_view node, std::string_view port, std::uint64_t epoch);

inline bool is_reserved(std::string_view topic) {
  return !topic.empty() && topic.front() == '\0';
}

/// "orders/eu" becomes "orders/eu/", so that its prefix does not match "orders/europe"; "" stays "". nullopt:
/// longer than a topic may be, not UTF-8, or reserved.
std::optional<std::string> topic_frame(std::string_view topic);
/// The topic as its publisher wrote it.
inline std::string_view topic_name(std::string_view frame) {
  return frame.ends_with('/') ? frame.substr(0, frame.size() - 1) : frame;
}
/// The frame that a stream name "scope/node.port#topic" ends in.
inline std::string_view topic_of_stream(std::string_view stream) {
  const auto hash = stream.find('#');
  return hash == std::string_view::npos ? std::string_view() : stream.substr(hash + 1);
}

/// Where the data of a publisher that is bound at `side` is bound when nothing else was said.
std::string data_endpoint_beside(const std::string& side);
/// `data` as a subscriber must write it who reached the publisher at `side`: wildcard hosts are filled in.
std::string reachable(const std::string& data, const std::string& side);

}  // namespace weft::blocks
