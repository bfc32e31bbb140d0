// SPDX-License-Identifier: GPL-2.0-or-later
// What all commands that change the host have in common: the lock, the repair of what a crash left behind, --dry-run,
// --yes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "cli/context.hpp"
#include "sriov/vf_port.hpp"
#include "vfio/binding.hpp"
#include "vfio/binding_host.hpp"
#include "vfio/host_lock.hpp"

namespace pcivm::cli {

/// The host with --timeout as deadline of the lock and of each kernel call; notes go to stderr.
[[nodiscard]] vfio::Host host_of(Context& context);

/// The way to VF attributes; null on another root than the live host, which has no network to ask.
[[nodiscard]] std::unique_ptr<sriov::VfPort> vf_port(Context& context);

/// Takes the host lock and repairs unfinished changes, telling what it did. Errc::denied without root's privileges,
/// Errc::busy when the lock stays taken.
[[nodiscard]] Result<vfio::HostLock> begin_change(Context& context, const vfio::Host& host);

/// Asks on the terminal unless --yes was given. Errc::invalid when there is no terminal to ask on, Errc::refused when
/// the answer is no.
[[nodiscard]] Result<void> confirm(const Context& context, const std::string& question);

/// The answer to --dry-run.
[[nodiscard]] Result<int> print_steps(Context& context, const std::vector<std::string>& steps);

/// The driver as messages call it: "igbvf", "no driver".
[[nodiscard]] std::string driver_text(const std::string& driver);

}  // namespace pcivm::cli
