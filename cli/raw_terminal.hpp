// SPDX-License-Identifier: GPL-2.0-or-later
// The operator's terminal, handed to a guest: every key passes through.
#pragma once

#include <termios.h>

#include <optional>

#include "base/fd.hpp"

namespace pcivm::cli {

/// Restores the former mode when destroyed. Holds nothing when `fd` is no terminal or another job has it.
class RawTerminal final {
 public:
  explicit RawTerminal(FdRef fd);
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();
  [[nodiscard]] explicit operator bool() const { return former_.has_value(); }

 private:
  int fd_;
  std::optional<termios> former_;
};

/// False when reading `fd` would stop this process: a terminal that belongs to another job.
[[nodiscard]] bool may_read(FdRef fd);

}  // namespace pcivm::cli
