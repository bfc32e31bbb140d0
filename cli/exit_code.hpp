// SPDX-License-Identifier: GPL-2.0-or-later
// Exit codes of the command; the table is part of the interface (docs/cli.md) and never changes inside v1.
#pragma once

#include "base/result.hpp"

namespace pcivm::cli {

inline constexpr int kExitDone = 0;      ///< done, or already so
inline constexpr int kExitInternal = 1;  ///< a bug of ours
inline constexpr int kExitUsage = 2;     ///< usage or configuration error, nothing touched
inline constexpr int kExitDrift = 10;    ///< `plan --detailed-exitcode` has changes
inline constexpr int kExitPipe = 141;    ///< stdout was closed by its reader, as a shell reports SIGPIPE

/// The code of an error that ends the command.
[[nodiscard]] constexpr int exit_code(Errc kind) {
  switch (kind) {
    case Errc::internal: return kExitInternal;
    case Errc::invalid: return kExitUsage;
    case Errc::not_found: return 3;
    case Errc::busy: return 4;
    case Errc::refused: return 5;
    case Errc::denied: return 6;
    case Errc::kernel: return 7;
    case Errc::timeout: return 8;
    case Errc::rolled_back: return 9;
    case Errc::stranded: return 11;
  }
  return kExitInternal;
}

}  // namespace pcivm::cli
