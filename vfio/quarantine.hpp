// SPDX-License-Identifier: GPL-2.0-or-later
// Whether a function is clean and sane enough to be given to somebody: quarantine after a failed reset
// (/run/pcivm/quarantine/BDF, gone at the next boot as the device's state is), and the need of a proven reset.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "vfio/binding_host.hpp"

namespace pcivm::vfio {

/// Names of the checks for --force.
inline constexpr std::string_view kForceQuarantined{"quarantined"};
inline constexpr std::string_view kForceNoReset{"no-reset"};

/// Puts the function into quarantine from now on; an older record is replaced.
[[nodiscard]] Result<void> quarantine(const SysRoot& root, Bdf function, std::string_view reason);
/// Not in quarantine is success.
[[nodiscard]] Result<void> lift_quarantine(const SysRoot& root, Bdf function);

/// Errc::refused ("device.quarantined") unless forced. A record about another device that was at that address before
/// does not count.
[[nodiscard]] Result<void> refuse_quarantined(const Host& host, Bdf function, const std::vector<std::string>& force);

/// Errc::refused ("device.no_reset") when the function's reset is not proven (iommu/reset_policy), unless forced.
/// `method` is the one that it will be reset by, empty: as it is set now.
[[nodiscard]] Result<void> refuse_unproven_reset(const Host& host, Bdf function, const std::string& method,
                                                 const std::vector<std::string>& force);

}  // namespace pcivm::vfio
