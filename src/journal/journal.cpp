// The thread around a store: it flushes what waits, and tells who wants to know.
#include <weft/journal/journal.hpp>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <condition_variable>
#include <csignal>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include <pthread.h>

#include <weft/core/format.hpp>
#include <weft/journal/store.hpp>

namespace weft {
namespace {

// How often a full disk is tried again when nobody submits.
constexpr auto kRetry = std::chrono::milliseconds(100);
constexpr const char* kSpoiled =
    "a port was closed amid a transaction that other ports of this journal take part in, so none of it can "
    "be "
    "committed; restart to do it again, and close such ports together or between records";
constexpr std::size_t kFirstRoom = 4096;
constexpr std::size_t kMostRoom = 1 << 20;

}  // namespace

struct Journal::Impl {
  explicit Impl(const JournalOptions& options) : log(options.log), store(options) {
    // Signals are for the owner's threads: one that this thread took would end the process in the midst of a
    // drain.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    work.notify_one();
    thread.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void wake_writer() {
    {
      const std::lock_guard lock(mutex);
      asked = true;
    }
    work.notify_one();
  }

  CommitStatus hand_over() {
    if (spoiled) return CommitStatus::failed;
    const std::size_t size = open.bytes();
    const bool had_changes = !open.empty();
    const CommitStatus status = store.submit(open);
    if (status == CommitStatus::ok && had_changes) prepare_next(size);
    // Also when it was refused: reclaiming may have been begun, or a full disk may have room again.
    if (had_changes) wake_writer();
    return status;
  }

  struct Port {
    std::function<void()> prepare, forget;
  };

  // By id: callbacks may come and go.
  void for_each_port(std::function<void()> Port::*call) {
    for (auto at = ports.begin(); at != ports.end();) {
      const std::size_t id = at->first;
      const std::function<void()> copy = at->second.*call;
      if (copy) copy();
      at = ports.upper_bound(id);
    }
  }

  // The next changes are likely as large as these, and the block of some earlier ones is warm.
  void prepare_next(std::size_t size) { open.encoded_ = pool->take(std::clamp(size, kFirstRoom, kMostRoom)); }

  void run();
  void spoil();
  void tell();
  void warn_full(journal::Store::Flush flush);

  Logger log;
  journal::Store store;

  // The owner's.
  JournalTxn open;
  std::shared_ptr<wire::BufferPool> pool = wire::BufferPool::make();
  unsigned holds = 0;
  unsigned entered = 0;
  bool shared = false;                // somebody has left the transaction that others are in
  std::atomic<bool> spoiled = false;  // somebody else has abandoned it
  std::map<std::size_t, Port> ports;
  std::size_t next_id = 1;

  std::mutex mutex;
  std::condition_variable work;     // for the writer
  std::condition_variable changed;  // for wait_durable
  bool asked = false;               // guarded by mutex
  bool stopping = false;            // guarded by mutex

  // Held while a wake runs, so that unsubscribe() returns behind it.
  std::mutex wakes_mutex;
  std::map<std::size_t, std::function<void()>> wakes;  // guarded by wakes_mutex
  std::size_t next_wake = 1;                           // guarded by wakes_mutex

  std::thread thread;
  bool warned_full = false;  // the thread's
};

void Journal::Impl::run() {
  bool no_space = false;
  bool failed = false;
  for (;;) {
    bool in_time = true;  // asked to, not by itself
    {
      std::unique_lock lock(mutex);
      const auto wanted = [this] { return asked || stopping; };
      if (no_space) {
        in_time = work.wait_for(lock, kRetry, wanted);
      } else {
        work.wait(lock, wanted);
      }
      if (!asked && stopping) return;
      asked = false;
    }
    const std::uint64_t before = store.durable();
    const journal::Store::Flush flush = store.flush();
    // Also what was refused is tried again: others may have made room on the disk.
    no_space = store.no_space();
    if (no_space && !in_time) warn_full(flush);
    if (flush == journal::Store::Flush::failed) {
      if (!std::exchange(failed, true)) {
        log.error("journal " + store.failure().value_or(store.path()));
        tell();
      }
    } else if (flush == journal::Store::Flush::done || store.durable() != before || (no_space && !in_time)) {
      tell();
    }
  }
}

// Once: on a small disk it comes and goes with the receivers.
void Journal::Impl::warn_full(journal::Store::Flush flush) {
  if (std::exchange(warned_full, true)) return;
  log.warn(
      flush == journal::Store::Flush::no_space
          ? format("journal {}: the disk is full; what was submitted waits for room", store.path())
          : format("journal {}: there is no room for more; what is to be sent waits until receivers have "
                   "caught up, or the disk has room again",
                   store.path()));
}

// What others have added to the transaction can be neither told apart nor committed: as after a failed disk
// nothing more is taken, so that all of it is done again by the next life of the process.
void Journal::Impl::spoil() {
  if (spoiled.exchange(true)) return;
  log.error(format("journal {}: {}", store.path(), kSpoiled));
  tell();
}

void Journal::Impl::tell() {
  {
    const std::lock_guard lock(mutex);  // a waiter is either before its check or in its wait
  }
  changed.notify_all();
  const std::lock_guard lock(wakes_mutex);
  for (const auto& [id, wake] : wakes) wake();
}

Journal::Journal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Journal::~Journal() = default;

std::shared_ptr<Journal> Journal::open(const JournalOptions& options) {
  return std::shared_ptr<Journal>(new Journal(std::make_unique<Impl>(options)));
}

const std::string& Journal::path() const {
  return impl_->store.path();
}

const std::vector<JournalDamage>& Journal::damage() const {
  return impl_->store.damage();
}

JournalTxn& Journal::change() {
  return impl_->open;
}

CommitStatus Journal::submit() {
  if (impl_->holds != 0) return CommitStatus::ok;
  return impl_->hand_over();
}

std::uint64_t Journal::next() const {
  return impl_->store.next();
}

std::uint64_t Journal::submitted() const {
  return impl_->store.submitted();
}

std::uint64_t Journal::durable() const {
  return impl_->store.durable();
}

void Journal::hold() {
  ++impl_->holds;
}

CommitStatus Journal::release() {
  assert(impl_->holds != 0);
  if (impl_->holds == 1) {
    // Still under the hold: what a callback submits joins the same commit.
    try {
      impl_->for_each_port(&Impl::Port::prepare);
    } catch (...) {  // what is open goes with the next commit; the hold is over
      impl_->holds = 0;
      throw;
    }
  }
  if (--impl_->holds != 0) return CommitStatus::ok;
  return impl_->hand_over();
}

void Journal::enter() {
  if (impl_->entered == 0) {
    impl_->shared = false;
    hold();
    (void)release();  // refused: it stays open, and the last leave() tries again
  }
  ++impl_->entered;
}

CommitStatus Journal::leave() {
  assert(impl_->entered != 0);
  if (--impl_->entered != 0) {
    impl_->shared = true;
    return CommitStatus::ok;
  }
  hold();
  return release();
}

void Journal::abandon() {
  assert(impl_->entered != 0);
  if (impl_->entered > 1 || impl_->shared) return impl_->spoil();
  impl_->for_each_port(&Impl::Port::forget);
  impl_->entered = 0;
}

bool Journal::entered() const {
  return impl_->entered != 0;
}

bool Journal::held() const {
  return impl_->holds != 0;
}

std::size_t Journal::before_commit(std::function<void()> prepare, std::function<void()> forget) {
  const std::size_t id = impl_->next_id++;
  impl_->ports.emplace(id, Impl::Port{std::move(prepare), std::move(forget)});
  return id;
}

void Journal::remove_before_commit(std::size_t id) {
  impl_->ports.erase(id);
}

std::size_t Journal::subscribe(std::function<void()> wake) {
  const std::lock_guard lock(impl_->wakes_mutex);
  const std::size_t id = impl_->next_wake++;
  impl_->wakes.emplace(id, std::move(wake));
  return id;
}

void Journal::unsubscribe(std::size_t id) {
  const std::lock_guard lock(impl_->wakes_mutex);
  impl_->wakes.erase(id);
}

bool Journal::no_space() const {
  return impl_->store.no_space();
}

std::optional<std::string> Journal::failure() const {
  if (impl_->spoiled) return kSpoiled;
  return impl_->store.failure();
}

bool Journal::wait_durable(std::uint64_t number, Deadline deadline) {
  std::unique_lock lock(impl_->mutex);
  const auto over = [&] { return durable() >= number || failure().has_value(); };
  if (deadline.point() == TimePoint::max()) {
    impl_->changed.wait(lock, over);
  } else {
    impl_->changed.wait_until(lock, deadline.point(), over);
  }
  return durable() >= number;
}

void Journal::for_each(std::string_view space,
                       const std::function<void(Bytes key, Bytes value)>& visit) const {
  for_each_from(space, {}, [&visit](Bytes key, Bytes value) {
    visit(key, value);
    return true;
  });
}

void Journal::for_each_from(std::string_view space, Bytes from,
                            const std::function<bool(Bytes key, Bytes value)>& visit) const {
  impl_->store.for_each_from(space, from, visit);
}

std::optional<std::vector<std::byte>> Journal::read(std::string_view space, Bytes key) const {
  return impl_->store.read(space, key);
}

std::vector<std::string> Journal::spaces() const {
  return impl_->store.spaces();
}

std::uint64_t Journal::count(std::string_view space) const {
  return impl_->store.count(space);
}

JournalStats Journal::stats() const {
  return impl_->store.stats();
}

}  // namespace weft
