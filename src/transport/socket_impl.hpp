// Socket::Impl: shared by Socket and Loop.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <zmq.hpp>

#include <weft/transport/socket.hpp>

#include "connection_story.hpp"
#include "context_impl.hpp"
#include "ipc_listener.hpp"
#include "poller.hpp"

namespace weft::transport {

struct Socket::Impl {
  /// Not `counted`: it belongs to another socket, and what bounds those bounds it as well.
  Impl(Context::Impl& context, SocketType type, const SocketOptions& options, bool counted);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void apply(const SocketOptions& options);
  void start_monitor();
  void stop_monitor();
  void check_thread();
  /// ZMQ_EVENTS; -1 when the context has been shut down.
  int events();
  /// ZMQ_FD.
  int descriptor();
  /// Each call on the socket may eat the news that its descriptor announces: its loop must ask it again.
  void news_eaten() {
    if (poller != nullptr) poller->touch(*entry);
  }
  /// For sending and receiving.
  void touched() {
    check_thread();
    news_eaten();
  }

  Context::Impl& context;
  SocketType type;
  bool counted;  // in Context::Impl::open_sockets
  zmq::socket_t socket;
  std::shared_ptr<Monitored> monitored;  // null until a bind on tcp or ipc
  bool strangers = false;                // who connects is one, until its owner knows it
  std::function<void()> on_accept_news;
  std::unique_ptr<Socket> news;  // connected to a monitor of what connect() does
  ConnectionStory story;
  bool by_ipv6 = false;  // the last connect()
  std::vector<std::unique_ptr<IpcListener>> listeners;
  std::function<void()> on_close;  // set, as the next two, by the Loop that watches the socket
  Poller* poller = nullptr;
  Poller::Entry* entry = nullptr;
  std::thread::id owner;  // debug builds: who sends and receives
};

}  // namespace weft::transport
