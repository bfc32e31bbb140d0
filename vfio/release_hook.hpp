// SPDX-License-Identifier: GPL-2.0-or-later
// What the operator wants done with a function between two users (`--on-release PROGRAM`): no reset erases the data of
// the last one. The program is part of the function's record, so that a crash cannot leave it out: until it has
// succeeded the function goes nowhere.
#pragma once

#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "vfio/binding_host.hpp"

namespace pcivm::vfio {

/// Name of the check for --force.
inline constexpr std::string_view kForceOnRelease{"on-release"};

/// An absolute path of a program that may be executed. Errc::invalid or not_found.
[[nodiscard]] Result<void> check_release_hook(const SysRoot& root, const std::string& program);

/// Runs the program of the function's record, with the address as its argument and standard error as its output, and
/// strikes it from the record when it exits with 0. Success when there is none, Errc::busy while somebody has the
/// function open. A program that fails, or takes more than an hour, is Errc::refused ("device.on_release"): the function
/// stays on its VFIO driver and goes into quarantine. Without the host lock, single-threaded: it forks.
[[nodiscard]] Result<void> run_release_hook(const Host& host, Bdf function);

/// Errc::refused ("device.on_release") while a program of the record is yet to run, unless forced.
[[nodiscard]] Result<void> refuse_before_hook(const Host& host, Bdf function, const std::vector<std::string>& force);

}  // namespace pcivm::vfio
