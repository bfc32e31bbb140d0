// SPDX-License-Identifier: GPL-2.0-or-later
// Checks of the IOMMU: is it there, does it isolate memory, interrupts and functions from each other.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "iommu/readiness_checks.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::string_view kTables = "/sys/firmware/acpi/tables";

bool has_table(const HostFacts& host, std::string_view name) {
  return host.root.exists(fmt::format("{}/{}", kTables, name));
}

bool has_cpu_flag(const HostFacts& host, std::string_view flag) {
  for (const auto& line : lines_of(host.text("/proc/cpuinfo"))) {
    if (line.starts_with("flags")) return holds(words_of(line), flag);
  }
  return false;
}

/// The kernel parameter that turned the IOMMU off, if one did (Documentation/admin-guide/kernel-parameters.txt).
std::string turned_off_by(const HostFacts& host) {
  for (const auto* name : {"iommu", "intel_iommu", "amd_iommu"}) {
    const auto value = host.parameter(name).value_or("");
    if (value.starts_with("off")) return fmt::format("{}={}", name, value);
  }
  return {};
}

Verdict no_iommu(const HostFacts& host) {
  Verdict verdict{.level = Level::problem,
                  .found = "no IOMMU is in use",
                  .cause = "without one a device reaches all memory of the host, so the kernel gives none away"};
  if (const auto off = turned_off_by(host); !off.empty()) {
    verdict.found = fmt::format("the IOMMU is switched off by '{}' on the kernel command line", off);
    verdict.fix = host.remove_parameter(off);
  } else if (has_table(host, "DMAR")) {
    verdict.found = "the firmware offers VT-d, but the kernel does not use it";
    verdict.fix = host.add_parameter("intel_iommu=on");
  } else if (has_table(host, "IVRS")) {
    verdict.found = "the firmware offers AMD-Vi, but the kernel does not use it";
    verdict.fix = "see: dmesg | grep AMD-Vi; and update the firmware";
  } else if (has_cpu_flag(host, "hypervisor")) {
    verdict.fix =
        "this host is itself a virtual machine: give it a virtual IOMMU (QEMU: -device intel-iommu,intremap=on)";
  } else {
    verdict.fix = "enable VT-d (Intel) or AMD-Vi/IOMMU (AMD) in the firmware setup";
  }
  return verdict;
}

Verdicts iommu_in_use(const HostFacts& host) {
  if (host.caps.iommu == IommuKind::none) return {no_iommu(host)};
  return ok(fmt::format("{} with {} unit(s): {}", to_string(host.caps.iommu), host.caps.iommu_units.size(),
                        some_of(host.caps.iommu_units)));
}

/// A host may use IOMMUs for some devices only: `intel_iommu=igfx_off`, units that the firmware disabled.
Verdicts coverage(const HostFacts& host) {
  if (host.caps.iommu == IommuKind::none) return {};
  std::vector<std::string> outside;
  for (const auto& function : host.functions) {
    if (!function.iommu_group && !function.is_bridge) outside.push_back(function.address.to_string());
  }
  if (outside.empty()) return ok("every function is in an IOMMU group");
  return {{.level = Level::warning,
           .found = fmt::format("{} function(s) are in no IOMMU group: {}", outside.size(), some_of(outside)),
           .cause = "the IOMMU does not translate for them, so they cannot be given away",
           .fix = "remove igfx_off and the like from the command line; look for a firmware update"}};
}

/// Byte `offset` of an ACPI table, which only root may read.
std::optional<unsigned> table_byte(const HostFacts& host, std::string_view name, std::size_t offset) {
  const auto bytes = host.text(fmt::format("{}/{}", kTables, name));
  if (bytes.size() <= offset) return std::nullopt;
  return static_cast<unsigned char>(bytes[offset]);
}

/// DMAR flags (VT-d specification 8.1): bit 0 INTR_REMAP, bit 1 X2APIC_OPT_OUT.
constexpr std::size_t kDmarFlags = 37;

std::string remapping_fix(const HostFacts& host) {
  for (const auto* name : {"intremap", "nointremap"}) {
    const auto value = host.parameter(name);
    if (value && *value != "on")
      return host.remove_parameter(value->empty() ? name : fmt::format("{}={}", name, *value));
  }
  if (const auto flags = table_byte(host, "DMAR", kDmarFlags); flags && (*flags & 1U) == 0) {
    return "the firmware says that it has none (DMAR): enable interrupt remapping or x2APIC in its setup, or update it";
  }
  return "enable interrupt remapping or x2APIC in the firmware setup, and remove intremap=off from the command line";
}

Verdicts interrupt_remapping(const HostFacts& host) {
  if (host.caps.iommu == IommuKind::none) return {};
  switch (host.caps.interrupt_remapping) {
    case Answer::yes: return ok("interrupts of devices are remapped");
    case Answer::unknown: return unknown("/proc/interrupts does not tell whether interrupts are remapped", "");
    case Answer::no: break;
  }
  return {{.level = Level::problem,
           .found = "interrupts of devices are not remapped",
           .cause = "a guest could raise any interrupt of the host through its device, so VFIO refuses",
           .fix = remapping_fix(host)}};
}

Verdicts x2apic(const HostFacts& host) {
  if (host.caps.iommu == IommuKind::none) return {};
  if (host.parameter("nox2apic")) {
    return {{.level = Level::note,
             .found = "x2APIC is switched off by 'nox2apic'",
             .cause = "no more than 255 processors, and interrupts cost more",
             .fix = host.remove_parameter("nox2apic")}};
  }
  if (const auto flags = table_byte(host, "DMAR", kDmarFlags); flags && (*flags & 2U) != 0) {
    return {{.level = Level::note,
             .found = "the firmware asks the kernel not to use x2APIC (DMAR X2APIC_OPT_OUT)",
             .cause = "no more than 255 processors, and interrupts cost more",
             .fix = "enable x2APIC in the firmware setup"}};
  }
  if (!has_cpu_flag(host, "x2apic")) {
    return {{.level = Level::note,
             .found = "the processor shows no x2APIC",
             .cause = "interrupts cost more; some firmware ties interrupt remapping to it",
             .fix = "enable x2APIC in the firmware setup"}};
  }
  return ok("the processor has x2APIC");
}

Verdicts unsafe_interrupts(const HostFacts& host) {
  for (const auto* module : {"vfio_iommu_type1", "iommufd"}) {
    if (!host.is_on(module, "allow_unsafe_interrupts")) continue;
    return {{.level = Level::warning,
             .found = fmt::format("{}.allow_unsafe_interrupts is on", module),
             .cause = "VFIO gives devices away although a guest could raise any interrupt of the host",
             .fix = fmt::format("echo N > /sys/module/{}/parameters/allow_unsafe_interrupts, and remove it from "
                                "/etc/modprobe.d",
                                module)}};
  }
  return ok("allow_unsafe_interrupts is off");
}

/// drivers/vfio/group.c: such groups are called "noiommu-N" and taint the kernel (TAINT_USER).
Verdicts noiommu(const HostFacts& host) {
  std::vector<std::string> groups;
  for (const auto& name : host.names("/dev/vfio")) {
    if (name.starts_with("noiommu-")) groups.push_back(name);
  }
  if (!host.is_on("vfio", "enable_unsafe_noiommu_mode") && groups.empty()) return ok("VFIO's no-IOMMU mode is off");
  constexpr std::uint64_t kTaintUser = 1U << 6U;
  const bool tainted = (host.number("/proc/sys/kernel/tainted").value_or(0) & kTaintUser) != 0;
  return {{.level = Level::problem,
           .found = fmt::format("VFIO's no-IOMMU mode is on{}{}",
                                groups.empty() ? "" : fmt::format(" ({})", some_of(groups)),
                                tainted ? ", and has tainted the kernel" : ""),
           .cause = "devices given away in that mode reach all memory of the host",
           .fix = "echo N > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode, remove it from /etc/modprobe.d"}};
}

Verdicts acs_override(const HostFacts& host) {
  const auto value = host.parameter("pcie_acs_override");
  if (!value) return ok("IOMMU groups are as the hardware isolates");
  const auto word = fmt::format("pcie_acs_override={}", *value);
  return {{.level = Level::warning,
           .found = fmt::format("'{}' is on the kernel command line", word),
           .cause = "a patched kernel then shows smaller IOMMU groups than the hardware isolates: functions in "
                    "different groups may reach each other's memory",
           .fix = host.remove_parameter(word)}};
}

Verdicts iommu_mode(const HostFacts& host) {
  if (host.caps.iommu == IommuKind::none) return {};  // `iommu` tells of off
  const auto value = host.parameter("iommu").value_or("");
  if (value == "soft") {
    return {{.level = Level::warning,
             .found = "'iommu=soft' is on the kernel command line",
             .cause = "the host's own DMA is copied through bounce buffers",
             .fix = host.remove_parameter("iommu=soft")}};
  }
  if (value == "pt" || host.parameter("iommu.passthrough").value_or("") == "1") {
    return {{.level = Level::note,
             .found = "the host's own devices bypass the IOMMU (iommu=pt)",
             .cause = "faster for the host; devices of VMs are translated all the same"}};
  }
  return ok("the host's own devices go through the IOMMU");
}

constexpr Check kChecks[] = {
    {"iommu", iommu_in_use},
    {"iommu-coverage", coverage},
    {"interrupt-remapping", interrupt_remapping},
    {"x2apic", x2apic},
    {"unsafe-interrupts", unsafe_interrupts},
    {"noiommu", noiommu},
    {"acs-override", acs_override},
    {"iommu-mode", iommu_mode},
};

}  // namespace

std::span<const Check> iommu_checks() { return kChecks; }

}  // namespace pcivm::iommu
