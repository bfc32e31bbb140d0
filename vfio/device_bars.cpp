// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/device_bars.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <bit>
#include <cstdint>

#include <fmt/format.h>

#include "base/pci_config.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::uint64_t kMostBar = 1ULL << 40U;
constexpr std::uint64_t kMostBar32 = 1ULL << 31U;
constexpr std::uint64_t kMostPorts = 256;

Result<void> check_bar(const iommu::Bar& bar, std::uint64_t size) {
  const auto most = bar.io ? kMostPorts : bar.wide ? kMostBar : kMostBar32;
  if (size <= most && (!bar.wide || bar.index + 1U < Device::kBars)) return {};
  return fail(Errc::kernel, fmt::format("BAR {} has {:#x} bytes, wanted {:#x} at most{}", bar.index, size, most,
                                        bar.wide ? ", and room for 64 bits of address" : ""));
}

}  // namespace

Result<std::vector<iommu::Bar>> bars_of(const Device& device) {
  std::vector<iommu::Bar> bars;
  for (std::uint8_t index = 0; index < Device::kBars; ++index) {
    const auto size = device.region(index).size;
    if (size == 0) continue;
    const auto value = config_u32(device.config(), PCI_BASE_ADDRESS_0 + 4U * index);
    iommu::Bar bar{.index = index, .address = 0, .size = 0};
    bar.io = (value & PCI_BASE_ADDRESS_SPACE_IO) != 0;
    bar.wide = !bar.io && (value & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;
    bar.prefetchable = !bar.io && (value & PCI_BASE_ADDRESS_MEM_PREFETCH) != 0;
    TRY(check_bar(bar, size));
    bar.size = std::bit_ceil(std::max<std::uint64_t>(size, bar.io ? 4 : 16));
    if (!bars.empty() && bars.back().wide && bars.back().index + 1 == index) {
      return fail(Errc::kernel, fmt::format("BAR {} is the upper half of BAR {}", index, bars.back().index));
    }
    bars.push_back(bar);
  }
  return bars;
}

}  // namespace pcivm::vfio
