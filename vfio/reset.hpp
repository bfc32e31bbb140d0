// SPDX-License-Identifier: GPL-2.0-or-later
// Resetting a function that nobody uses, through the kernel's reset file, and seeing what became of it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "vfio/binding_host.hpp"
#include "vfio/host_lock.hpp"
#include "vfio/journal_record.hpp"

namespace pcivm::vfio {

/// Value of the journal's field "intent".
inline constexpr std::string_view kIntentReset{"reset"};
/// In `force`: the host's driver may lose its device.
inline constexpr std::string_view kForceDriver{"driver"};

struct ResetRequest {
  Bdf function;
  std::string method{};  ///< of reset_method(5), "flr"; empty: the first that is enabled
  std::vector<std::string> force{};
};

struct ResetOutcome {
  std::string method;
  bool left_quarantine{};
};

/// Resets the function by one method, which is journalled because reset_method is changed meanwhile. Proven methods
/// only, unless `force` has "no-reset". A function that reads 0xff afterwards, comes back as another one, or whose
/// reset fails or does not end is put into quarantine; a good reset takes it out of there. Before anything is touched:
/// Errc::not_found; refused: a bridge, an unproven or absent method, a native driver that would lose its device
/// (kForceDriver overrides), a bus reset while others are on that bus (they are named; no force); busy: in use,
/// or has VFs. Later: Errc::kernel, or timeout after the host's deadline.
[[nodiscard]] Result<ResetOutcome> reset_function(const Host& host, const HostLock& lock, const ResetRequest& request);

/// What reset_function() would write, after the same checks.
[[nodiscard]] Result<std::vector<std::string>> preview(const Host& host, const ResetRequest& request);

/// Puts reset_method back after a crash. Returns what was done, for Repair::state.
[[nodiscard]] Result<std::string> repair_reset(const Host& host, Bdf function, const Record& record);

}  // namespace pcivm::vfio
