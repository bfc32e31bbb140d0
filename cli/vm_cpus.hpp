// SPDX-License-Identifier: GPL-2.0-or-later
// --cpus, --topology, --cpu and --pin of a VM.
#pragma once

#include "base/result.hpp"
#include "cli/vm_request.hpp"
#include "vmm/cpu_set.hpp"
#include "vmm/kvm.hpp"

namespace pcivm::cli {

/// Errc::invalid: a count that is out of bounds, a topology that is not that of the count, a feature nobody knows, a
/// list of host CPUs of another length or with one that this process may not use.
[[nodiscard]] Result<vmm::CpuWish> check_cpus(const vmm::Kvm& kvm, const VmRequest& request);

/// "0-2,8": in the order written, no number twice.
[[nodiscard]] Result<std::vector<unsigned>> parse_cpu_list(std::string_view text);

}  // namespace pcivm::cli
