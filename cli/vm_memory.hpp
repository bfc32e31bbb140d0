// SPDX-License-Identifier: GPL-2.0-or-later
// --memory, --hugepages, --numa and --populate of a VM.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/vm_request.hpp"
#include "vmm/guest_memory.hpp"

namespace pcivm::cli {

/// Bytes.
struct MemoryWish {
  std::uint64_t size{};  ///< at the start
  std::uint64_t most{};  ///< that it may become while the guest runs; the same when none comes or goes
  [[nodiscard]] std::uint64_t blocks() const { return most - size; }
};
/// "512M", "512M,max=4G". Errc::invalid.
[[nodiscard]] Result<MemoryWish> check_memory(const std::string& text);

/// A size between those two, in steps of what a block is. Errc::invalid names `what`.
[[nodiscard]] Result<void> check_size(const MemoryWish& memory, std::uint64_t size, std::string_view what);

/// RAM that comes and goes beside what cannot follow it: Errc::refused.
[[nodiscard]] Result<void> check_blocks(const VmRequest& request, const MemoryWish& memory);

/// Errc::invalid: a size of pages that the host has not, a node that has no memory, RAM that is no multiple of the
/// page. Errc::kernel when too few pages of that size are free (Documentation/admin-guide/mm/hugetlbpage.rst).
/// Errc::refused beside a balloon, which gives pages back one by one.
[[nodiscard]] Result<vmm::RamBacking> check_backing(const SysRoot& root, const VmRequest& request,
                                                    std::uint64_t memory);

}  // namespace pcivm::cli
