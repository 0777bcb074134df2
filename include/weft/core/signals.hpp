// Which signals ask a process to end.
#pragma once

#include <csignal>

namespace weft {

/// SIGTERM, SIGINT and, unless this process ignores it, SIGHUP. Any thread.
sigset_t stop_signals();

}  // namespace weft
