// SPDX-License-Identifier: GPL-2.0-or-later
// The parent of a VM: starts the VMM in a child of its own, passes signals on as requests, waits however it ends.
#pragma once

#include <csignal>

#include <chrono>
#include <functional>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/machine.hpp"

namespace pcivm::cli {

/// SIGTERM, SIGINT and SIGHUP wait, for supervise() to read them, as long as this lives.
class BlockedStopSignals final {
 public:
  BlockedStopSignals();
  BlockedStopSignals(const BlockedStopSignals&) = delete;
  BlockedStopSignals& operator=(const BlockedStopSignals&) = delete;
  ~BlockedStopSignals();

 private:
  sigset_t former_{};
};

struct Supervision {
  /// Runs in the child with its end of a socket: on it come the bytes of vmm::ControlByte, and go lines of text.
  std::function<Result<vmm::VmEnd>(Fd control)> child;
  /// Closes the parent's copies of what the child now owns.
  std::function<void()> after_fork;
  /// How long the guest may take to power off after the first SIGTERM, SIGINT or SIGHUP.
  std::chrono::milliseconds patience{60'000};
  std::function<void(std::string_view)> note;
  /// A line that the child said.
  std::function<void(std::string_view)> heard{[](std::string_view) {}};
};

/// Call it while single-threaded, with BlockedStopSignals. First signal: the power button; second signal, or patience
/// over: the VM is killed. Returns the child's result; Errc::timeout when the guest did not power off in time;
/// Errc::internal, naming the signal, when the child died by one. The child is gone when this returns.
[[nodiscard]] Result<vmm::VmEnd> supervise(const Supervision& supervision);

}  // namespace pcivm::cli
