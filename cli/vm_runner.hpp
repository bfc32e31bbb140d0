// SPDX-License-Identifier: GPL-2.0-or-later
// A VM from what was asked for to its end, in this process: functions bound and given back, the VMM supervised, its
// socket served.
#pragma once

#include <functional>
#include <string>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/context.hpp"
#include "cli/vm_request.hpp"
#include "vmm/machine.hpp"

namespace pcivm::cli {

/// /run/pcivm/vm/NAME/api.sock, as the host sees it.
[[nodiscard]] std::string vm_socket(const SysRoot& root, const std::string& name);
/// Where the end of the console goes when nobody was shown it: /var/log/pcivm/NAME.log.
[[nodiscard]] std::string vm_console_file(const std::string& name);

/// What a VM without a terminal and without a journal says: /var/log/pcivm/NAME.messages.
[[nodiscard]] std::string vm_messages_file(const std::string& name);

/// The VM is gone, and the host as before, when this returns. `ready`: called once the guest runs.
[[nodiscard]] Result<vmm::VmEnd> run_vm(Context& context, const VmRequest& request, const std::function<void()>& ready);

/// The same in a session of its own, with nothing but its messages file for what it says. Returns when the guest runs,
/// or with the error of a start that failed. Errc::timeout: it goes on, but was not seen running in time.
[[nodiscard]] Result<void> run_vm_detached(Context& context, const VmRequest& request);

}  // namespace pcivm::cli
