// Control: commands as lines of JSON, from standard input or a socket, and their answers.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "proxy.hpp"

namespace weft::fault_proxy {

/// Does what a line says and returns the answer, {"ok": true, ...} or {"ok": false, "error": sentence}.
/// `stop` is set by {"do": "stop"}. Any bytes are taken.
Value obey(Proxy& proxy, const std::string& line, bool& stop);

/// Reads lines from standard input and from whoever connects to a socket of the file system. Of the proxy's
/// thread.
class Control {
 public:
  /// `path` "": no socket. Throws Error{io, bad_endpoint}.
  Control(Proxy& proxy, bool standard_input, const std::string& path);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  [[nodiscard]] bool stopped() const { return stop_; }
  /// Standard input has ended.
  [[nodiscard]] bool at_end() const { return at_end_; }

 private:
  void open_socket();
  void accept();
  void add(int in, int out);
  void read(int in);

  struct Peer {
    int out;
    std::string partial;
  };
  Proxy& proxy_;
  std::string path_;
  int listener_ = -1;
  std::map<int, Peer> peers_;
  bool stop_ = false;
  bool at_end_ = false;
};

}  // namespace weft::fault_proxy
