// SPDX-License-Identifier: GPL-2.0-or-later
// --memory, --hugepages, --numa and --populate of a VM.
#pragma once

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/vm_request.hpp"
#include "vmm/guest_memory.hpp"

namespace pcivm::cli {

/// In bytes. Errc::invalid.
[[nodiscard]] Result<std::uint64_t> check_memory(const std::string& text);

/// Errc::invalid: a size of pages that the host has not, a node that has no memory, RAM that is no multiple of the
/// page. Errc::kernel when too few pages of that size are free (Documentation/admin-guide/mm/hugetlbpage.rst). Errc::refused
/// beside a balloon, which gives pages back one by one.
[[nodiscard]] Result<vmm::RamBacking> check_backing(const SysRoot& root, const VmRequest& request, std::uint64_t memory);

}  // namespace pcivm::cli
