// SPDX-License-Identifier: GPL-2.0-or-later
// The firmware that a VM is asked to start with: which files, opened; its variables, made at the first start.
#pragma once

#include <string>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/vm_request.hpp"
#include "vmm/firmware_config.hpp"

namespace pcivm::cli {

/// Where a VM keeps the variables of its firmware when it is not told a file: /var/lib/pcivm/vm/NAME/variables.fd.
[[nodiscard]] std::string vm_variables_file(const std::string& name);

/// Checks without a change: what of kernel, initrd, command line, firmware and its variables belongs together.
[[nodiscard]] Result<void> check_boot_options(const VmRequest& request);

/// `request.firmware` is not empty. Errc::not_found: a file is missing, with the package that has it; invalid: it is no
/// firmware. Changes nothing but the log.
[[nodiscard]] Result<vmm::FirmwareConfig> open_firmware(const SysRoot& root, const VmRequest& request);

/// Then, when nothing else is in the way: makes the VM's own variables when there are none. Errc::busy: another VM has
/// them.
[[nodiscard]] Result<void> open_variables(const SysRoot& root, const VmRequest& request, vmm::FirmwareConfig& config);

}  // namespace pcivm::cli
