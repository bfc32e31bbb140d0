// SPDX-License-Identifier: GPL-2.0-or-later
// The line "making 7 VFs of 0000:01:00.0 ... 3 s" on a terminal, for what takes longer than half a second.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

namespace pcivm::cli {

/// One line at the cursor, rewritten in place and removed when it is no longer true. Single-threaded; costs a look at
/// the clock per tick() and nothing is written before the first half second.
class Progress final {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Progress(std::FILE* terminal) : terminal_{terminal} {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { stop(); }

  void start(std::string what, Clock::time_point now = Clock::now());
  /// To be called often while it lasts: shows the line, or its next second.
  void tick(Clock::time_point now = Clock::now());
  /// Removes the line until the next tick, for something else to be printed.
  void hide();
  void stop();

 private:
  std::FILE* terminal_;
  std::string what_;  ///< empty = nothing is going on
  Clock::time_point start_;
  bool shown_{false};
  Clock::rep seconds_{};  ///< of the line that is shown
};

}  // namespace pcivm::cli
