// SPDX-License-Identifier: GPL-2.0-or-later
// Builds the sysfs of a host's PCI functions in a TempRoot, with the links and files the kernel makes, and changes it
// as the kernel does when drivers bind and VFs come and go. Call the changing functions from SysRoot::on_write hooks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/bdf.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::test {

struct FakeFunction {
  std::string address{"0000:01:00.0"};
  std::uint16_t vendor{0x8086};
  std::uint16_t device{0x10c9};
  std::uint32_t class_code{0x020000};
  std::string driver{};              ///< empty = none
  std::optional<unsigned> group{1};  ///< none = no IOMMU
  std::string reset_method{"flr"};   ///< empty = no such file
  unsigned total_vfs{0};             ///< not 0: a PF
};

class FakePci final {
 public:
  explicit FakePci(const TempRoot& root) : root_{root} { root_.directory("/sys/bus/pci/devices"); }

  [[nodiscard]] static std::string device(std::string_view address) { return fmt::format("{}/{}", kDevices, address); }

  void function(const FakeFunction& made) const {
    const auto real = fmt::format("{}/{}", kBus, made.address);
    root_.directory(real);
    root_.link(device(made.address), fmt::format("../../../devices/pci0000:00/{}", made.address));
    ids(made);
    root_.file(real + "/driver_override", "(null)\n");
    root_.file(real + "/numa_node", "-1\n");
    root_.file(real + "/revision", "0x01\n");
    root_.file(real + "/power_state", "D0\n");
    root_.file(real + "/resource",
               "0x00000000fe800000 0x00000000fe81ffff 0x0000000000040200\n"
               "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
               "0x000000000000c000 0x000000000000c01f 0x0000000000040101\n"
               "0x0000800000000000 0x0000800000003fff 0x000000000014220c\n");
    if (!made.reset_method.empty()) root_.file(real + "/reset_method", made.reset_method + "\n");
    if (made.group) join(made.address, *made.group);
    if (made.total_vfs != 0) {
      root_.file(real + "/sriov_totalvfs", fmt::format("{}\n", made.total_vfs));
      root_.file(real + "/sriov_numvfs", "0\n");
      root_.file(real + "/sriov_drivers_autoprobe", "1\n");
    }
    if (!made.driver.empty()) bind(made.address, made.driver);
  }

  /// An unbound VF with number `index` of `physical`, in a group of its own.
  void vf(std::string_view physical, unsigned index, std::string_view address, unsigned group) const {
    function({.address = std::string{address}, .device = 0x10ca, .group = group});
    root_.link(device(address) + "/physfn", fmt::format("../{}", physical));
    root_.link(fmt::format("{}/virtfn{}", device(physical), index), fmt::format("../{}", address));
    root_.file(device(physical) + "/sriov_numvfs", fmt::format("{}\n", index + 1));
  }

  /// Takes a function away, as the kernel does with VFs when sriov_numvfs becomes 0.
  void remove(std::string_view address) const {
    unbind(address);
    const auto group = root_.root().link_name(device(address) + "/iommu_group");
    if (!group.empty()) leave(address, group);
    root_.remove(device(address));
    root_.remove(fmt::format("{}/{}", kBus, address));
  }

  /// Removes the VFs of `physical` with their links.
  void remove_vfs(std::string_view physical) const {
    for (unsigned index = 0;; ++index) {
      const auto link = fmt::format("{}/virtfn{}", device(physical), index);
      const auto address = root_.root().link_name(link);
      if (address.empty()) break;
      remove(address);
      root_.remove(link);
    }
    root_.file(device(physical) + "/sriov_numvfs", "0\n");
  }

  /// Makes a driver known without binding anything to it.
  void driver(std::string_view name) const {
    const auto directory = fmt::format("{}/{}", kDrivers, name);
    root_.directory(directory);
    root_.file(directory + "/bind", "");
    root_.file(directory + "/unbind", "");
  }

  void bind(std::string_view address, std::string_view name) const {
    unbind(address);
    driver(name);
    root_.link(device(address) + "/driver", fmt::format("../../../bus/pci/drivers/{}", name));
    root_.link(fmt::format("{}/{}/{}", kDrivers, name, address),
               fmt::format("../../../../devices/pci0000:00/{}", address));
    set_uevent_driver(address, name);
  }

  void unbind(std::string_view address) const {
    const auto name = root_.root().link_name(device(address) + "/driver");
    if (name.empty()) return;
    root_.remove(fmt::format("{}/{}/{}", kDrivers, name, address));
    root_.remove(device(address) + "/driver");
    set_uevent_driver(address, "");
  }

  /// A network interface of a function; `flags` as in /sys/class/net/*/flags (1 = up).
  void netdev(std::string_view address, std::string_view name, std::string_view mac = "02:00:00:00:00:01",
              unsigned flags = 0x1002) const {
    const auto real = fmt::format("{}/{}/net/{}", kBus, address, name);
    root_.file(real + "/address", fmt::format("{}\n", mac));
    root_.file(real + "/flags", fmt::format("0x{:x}\n", flags));
    root_.link(fmt::format("/sys/class/net/{}", name),
               fmt::format("../../devices/pci0000:00/{}/net/{}", address, name));
  }

  /// A disk of a function, with an empty list of holders.
  void disk(std::string_view address, std::string_view name, std::string_view numbers) const {
    block(fmt::format("pci0000:00/{}/block/{}", address, name), name, numbers);
  }
  void partition(std::string_view address, std::string_view disk_name, std::string_view name,
                 std::string_view numbers) const {
    block(fmt::format("pci0000:00/{}/block/{}/{}", address, disk_name, name), name, numbers);
    root_.file(fmt::format("/sys/class/block/{}/partition", name), "1\n");
  }
  /// A dm or md device on top of `slave`.
  void stacked_disk(std::string_view name, std::string_view numbers, std::string_view slave) const {
    block(fmt::format("virtual/block/{}", name), name, numbers);
    root_.link(fmt::format("/sys/class/block/{}/slaves/{}", name, slave), fmt::format("../../../../{}", slave));
  }

 private:
  static constexpr std::string_view kDevices = "/sys/bus/pci/devices";
  static constexpr std::string_view kDrivers = "/sys/bus/pci/drivers";
  static constexpr std::string_view kBus = "/sys/devices/pci0000:00";

  void ids(const FakeFunction& made) const {
    const auto real = fmt::format("{}/{}", kBus, made.address);
    root_.file(real + "/vendor", fmt::format("0x{:04x}\n", made.vendor));
    root_.file(real + "/device", fmt::format("0x{:04x}\n", made.device));
    root_.file(real + "/class", fmt::format("0x{:06x}\n", made.class_code));
    root_.file(real + "/uevent", fmt::format("PCI_CLASS={:X}\nPCI_ID={:04X}:{:04X}\nPCI_SUBSYS_ID=8086:A03C\n"
                                             "PCI_SLOT_NAME={}\nMODALIAS=pci:v\n",
                                             made.class_code, made.vendor, made.device, made.address));
  }

  void join(std::string_view address, unsigned group) const {
    const auto directory = fmt::format("/sys/kernel/iommu_groups/{}", group);
    root_.file(directory + "/type", "DMA\n");
    root_.file(directory + "/reserved_regions", "0x00000000fee00000 0x00000000feefffff msi\n");
    root_.link(fmt::format("{}/devices/{}", directory, address),
               fmt::format("../../../../devices/pci0000:00/{}", address));
    root_.link(fmt::format("{}/{}/iommu_group", kBus, address), fmt::format("../../../kernel/iommu_groups/{}", group));
  }

  /// An IOMMU group ends with its last member.
  void leave(std::string_view address, const std::string& group) const {
    const auto members = fmt::format("/sys/kernel/iommu_groups/{}/devices", group);
    root_.remove(fmt::format("{}/{}", members, address));
    if (std::filesystem::is_empty(root_.path(members))) root_.remove(fmt::format("/sys/kernel/iommu_groups/{}", group));
  }

  void set_uevent_driver(std::string_view address, std::string_view name) const {
    const auto path = device(address) + "/uevent";
    auto text = root_.root().read(path).value();
    if (text.starts_with("DRIVER=")) text.erase(0, text.find('\n') + 1);
    root_.file(path, name.empty() ? text + "\n" : fmt::format("DRIVER={}\n{}\n", name, text));
  }

  void block(const std::string& below, std::string_view name, std::string_view numbers) const {
    const auto real = "/sys/devices/" + below;
    root_.directory(real);
    root_.file(real + "/dev", fmt::format("{}\n", numbers));
    root_.directory(real + "/slaves");
    root_.link(fmt::format("/sys/class/block/{}", name), "../../devices/" + below);
    root_.link(fmt::format("/sys/dev/block/{}", numbers), "../../devices/" + below);
  }

  const TempRoot& root_;
};

}  // namespace pcivm::test
