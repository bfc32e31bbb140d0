// SPDX-License-Identifier: GPL-2.0-or-later
// From the functions that the operator named to all that a binding is about.
#pragma once

#include <span>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::vfio {

struct Scope {
  bool vfs{};    ///< the VFs of each function instead of itself
  bool group{};  ///< then all members of their IOMMU groups that stand in user space's way or may be given to it
};

/// The functions in scope, each once, in the order of `named`; group members by address. Left out of a group are
/// bridges and members whose drivers leave DMA to user space without being VFIO's (pci-stub, pcieport).
/// Errc::not_found: no such function, or a PF without VFs; Errc::refused: no IOMMU group.
[[nodiscard]] Result<std::vector<Bdf>> widen(const SysRoot& root, std::span<const Bdf> named, Scope scope);

}  // namespace pcivm::vfio
