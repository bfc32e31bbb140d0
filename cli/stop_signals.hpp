// SPDX-License-Identifier: GPL-2.0-or-later
// Ctrl-C and its like while the host is being changed: nothing is cut short; the change asks when it can stop.
#pragma once

#include <csignal>

#include <optional>

namespace pcivm::cli {

/// SIGINT, SIGTERM and SIGHUP wait, in this process and in children that it forks, and writing to a reader that went
/// away is an error like others, as long as this lives. Call it while single-threaded.
class StopSignals final {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();
  /// The first that came, which stays the answer. 128 + its number is the exit code that a shell would report.
  [[nodiscard]] std::optional<int> arrived();

 private:
  sigset_t former_{};
  struct sigaction pipe_{};
  std::optional<int> arrived_{};
};

}  // namespace pcivm::cli
