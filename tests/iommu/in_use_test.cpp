// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/in_use.hpp"
#include "iommu/in_use_each.hpp"

#include <gmock/gmock.h>

#include "iommu/process_use.hpp"
#include "tests/support/fake_pci.hpp"
#include "tests/support/result_matchers.hpp"

namespace pcivm::iommu {
namespace {

using test::FailsWith;
using test::FakePci;
using test::TempRoot;
using testing::_;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto* kRouteTitle = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

MATCHER_P2(Use, kind, detail, "") {
  return arg.kind == kind && testing::ExplainMatchResult(detail, arg.detail, result_listener);
}

/// A NIC and an NVMe drive.
class InUseTest : public testing::Test {
 protected:
  InUseTest() {
    pci.function({.address = kNic, .driver = "igb", .group = 6, .total_vfs = 7});
    pci.netdev(kNic, "eth2");
    pci.function({.address = kDrive, .class_code = 0x010802, .driver = "nvme", .group = 7});
    pci.disk(kDrive, "nvme0n1", "259:0");
    pci.partition(kDrive, "nvme0n1", "nvme0n1p2", "259:2");
  }
  std::vector<InUse> users(std::string_view address) { return users_of(root, Bdf::parse(address).value()).value(); }
  void mounts(const std::string& text) { temp.file("/proc/self/mountinfo", text); }
  void bring_up() { temp.file("/sys/class/net/eth2/flags", "0x1003\n"); }
  void process(std::string_view pid, std::string_view command, std::string_view number, std::string_view path) {
    temp.file(fmt::format("/proc/{}/comm", pid), fmt::format("{}\n", command));
    temp.link(fmt::format("/proc/{}/fd/{}", pid, number), path);
  }

  static constexpr auto* kNic = "0000:01:00.0";
  static constexpr auto* kDrive = "0000:03:00.0";
  TempRoot temp;
  FakePci pci{temp};
  SysRoot root{temp.root()};
};

TEST_F(InUseTest, AbsentFunctionIsNotFound) {
  EXPECT_THAT(users_of(root, Bdf::parse("0000:09:00.0").value()),
              FailsWith(Errc::not_found, HasSubstr("0000:09:00.0")));
}

TEST_F(InUseTest, ManyAreAskedAboutAtOnce) {
  pci.vf(kNic, 0, "0000:01:10.0", 12);
  pci.bind("0000:01:10.0", "vfio-pci");
  process("812", "vmm", "9", "/dev/vfio/12");
  const std::vector addresses{Bdf::parse(kDrive).value(), Bdf::parse("0000:01:10.0").value(), Bdf::parse(kNic).value()};
  const auto all = users_of_each(root, addresses).value();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_THAT(all[0], IsEmpty());
  EXPECT_THAT(all[1], ElementsAre(Use("vfio", "pid 812 (vmm)")));
  EXPECT_THAT(all[2], ElementsAre(Use("vf", "0000:01:10.0: vfio: pid 812 (vmm)")));
  EXPECT_THAT(users_of_each(root, std::vector{addresses[0], Bdf::parse("0000:09:00.0").value()}),
              FailsWith(Errc::not_found));
}

TEST_F(InUseTest, IdleFunctionsHaveNoUsers) {
  EXPECT_THAT(users(kNic), IsEmpty());
  EXPECT_THAT(users(kDrive), IsEmpty());
}

TEST_F(InUseTest, AnInterfaceThatIsOnlyUpIsFree) {
  bring_up();
  EXPECT_THAT(users(kNic), IsEmpty());
}

TEST_F(InUseTest, AMountIsFollowedThroughDeviceMapperAndPartition) {
  pci.stacked_disk("dm-0", "253:0", "nvme0n1p2");
  mounts("29 1 253:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw\n");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("mount", "/ -> dm-0 -> nvme0n1p2 -> nvme0n1 -> 0000:03:00.0")));
}

TEST_F(InUseTest, ManyMountsOfOneDeviceAreOneUser) {
  mounts(
      "29 1 259:2 / /srv rw - xfs /dev/nvme0n1p2 rw\n"
      "30 1 259:2 /a /mnt/a\\040b rw - xfs /dev/nvme0n1p2 rw\n");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("mount", HasSubstr("/srv (and 1 more) -> nvme0n1p2"))));
}

TEST_F(InUseTest, BtrfsIsFoundByItsSourceAndOnAllItsMembers) {
  pci.function({.address = "0000:04:00.0", .class_code = 0x010802, .driver = "nvme", .group = 8});
  pci.disk("0000:04:00.0", "nvme1n1", "259:9");
  temp.directory("/sys/fs/btrfs/uuid/devices/nvme0n1p2");
  temp.directory("/sys/fs/btrfs/uuid/devices/nvme1n1");
  mounts("29 1 0:31 / /data rw - btrfs /dev/nvme0n1p2 rw\n");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("mount", HasSubstr("/data -> nvme0n1p2"))));
  EXPECT_THAT(users("0000:04:00.0"), ElementsAre(Use("mount", HasSubstr("/data -> nvme1n1"))));
}

TEST_F(InUseTest, OtherMountsDoNotCount) {
  mounts(
      "22 1 0:20 / /proc rw - proc proc rw\n"
      "29 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
  EXPECT_THAT(users(kDrive), IsEmpty());
}

TEST_F(InUseTest, SwapCounts) {
  temp.file("/proc/swaps", "Filename\tType\t\tSize\tUsed\tPriority\n/dev/nvme0n1p2 partition\t1048572\t0\t-2\n");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("swap", "swap -> nvme0n1p2 -> nvme0n1 -> 0000:03:00.0")));
}

TEST_F(InUseTest, AnArrayThatIsNotMountedCounts) {
  temp.directory("/sys/class/block/nvme0n1p2/holders/md0");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("holder", "md0 -> nvme0n1p2 -> nvme0n1 -> 0000:03:00.0")));
}

TEST_F(InUseTest, AProcessThatHoldsAPartitionCountsButUdevDoesNot) {
  process("71", "(udev-worker)", "9", "/dev/nvme0n1");
  EXPECT_THAT(users(kDrive), IsEmpty());
  process("72", "mkfs.xfs", "3", "/dev/nvme0n1p2");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("open", "pid 72 (mkfs.xfs) -> nvme0n1p2 -> nvme0n1 -> 0000:03:00.0")));
}

TEST_F(InUseTest, TheDefaultRouteCountsAlsoThroughABridge) {
  temp.directory("/sys/class/net/br0");
  temp.directory("/sys/class/net/eth2/upper_br0");
  temp.link("/sys/class/net/eth2/master", "../br0");
  temp.file("/proc/net/route",
            std::string{kRouteTitle} + "br0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
  EXPECT_THAT(users(kNic),
              ElementsAre(Use("route", "default route -> br0 -> eth2"), Use("bridge", "eth2 is a port of br0")));
}

TEST_F(InUseTest, TheIpv6DefaultRouteCountsAndAnUnreachableOneDoesNot) {
  const std::string zero(32, '0');
  const auto line = [&](std::string_view flags, std::string_view netdev) {
    return fmt::format("{0} 00 {0} 00 {0} 00000400 00000001 00000000 {1} {2}\n", zero, flags, netdev);
  };
  temp.file("/proc/net/ipv6_route", line("00200200", "lo") + line("00000201", "eth2"));
  EXPECT_THAT(users(kNic), IsEmpty());
  temp.file("/proc/net/ipv6_route", line("00450003", "eth2"));
  EXPECT_THAT(users(kNic), ElementsAre(Use("route", "default route (IPv6) -> eth2")));
}

TEST_F(InUseTest, AnAddressCountsOnlyOnAnInterfaceThatIsUp) {
  temp.file("/proc/net/if_inet6", "20010db8000000000000000000000007 04 40 00 80     eth2\n");
  EXPECT_THAT(users(kNic), IsEmpty());
  bring_up();
  EXPECT_THAT(users(kNic), ElementsAre(Use("address", "eth2 is up with 2001:db8::7")));
}

TEST_F(InUseTest, ALinkLocalAddressAloneDoesNotCount) {
  bring_up();
  temp.file("/proc/net/if_inet6", "fe8000000000000000000000000000aa 04 40 20 80     eth2\n");
  EXPECT_THAT(users(kNic), IsEmpty());
}

TEST_F(InUseTest, AVlanOnTopCounts) {
  temp.directory("/sys/class/net/eth2.100");
  temp.directory("/sys/class/net/eth2/upper_eth2.100");
  EXPECT_THAT(users(kNic), ElementsAre(Use("upper", "eth2 carries eth2.100")));
}

TEST_F(InUseTest, TheSshSessionIsFoundThroughTheParentsOfSudo) {
  temp.file("/proc/self/environ", std::string{"PATH=/bin\0SUDO_USER=a\0", 22});
  temp.file("/proc/self/status", "Name:\tpcivm\nPPid:\t80\n");
  temp.file("/proc/80/environ", std::string{"SSH_CONNECTION=192.168.2.9 5022 192.168.2.1 22\0", 48});
  temp.file("/proc/net/route",
            std::string{kRouteTitle} + "eth2\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
  EXPECT_THAT(users(kNic), ElementsAre(Use("ssh", "this SSH session from 192.168.2.9 -> eth2")));
}

TEST_F(InUseTest, AnInterfaceInAnotherNamespaceCounts) {
  pci.function({.address = "0000:05:00.0", .driver = "igbvf", .group = 12});
  EXPECT_THAT(users("0000:05:00.0"), ElementsAre(Use("netns", HasSubstr("igbvf"))));
  pci.bind("0000:05:00.0", "vfio-pci");
  EXPECT_THAT(users("0000:05:00.0"), IsEmpty());
}

TEST_F(InUseTest, TheHolderOfTheGroupIsNamed) {
  pci.bind(kDrive, "vfio-pci");
  process("812", "qemu-system-x86", "20", "/dev/vfio/vfio");
  process("812", "qemu-system-x86", "21", "/dev/vfio/7");
  process("813", "other", "21", "/dev/vfio/77");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("vfio", "pid 812 (qemu-system-x86)")));
}

TEST_F(InUseTest, TheHolderOfTheCharacterDeviceIsNamed) {
  pci.bind(kDrive, "vfio-pci");
  temp.directory(FakePci::device(kDrive) + "/vfio-dev/vfio3");
  process("812", "vmm", "21", "/dev/vfio/devices/vfio3");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("vfio", "pid 812 (vmm)")));
}

// The kernel takes away the node's name and vfio-dev before it waits for the holder.
TEST_F(InUseTest, AHolderOfADeviceThatIsBeingRemovedIsHeldAgainstAllThatMayBeIt) {
  pci.bind(kDrive, "vfio-pci");
  temp.directory(FakePci::device(kDrive) + "/vfio-dev/vfio4");
  process("812", "vmm", "21", "/dev/vfio/devices/vfio3 (deleted)");
  EXPECT_THAT(users(kDrive), IsEmpty());
  temp.remove(FakePci::device(kDrive) + "/vfio-dev");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("vfio", HasSubstr("being removed, perhaps this one"))));
}

TEST_F(InUseTest, AVirtualMachineIsNamed) {
  pci.bind(kDrive, "vfio-pci");
  process("812", "pcivm", "7", "/run/pcivm/vm/web1/lock");
  process("812", "pcivm", "21", "/dev/vfio/7");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("vfio", "pid 812 (pcivm, VM web1)")));
}

TEST_F(InUseTest, ADeviceWithoutItsGroupDescriptorIsHeldAgainstAllUnlessTheKernelNamesIt) {
  pci.bind(kDrive, "vfio-pci");
  process("812", "vmm", "21", "anon_inode:[vfio-device]");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("vfio", HasSubstr("perhaps this one"))));
  temp.file("/proc/812/fdinfo/21", "pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:00/0000:09:00.0\n");
  EXPECT_THAT(users(kDrive), IsEmpty());
  temp.file("/proc/812/fdinfo/21", "vfio-device-syspath: /sys/devices/pci0000:00/0000:03:00.0\n");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("vfio", "pid 812 (vmm)")));
}

TEST_F(InUseTest, TheConsoleAndOpenGraphicsNodesCount) {
  pci.function({.address = "0000:06:00.0", .class_code = 0x030000, .driver = "i915", .group = 13});
  temp.file(FakePci::device("0000:06:00.0") + "/boot_vga", "1\n");
  temp.link("/sys/class/drm/card0", "../../devices/pci0000:00/0000:06:00.0/drm/card0");
  process("900", "Xorg", "12", "/dev/dri/card0");
  EXPECT_THAT(users("0000:06:00.0"), ElementsAre(Use("boot-vga", _), Use("drm", "pid 900 (Xorg) -> /dev/dri/card0")));
}

TEST_F(InUseTest, OtherManagersAreNamed) {
  temp.file("/etc/driverctl.d/0000:01:00.0", "vfio-pci\n");
  temp.file("/run/libvirt/qemu/web.xml",
            "<domain><hostdev mode='subsystem' type='pci' managed='yes'><driver name='vfio'/><source>"
            "<address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source>"
            "<address type='pci' domain='0x0000' bus='0x03' slot='0x00' function='0x0'/></hostdev></domain>");
  EXPECT_THAT(users(kNic), ElementsAre(Use("driverctl", HasSubstr("'vfio-pci'")), Use("libvirt", "domain web")));
  EXPECT_THAT(users(kDrive), IsEmpty()) << "the guest's address of the device was taken for a host address";
}

TEST_F(InUseTest, APhysicalFunctionIsInUseWithItsVirtualFunctions) {
  pci.vf(kNic, 0, "0000:01:10.0", 9);
  EXPECT_THAT(users(kNic), IsEmpty());
  pci.bind("0000:01:10.0", "vfio-pci");
  process("812", "vmm", "21", "/dev/vfio/9");
  EXPECT_THAT(users(kNic), ElementsAre(Use("vf", "0000:01:10.0: vfio: pid 812 (vmm)")));
}

// ---- what the host needs without a mount ----

TEST_F(InUseTest, BootPartitionsThatAreNotMountedCount) {
  temp.link("/dev/disk/by-uuid/1234-ABCD", "../../nvme0n1p2");
  temp.file("/etc/fstab",
            "# <file system> <mount point>\n"
            "UUID=1234-ABCD /boot/efi vfat umask=0077 0 1\n"
            "UUID=9999 /srv ext4 noauto 0 0\n");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("boot", "/boot/efi -> nvme0n1p2 -> nvme0n1 -> 0000:03:00.0")));
  mounts("36 35 259:2 / /boot/efi rw - vfat /dev/nvme0n1p2 rw\n");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("mount", HasSubstr("/boot/efi"))));
}

TEST_F(InUseTest, ThePlaceOfHibernationCountsByCommandLineAndByNumber) {
  temp.file("/proc/cmdline", "root=/dev/sda1 resume=/dev/nvme0n1p2 quiet\n");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("hibernate", "resume -> nvme0n1p2 -> nvme0n1 -> 0000:03:00.0")));
  temp.file("/proc/cmdline", "quiet\n");
  temp.file("/sys/power/resume", "0:0\n");
  EXPECT_THAT(users(kDrive), IsEmpty());
  temp.file("/sys/power/resume", "259:2\n");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("hibernate", HasSubstr("nvme0n1p2"))));
}

TEST_F(InUseTest, TheTargetOfAKernelDumpCounts) {
  temp.file("/etc/kdump.conf", "path /var/crash\nraw /dev/nvme0n1p2\ncore_collector makedumpfile\n");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("kdump", HasSubstr("kdump -> nvme0n1p2"))));
}

TEST_F(InUseTest, AMountIsFollowedThroughEveryKindOfVolume) {
  // LVM on LUKS on an array of two drives, one path of which is multipath.
  pci.stacked_disk("md1", "9:1", "nvme0n1p2");
  pci.stacked_disk("dm-0", "254:0", "md1");
  pci.stacked_disk("dm-1", "254:1", "dm-0");
  mounts("36 35 254:1 / / rw - ext4 /dev/mapper/vg-root rw\n");
  EXPECT_THAT(users(kDrive),
              ElementsAre(Use("mount", "/ -> dm-1 -> dm-0 -> md1 -> nvme0n1p2 -> nvme0n1 -> 0000:03:00.0")));
}

TEST_F(InUseTest, TheCacheOfABcacheCountsLikeItsBackingDevice) {
  pci.function({.address = "0000:04:00.0", .class_code = 0x010802, .driver = "nvme", .group = 8});
  pci.disk("0000:04:00.0", "nvme1n1", "259:5");
  pci.stacked_disk("bcache0", "250:0", "nvme0n1");
  temp.link("/sys/fs/bcache/0a0b/cache0", "../../../devices/pci0000:00/0000:04:00.0/block/nvme1n1/bcache");
  temp.directory("/sys/devices/virtual/block/bcache0/bcache");
  temp.link("/sys/devices/virtual/block/bcache0/bcache/cache", "../../../../../fs/bcache/0a0b");
  mounts("36 35 250:0 / /data rw - ext4 /dev/bcache0 rw\n");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("mount", "/data -> bcache0 -> nvme0n1 -> 0000:03:00.0")));
  EXPECT_THAT(users("0000:04:00.0"), ElementsAre(Use("mount", "/data -> bcache0 -> nvme1n1 -> 0000:04:00.0")));
}

// ---- consoles and character devices ----

TEST_F(InUseTest, TheFirmwaresFramebufferInABarCounts) {
  pci.function({.address = "0000:05:00.0", .class_code = 0x030000, .driver = "", .group = 9});
  temp.file("/proc/iomem",
            "e0000000-efffffff : PCI Bus 0000:05\n"
            "  e0000000-efffffff : 0000:05:00.0\n"
            "    e0000000-e02fffff : BOOTFB\n"
            "  f0000000-f0003fff : 0000:03:00.0\n");
  EXPECT_THAT(users("0000:05:00.0"),
              ElementsAre(Use("console", "BOOTFB (the firmware's framebuffer) -> 0000:05:00.0")));
  EXPECT_THAT(users(kDrive), IsEmpty());
}

TEST_F(InUseTest, AFramebufferCountsWhileTerminalsAreOnIt) {
  pci.function({.address = "0000:05:00.0", .class_code = 0x030000, .driver = "i915", .group = 9});
  temp.link("/sys/class/graphics/fb0", "../../devices/pci0000:00/0000:05:00.0/graphics/fb0");
  EXPECT_THAT(users("0000:05:00.0"), IsEmpty());
  temp.file("/sys/class/vtconsole/vtcon1/name", "(M) frame buffer device\n");
  temp.file("/sys/class/vtconsole/vtcon1/bind", "1\n");
  EXPECT_THAT(users("0000:05:00.0"), ElementsAre(Use("console", HasSubstr("terminals -> fb0"))));
}

TEST_F(InUseTest, ASerialPortWithKernelMessagesCounts) {
  pci.function({.address = "0000:05:00.0", .class_code = 0x070002, .driver = "serial", .group = 9});
  temp.link("/sys/class/tty/ttyS4", "../../devices/pci0000:00/0000:05:00.0/tty/ttyS4");
  temp.file("/proc/consoles",
            "tty0                 -WU (EC  p  )    4:1\nttyS4                -W- (E   p  )    4:68\n");
  EXPECT_THAT(users("0000:05:00.0"), ElementsAre(Use("console", HasSubstr("kernel messages -> ttyS4"))));
}

TEST_F(InUseTest, ASerialPortOfTheBoardIsNoneOfAFunction) {
  pci.function({.address = "0000:02:00.0", .class_code = 0x010802, .driver = "nvme", .group = 9});
  temp.link("/sys/class/tty/ttyS0", "../../devices/pnp0/00:02/00:02:0/00:02:0.0/tty/ttyS0");
  temp.file("/proc/consoles", "ttyS0                -W- (EC  p a)    4:64\n");
  EXPECT_THAT(users("0000:02:00.0"), IsEmpty());
}

TEST_F(InUseTest, HoldersOfControllerAndRdmaNodesCount) {
  temp.link("/sys/class/nvme/nvme0", "../../devices/pci0000:00/0000:03:00.0/nvme/nvme0");
  temp.link("/sys/class/infiniband_verbs/uverbs0", "../../devices/pci0000:00/0000:01:00.0/infiniband_verbs/uverbs0");
  process("812", "spdk", "5", "/dev/nvme0");
  process("813", "ib_write_bw", "6", "/dev/infiniband/uverbs0");
  EXPECT_THAT(users(kDrive), ElementsAre(Use("open", "pid 812 (spdk) -> /dev/nvme0")));
  EXPECT_THAT(users(kNic), ElementsAre(Use("rdma", "pid 813 (ib_write_bw) -> /dev/infiniband/uverbs0")));
}

TEST_F(InUseTest, AProcessOfPcivmIsNamedByItsCommand) {
  temp.file("/proc/812/comm", "pcivm\n");
  temp.file("/proc/812/cmdline", std::string{"/usr/bin/pcivm\0vm\0run\0web\0--kernel\0/boot/vmlinuz\0", 49});
  EXPECT_EQ(process_name(root, "812"), "pid 812 (pcivm vm run web)");
  EXPECT_EQ(process_name(root, "9"), "pid 9 (?)");
}

// ---- network ----

TEST_F(InUseTest, AnOpenVswitchPortIsCalledThat) {
  temp.link("/sys/class/net/eth2/master", "../ovs-system");
  EXPECT_THAT(users(kNic), ElementsAre(Use("bridge", "eth2 is a port of ovs-system (Open vSwitch)")));
}

TEST_F(InUseTest, TheSshSessionIsFoundByItsLocalAddressToo) {
  bring_up();
  temp.file("/proc/net/if_inet6", "20010db8000000000000000000000007 02 40 00 80     eth2\n");
  temp.file("/proc/self/environ", std::string{"SSH_CONNECTION=2001:db8:9::1 50000 2001:db8::7 22\0", 50});
  EXPECT_THAT(users(kNic), testing::Contains(Use("ssh", "this SSH session from 2001:db8:9::1 -> eth2")));
}

TEST_F(InUseTest, TheNamespaceOfAMissingInterfaceIsNamed) {
  temp.remove("/sys/class/net/eth2");
  temp.link("/proc/self/ns/net", "net:[4026531840]");
  temp.link("/proc/812/ns/net", "net:[4026532249]");
  temp.file("/proc/812/comm", "containerd\n");
  temp.directory("/proc/812/root/sys/bus/pci/devices/0000:01:00.0/net/eth2");
  EXPECT_THAT(users(kNic), ElementsAre(Use("netns", "eth2 in the network namespace of pid 812 (containerd)")));
}

TEST_F(InUseTest, AVfWhoseNetworkStateLibvirtKeepsIsItsOwn) {
  pci.vf(kNic, 0, "0000:01:10.0", 10);
  temp.directory("/sys/bus/pci/devices/0000:01:00.0/net/eth2");
  temp.file("/run/libvirt/hostdevmgr/eth2_vf0", "{}\n");
  EXPECT_THAT(users("0000:01:10.0"), ElementsAre(Use("libvirt", HasSubstr("hostdevmgr"))));
}

}  // namespace
}  // namespace pcivm::iommu
