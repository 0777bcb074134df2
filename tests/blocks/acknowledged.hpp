// What the tests of acknowledged push-pull share.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/journal/journal.hpp>

#include "../journal/memory_disk.hpp"
#include "conformance.hpp"

namespace weft::conformance {

/// Peers that notice quickly that one is gone. Slow machines may take a living one for dead: `dead` is long
/// where that would spoil the test.
inline PortOptions acknowledged(PortOptions options, Duration dead = 10s) {
  options.delivery = options.delivery == Delivery::best_effort ? Delivery::at_least_once : options.delivery;
  options.heartbeat = 20ms;
  options.dead_after = dead;
  return options;
}

/// Remembers what was processed: the text of each record and how often it had been offered by then.
struct Processed {
  std::vector<std::string> texts;
  std::vector<std::uint32_t> attempts;

  explicit Processed(Pull<>& pull) {
    pull.on_record([this](const RawRecord& r, const Meta& meta) {
      texts.emplace_back(r.text());
      attempts.push_back(meta.attempt);
    });
  }
  Processed(const Processed&) = delete;
  Processed& operator=(const Processed&) = delete;
};

/// How often each text is there.
inline std::map<std::string, int> counted(const std::vector<std::string>& texts) {
  std::map<std::string, int> out;
  for (const auto& text : texts) ++out[text];
  return out;
}

/// "0" to "<count - 1>", in order.
inline std::vector<std::string> numbers(int count, int first = 0) {
  std::vector<std::string> out;
  for (int i = first; i < count; ++i) out.push_back(std::to_string(i));
  return out;
}

inline void send_numbers(Push<>& push, int count, int first = 0) {
  for (int i = first; i < count; ++i) {
    REQUIRE(push.send(as_bytes(std::to_string(i)), soon()) == SendStatus::ok);
  }
}

/// A journal on a disk in memory, which outlives it.
inline std::shared_ptr<Journal> open_journal(const std::shared_ptr<journal::testing::MemoryDisk>& disk) {
  return Journal::open({.path = "/j", .segment_bytes = 1 << 20, .max_bytes = 64 << 20, .disk = disk});
}

/// Remembers the fates of records by their correlation.
struct Fates {
  std::map<std::uint64_t, RecordFate> by_correlation;
  int told = 0;

  explicit Fates(Push<>& push) {
    push.on_outcome([this](std::uint64_t correlation, RecordFate fate) {
      by_correlation[correlation] = fate;
      ++told;
    });
  }
  Fates(const Fates&) = delete;
  Fates& operator=(const Fates&) = delete;
};

/// Remembers dead letters.
struct Letters {
  struct Letter {
    std::string text, reason, receiver;
    std::uint32_t attempts = 0;
    std::uint64_t accepted = 0, died = 0, correlation = 0;
  };
  std::vector<Letter> all;
  SendStatus answer = SendStatus::ok;  ///< anything else: takes none

  explicit Letters(Push<>& push) {
    push.on_dead_letter([this](const DeadLetter& letter) {
      if (answer != SendStatus::ok) return answer;
      all.push_back({std::string(RawRecord(letter.record).text()), std::string(letter.reason),
                     std::string(letter.receiver), letter.attempts, letter.accepted_micros,
                     letter.died_micros, letter.correlation});
      return SendStatus::ok;
    });
  }
  Letters(const Letters&) = delete;
  Letters& operator=(const Letters&) = delete;
};

}  // namespace weft::conformance
