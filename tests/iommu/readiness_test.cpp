// SPDX-License-Identifier: GPL-2.0-or-later
// Every check of the host: silent on a host with nothing wrong, and fires on what it is for.
#include "iommu/readiness.hpp"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/fakes/fake_ioctls.hpp"
#include "tests/support/healthy_host.hpp"

namespace pcivm::iommu {
namespace {

using test::HealthyHost;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kPf = "/sys/devices/pci0000:00/0000:01:00.0";

/// One way in which a host is not as it should be.
struct Fault {
  const char* name;
  const char* id;
  Level level;
  const char* found;  ///< part of the finding
  const char* fix;    ///< part of the fix
  void (*make)(HealthyHost& host);
};

void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

void parameters(HealthyHost& host, std::string_view words) {
  host.temp.file("/proc/cmdline", fmt::format("root=/dev/sda1 {} quiet\n", words));
}
void no_iommu(HealthyHost& host) { host.temp.remove("/sys/class/iommu"); }
void interrupts_not_remapped(HealthyHost& host) {
  host.temp.file("/proc/interrupts", "  9:  0  IO-APIC   9-fasteoi   acpi\n");
}
/// DMAR: 37 bytes, then the flags.
void dmar(HealthyHost& host, char flags) {
  host.temp.file("/sys/firmware/acpi/tables/DMAR", std::string(37, 'x') + flags);
}
void capability(HealthyHost& host, const char* mask) {
  host.temp.file("/proc/self/status", fmt::format("CapEff:\t{}\n", mask));
}
/// A configuration space with SR-IOV as its first extended capability.
std::string config_with_sriov() {
  std::string config(4096, '\0');
  config[0x100] = 0x10;
  config[0x102] = 0x01;
  return config;
}

void nic_with_vfs(HealthyHost& host) {
  host.pci.netdev("0000:01:00.0", "eth2");
  host.temp.file(std::string{kPf} + "/sriov_numvfs", "2\n");
}

const Fault kFaults[] = {
    {"FirmwareOff", "iommu", Level::problem, "no IOMMU is in use", "firmware setup", no_iommu},
    {"SwitchedOff", "iommu", Level::problem, "switched off by 'intel_iommu=off'",
     "remove intel_iommu=off from GRUB_CMDLINE_LINUX",
     [](HealthyHost& host) {
       no_iommu(host);
       parameters(host, "intel_iommu=off");
     }},
    {"NotSwitchedOn", "iommu", Level::problem, "the firmware offers VT-d", "add intel_iommu=on to",
     [](HealthyHost& host) {
       no_iommu(host);
       dmar(host, 1);
     }},
    {"AmdViNotUsed", "iommu", Level::problem, "offers AMD-Vi", "dmesg | grep AMD-Vi",
     [](HealthyHost& host) {
       no_iommu(host);
       host.temp.file("/sys/firmware/acpi/tables/IVRS", "IVRS");
     }},
    {"InAVirtualMachine", "iommu", Level::problem, "no IOMMU is in use", "itself a virtual machine",
     [](HealthyHost& host) {
       no_iommu(host);
       host.temp.file("/proc/cpuinfo", "flags : fpu hypervisor\n");
     }},
    {"FunctionOutside", "iommu-coverage", Level::warning, "0000:00:02.0", "igfx_off",
     [](HealthyHost& host) { host.pci.function({.address = "0000:00:02.0", .group = {}}); }},
    {"NotRemapped", "interrupt-remapping", Level::problem, "not remapped", "firmware setup", interrupts_not_remapped},
    {"RemappingSwitchedOff", "interrupt-remapping", Level::problem, "not remapped", "remove intremap=off from",
     [](HealthyHost& host) {
       interrupts_not_remapped(host);
       parameters(host, "intremap=off");
     }},
    {"FirmwareHasNoRemapping", "interrupt-remapping", Level::problem, "not remapped", "(DMAR)",
     [](HealthyHost& host) {
       interrupts_not_remapped(host);
       dmar(host, 0);
     }},
    {"RemappingUnknown", "interrupt-remapping", Level::unknown, "does not tell", "",
     [](HealthyHost& host) { host.temp.remove("/proc/interrupts"); }},
    {"X2apicOptedOut", "x2apic", Level::note, "X2APIC_OPT_OUT", "firmware setup",
     [](HealthyHost& host) { dmar(host, 3); }},
    {"X2apicSwitchedOff", "x2apic", Level::note, "nox2apic", "remove nox2apic from",
     [](HealthyHost& host) { parameters(host, "nox2apic"); }},
    {"NoX2apic", "x2apic", Level::note, "no x2APIC", "firmware setup",
     [](HealthyHost& host) { host.temp.file("/proc/cpuinfo", "flags : fpu vmx\n"); }},
    {"UnsafeInterrupts", "unsafe-interrupts", Level::warning, "vfio_iommu_type1.allow_unsafe_interrupts is on",
     "echo N",
     [](HealthyHost& host) {
       host.temp.file("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n");
     }},
    {"NoIommuMode", "noiommu", Level::problem, "has tainted the kernel", "echo N",
     [](HealthyHost& host) {
       host.temp.file("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
       host.temp.file("/proc/sys/kernel/tainted", "64\n");
     }},
    {"NoIommuGroup", "noiommu", Level::problem, "noiommu-0", "echo N",
     [](HealthyHost& host) { host.temp.file("/dev/vfio/noiommu-0", ""); }},
    {"AcsOverride", "acs-override", Level::warning, "'pcie_acs_override=downstream,multifunction'",
     "remove pcie_acs_override=downstream,multifunction from GRUB_CMDLINE_LINUX in /etc/default/grub, then: "
     "update-grub",
     [](HealthyHost& host) { parameters(host, "pcie_acs_override=downstream,multifunction"); }},
    {"Passthrough", "iommu-mode", Level::note, "iommu=pt", "", [](HealthyHost& host) { parameters(host, "iommu=pt"); }},
    {"SoftIommu", "iommu-mode", Level::warning, "iommu=soft", "remove iommu=soft",
     [](HealthyHost& host) { parameters(host, "iommu=soft"); }},
    {"OldKernel", "kernel-version", Level::problem, "older than 5.19", "newer kernel",
     [](HealthyHost& host) { host.temp.file("/proc/sys/kernel/osrelease", "5.10.0-30-amd64\n"); }},
    {"UntestedKernel", "kernel-version", Level::warning, "older than 6.1", "newer kernel",
     [](HealthyHost& host) { host.temp.file("/proc/sys/kernel/osrelease", "6.0.0\n"); }},
    {"LockedDown", "kernel-lockdown", Level::note, "integrity", "",
     [](HealthyHost& host) { host.temp.file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n"); }},
    {"SecureBoot", "secure-boot", Level::note, "Secure Boot is on", "",
     [](HealthyHost& host) {
       host.temp.file("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
                      std::string{"\6\0\0\0\1", 5});
     }},
    {"Vulnerable", "cpu-vulnerabilities", Level::note, "meltdown", "microcode",
     [](HealthyHost& host) { host.temp.file("/sys/devices/system/cpu/vulnerabilities/meltdown", "Vulnerable\n"); }},
    {"ThreadsLeak", "cpu-vulnerabilities", Level::note, "mds", "nosmt",
     [](HealthyHost& host) {
       host.temp.file("/sys/devices/system/cpu/vulnerabilities/mds", "Mitigation: Clear CPU buffers; SMT vulnerable\n");
     }},
    {"NoVfio", "vfio-modules", Level::problem, "no VFIO", "CONFIG_VFIO_PCI",
     [](HealthyHost& host) { host.temp.remove("/sys/bus/pci/drivers/vfio-pci"); }},
    {"KernelWithoutVfio", "vfio-modules", Level::problem, "no VFIO", "CONFIG_VFIO_PCI=m",
     [](HealthyHost& host) {
       host.temp.remove("/sys/bus/pci/drivers/vfio-pci");
       host.temp.file("/boot/config-6.12.48-amd64", "# CONFIG_VFIO_PCI is not set\n");
     }},
    {"VfioBlacklisted", "vfio-modules", Level::problem, "'vfio_pci' is blacklisted by /etc/modprobe.d/no.conf",
     "remove 'vfio_pci' from /etc/modprobe.d/no.conf",
     [](HealthyHost& host) { host.temp.file("/etc/modprobe.d/no.conf", "# no\nblacklist vfio-pci # never\n"); }},
    {"VfioBlacklistedAtBoot", "vfio-modules", Level::problem, "modprobe.blacklist= on the command line", "remove",
     [](HealthyHost& host) { parameters(host, "modprobe.blacklist=nouveau,vfio-pci"); }},
    {"IdleD3", "vfio-parameters", Level::note, "vfio_pci.disable_idle_d3 is on", "/etc/modprobe.d",
     [](HealthyHost& host) { host.temp.file("/sys/module/vfio_pci/parameters/disable_idle_d3", "Y\n"); }},
    {"NoDenylist", "vfio-parameters", Level::warning, "disable_denylist", "/etc/modprobe.d",
     [](HealthyHost& host) { host.temp.file("/sys/module/vfio_pci/parameters/disable_denylist", "Y\n"); }},
    {"SmallMemlock", "memlock", Level::warning, "8 MiB", "limits.d",
     [](HealthyHost& host) {
       host.temp.file("/proc/self/limits",
                      "Max locked memory         8388608              8388608              bytes\n");
     }},
    {"MemlockUnknown", "memlock", Level::unknown, "cannot be read", "",
     [](HealthyHost& host) { host.temp.remove("/proc/self/limits"); }},
    {"SmallMemlockOfServices", "memlock-services", Level::note, "DefaultLimitMEMLOCK=64M", "LimitMEMLOCK=infinity",
     [](HealthyHost& host) {
       host.temp.file("/etc/systemd/system.conf.d/a.conf", "[Manager]\nDefaultLimitMEMLOCK=64M\n");
     }},
    {"NoVirtualization", "kvm", Level::problem, "shows no virtualization", "firmware setup",
     [](HealthyHost& host) {
       host.temp.remove("/dev/kvm");
       host.temp.file("/proc/cpuinfo", "flags : fpu x2apic\n");
     }},
    {"KvmNotLoaded", "kvm", Level::problem, "'kvm_intel' is not loaded", "modprobe kvm_intel",
     [](HealthyHost& host) { host.temp.remove("/dev/kvm"); }},
    {"KvmBlacklisted", "kvm", Level::problem, "blacklisted by /etc/modprobe.d/vbox.conf", "modprobe kvm_intel",
     [](HealthyHost& host) {
       host.temp.remove("/dev/kvm");
       host.temp.file("/etc/modprobe.d/vbox.conf", "install kvm-intel /bin/false\n");
     }},
    {"Nested", "kvm-nested", Level::note, "kvm_intel.nested is on", "nested=0",
     [](HealthyHost& host) { host.temp.file("/sys/module/kvm_intel/parameters/nested", "Y\n"); }},
    {"NoHaltPolling", "kvm-halt-polling", Level::note, "halt_poll_ns is 0", "echo 200000",
     [](HealthyHost& host) { host.temp.file("/sys/module/kvm/parameters/halt_poll_ns", "0\n"); }},
    {"NoApicv", "kvm-interrupts", Level::note, "enable_apicv is off", "enable_apicv=1",
     [](HealthyHost& host) { host.temp.file("/sys/module/kvm_intel/parameters/enable_apicv", "N\n"); }},
    {"LittleMemory", "memory", Level::warning, "256 MiB available", "give VMs less",
     [](HealthyHost& host) { host.temp.file("/proc/meminfo", "MemAvailable: 262144 kB\n"); }},
    {"NoHugePages", "hugepages", Level::note, "no huge pages are reserved", "vm.nr_hugepages",
     [](HealthyHost& host) { host.temp.file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n"); }},
    {"HugePagesTaken", "hugepages", Level::note, "0 of 512 pages of 2 MiB free", "raise",
     [](HealthyHost& host) { host.temp.file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0\n"); }},
    {"NoTransparentHugePages", "thp", Level::warning, "are off", "echo madvise",
     [](HealthyHost& host) {
       host.temp.file("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
     }},
    {"SriovOffInDevice", "sriov", Level::warning, "sriov_totalvfs is 0", "mlxconfig",
     [](HealthyHost& host) { host.temp.file(std::string{kPf} + "/sriov_totalvfs", "0\n"); }},
    {"SriovOffInFirmware", "sriov", Level::warning, "0000:02:00.0 is not usable", "ARI",
     [](HealthyHost& host) { host.temp.file("/sys/devices/pci0000:00/0000:02:00.0/config", config_with_sriov()); }},
    {"SriovNotInKernel", "sriov", Level::warning, "0000:02:00.0 is not usable", "CONFIG_PCI_IOV=y",
     [](HealthyHost& host) {
       host.temp.file("/sys/devices/pci0000:00/0000:02:00.0/config", config_with_sriov());
       host.temp.file("/boot/config-6.12.48-amd64", "CONFIG_PCI=y\n");
     }},
    {"NobodyToAskAboutPauseFrames", "pause-frames", Level::unknown, "flow control of eth2", "", nic_with_vfs},
    {"PfWithoutDriver", "pf-driver", Level::warning, "0000:01:00.0 with SR-IOV has no driver",
     "lspci -k -s 0000:01:00.0", [](HealthyHost& host) { host.pci.unbind("0000:01:00.0"); }},
    {"SharedGroup", "shared-groups", Level::note, "group 5: 0000:03:01.0 cannot be given away", "pcivm group show 5",
     [](HealthyHost& host) {
       host.pci.function({.address = "0000:03:01.0", .group = 5});
       host.pci.function({.address = "0000:03:02.0", .driver = "e1000", .group = 5});
     }},
    {"UnplacedBar", "bars", Level::warning, "0000:01:00.0: BAR 0 (128 KiB) got no address", "Above 4G",
     [](HealthyHost& host) {
       host.temp.file(
           std::string{kPf} + "/resource",
           HealthyHost::resources("0x0000000000000000 0x000000000001ffff 0x0000000020040200\n", HealthyHost::kVfBar));
     }},
    {"UnplacedVfBars", "vf-mmio", Level::problem, "no room for the BARs of its 7 VFs (112 KiB)", "pci=realloc",
     [](HealthyHost& host) {
       host.temp.file(
           std::string{kPf} + "/resource",
           HealthyHost::resources(HealthyHost::kBar, "0x0000000000000000 0x000000000001bfff 0x000000002014220c\n"));
     }},
    {"ForgottenVfBars", "vf-mmio", Level::problem, "no room for the BARs of its 7 VFs", "pci=realloc",
     [](HealthyHost& host) {
       host.temp.file(std::string{kPf} + "/resource", HealthyHost::resources(HealthyHost::kBar,
                                                                             "0x0000000000000000 0x0000000000000000 "
                                                                             "0x0000000000000000\n"));
     }},
    {"NoWideWindow", "mmio-window", Level::warning, "no host bridge has a window above 4 GiB", "Above 4G",
     [](HealthyHost& host) { host.temp.file("/proc/iomem", "c0000000-febfffff : PCI Bus 0000:00\n"); }},
    {"WindowHidden", "mmio-window", Level::unknown, "only root", "run as root",
     [](HealthyHost& host) { capability(host, "0000000000000000"); }},
    {"SmallBar", "resizable-bars", Level::note, "BAR 0 is 256 MiB, and could be 16 GiB", "Resizable BAR",
     [](HealthyHost& host) {
       host.temp.file("/sys/devices/pci0000:00/0000:02:00.0/resource0_resize", "0000000000007f00\n");
     }},
    {"Driverctl", "driverctl", Level::note, "0000:01:00.0", "driverctl unset-override 0000:01:00.0",
     [](HealthyHost& host) { host.temp.file("/etc/driverctl.d/0000:01:00.0", "vfio-pci\n"); }},
    {"LibvirtDomain", "libvirt", Level::note, "win11", "virsh dumpxml win11",
     [](HealthyHost& host) { host.temp.file("/etc/libvirt/qemu/win11.xml", "<domain><hostdev mode='subsystem'/>"); }},
    {"LibvirtNetwork", "libvirt", Level::warning, "vfpool", "virsh net-destroy vfpool",
     [](HealthyHost& host) {
       host.temp.file("/etc/libvirt/qemu/networks/vfpool.xml", "<network><forward mode='hostdev' managed='yes'>");
     }},
    {"NetworkManager", "network-managers", Level::warning, "NetworkManager manages interfaces of VFs: eth3",
     "unmanaged-devices=interface-name:eth3",
     [](HealthyHost& host) { host.temp.file("/run/NetworkManager/devices/7", "[device]\nmanaged=true\n"); }},
    {"Networkd", "network-managers", Level::warning, "systemd-networkd manages interfaces of VFs: eth3",
     "Unmanaged=yes",
     [](HealthyHost& host) { host.temp.file("/run/systemd/netif/links/7", "ADMIN_STATE=configured\n"); }},
    {"Operator", "sriov-operator", Level::warning, "/etc/sriov-operator", "externallyManaged",
     [](HealthyHost& host) { host.temp.directory("/etc/sriov-operator/pci"); }},
    {"IdsAtBoot", "vfio-ids", Level::note, "the kernel command line gives vfio-pci every function with ids 10de:1b80",
     "pcivm device bind", [](HealthyHost& host) { parameters(host, "vfio-pci.ids=10de:1b80"); }},
    {"IdsInModprobe", "vfio-ids", Level::note, "/etc/modprobe.d/vfio.conf", "pcivm device bind",
     [](HealthyHost& host) { host.temp.file("/etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:1b80\n"); }},
    {"Softdep", "softdeps", Level::note, "'softdep nvidia pre: vfio-pci'", "",
     [](HealthyHost& host) { host.temp.file("/etc/modprobe.d/gpu.conf", "softdep nvidia pre: vfio-pci\n"); }},
    {"UdevRule", "udev-rules", Level::note, "/etc/udev/rules.d/10-gpu.rules", "rm /etc/udev/rules.d/10-gpu.rules",
     [](HealthyHost& host) {
       host.temp.file("/etc/udev/rules.d/10-gpu.rules", "ACTION==\"add\", ATTR{driver_override}=\"vfio-pci\"\n");
     }},
    {"StaleInitramfs", "initramfs", Level::warning,
     "/boot/initrd.img-6.12.48-amd64 is older than /etc/modprobe.d/x.conf", "update-initramfs -u -k 6.12.48-amd64",
     [](HealthyHost& host) {
       host.temp.file("/boot/initrd.img-6.12.48-amd64", "");
       const utimbuf old{.actime = 1, .modtime = 1};
       ASSERT_EQ(::utime(host.temp.path("/boot/initrd.img-6.12.48-amd64").c_str(), &old), 0);
       host.temp.file("/etc/modprobe.d/x.conf", "\n");
     }},
    {"NoEarlyRules", "early-rules", Level::warning, "has no early rules of pcivm, /etc has some",
     "update-initramfs -u -k 6.12.48-amd64",
     [](HealthyHost& host) {
       host.temp.file("/boot/initrd.img-6.12.48-amd64", "");
       host.temp.file("/etc/udev/rules.d/04-pcivm-early.rules", "rule\n");
     }},
    {"OtherEarlyRules", "early-rules", Level::warning, "has other early rules", "update-initramfs -u",
     [](HealthyHost& host) {
       host.temp.file("/boot/initrd.img-6.12.48-amd64", "");
       host.temp.file("/etc/udev/rules.d/04-pcivm-early.rules", "rule\n");
       host.temp.file("/var/lib/pcivm/initramfs/6.12.48-amd64.rules", "another\n");
     }},
    {"OldEarlyRules", "early-rules", Level::warning, "has old early rules of pcivm, /etc has none",
     "update-initramfs -u",
     [](HealthyHost& host) {
       host.temp.file("/boot/initrd.img-6.12.48-amd64", "");
       host.temp.file("/var/lib/pcivm/initramfs/6.12.48-amd64.rules", "another\n");
     }},
    {"EarlyRulesWithoutInitramfs", "early-rules", Level::note, "there is no /boot/initrd.img", "vfio_pci",
     [](HealthyHost& host) { host.temp.file("/etc/udev/rules.d/04-pcivm-early.rules", "rule\n"); }},
    {"Unfinished", "unfinished-changes", Level::warning, "0000:01:10.0", "pcivm reconcile",
     [](HealthyHost& host) { host.temp.file("/run/pcivm/journal/0000:01:10.0", "step=bind\n"); }},
    {"Vanished", "vanished-functions", Level::warning, "0000:01:10.6, which is gone", "pcivm reconcile",
     [](HealthyHost& host) { host.temp.file("/run/pcivm/bound/0000:01:10.6", ""); }},
    {"DeadVm", "vm-locks", Level::note, "web1", "pcivm reconcile",
     [](HealthyHost& host) { host.temp.file("/run/pcivm/vm/web1/lock", ""); }},
};

std::vector<Finding> of(const std::vector<Finding>& all, std::string_view id) {
  std::vector<Finding> found;
  for (const auto& finding : all) {
    if (finding.id == id) found.push_back(finding);
  }
  return found;
}

class Readiness : public testing::TestWithParam<Fault> {};

TEST_P(Readiness, FindsTheFault) {
  HealthyHost host;
  const auto& fault = GetParam();
  fault.make(host);
  EXPECT_THAT(of(check_host(host.temp.root(), nullptr), fault.id),
              Contains(testing::AllOf(testing::Field(&Finding::level, fault.level),
                                      testing::Field(&Finding::found, HasSubstr(fault.found)),
                                      testing::Field(&Finding::fix, HasSubstr(fault.fix)))));
}

INSTANTIATE_TEST_SUITE_P(Host, Readiness, testing::ValuesIn(kFaults),
                         [](const auto& given) { return std::string{given.param.name}; });

TEST(ReadinessTest, EveryCheckIsSilentOnAHealthyHost) {
  const HealthyHost host;
  const auto findings = check_host(host.temp.root(), nullptr);
  for (const auto id : host_check_ids()) {
    const auto own = of(findings, id);
    EXPECT_FALSE(own.empty()) << id << " does not arise on the healthy host";
    for (const auto& finding : own) EXPECT_EQ(finding.level, Level::ok) << id << ": " << finding.found;
  }
}

TEST(ReadinessTest, EveryCheckHasAFaultThatItFinds) {
  // Informative only: it names the back end, and never complains.
  std::set<std::string_view> tested{"vfio-backend"};
  for (const auto& fault : kFaults) tested.insert(fault.id);
  for (const auto id : host_check_ids()) EXPECT_TRUE(tested.contains(id)) << id;
}

TEST(ReadinessTest, AnInitramfsWithTheEarlyRulesOfToday) {
  HealthyHost host;
  host.temp.file("/etc/udev/rules.d/04-pcivm-early.rules", "rule\n");
  host.temp.file("/var/lib/pcivm/initramfs/6.12.48-amd64.rules", "rule\n");
  host.temp.file("/boot/initrd.img-6.12.48-amd64", "");
  EXPECT_THAT(of(check_host(host.temp.root(), nullptr), "early-rules"),
              Contains(testing::Field(&Finding::level, Level::ok)));
}

TEST(ReadinessTest, NewNamesOfInterfacesMakeNoInitramfsStale) {
  HealthyHost host;
  host.temp.file("/boot/initrd.img-6.12.48-amd64", "");
  const utimbuf old{.actime = 1, .modtime = 1};
  ASSERT_EQ(::utime(host.temp.path("/boot/initrd.img-6.12.48-amd64").c_str(), &old), 0);
  host.temp.file("/etc/udev/rules.d/61-pcivm-host.rules", "rule\n");
  EXPECT_THAT(of(check_host(host.temp.root(), nullptr), "initramfs"),
              Contains(testing::Field(&Finding::level, Level::ok)));
}

TEST(ReadinessTest, WhateverIsWrongIsExplained) {
  for (const auto& fault : kFaults) {
    HealthyHost host;
    fault.make(host);
    for (const auto& finding : of(check_host(host.temp.root(), nullptr), fault.id)) {
      if (finding.level != Level::problem && finding.level != Level::warning) continue;
      EXPECT_FALSE(finding.cause.empty()) << fault.name;
      EXPECT_FALSE(finding.fix.empty()) << fault.name;
    }
  }
}

TEST(ReadinessTest, AnEmptyRootHasProblemsButNoneIsMadeUp) {
  const test::TempRoot temp;
  const auto findings = check_host(temp.root(), nullptr);
  EXPECT_EQ(of(findings, "iommu").front().level, Level::problem);
  EXPECT_EQ(of(findings, "kernel-version").front().level, Level::unknown);
  EXPECT_TRUE(of(findings, "interrupt-remapping").empty());
}

TEST(ReadinessTest, NamesTheBackEnd) {
  HealthyHost host;
  EXPECT_THAT(of(check_host(host.temp.root(), nullptr), "vfio-backend").front().found, HasSubstr("no iommufd"));
  host.temp.file("/dev/iommu", "");
  host.temp.directory("/dev/vfio/devices");
  EXPECT_EQ(of(check_host(host.temp.root(), nullptr), "vfio-backend").front().found,
            "iommufd and VFIO character devices");
}

/// What is said of a NIC with VFs whose driver answers `outcome`, with these pauses, when it is asked for them.
Finding pause_frames(int outcome, unsigned rx, unsigned tx) {
  HealthyHost host;
  nic_with_vfs(host);
  test::FakeIoctls kernel;
  kernel.on<ifreq>(SIOCETHTOOL, [&](ifreq& request) {
    auto* asked = static_cast<ethtool_pauseparam*>(static_cast<void*>(request.ifr_data));
    if (asked->cmd != ETHTOOL_GPAUSEPARAM || std::string_view{request.ifr_name} != "eth2") return -EINVAL;
    asked->rx_pause = rx;
    asked->tx_pause = tx;
    return outcome;
  });
  return of(check_host(host.temp.root(), &kernel), "pause-frames").front();
}

TEST(ReadinessTest, FlowControlOfANicWithVfs) {
  const auto on = pause_frames(0, 1, 0);
  EXPECT_EQ(on.level, Level::warning);
  EXPECT_THAT(on.found, HasSubstr("is on at eth2"));
  EXPECT_EQ(on.fix, "ethtool -A eth2 autoneg off rx off tx off");
  EXPECT_EQ(pause_frames(0, 0, 1).level, Level::warning);
  EXPECT_EQ(pause_frames(0, 0, 0).level, Level::ok);
  EXPECT_EQ(pause_frames(-EOPNOTSUPP, 0, 0).level, Level::ok);
}

TEST(ReadinessTest, ANicThatFiltersPauseFramesIsNotAsked) {
  HealthyHost host;
  nic_with_vfs(host);
  host.pci.unbind("0000:01:00.0");
  host.pci.bind("0000:01:00.0", "ice");
  test::FakeIoctls kernel;
  EXPECT_EQ(of(check_host(host.temp.root(), &kernel), "pause-frames").front().level, Level::ok);
}

TEST(ReadinessTest, ALockThatIsHeldIsNoLeftover) {
  HealthyHost host;
  host.temp.file("/run/pcivm/vm/web1/lock", "");
  struct stat facts{};
  ASSERT_EQ(::stat(host.temp.path("/run/pcivm/vm/web1/lock").c_str(), &facts), 0);
  host.temp.file("/proc/locks", fmt::format("1: FLOCK  ADVISORY  WRITE 812 00:19:{} 0 EOF\n", facts.st_ino));
  EXPECT_EQ(of(check_host(host.temp.root(), nullptr), "vm-locks").front().level, Level::ok);
}

TEST(ReadinessTest, AKvmThatMayNotBeOpenedIsAWarning) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may open everything";
  HealthyHost host;
  ASSERT_EQ(::chmod(host.temp.path("/dev/kvm").c_str(), 0), 0);
  EXPECT_EQ(of(check_host(host.temp.root(), nullptr), "kvm").front().level, Level::warning);
}

TEST(DeviceReadiness, AsksEveryQuestionAndNamesTheFailedOnes) {
  FunctionDetail function;
  function.iommu_group = 9;
  function.reset_methods = {"flr"};
  const auto good = check_device(function, {});
  EXPECT_THAT(good, Not(Contains(testing::Field(&Finding::level, Level::problem))));
  EXPECT_EQ(of(good, "reset").front().found, "can be reset by: flr");
  const auto bad = check_device(function, {.reasons = {{.code = "no-reset", .text = "no way", .fix = {}},
                                                       {.code = "new-code", .text = "unheard of", .fix = "x"}}});
  EXPECT_TRUE(of(bad, "reset").empty());
  EXPECT_EQ(of(bad, "no-reset").front().level, Level::problem);
  EXPECT_EQ(of(bad, "new-code").front().fix, "x");
  EXPECT_EQ(of(bad, "group").front().level, Level::ok);
}

TEST(DeviceReadiness, ABridgeIsAskedNothingElse) {
  FunctionDetail function;
  function.is_bridge = true;
  EXPECT_EQ(check_device(function, {.reasons = {{.code = "bridge", .text = "it is a bridge", .fix = {}}}}).size(), 1U);
}

}  // namespace
}  // namespace pcivm::iommu
