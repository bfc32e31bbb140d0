// SPDX-License-Identifier: GPL-2.0-or-later
// Programs of the host that pcivm runs.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm::cli {

struct ProgramEnd {
  int code{};
  std::string text{};  ///< what it said on both outputs, its lines joined by ';'
};

/// The program that PATH has by the name words.front(), to its end. `kept` stays open in it, by the same number.
/// Errc::not_found: it cannot be started; timeout: it was sent SIGKILL after `deadline`. Single-threaded.
[[nodiscard]] Result<ProgramEnd> run_program(std::vector<std::string> words, std::chrono::milliseconds deadline,
                                             FdRef kept = FdRef{-1});

}  // namespace pcivm::cli
