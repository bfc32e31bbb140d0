// SPDX-License-Identifier: GPL-2.0-or-later
// A tap interface of the host (Documentation/networking/tuntap.rst): frames with virtio-net's header in front.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::vmm {

/// `queues` descriptors of an interface that exists; one that does not is not made. Errc::not_found: no such interface;
/// invalid: no tap, or one without several queues; busy: another process has it.
[[nodiscard]] Result<std::vector<Fd>> open_tap(const SysRoot& root, IoctlPort& port, const std::string& name,
                                               unsigned queues);

/// What the driver takes of the host's offloads (virtio features GUEST_*): the host then hands over frames whose
/// checksum is missing, or which are longer than the MTU.
[[nodiscard]] Result<void> set_tap_offloads(IoctlPort& port, FdRef tap, std::uint64_t features);
/// Whether the interface uses this queue.
[[nodiscard]] Result<void> use_tap_queue(IoctlPort& port, FdRef tap, bool on);

}  // namespace pcivm::vmm
