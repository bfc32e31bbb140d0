// SPDX-License-Identifier: GPL-2.0-or-later
// NVMe drives: each VF is a secondary controller that must get queues and interrupts, be put online and be given
// namespaces before a driver can use it (NVM Express Base Specification 2.0, 8.26).
#pragma once

#include "base/ioctl.hpp"
#include "sriov/pf_adapter.hpp"

namespace pcivm::sriov {

/// Its values: "primary" ("vq=4 vi=2", what the primary controller keeps; writing it resets the drive, which is refused
/// while it is in use), "sc5.vq", "sc5.vi", "sc5.state" (online, offline), "ns1.sc5" (attached, detached). Secondary
/// controllers have identifiers of their own that are not VF indexes. `port` outlives all adapters made.
[[nodiscard]] AdapterKind nvme_adapter(IoctlPort& port);

}  // namespace pcivm::sriov
