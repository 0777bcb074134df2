#include "background.hpp"

#include <csignal>
#include <thread>
#include <utility>

namespace weft::worker {

Background::Background(Loop& loop) : state_(std::make_shared<State>()) {
  state_->loop = &loop;
  // Signals are for the loop's thread, which reads them from a descriptor: here one would end the process.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([state = state_] { serve(state); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Background::~Background() {
  const std::lock_guard lock(state_->mutex);
  state_->loop = nullptr;
  state_->changed.notify_all();
}

void Background::run(std::function<void()> work, std::function<void(std::exception_ptr)> done) {
  const std::lock_guard lock(state_->mutex);
  state_->jobs.push_back(std::make_shared<Job>(Job{std::move(work), std::move(done)}));
  state_->changed.notify_all();
}

void Background::serve(const std::shared_ptr<State>& state) {
  for (;;) {
    std::shared_ptr<Job> job;
    {
      std::unique_lock lock(state->mutex);
      state->changed.wait(lock, [&] { return state->loop == nullptr || !state->jobs.empty(); });
      if (state->loop == nullptr) return;
      job = std::move(state->jobs.front());
      state->jobs.pop_front();
    }
    std::exception_ptr failure;
    try {
      job->work();
    } catch (...) {
      failure = std::current_exception();
    }
    finish(state, std::move(job), std::move(failure));
  }
}

void Background::finish(const std::shared_ptr<State>& state, std::shared_ptr<Job> job,
                        std::exception_ptr failure) {
  // Under the lock, so that the loop is still there. The failure goes over whole: were a reference to it left
  // here, this thread could be the one that destroys what the loop's thread has read, and that libstdc++
  // counts references in order is nothing that ThreadSanitizer can see.
  const std::lock_guard lock(state->mutex);
  if (state->loop == nullptr) return;
  state->loop->post([job = std::move(job), failure = std::move(failure), owner = std::weak_ptr(state)] {
    const auto alive = owner.lock();
    if (!alive || alive->loop == nullptr) return;  // set on this very thread
    job->done(failure);
  });
}

}  // namespace weft::worker
