// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/slots.hpp"

#include <fmt/format.h>

namespace pcivm::iommu {

namespace {

constexpr std::string_view kSlots = "/sys/bus/pci/slots";

}  // namespace

PhysicalSlots PhysicalSlots::read(const SysRoot& root) {
  PhysicalSlots slots;
  const auto names = root.list(kSlots);
  if (!names) return slots;
  for (const auto& name : *names) {
    // "0000:01:00", or "0000:01" for a slot that is a whole bus (drivers/pci/slot.c, address_read_file).
    const auto address = root.read(fmt::format("{}/{}/address", kSlots, name));
    if (!address) continue;
    if (const auto device = Bdf::parse(*address + ".0")) {
      slots.names_.emplace(Place{device->domain, device->bus, device->device}, name);
    } else if (const auto bus = Bdf::parse(*address + ":00.0")) {
      slots.names_.emplace(Place{bus->domain, bus->bus, kWholeBus}, name);
    }
  }
  return slots;
}

std::string PhysicalSlots::of(Bdf function) const {
  for (const auto device : {function.device, kWholeBus}) {
    const auto found = names_.find(Place{function.domain, function.bus, device});
    if (found != names_.end()) return found->second;
  }
  return {};
}

}  // namespace pcivm::iommu
