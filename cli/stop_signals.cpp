// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/stop_signals.hpp"

#include <ctime>

namespace pcivm::cli {

namespace {

sigset_t stopping() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set, signal);
  return set;
}

}  // namespace

StopSignals::StopSignals() {
  const auto set = stopping();
  ::sigprocmask(SIG_BLOCK, &set, &former_);
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &pipe_);
}

StopSignals::~StopSignals() {
  (void)arrived();  // one that came is not to end the process now: its exit code tells of it
  ::sigaction(SIGPIPE, &pipe_, nullptr);
  ::sigprocmask(SIG_SETMASK, &former_, nullptr);
}

std::optional<int> StopSignals::arrived() {
  const auto set = stopping();
  const timespec now{};
  const int signal = ::sigtimedwait(&set, nullptr, &now);
  if (signal > 0 && !arrived_) arrived_ = signal;
  return arrived_;
}

}  // namespace pcivm::cli
