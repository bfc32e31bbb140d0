// SPDX-License-Identifier: GPL-2.0-or-later
// Hosts to draw: two sockets, a switch, a PF with many VFs, an owner; as placed functions and as a tree of sysfs.
#pragma once

#include <string>
#include <vector>

#include <fmt/format.h>

#include "iommu/topology.hpp"
#include "tests/support/fake_pci.hpp"

namespace pcivm::test {

inline iommu::PlacedFunction placed(std::vector<std::string> path, std::uint32_t class_code, std::string driver,
                                    std::uint32_t group) {
  iommu::PlacedFunction made;
  made.function.address = Bdf::parse(path.back()).value();
  made.function.vendor = 0x8086;
  made.function.device = 0x10c9;
  made.function.class_code = class_code;
  made.function.is_bridge = class_code == 0x060400;
  made.function.driver = std::move(driver);
  made.function.iommu_group = group;
  made.holder = made.function.driver.empty() ? iommu::Holder::nobody : iommu::Holder::host;
  made.path = std::move(path);
  return made;
}

inline iommu::PlacedFunction placed_vf(std::string host_bridge, std::string port, Bdf physical, unsigned index) {
  const auto at = physical.routing_id() + 128U + index;
  const Bdf address{.domain = physical.domain,
                    .bus = static_cast<std::uint8_t>(at >> 8U),
                    .device = static_cast<std::uint8_t>(at >> 3U & 31U),
                    .function = static_cast<std::uint8_t>(at & 7U)};
  auto made = placed({std::move(host_bridge), std::move(port), address.to_string()}, 0x020000, "vfio-pci", 100 + index);
  made.function.device = 0x10ca;
  made.function.physfn = physical;
  made.holder = iommu::Holder::vfio;
  return made;
}

/// `ports` root ports, each with a PF that has 64 VFs: ports * 66 functions, at most 248 ports.
inline std::vector<iommu::PlacedFunction> many_functions(unsigned ports) {
  std::vector<iommu::PlacedFunction> all;
  for (unsigned i = 0; i < ports; ++i) {
    const std::string bridge = "pci0000:00";
    const auto port = fmt::format("0000:00:{:02x}.{}", i / 8 + 1, i % 8);
    const auto physical = fmt::format("0000:{:02x}:00.0", i + 1);
    all.push_back(placed({bridge, port}, 0x060400, "pcieport", 2 * i));
    all.push_back(placed({bridge, port, physical}, 0x020000, "igb", 2 * i + 1));
    for (unsigned v = 0; v < 64; ++v) all.push_back(placed_vf(bridge, port, Bdf::parse(physical).value(), v));
  }
  return all;
}

/// A sysfs tree for --root: two sockets; a switch with two drives of one group; a PF with 64 VFs, one of them in a VM;
/// a graphics card whose audio function is in its group.
class TwoSockets final {
 public:
  TwoSockets() {
    for (const unsigned node : {0U, 1U}) {
      temp.file(fmt::format("/sys/devices/system/node/node{}/cpulist", node),
                fmt::format("{}-{}\n", node * 8, node * 8 + 7));
      temp.file(fmt::format("/sys/devices/system/cpu/cpu{}/topology/physical_package_id", node * 8),
                fmt::format("{}\n", node));
    }
    add("pci0000:00", {"0000:00:00.0"}, 0x060000, 0x0000, "", 0);
    add("pci0000:00", {"0000:00:01.0"}, 0x060400, 0xa110, "pcieport", 1);
    add("pci0000:00", {"0000:00:01.0", "0000:01:00.0"}, 0x030000, 0x1b80, "vfio-pci", 2, 0x10de);
    add("pci0000:00", {"0000:00:01.0", "0000:01:00.1"}, 0x040300, 0x10f0, "snd_hda_intel", 2, 0x10de);
    add_switch();
    add("pci0000:80", {"0000:80:01.0"}, 0x060400, 0xa110, "pcieport", 20);
    add("pci0000:80", {"0000:80:01.0", "0000:81:00.0"}, 0x020000, 0x1572, "i40e", 21);
    pci.netdev("0000:81:00.0", "ens8<&>");
    nest("0000:81:00.0", "pci0000:80", {"0000:80:01.0"});
    for (unsigned i = 0; i < 64; ++i) add_vf(i);
    add_holder();
  }
  TwoSockets(const TwoSockets&) = delete;
  TwoSockets& operator=(const TwoSockets&) = delete;
  ~TwoSockets() = default;

  TempRoot temp;
  FakePci pci{temp};

 private:
  void add_switch() const {
    const std::vector<std::string> up{"0000:00:03.0", "0000:03:00.0"};
    add("pci0000:00", {"0000:00:03.0"}, 0x060400, 0xa112, "pcieport", 3);
    add("pci0000:00", up, 0x060400, 0x8232, "pcieport", 4, 0x104c);
    for (const unsigned slot : {0U, 1U}) {
      auto path = up;
      path.push_back(fmt::format("0000:04:{:02x}.0", slot));
      add("pci0000:00", path, 0x060400, 0x8233, "pcieport", 5, 0x104c);
      path.push_back(fmt::format("0000:{:02x}:00.0", 5 + slot));
      add("pci0000:00", path, 0x010802, 0xa80a, slot == 0 ? "nvme" : "", 5, 0x144d);
    }
    pci.disk("0000:05:00.0", "nvme0n1", "259:0");
  }

  void add_vf(unsigned index) const {
    const auto address = fmt::format("0000:81:{:02x}.{}", 2 + index / 8, index % 8);
    add("pci0000:80", {"0000:80:01.0", address}, 0x020000, 0x154c, "vfio-pci", 30 + index);
    temp.link(FakePci::device(address) + "/physfn", "../0000:81:00.0");
    temp.link(fmt::format("{}/virtfn{}", FakePci::device("0000:81:00.0"), index), "../" + address);
  }

  void add_holder() const {
    temp.file("/proc/812/comm", "pcivm\n");
    temp.file("/proc/812/cmdline", std::string{"pcivm\0vm\0run\0web1\0--device\0eth2/vf3\0", 36});
    temp.link("/proc/812/fd/9", "/dev/vfio/33");
  }

  void add(const std::string& bridge, const std::vector<std::string>& path, std::uint32_t class_code,
           std::uint16_t device, const std::string& driver, unsigned group, std::uint16_t vendor = 0x8086) const {
    pci.function({.address = path.back(),
                  .vendor = vendor,
                  .device = device,
                  .class_code = class_code,
                  .driver = driver,
                  .group = group});
    temp.file(FakePci::device(path.back()) + "/numa_node", bridge == "pci0000:80" ? "1\n" : "0\n");
    nest(path.back(), bridge, {path.begin(), path.end() - 1});
  }

  /// FakePci puts every function right below its bus; this moves it to where it stands.
  void nest(const std::string& address, const std::string& bridge, const std::vector<std::string>& above) const {
    auto path = bridge;
    for (const auto& port : above) path += "/" + port;
    const auto target = fmt::format("/sys/devices/{}/{}", path, address);
    const auto now = temp.path(FakePci::device(address));
    const auto real = std::filesystem::canonical(now);
    if (real != temp.path(target)) {
      std::filesystem::create_directories(temp.path(target).parent_path());
      std::filesystem::rename(real, temp.path(target));
    }
    temp.link(FakePci::device(address), fmt::format("../../../devices/{}/{}", path, address));
  }
};

}  // namespace pcivm::test
