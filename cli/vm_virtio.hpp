// SPDX-License-Identifier: GPL-2.0-or-later
// The devices of our own that `vm run` is asked for: options read, files opened.
#pragma once

#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/vm_request.hpp"
#include "vmm/virtio/virtio_config.hpp"
#include "vmm/vm_config.hpp"

namespace pcivm::cli {

/// Errc::invalid: an option that is none; not_found, denied, busy: as the files are.
[[nodiscard]] Result<vmm::VirtioConfig> open_virtio(const SysRoot& root, IoctlPort& port, const VmRequest& request);

/// action=reset|poweroff|none
[[nodiscard]] Result<vmm::WatchdogAction> watchdog_action(const std::string& text);

}  // namespace pcivm::cli
