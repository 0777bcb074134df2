#include "connection_count.hpp"

namespace weft::transport {

void ConnectionCount::on_accepted(int fd) {
  on_disconnected(fd);  // the descriptor is new, so an entry that it still has is a connection that is gone
  accepted_.add();
  unsettled_.insert(fd);
}

void ConnectionCount::on_handshake() {
  if (unsettled_.empty()) return;  // of a connection that this socket opened itself
  ++successes_;
  settle();
}

void ConnectionCount::on_disconnected(int fd, bool ended) {
  const bool unsettled = unsettled_.erase(fd) != 0;
  if (unsettled || ended) rejected_.add();
  if (!unsettled) return;  // had been good
  settle();
}

void ConnectionCount::settle() {
  if (successes_ < unsettled_.size()) return;
  unsettled_.clear();
  successes_ = 0;
}

}  // namespace weft::transport
