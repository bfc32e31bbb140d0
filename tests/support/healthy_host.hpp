// SPDX-License-Identifier: GPL-2.0-or-later
// A captured host on which nothing is wrong: every check of `pcivm doctor` arises on it and finds nothing.
#pragma once

#include <fmt/format.h>

#include "tests/support/fake_pci.hpp"

namespace pcivm::test {

class HealthyHost final {
 public:
  HealthyHost() {
    platform();
    vfio();
    memory();
    devices();
  }
  HealthyHost(const HealthyHost&) = delete;
  HealthyHost& operator=(const HealthyHost&) = delete;
  ~HealthyHost() = default;

  TempRoot temp;
  FakePci pci{temp};

  /// 13 lines, as the kernel writes for what is no bridge; `vf_bar` is the line of the first VF BAR.
  static std::string resources(std::string_view bar, std::string_view vf_bar) {
    constexpr std::string_view kNone = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
    std::string text{bar};
    for (int line = 1; line < 13; ++line) text += line == 7 ? vf_bar : kNone;
    return text;
  }
  static constexpr std::string_view kBar = "0x00000000fe800000 0x00000000fe81ffff 0x0000000000040200\n";
  static constexpr std::string_view kVfBar = "0x0000380000000000 0x000038000001bfff 0x000000000014220c\n";

 private:
  void platform() const {
    temp.directory("/sys/class/iommu/dmar0");
    temp.file("/proc/interrupts", "  9:  0  IR-IO-APIC   9-fasteoi   acpi\n");
    temp.file("/proc/cpuinfo", "processor : 0\nflags\t\t: fpu vmx x2apic\n");
    temp.file("/proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet\n");
    temp.file("/proc/sys/kernel/osrelease", "6.12.48-amd64\n");
    temp.file("/proc/sys/kernel/tainted", "0\n");
    temp.file("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"\"\n");
    temp.file("/sys/devices/system/cpu/vulnerabilities/meltdown", "Mitigation: PTI\n");
    temp.file("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
    temp.file("/proc/iomem", "00000000-00000fff : Reserved\n380000000000-38ffffffffff : PCI Bus 0000:00\n");
    temp.file("/proc/self/status", "Name:\tpcivm\nCapEff:\t0000000000200000\n");  // CAP_SYS_ADMIN
    temp.file("/proc/self/limits", "Max locked memory         unlimited            unlimited            bytes\n");
  }

  void vfio() const {
    temp.directory("/sys/bus/pci/drivers/vfio-pci");
    temp.directory("/sys/module/vfio_iommu_type1");
    temp.file("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
    temp.file("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n");
    temp.file("/dev/kvm", "");
    temp.file("/sys/module/kvm/parameters/halt_poll_ns", "200000\n");
    temp.file("/sys/module/kvm_intel/parameters/nested", "N\n");
    temp.file("/sys/module/kvm_intel/parameters/enable_apicv", "Y\n");
  }

  void memory() const {
    temp.file("/proc/meminfo", "MemTotal: 67108864 kB\nMemAvailable: 33554432 kB\n");
    temp.file("/sys/devices/system/node/node0/meminfo", "Node 0 MemFree: 16777216 kB\n");
    temp.file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    temp.file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
    temp.file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "500\n");
  }

  /// A PF with a VF, both in groups of their own, and a graphics card with a resizable BAR at its full size.
  void devices() const {
    pci.function({.address = "0000:01:00.0", .driver = "igb", .group = 6, .total_vfs = 7});
    temp.file("/sys/devices/pci0000:00/0000:01:00.0/resource", resources(kBar, kVfBar));
    pci.vf("0000:01:00.0", 0, "0000:01:10.0", 9);
    pci.netdev("0000:01:10.0", "eth3");
    temp.file("/sys/class/net/eth3/ifindex", "7\n");
    pci.function({.address = "0000:02:00.0", .class_code = 0x030000, .driver = "amdgpu", .group = 7});
    temp.file("/sys/devices/pci0000:00/0000:02:00.0/resource0_resize", "0000000000000100\n");  // 256 MiB only
    temp.file("/sys/devices/pci0000:00/0000:02:00.0/resource",
              resources("0x0000380100000000 0x000038010fffffff 0x000000000014220c\n", kVfBar));
  }
};

}  // namespace pcivm::test
