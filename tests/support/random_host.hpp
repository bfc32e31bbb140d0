// SPDX-License-Identifier: GPL-2.0-or-later
// Hosts and configurations by chance, the same for the same seed on every machine.
#pragma once

#include <array>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tests/support/simulated_host.hpp"

namespace pcivm::test {

class Chance final {
 public:
  explicit Chance(unsigned seed) : engine_{seed} {}
  /// 0 to `count` - 1. No distribution of the library: those differ between implementations.
  unsigned below(unsigned count) { return static_cast<unsigned>(engine_() % count); }
  bool one_in(unsigned count) { return below(count) == 0; }
  template <class Value>
  Value of(std::initializer_list<Value> values) {
    return *(values.begin() + below(static_cast<unsigned>(values.size())));
  }

 private:
  std::mt19937 engine_;
};

/// A host with adapters of every kind that the planner treats differently.
class RandomHost final {
 public:
  explicit RandomHost(Chance& chance) : chance_{chance} {
    const auto count = 1 + chance_.below(5);
    for (unsigned index = 0; index < count; ++index) add(index);
    for (unsigned index = 0; index < count; ++index) unsettle(index);
  }
  SimulatedHost host{};

  /// What somebody may write about this host; most of it can be done, some is refused.
  sriov::HostConfig config() {
    sriov::HostConfig config{.allow_recreate = !chance_.one_in(4), .pools = {{"pool-a", {}}}};
    for (const auto& function : host.state.functions) {
      if (chance_.one_in(5)) continue;
      config.devices.push_back(device(function));
    }
    return config;
  }

 private:
  static Bdf address_of(unsigned index) { return {.bus = static_cast<std::uint8_t>(16 * (index + 1))}; }

  Nature nature(unsigned index) {
    const auto netdev = "eth" + std::to_string(index);
    const sriov::VfAttributes network{.mac = MacAddress{},
                                      .vlan = sriov::Vlan{},
                                      .rate = sriov::Rate{},
                                      .spoofchk = true,
                                      .link_state = sriov::LinkState::automatic};
    auto mlx = network;
    mlx.trust = false;
    mlx.node_guid = sriov::Guid{};
    mlx.port_guid = sriov::Guid{};
    mlx.msix_count = 3;
    const sriov::Eswitch legacy{.mode = sriov::EswitchMode::legacy};
    const sriov::Eswitch full{.mode = sriov::EswitchMode::legacy, .inline_mode = sriov::InlineMode::none, .encap = true};
    switch (chance_.below(6)) {
      case 0: return {"igb", "igbvf", 7, netdev, {}, network, {}};
      case 1: return {"mlx5_core", "mlx5_core", 8, netdev, full, mlx, {}};
      case 2: return {"ice", "iavf", 16, netdev, legacy, network, {}};
      case 3: return {"bnxt_en", "bnxt_en", 8, netdev, legacy, network, {}};
      case 4: return {"nvme", "nvme", 4, {}, {}, {}, "NVME" + std::to_string(index)};
      default: return {chance_.one_in(2) ? "snd_hda_intel" : "", "", 0, {}, {}, {}, {}};
    }
  }

  void add(unsigned index) {
    auto own = nature(index);
    sriov::FunctionState function{.address = address_of(index),
                                  .id = {0x8086, static_cast<std::uint16_t>(0x1000 + index)},
                                  .subsystem = {0x8086, 0xa04c},
                                  .class_code = own.netdev.empty() ? 0x010802U : 0x020000U,
                                  .iommu_group = 1 + chance_.below(3),
                                  .serials = {"serial-" + std::to_string(index)}};
    if (own.total_vfs != 0) function.pf = sriov::PfState{.total_vfs = own.total_vfs + 1};
    host.add(std::move(function), std::move(own));
    host.boot(address_of(index));
  }

  // ---- a host that was used before ----

  void unsettle(unsigned index) {
    auto& function = host.at(address_of(index));
    if (chance_.one_in(4)) function.settings["reset_method"] = chance_.of<const char*>({"bus", "flr", ""});
    if (chance_.one_in(4)) function.settings["d3cold_allowed"] = "0";
    if (function.pf && chance_.one_in(3)) function.pf->autoprobe = false;
    switch (chance_.below(8)) {
      case 0: return drive(index, "vfio-pci", true, true);
      case 1: return drive(index, "vfio-pci", true, false);
      case 2: return drive(index, "vfio-pci", false, false);
      case 3: return drive(index, "", false, false);
      default: break;
    }
    if (function.pf && !function.driver.driver.empty()) use_pf(function);
    if (chance_.one_in(4)) function.settings["power/control"] = "auto";
  }

  void drive(unsigned index, const std::string& driver, bool lasting, bool by_pcivm) {
    const auto address = address_of(index);
    host.apply({.function = address,
                .action = sriov::SetDriver{.functions = {address}, .driver = driver, .lasting = lasting}});
    auto& function = host.at(address);
    if (by_pcivm) return;
    function.bound_by_pcivm = false;
    function.native_driver.clear();
  }

  void use_pf(sriov::FunctionState& function) {
    auto& pf = *function.pf;
    if (pf.mtu) pf.mtu = chance_.of({1500U, 9000U});
    if (pf.up) pf.up = !chance_.one_in(3);
    if (chance_.one_in(3)) return;
    const auto& own = host.nature(function.address);
    const auto up = pf.up;
    if (pf.up) pf.up = true;  // it may have gone down later
    sriov::MakeVfs making{.autoprobe_after = pf.autoprobe, .settings = settings(own)};
    if (own.eswitch.mode && chance_.one_in(2)) making.eswitch.mode = sriov::EswitchMode::switchdev;
    const bool ports = making.eswitch.mode == sriov::EswitchMode::switchdev;
    const auto count = 1 + chance_.below(own.total_vfs);
    for (unsigned index = 0; index < count; ++index) {
      const auto driver = chance_.of<std::string>({"", "vfio-pci", own.vf_native, own.vf_native});
      const bool lasting = driver == "vfio-pci" && !chance_.one_in(4);
      making.targets.push_back({.wish = wish(own, ports), .driver = {driver, lasting ? driver : ""}});
      if (!own.netdev.empty() && chance_.one_in(2)) making.targets.back().wish.mac = mac(index);
    }
    host.apply({.function = function.address, .action = making});
    pf.up = up;
  }

  // ---- what may be wanted ----

  sriov::Settings settings(const Nature& own) {
    if (own.nvme_serial.empty() || chance_.one_in(2)) return {};
    return {{"vq", chance_.of<const char*>({"2", "4"})}};
  }

  MacAddress mac(unsigned index) {
    return {.octets = {2, 0, 0, 0, static_cast<std::uint8_t>(chance_.below(4)), static_cast<std::uint8_t>(index)}};
  }

  template <class Value>
  void maybe(std::optional<Value>& into, std::initializer_list<Value> values) {
    if (chance_.one_in(3)) into = chance_.of(values);
  }

  sriov::VfWish wish(const Nature& own, bool ports) {
    sriov::VfWish wish;
    if (own.netdev.empty()) return wish;
    maybe<std::uint16_t>(wish.vlan, {0, 100, 200});
    if (wish.vlan.value_or(0) != 0) maybe<std::uint8_t>(wish.qos, {0, 3});
    maybe<std::uint32_t>(wish.max_tx_rate, {0, 1000});
    if (wish.max_tx_rate == 1000U) maybe<std::uint32_t>(wish.min_tx_rate, {0, 500});
    maybe(wish.spoofchk, {true, false});
    maybe(wish.trust, {true, false});
    maybe(wish.link_state, {sriov::LinkState::automatic, sriov::LinkState::enable, sriov::LinkState::disable});
    if (own.fresh_vf.msix_count) maybe<std::uint32_t>(wish.msix_count, {0, 3, 8});
    if (own.fresh_vf.node_guid) maybe(wish.node_guid, {sriov::Guid{1}, sriov::Guid{2}});
    if (own.fresh_vf.port_guid) maybe(wish.port_guid, {sriov::Guid{3}, sriov::Guid{4}});
    if (ports) maybe(wish.roce, {true, false});
    if (ports) maybe<std::string>(wish.rate_parent, {"", "gold"});
    return wish;
  }

  std::optional<std::string> bind() {
    if (chance_.one_in(3)) return std::nullopt;
    return chance_.of<std::string>({"host", "none", "vfio-pci"});
  }

  sriov::DeviceEntry device(const sriov::FunctionState& function) {
    const auto& own = host.nature(function.address);
    sriov::DeviceEntry device{.name = "dev-" + std::to_string(function.address.bus)};
    if (chance_.one_in(2)) {
      device.match.address = function.address;
    } else {
      device.match.serial = function.serials.front();
    }
    if (function.pf && !chance_.one_in(4)) {
      device.externally_managed = chance_.one_in(6);
      device.sriov = pf_entry(function, own, device.externally_managed);
    } else {
      device.passthrough = passthrough();
    }
    return device;
  }

  sriov::PassthroughEntry passthrough() {
    sriov::PassthroughEntry entry{.bind = chance_.of<std::string>({"vfio-pci", "vfio-pci", "host", "none"})};
    entry.whole_group = chance_.one_in(4);
    if (chance_.one_in(3)) entry.reset_methods = {"bus", "flr"};
    maybe(entry.d3cold, {true, false});
    maybe<std::string>(entry.power, {"on", "auto"});
    maybe<std::string>(entry.pool, {"pool-a"});
    return entry;
  }

  sriov::SriovEntry pf_entry(const sriov::FunctionState& function, const Nature& own, bool external) {
    sriov::SriovEntry entry;
    auto count = static_cast<unsigned>(function.pf->vfs.size());
    bool ports = function.pf->eswitch.mode == sriov::EswitchMode::switchdev;
    if (!external) {
      if (!chance_.one_in(4)) entry.num_vfs = count = chance_.below(own.total_vfs + 1);
      maybe(entry.autoprobe, {true, false});
      if (!own.netdev.empty()) maybe(entry.mtu, {1500U, 9000U});
      if (!own.netdev.empty()) maybe(entry.up, {true, false});
      if (own.eswitch.mode) maybe(entry.eswitch.mode, {sriov::EswitchMode::legacy, sriov::EswitchMode::switchdev});
      if (own.eswitch.encap) maybe(entry.eswitch.encap, {true, false});
      if (entry.eswitch.mode) ports = *entry.eswitch.mode == sriov::EswitchMode::switchdev;
      entry.settings = settings(own);
    }
    if (chance_.one_in(2)) entry.vf_defaults = wish(own, ports);
    entry.vf_bind = bind();
    for (unsigned first = 0; first < count;) {
      const auto last = std::min(count - 1, first + chance_.below(3));
      if (chance_.one_in(2)) entry.vfs.push_back(vf_entry(own, ports, first, last));
      first = last + 1;
    }
    return entry;
  }

  sriov::VfEntry vf_entry(const Nature& own, bool ports, unsigned first, unsigned last) {
    sriov::VfEntry entry{.first = first, .last = last, .bind = bind(), .wish = wish(own, ports)};
    if (!own.netdev.empty()) maybe<std::string>(entry.mac, {"02:11:22:33:44:%02x", "02:11:22:33:55:%02x"});
    return entry;
  }

  Chance& chance_;
};

}  // namespace pcivm::test
