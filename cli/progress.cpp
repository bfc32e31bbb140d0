// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/progress.hpp"

#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace pcivm::cli {

namespace {

constexpr std::chrono::milliseconds kSilence{500};
// ECMA-48: EL erases to the end of the line; without DECAWM a terminal that is too narrow cuts instead of wrapping.
constexpr auto* kErase = "\r\033[K";
constexpr std::string_view kLine = "\r\033[K\033[?7l{} ...{}\033[?7h";

}  // namespace

void Progress::start(std::string what, Clock::time_point now) {
  stop();
  what_ = std::move(what);
  start_ = now;
}

void Progress::tick(Clock::time_point now) {
  if (what_.empty() || now - start_ < kSilence) return;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - start_).count();
  if (shown_ && seconds == seconds_) return;
  shown_ = true;
  seconds_ = seconds;
  const auto elapsed = seconds == 0 ? std::string{} : fmt::format(" {} s", seconds);
  std::fputs(fmt::format(kLine, what_, elapsed).c_str(), terminal_);
  std::fflush(terminal_);
}

void Progress::hide() {
  if (!shown_) return;
  shown_ = false;
  std::fputs(kErase, terminal_);
  std::fflush(terminal_);
}

void Progress::stop() {
  hide();
  what_.clear();
}

}  // namespace pcivm::cli
