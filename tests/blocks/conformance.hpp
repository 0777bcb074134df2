// The contract of the blocks is written once and runs over every transport: see WEFT_CONFORMS.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/core/error.hpp>
#include <weft/transport/loop.hpp>
#include <weft/transport/socket.hpp>
#include <weft/wire/header.hpp>
#include <weft/wire/pack.hpp>

namespace weft::conformance {

using namespace std::chrono_literals;

/// Long enough for a loaded machine: only a failing test ever waits for it.
inline Deadline soon() {
  return Deadline::after(20s);
}

inline const std::string kHundred(100, 'r');

/// Collects the text of each record.
struct Collector {
  std::vector<std::string> texts;
  explicit Collector(Pull<>& pull) {
    pull.on_record([this](const RawRecord& r, const Meta&) { texts.emplace_back(r.text()); });
  }
};

/// Counts records and lets go of them.
inline std::shared_ptr<std::uint64_t> count(Pull<>& pull) {
  auto n = std::make_shared<std::uint64_t>(0);
  pull.on_record([n](const RawRecord&, const Meta&) { ++*n; });
  return n;
}

/// How many messages the block has rejected for this reason.
inline std::uint64_t rejected(const Block& block, wire::Rejection why) {
  return block.stats().rejections[static_cast<std::size_t>(why)];
}

/// A place to bind that is this test's own; what it left on disk goes with it.
class Place {
 public:
  enum class Kind { inproc, ipc, tcp };
  explicit Place(Kind kind) : kind_(kind) {
    static std::atomic<int> count{0};
    const std::string name = "weft-conf-" + std::to_string(getpid()) + "-" + std::to_string(count++);
    if (kind == Kind::inproc) endpoint_ = "inproc://" + name;
    if (kind == Kind::tcp) endpoint_ = "tcp://127.0.0.1:*";
    if (kind != Kind::ipc) return;
    folder_ = std::filesystem::temp_directory_path() / name;
    std::filesystem::create_directory(folder_);
    endpoint_ = "ipc://" + (folder_ / "a").string();
  }
  ~Place() {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  [[nodiscard]] std::vector<std::string> endpoints() const { return {endpoint_}; }
  [[nodiscard]] Kind kind() const { return kind_; }

 private:
  Kind kind_;
  std::string endpoint_;
  std::filesystem::path folder_;
};

struct Inproc {
  static constexpr auto kKind = Place::Kind::inproc;
};
struct Ipc {
  static constexpr auto kKind = Place::Kind::ipc;
};
struct Tcp {
  static constexpr auto kKind = Place::Kind::tcp;
};

/// A sentence of the contract, run over inproc, ipc and tcp; the body sees `const Place& place`.
#define WEFT_CONFORMS(sentence) WEFT_CONFORMS_AS(sentence, DOCTEST_ANONYMOUS(weft_conforms_))
#define WEFT_CONFORMS_AS(sentence, function)                                                 \
  static void function(const weft::conformance::Place& place);                               \
  TEST_CASE_TEMPLATE(sentence, Transport, weft::conformance::Inproc, weft::conformance::Ipc, \
                     weft::conformance::Tcp) {                                               \
    const weft::conformance::Place here(Transport::kKind);                                   \
    function(here);                                                                          \
  }                                                                                          \
  static void function([[maybe_unused]] const weft::conformance::Place& place)

/// Runs the loop, asking again every few milliseconds, until `done` or the deadline.
inline bool eventually(Loop& loop, const std::function<bool()>& done) {
  const auto tick = loop.every(2ms, [] {});
  const bool good = loop.run_until(done, soon());
  loop.cancel(tick);
  return good;
}

/// Makes a block at an endpoint that another one has just left: ZeroMQ gives it back in the background.
template <class B>
std::unique_ptr<B> take_over(Loop& loop, const PortOptions& options) {
  std::unique_ptr<B> block;
  REQUIRE(eventually(loop, [&] {
    try {
      block = std::make_unique<B>(loop, options);
    } catch (const Error& error) {
      if (error.code() != Errc::address_in_use) throw;
    }
    return block != nullptr;
  }));
  return block;
}

/// Remembers the events of a block's peers.
class Events {
 public:
  explicit Events(Block& block) {
    block.on_peer([this](const PeerEvent& e) { all_.push_back(e); });
  }
  [[nodiscard]] std::size_t count(PeerEvent::What what) const {
    std::size_t n = 0;
    for (const auto& e : all_) n += e.what == what ? 1U : 0U;
    return n;
  }
  [[nodiscard]] std::string text(PeerEvent::What what) const {
    for (const auto& e : all_) {
      if (e.what == what) return e.text;
    }
    return {};
  }
  [[nodiscard]] std::string node(PeerEvent::What what) const {
    for (const auto& e : all_) {
      if (e.what == what) return e.node;
    }
    return {};
  }
  [[nodiscard]] bool for_good(PeerEvent::What what) const {
    for (const auto& e : all_) {
      if (e.what == what) return e.for_good;
    }
    return false;
  }
  [[nodiscard]] std::uint64_t lost(PeerEvent::What what) const {
    for (const auto& e : all_) {
      if (e.what == what) return e.lost_records;
    }
    return 0;
  }
  [[nodiscard]] std::optional<wire::Code> code(PeerEvent::What what) const {
    for (const auto& e : all_) {
      if (e.what == what) return e.code;
    }
    return std::nullopt;
  }

 private:
  std::vector<PeerEvent> all_;
};

inline bool contains(std::string_view whole, std::string_view part) {
  return whole.find(part) != std::string_view::npos;
}

/// A peer that is not Weft: a plain DEALER that says what it is told to.
class Stranger {
 public:
  Stranger(Loop& loop, const std::string& endpoint, std::string node, std::string port = "x")
      : loop_(loop),
        node_(std::move(node)),
        port_(std::move(port)),
        stream_("local/" + node_ + "." + port_),
        socket_(loop.context(), transport::SocketType::dealer, {.linger = 100ms}) {
    socket_.connect(endpoint);
  }

  std::uint64_t epoch = 1000;

  using Fill = std::function<void(wire::Options&)>;
  void send(wire::Kind kind, std::uint64_t seq, const Fill& fill = {},
            const std::vector<Bytes>& frames = {}) {
    wire::Header header{.kind = kind, .stream = stream_, .epoch = epoch, .seq = seq, .options = {}};
    if (fill) fill(header.options);
    wire::Buffer head = wire::BufferPool::make()->take(1024);
    REQUIRE(wire::encode(header, head));
    std::vector<transport::Frame> out;
    out.emplace_back(head.view());
    for (const Bytes bytes : frames) out.emplace_back(bytes);
    (void)socket_.send(out);
  }
  void raw(const std::vector<std::string>& frames) {
    std::vector<transport::Frame> out;
    for (const auto& frame : frames) out.emplace_back(as_bytes(frame));
    (void)socket_.send(out);
  }
  void hello(std::string_view block, std::uint64_t credit = 1 << 20, const Fill& more = {}) {
    send(wire::Kind::hello, 0, [&](wire::Options& o) {
      o.node_v = node_;
      o.mark(wire::Options::node);
      o.port_v = port_;
      o.mark(wire::Options::port);
      o.block_v = block;
      o.mark(wire::Options::block);
      o.credit_bytes = credit;
      o.credit_batches = credit == 0 ? 0 : 1000;
      o.mark(wire::Options::credit);
      o.first_retained_v = 1;
      o.mark(wire::Options::first_retained);
      if (more) more(o);
    });
  }
  /// As hello(), from a port that promises `delivery`.
  void hello(std::string_view block, Delivery delivery) {
    hello(block, 1 << 20, [delivery](wire::Options& o) {
      o.delivery_v = static_cast<std::uint8_t>(delivery);
      o.mark(wire::Options::delivery);
    });
  }
  /// One batch of `count` records that are each the msgpack string "x".
  void data(std::uint64_t seq, std::uint64_t count = 1, wire::Kind kind = wire::Kind::data) {
    std::string body;
    for (std::uint64_t i = 0; i < count; ++i) body += "\xA1x";
    send(kind, seq,
         [&](wire::Options& o) {
           o.count_v = count;
           o.mark(wire::Options::count);
         },
         {as_bytes(body)});
  }
  /// The next message of that kind; what comes before it is dropped. `header()` shows it.
  bool wait(wire::Kind kind) {
    return eventually(loop_, [&] { return next(kind); });
  }
  /// Without waiting; of any kind when none is given.
  bool next(std::optional<wire::Kind> kind = std::nullopt) {
    while (socket_.receive(message_)) {
      if (message_.size() < 1 || wire::decode(message_[0].view(), header_) != wire::Rejection::none) continue;
      if (!kind || header_.kind == *kind) return true;
    }
    return false;
  }
  [[nodiscard]] const wire::Header& header() const { return header_; }
  [[nodiscard]] transport::Message& message() { return message_; }
  void close() { socket_.close(); }

 private:
  Loop& loop_;
  std::string node_;
  std::string port_;
  std::string stream_;
  transport::Socket socket_;
  transport::Message message_;
  wire::Header header_;
};

/// A plain TCP connection that sends bytes and does not speak ZMTP; -1 when it cannot connect.
inline int plain_tcp(const std::string& endpoint) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1))));
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

}  // namespace weft::conformance

TYPE_TO_STRING(weft::conformance::Inproc);
TYPE_TO_STRING(weft::conformance::Ipc);
TYPE_TO_STRING(weft::conformance::Tcp);
