// BrokenNetwork: a weft-fault-proxy before every address of the links that weft chaos breaks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <weft/sim/ledger.hpp>
#include <weft/topology/plan.hpp>

namespace weft::cli {

/// Of the main thread. Its proxies end with it, and with this process whatever becomes of it.
class BrokenNetwork {
 public:
  /// `faults` as weft-fault-proxy takes them, "reset=2%"; none: does nothing. The links that begin or end at
  /// a port of `ports` ("source.out"; none: all but pub-sub) are made to use TCP. Throws
  /// Error{invalid_argument, not_found, io}.
  BrokenNetwork(topology::Plan& plan, const std::vector<std::string>& faults,
                const std::vector<std::string>& ports, std::uint64_t seed);
  ~BrokenNetwork();
  BrokenNetwork(const BrokenNetwork&) = delete;
  BrokenNetwork& operator=(const BrokenNetwork&) = delete;

  /// Where peers find what is bound at `endpoint`: a proxy before it, which is started when it is new. Throws
  /// Error{io}.
  std::string address(const std::string& link, const std::string& endpoint);
  /// True: a proxy is this child of the present process.
  [[nodiscard]] bool owns(pid_t child) const;
  /// From now on nothing is broken any more.
  void heal();
  /// Ends the proxies, and counts what they did.
  void fill(sim::Ledger& ledger);

 private:
  class Proxy;
  [[nodiscard]] std::vector<std::string> command(const std::string& target) const;

  std::string program_;
  std::vector<std::string> faults_;  // "--reset", "2%", ...
  std::uint64_t seed_;
  std::set<std::string> links_;                            // ids
  std::map<std::string, std::unique_ptr<Proxy>> proxies_;  // by what they stand before
};

}  // namespace weft::cli
