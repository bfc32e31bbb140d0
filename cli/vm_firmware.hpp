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

/// `request.firmware` is not empty. Makes the VM's own copy of the variables when there is none. Errc::not_found:
/// a file is missing, with the package that has it; invalid: it is no firmware; busy: another VM has the variables.
[[nodiscard]] Result<vmm::FirmwareConfig> open_firmware(const SysRoot& root, const VmRequest& request);

}  // namespace pcivm::cli
