// What the ends of all benchmarks share, whatever library they measure: the command line of one end, the
// payload that is written and read, and the figures. Only the standard library: the plain programs are users'
// programs.
//
//   PROGRAM ROLE key=value...                       one end; see Work for the keys
//   PROGRAM BOUND+CONNECTED key=value... peers=N    one process: the bound role and N connected ones, a
//   thread each
//
// A bound end prints where it is, on a line. Each end prints its figures at its end, one JSON object on a
// line.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

namespace bench {

using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(30);  // with a silent other end
constexpr std::size_t kLarge = 64 * 1024;             // from here on a payload is sent without a copy

/// What one end shall do.
struct Work {
  std::string endpoint;             ///< bound: where to bind; connected: what the bound end printed
  std::string transport = "tcp";    ///< what the endpoint is for: tcp, ipc, inproc or shm
  std::uint64_t size = 100;         ///< bytes a record
  std::uint64_t count = 0;          ///< records (of each connected end)
  std::uint64_t peers = 1;          ///< connected ends
  std::uint64_t index = 0;          ///< of this connected end, from 0
  std::uint64_t clients = 1;        ///< askers in the connected end
  std::uint64_t window = 1;         ///< requests outstanding, of all clients together
  std::uint64_t keys = 1;           ///< of a request to a parameter server
  std::uint64_t rate = 0;           ///< requests a second; 0: no pace
  std::uint64_t high_water = 1000;  ///< libzmq only
  std::uint64_t commit = 0;         ///< records a commit; 0: as it comes
  std::string delivery = "best-effort";
  std::string journal_from;  ///< directory; empty: none
  std::string journal_to;
};

/// What one end has seen.
struct Figures {
  double seconds = 0;         ///< from the first record to the last one at the end that counts them
  double settled = 0;         ///< from the first send until everything was processed
  std::uint64_t written = 0;  ///< checksum of what was sent
  std::uint64_t read = 0;     ///< checksum of what has arrived
  double p50 = 0;             ///< microseconds
  double p99 = 0;
  double memory = 0;  ///< bytes a client, at the answering end
};

/// Told by a bound end, once.
using Say = std::function<void(const std::string& endpoint)>;
using Role = std::function<Figures(const Work& work, const Say& say)>;
using Roles = std::map<std::string, Role>;

inline void require(bool holds, const char* sentence) {
  if (!holds) throw std::runtime_error(sentence);
}

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// ---- the payload: word k of record i is i + k, so that its sum is known without reading it ----

/// Writes record `number`; returns its checksum.
inline std::uint64_t fill(void* data, std::size_t size, std::uint64_t number) {
  auto* bytes = static_cast<unsigned char*>(data);
  const std::uint64_t words = size / 8;
  for (std::uint64_t k = 0; k < words; ++k) {
    const std::uint64_t word = number + k;
    std::memcpy(bytes + 8 * k, &word, 8);
  }
  const std::size_t rest = size % 8;
  std::memset(bytes + 8 * words, static_cast<int>(number & 0xff), rest);
  return words * number + words * (words - 1) / 2 + rest * (number & 0xff);
}

/// Looks at every byte: a rate of handles is not a rate of records.
inline std::uint64_t sum(const void* data, std::size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  std::uint64_t total = 0;
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes + i, 8);
    total += word;
  }
  for (; i < size; ++i) total += bytes[i];
  return total;
}

constexpr std::size_t kBlob = 64;

/// Sets the fields of an order, which is a struct of six numbers and 64 bytes; returns its checksum.
template <class Order>
std::uint64_t fill_order(Order& order, std::uint64_t number) {
  order.id = number;
  order.account = static_cast<std::int64_t>(number * 7);
  order.quantity = static_cast<std::uint32_t>(number & 0xffff);
  order.side = number % 2 == 0 ? 1 : -1;
  order.price = static_cast<double>(number % 100'000);
  order.time = number + 1'000'000;
  return number + number * 7 + (number & 0xffff) + (number % 2 == 0 ? 1 : 0) + number % 100'000 + number +
         1'000'000 + fill(order.blob.data(), kBlob, number);
}

template <class Order>
std::uint64_t sum_order(const Order& order) {
  return order.id + static_cast<std::uint64_t>(order.account) + order.quantity + (order.side > 0 ? 1 : 0) +
         static_cast<std::uint64_t>(order.price) + order.time + sum(order.blob.data(), kBlob);
}

/// Large payloads that come back when they are out. Any thread; outlives what it gave.
class BufferPool {
 public:
  explicit BufferPool(std::size_t size) : size_(size) {}
  unsigned char* take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      all_.push_back(std::make_unique<unsigned char[]>(size_));
      return all_.back().get();
    }
    unsigned char* buffer = free_.back();
    free_.pop_back();
    return buffer;
  }
  void give(unsigned char* buffer) {
    const std::lock_guard lock(mutex_);
    free_.push_back(buffer);
  }

 private:
  std::size_t size_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<unsigned char[]>> all_;
  std::vector<unsigned char*> free_;
};

inline double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  statm >> pages >> pages;
  return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

/// Round trips in microseconds; sorts them.
void set_percentiles(Figures& figures, std::vector<double>& micros);

/// The main function of a program of ends. Returns the exit code.
int run_roles(int argc, char** argv, const Roles& roles);

}  // namespace bench
