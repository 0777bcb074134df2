// Both ways: one request at a time, a window of them over any number of askers, or at a pace.
#include <algorithm>
#include <memory>

#include <poll.h>
#include <sys/epoll.h>

#include "socket.hpp"

namespace plain {
namespace {

using bench::Clock;

/// A ROUTER drops what is beyond its mark: the window has to fit. Twice, because a pipe learns only after
/// half of its mark that the other side has read.
Work with_room(Work work) {
  work.high_water = std::max(work.high_water, 2 * work.window + 2);
  return work;
}

/// Sends back what it is asked. Every asker asks once before the work begins.
Figures router(Context& context, const Work& work, const Say& say) {
  Socket socket(context, ZMQ_ROUTER, with_room(work));
  socket.bind(work.endpoint, say);
  Figures figures;
  const double before = bench::resident_bytes();
  Message id;
  Message body;
  for (std::uint64_t i = 1; i <= work.count + work.clients; ++i) {
    id.receive(socket);
    body.receive(socket);
    id.send(socket, ZMQ_SNDMORE);
    body.send(socket);
    if (i == work.clients) {
      figures.memory = (bench::resident_bytes() - before) / static_cast<double>(work.clients);
    }
  }
  return figures;
}

class Askers {
 public:
  Askers(Context& context, const Work& work) : work_(work), sender_(context, work) {
    for (std::uint64_t i = 0; i < work.clients; ++i) {
      sockets_.push_back(std::make_unique<Socket>(context, ZMQ_DEALER, with_room(work)));
      sockets_.back()->connect(work.endpoint);
    }
    for (const auto& socket : sockets_) (void)sender_.send(*socket, 0);
    for (const auto& socket : sockets_) reply_.receive(*socket);
  }

  Figures ask_singly() {
    std::vector<double> micros;
    micros.reserve(work_.count);
    for (std::uint64_t i = 0; i < work_.count; ++i) {
      const auto start = Clock::now();
      figures_.written += sender_.send(*sockets_[0], i);
      reply_.receive(*sockets_[0]);
      micros.push_back(bench::seconds_since(start) * 1e6);
      figures_.read += reply_.sum();
    }
    bench::set_percentiles(figures_, micros);
    return figures_;
  }

  Figures ask_windowed() {
    const auto start = Clock::now();
    const std::uint64_t each = std::max<std::uint64_t>(1, work_.window / work_.clients);
    for (std::uint64_t w = 0; w < each; ++w) {
      for (const auto& socket : sockets_) ask(*socket);
    }
    sockets_.size() == 1 ? serve_one() : serve_many();
    figures_.seconds = bench::seconds_since(start);
    return figures_;
  }

  /// At `rate`, in ticks of a millisecond; a round trip begins when its tick was due.
  Figures ask_paced() {
    std::vector<double> micros;
    std::vector<Clock::time_point> due_at;
    micros.reserve(work_.count);
    due_at.reserve(work_.count);
    Socket& socket = *sockets_[0];
    const auto start = Clock::now();
    for (std::uint64_t tick = 0; done_ < work_.count; ++tick) {
      const auto due = start + std::chrono::milliseconds(tick);
      // Replies come in the order of the requests.
      const auto take = [&] {
        while (reply_.try_receive(socket)) {
          const auto trip = Clock::now() - due_at[done_++];
          micros.push_back(std::chrono::duration<double, std::micro>(trip).count());
          figures_.read += reply_.sum();
        }
      };
      for (take(); Clock::now() < due && done_ < work_.count; take()) wait(socket, due - Clock::now());
      const std::uint64_t by_now = std::min(work_.count, (tick + 1) * work_.rate / 1000);
      while (asked_ < by_now) {
        due_at.push_back(due);
        ask(socket);
      }
      bench::require(due - start < std::chrono::minutes(5), "the router fell silent");
    }
    figures_.seconds = bench::seconds_since(start);
    bench::set_percentiles(figures_, micros);
    return figures_;
  }

 private:
  void ask(Socket& socket) {
    if (asked_ < work_.count) figures_.written += sender_.send(socket, asked_++);
  }

  /// All that is there is taken before as much is asked again.
  std::uint64_t take_all(Socket& socket) {
    std::uint64_t taken = 0;
    for (; reply_.try_receive(socket); ++taken) figures_.read += reply_.sum();
    done_ += taken;
    return taken;
  }

  void serve_one() {
    Socket& socket = *sockets_[0];
    while (done_ < work_.count) {
      reply_.receive(socket);
      figures_.read += reply_.sum();
      ++done_;
      for (std::uint64_t more = 1 + take_all(socket); more > 0; --more) ask(socket);
    }
  }

  /// One epoll over the descriptors of all sockets: zmq_poll would walk through all of them for every reply.
  void serve_many() {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (std::size_t i = 0; i < sockets_.size(); ++i) {
      epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = i}};
      epoll_ctl(epoll, EPOLL_CTL_ADD, sockets_[i]->descriptor(), &event);
    }
    std::vector<epoll_event> ready(sockets_.size());
    // What came before the descriptors were watched tells nobody.
    for (const auto& socket : sockets_) serve(*socket);
    while (done_ < work_.count) {
      const int count = epoll_wait(epoll, ready.data(), static_cast<int>(ready.size()), 30'000);
      bench::require(count > 0, "the router fell silent");
      for (int i = 0; i < count; ++i) serve(*sockets_[ready[static_cast<std::size_t>(i)].data.u64]);
    }
    close(epoll);
  }

  /// Until a look finds nothing after the last send: a send may swallow the notice of a reply.
  void serve(Socket& socket) {
    while (std::uint64_t taken = take_all(socket)) {
      for (; taken > 0; --taken) ask(socket);
    }
  }

  static void wait(Socket& socket, Clock::duration span) {
    if (span <= Clock::duration::zero()) return;
    pollfd readable{.fd = socket.descriptor(), .events = POLLIN, .revents = 0};
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(span);
    const timespec time{
        .tv_sec = whole.count(),
        .tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(span - whole).count()};
    (void)ppoll(&readable, 1, &time, nullptr);
  }

  const Work& work_;
  Sender sender_;
  std::vector<std::unique_ptr<Socket>> sockets_;
  Message reply_;
  Figures figures_;
  std::uint64_t asked_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace

void add_requests(Roles& roles, Context& context) {
  roles["router"] = [&](const Work& work, const Say& say) { return router(context, work, say); };
  roles["asker"] = [&](const Work& work, const Say&) {
    Askers askers(context, work);
    return work.rate == 0 ? askers.ask_singly() : askers.ask_paced();
  };
  roles["dealer"] = [&](const Work& work, const Say&) { return Askers(context, work).ask_windowed(); };
}

}  // namespace plain
