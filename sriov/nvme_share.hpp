// SPDX-License-Identifier: GPL-2.0-or-later
// How the flexible resources of an NVMe drive are shared out: pure arithmetic on what Identify told.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "sriov/nvme_admin.hpp"
#include "sriov/pf_adapter.hpp"

namespace pcivm::sriov {

/// Not set = an even share of what the drive has; namespaces: as they are.
struct NvmeWish {
  std::optional<unsigned> queues{};
  std::optional<unsigned> interrupts{};
  std::optional<std::vector<std::uint32_t>> namespaces{};
};
/// Errc::invalid, naming the setting, for what is no number or list of numbers.
[[nodiscard]] Result<NvmeWish> parse_nvme_wish(const Settings& settings);

/// "vq", "vi"
[[nodiscard]] std::string_view key_of(NvmeResource type);

/// For each of `count` VFs. Errc::invalid when the drive does not have that many, or they are too few to go online with
/// (2 queues, 1 interrupt). 0 when the drive has none of this type to move.
[[nodiscard]] Result<unsigned> share_of(const NvmeFlexible& have, NvmeResource type, const NvmeWish& wish,
                                        unsigned count);

/// What the first `count` VFs hold now.
[[nodiscard]] unsigned held_by(const std::vector<NvmeSecondary>& list, NvmeResource type, unsigned count);

/// What is left to the primary controller when its VFs, which hold `held`, shall hold `wanted`. No more than needed is
/// taken from it. Errc::invalid when other VFs' controllers hold too much.
[[nodiscard]] Result<unsigned> primary_keeps(const NvmeFlexible& have, NvmeResource type, unsigned held,
                                             unsigned wanted);

}  // namespace pcivm::sriov
