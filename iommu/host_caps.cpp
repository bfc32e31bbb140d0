// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/host_caps.hpp"

#include <algorithm>
#include <sstream>

#include <fmt/format.h>

namespace pcivm::iommu {

namespace {

using Names = std::vector<std::string>;

IommuKind kind_of(std::string_view unit) {
  if (unit.starts_with("dmar")) return IommuKind::vtd;    // drivers/iommu/intel/dmar.c
  if (unit.starts_with("ivhd")) return IommuKind::amdvi;  // drivers/iommu/amd/init.c
  return IommuKind::other;
}

/// The kernel exports no flag. But it calls the interrupt chips that go through remapping "IR-IO-APIC", "IR-PCI-MSI",
/// "IR-PCI-MSIX-0000:01:00.0" (arch/x86/kernel/apic/io_apic.c, msi.c), and shows them to everybody.
Answer remapping_by_chips(std::string_view interrupts) {
  if (interrupts.find("IR-IO-APIC") != std::string_view::npos) return Answer::yes;
  if (interrupts.find("IR-PCI-MSI") != std::string_view::npos) return Answer::yes;
  if (interrupts.find("IO-APIC") != std::string_view::npos) return Answer::no;
  if (interrupts.find("PCI-MSI") != std::string_view::npos) return Answer::no;
  return Answer::unknown;
}

bool has_module(const SysRoot& root, std::string_view path) {
  const auto release = root.read("/proc/sys/kernel/osrelease").value_or("");
  return std::ranges::any_of(Names{"", ".xz", ".zst", ".gz"}, [&](const auto& packing) {
    return root.exists(fmt::format("/lib/modules/{}/kernel/drivers/vfio/{}.ko{}", release, path, packing));
  });
}

bool is_yes(const std::string& parameter) { return parameter == "Y" || parameter == "1"; }

}  // namespace

std::string_view to_string(IommuKind kind) {
  switch (kind) {
    case IommuKind::none: return "none";
    case IommuKind::vtd: return "Intel VT-d";
    case IommuKind::amdvi: return "AMD-Vi";
    case IommuKind::other: return "other";
  }
  return "?";
}

HostCaps read_host_caps(const SysRoot& root) {
  HostCaps caps;
  caps.iommu_units = root.list("/sys/class/iommu").value_or(Names{});
  if (!caps.iommu_units.empty()) caps.iommu = kind_of(caps.iommu_units.front());
  caps.interrupt_remapping = remapping_by_chips(root.read("/proc/interrupts").value_or(""));
  caps.unsafe_interrupts_allowed =
      is_yes(root.read("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts").value_or(""));
  caps.iommufd = root.exists("/dev/iommu");
  const bool driver = root.exists("/sys/bus/pci/drivers/vfio-pci");
  const bool type1 = root.exists("/sys/module/vfio_iommu_type1");
  caps.vfio_loaded = driver && (type1 || caps.iommufd);
  caps.vfio_available = caps.vfio_loaded || ((driver || has_module(root, "pci/vfio-pci")) &&
                                             (type1 || caps.iommufd || has_module(root, "vfio_iommu_type1")));
  caps.kvm = root.exists("/dev/kvm");
  return caps;
}

}  // namespace pcivm::iommu
