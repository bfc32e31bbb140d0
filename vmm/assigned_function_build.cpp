// SPDX-License-Identifier: GPL-2.0-or-later
// How an assigned function is put together from what its device says.
#include <linux/pci_regs.h>

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/pci_config.hpp"
#include "base/units.hpp"
#include "vmm/assigned_function.hpp"

namespace pcivm::vmm {

AssignedFunction::AssignedFunction(Parts& parts)
    : device_{std::move(parts.device)},
      registers_{parts.registers},
      msix_bar_{parts.msix_bar},
      wiring_{parts.wiring},
      mutex_{parts.mutex},
      name_{parts.name} {}

Result<std::unique_ptr<AssignedFunction>> AssignedFunction::create(Parts parts) {
  std::unique_ptr<AssignedFunction> made{new AssignedFunction{parts}};
  TRY_IN(made->check_bars(), made->name_);
  TRY_IN(made->build(parts), made->name_);
  return made;
}

Result<void> AssignedFunction::check_bars() const {
  for (const auto& request : registers_.requests()) {
    if (request.index == msix_bar_) continue;
    const auto size = device_->region(request.index).size;
    // Registers hold no less than 16 (or 4) bytes.
    if (size != 0 && size <= request.size && std::bit_ceil(size) * 2 > request.size) continue;
    if (size != 0 && request.size <= 16) continue;
    return fail(Errc::kernel, fmt::format("BAR {} has {:#x} bytes for VFIO, wanted the {:#x} of sysfs", request.index,
                                          size, request.size));
  }
  return {};
}

void AssignedFunction::build_interrupts(const std::optional<MsixLayout>& layout, const Parts& parts) {
  if (layout) {
    const auto usable = std::min(layout->entries, device_->irq(vfio::Irq::msix).count);
    msix_vectors_.emplace(*device_, vfio::Irq::msix, usable, wiring_.routes, wiring_.report);
    msix_.emplace(*layout, *msix_vectors_);
  }
  if (const auto msi = MsiCapability::find(*device_); msi != 0) {
    msi_.emplace(*device_, msi, wiring_.routes, wiring_.report);
  }
  if (const auto pin = Intx::pin_of(*device_)) {
    intx_.emplace(*device_, *pin, parts.intx_event, parts.intx_lines, wiring_.report);
  }
  if (!msix_ && !msi_ && !intx_) {
    wiring_.report(Error::make(
        Errc::kernel, fmt::format("{}: has neither INTx, MSI nor MSI-X, continuing without interrupts", name_)));
  }
}

void AssignedFunction::find_resets() {
  const auto config = device_->config();
  const auto express = find_capability(config, PCI_CAP_ID_EXP);
  if (express != 0 && (config_u32(config, express + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR) != 0) {
    express_capability_ = express;
  }
  const auto features = find_capability(config, PCI_CAP_ID_AF);
  if (features != 0 && (config_u8(config, features + PCI_AF_CAP) & PCI_AF_CAP_FLR) != 0) {
    features_capability_ = features;
  }
}

// In the device's own BARs, or in the one that was made for them when the guest's address space was. Then the guest may
// reach the hardware's table, which its own BAR has: what it can make the device send by that is no more than what it
// can have it write by DMA, and interrupt remapping judges both (docs/adr/0009-msix-relocation.md).
Result<std::optional<MsixLayout>> AssignedFunction::find_structures() const {
  const auto hardware = TRY(find_msix(*device_));
  if (!hardware || !msix_bar_) return hardware;
  const auto moved = hardware->moved_to(*msix_bar_);
  const auto requests = registers_.requests();
  const auto bar = std::ranges::find(requests, *msix_bar_, &BarRequest::index);
  if (bar != requests.end() && moved.pending.area.end() <= bar->size) return moved;
  return fail(Errc::kernel, fmt::format("{} entries, more than configuration space said before", moved.entries));
}

Result<void> AssignedFunction::build(const Parts& parts) {
  auto layout = find_structures();
  if (!layout) {
    wiring_.report(std::move(layout).error().within(fmt::format("{}: MSI-X hidden", name_)));
    layout = std::optional<MsixLayout>{};
  }
  build_interrupts(*layout, parts);
  patches_ = ConfigPatches::build(
      device_->config(), {.hide_msix = !msix_.has_value(),
                          .hide_msi = !msi_.has_value(),
                          .hide_intx = !intx_.has_value(),
                          .msix = msix_ && msix_bar_ ? msix_place(msix_->layout()) : std::optional<MsixRegisters>{}});
  power_capability_ = find_capability(device_->config(), PCI_CAP_ID_PM);
  find_resets();
  std::vector<BarHole> holes;
  if (msix_) holes = {msix_->layout().table, msix_->layout().pending};
  // All of a BAR of ours, whatever the device may have where the guest finds that.
  if (msix_bar_) holes = {{.bar = *msix_bar_, .area = {.offset = 0, .length = ~std::uint64_t{0} & ~(kPageSize - 1)}}};
  decoder_.emplace(*device_, registers_.requests(), holes, wiring_, *this, name_);
  if (!parts.rom.empty()) rom_ = TRY(OptionRom::create(parts.rom, wiring_, fmt::format("{} ROM", name_)));
  return {};
}

}  // namespace pcivm::vmm
