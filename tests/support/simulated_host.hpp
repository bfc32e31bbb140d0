// SPDX-License-Identifier: GPL-2.0-or-later
// A host that is only data: each step of a plan does to its state what the kernel does to a real one, and what the
// kernel or a PF's driver would refuse is an exception. For properties of the planner.
#pragma once

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "sriov/host_plan.hpp"

namespace pcivm::test {

/// What a function is by itself, whatever the host does with it.
struct Nature {
  std::string native{};     ///< its driver; empty = this host has none
  std::string vf_native{};  ///< that of its VFs
  unsigned total_vfs{};     ///< as its driver says; the hardware has one more
  std::string netdev{};     ///< as its driver calls it; empty = no network adapter
  sriov::Eswitch eswitch{};        ///< as it is when the driver is bound
  sriov::VfAttributes fresh_vf{};  ///< of a VF that was just made; what is not set is never reported
  std::string nvme_serial{};
};

struct Refused : std::logic_error {
  using std::logic_error::logic_error;
};

class SimulatedHost final {
 public:
  sriov::HostState state{};

  void add(sriov::FunctionState function, Nature nature) {
    natures_[function.address] = std::move(nature);
    function.path = "pci-" + function.address.to_string();
    function.settings = {{"reset_method", "flr bus"}, {"d3cold_allowed", "1"}, {"power/control", "on"}};
    state.functions.push_back(std::move(function));
    std::ranges::sort(state.functions, {}, &sriov::FunctionState::address);
  }
  /// The function's own driver takes it, as at boot.
  void boot(Bdf address) {
    auto& function = at(address);
    function.driver = {.driver = nature(address).native, .driver_override = {}};
    arrive(function);
  }
  void apply(const sriov::PlanStep& step) {
    std::visit([&](const auto& action) { act(at(step.function), action); }, step.action);
  }
  [[nodiscard]] sriov::FunctionState& at(Bdf address) {
    const auto found = std::ranges::find(state.functions, address, &sriov::FunctionState::address);
    if (found == state.functions.end()) throw Refused("no function " + address.to_string());
    return *found;
  }
  [[nodiscard]] const Nature& nature(Bdf address) const { return natures_.at(address); }
  /// Every VF's native driver works with the address that the PF enforces.
  [[nodiscard]] bool addresses_agree() const {
    for (const auto& function : state.functions) {
      if (!function.pf) continue;
      for (const auto& vf : function.pf->vfs) {
        const auto probed = probed_.find(vf.address);
        if (probed != probed_.end() && vf.attributes.mac && probed->second != *vf.attributes.mac) return false;
      }
    }
    return true;
  }

 private:
  using FunctionState = sriov::FunctionState;
  using VfState = sriov::VfState;

  static bool is_native(const FunctionState& function, const Nature& nature) {
    return !nature.native.empty() && function.driver.driver == nature.native;
  }
  static void require(bool holds, const std::string& why) {
    if (!holds) throw Refused(why);
  }

  // ---- drivers of functions ----

  void leave(FunctionState& function) const {
    if (vfio::is_vfio_driver(function.driver.driver)) function.settings["power/control"] = "on";
    function.netdev.clear();
    function.nvme_serial.clear();
    if (!function.pf) return;
    require(function.pf->vfs.empty(), function.address.to_string() + " has VFs: its driver cannot go");
    function.pf->mtu.reset();
    function.pf->up.reset();
    function.pf->eswitch = {};
    function.pf->total_vfs = nature(function.address).total_vfs + 1;
  }
  void arrive(FunctionState& function) const {
    const auto& own = nature(function.address);
    if (vfio::is_vfio_driver(function.driver.driver)) function.settings["power/control"] = "auto";
    if (!is_native(function, own)) return;
    function.netdev = own.netdev;
    function.nvme_serial = own.nvme_serial;
    if (!function.pf) return;
    function.pf->total_vfs = own.total_vfs;
    function.pf->eswitch = own.eswitch;
    if (own.netdev.empty()) return;
    function.pf->mtu = 1500;
    function.pf->up = false;
  }

  // As vfio::bind() and vfio::release() keep their records.
  static void remember(FunctionState& function, const sriov::SetDriver& action) {
    if (!action.driver || action.driver->empty() || !action.lasting) {
      function.bound_by_pcivm = false;
      function.native_driver.clear();
      return;
    }
    const bool kept = function.bound_by_pcivm && vfio::is_vfio_driver(function.driver.driver);
    if (!kept) function.native_driver = function.driver.driver;
    function.bound_by_pcivm = true;
  }

  void move(FunctionState& function, const sriov::SetDriver& action) {
    const bool stays = !action.driver && !function.driver.driver.empty() && function.driver.driver_override.empty() &&
                       !vfio::is_vfio_driver(function.driver.driver);
    if (!stays) {
      auto name = nature(function.address).native;
      if (!action.driver && function.bound_by_pcivm) name = function.native_driver;
      if (action.driver) name = *action.driver;
      remember(function, action);
      const bool moves = name != function.driver.driver;
      if (moves) leave(function);
      function.driver = {.driver = name, .driver_override = action.driver && action.lasting ? name : std::string{}};
      if (moves) arrive(function);
    }
    for (const auto& [file, value] : action.settings) {
      require(function.settings.contains(file), "no file " + file);
      function.settings[file] = value;
    }
  }

  void act(FunctionState& function, const sriov::SetDriver& action) {
    for (const auto address : action.functions) {
      VfState* vf = vf_at(function, address);
      if (vf == nullptr) {
        move(at(address), action);
      } else {
        const auto name = action.driver.value_or(nature(function.address).vf_native);
        const bool stays = !action.driver && vf->driver.driver == name && vf->driver.driver_override.empty();
        if (!stays) give(function, *vf, name, action.driver && action.lasting ? name : std::string{});
      }
    }
  }

  // ---- VFs ----

  static VfState* vf_at(FunctionState& function, Bdf address) {
    if (!function.pf) return nullptr;
    const auto found = std::ranges::find(function.pf->vfs, address, &VfState::address);
    return found == function.pf->vfs.end() ? nullptr : &*found;
  }

  void give(const FunctionState& physical, VfState& vf, const std::string& name, const std::string& override_name) {
    const auto& own = nature(physical.address);
    const bool moves = vf.driver.driver != name;
    vf.driver = {.driver = name, .driver_override = override_name};
    if (!moves) return;
    probed_.erase(vf.address);
    vf.netdev.clear();
    if (name.empty() || name != own.vf_native) return;
    if (vf.attributes.mac) probed_[vf.address] = *vf.attributes.mac;
    if (!own.netdev.empty()) vf.netdev = fmt::format("{}v{}", own.netdev, vf.address.routing_id());
  }

  static void change(VfState& vf, const sriov::VfChange& change) {
    auto& now = vf.attributes;
    const auto put = [](auto& reported, auto value) {
      if (reported) reported = value;
    };
    if (const auto* mac = std::get_if<MacAddress>(&change)) put(now.mac, *mac);
    if (const auto* vlan = std::get_if<sriov::Vlan>(&change)) put(now.vlan, *vlan);
    if (const auto* rate = std::get_if<sriov::Rate>(&change)) put(now.rate, *rate);
    if (const auto* check = std::get_if<sriov::SpoofCheck>(&change)) put(now.spoofchk, check->on);
    if (const auto* link = std::get_if<sriov::LinkState>(&change)) put(now.link_state, *link);
    if (const auto* query = std::get_if<sriov::RssQuery>(&change)) put(now.rss_query, query->on);
    if (const auto* trust = std::get_if<sriov::Trust>(&change)) put(now.trust, trust->on);
    if (const auto* node = std::get_if<sriov::NodeGuid>(&change)) put(now.node_guid, node->guid);
    if (const auto* port = std::get_if<sriov::PortGuid>(&change)) put(now.port_guid, port->guid);
    if (const auto* roce = std::get_if<sriov::Roce>(&change)) put(now.roce, roce->on);
    if (const auto* migrates = std::get_if<sriov::Migratable>(&change)) put(now.migratable, migrates->on);
    if (const auto* parent = std::get_if<sriov::RateParent>(&change)) put(now.rate_parent, parent->node);
    if (const auto* msix = std::get_if<sriov::MsixCount>(&change)) {
      require(vf.driver.driver.empty(), "interrupt vectors of a VF with a driver");
      put(now.msix_count, msix->count == 0 ? kOwnMsix : msix->count);
    }
  }

  // Ports of the eswitch are there in switchdev mode only.
  static void show_ports(sriov::PfState& pf) {
    const bool ports = pf.eswitch.mode == sriov::EswitchMode::switchdev;
    for (auto& vf : pf.vfs) {
      auto& now = vf.attributes;
      if (now.roce.has_value() == ports) continue;
      now.roce = ports ? std::optional{true} : std::nullopt;
      now.migratable = ports ? std::optional{false} : std::nullopt;
      now.rate_parent = ports ? std::optional{std::string{}} : std::nullopt;
    }
  }

  static void set_eswitch(sriov::PfState& pf, const sriov::Eswitch& wish) {
    if (wish == sriov::Eswitch{}) return;
    require(pf.eswitch.mode.has_value(), "no eswitch");
    if (wish.mode) pf.eswitch.mode = wish.mode;
    if (wish.inline_mode && pf.eswitch.inline_mode) pf.eswitch.inline_mode = wish.inline_mode;
    if (wish.encap && pf.eswitch.encap) pf.eswitch.encap = wish.encap;
    show_ports(pf);
  }

  void remove_vfs(sriov::PfState& pf) {
    for (const auto& vf : pf.vfs) probed_.erase(vf.address);
    pf.vfs.clear();
    pf.settings.clear();
  }

  static Bdf vf_address(Bdf physical, unsigned index) {
    auto address = physical;
    address.device = static_cast<std::uint8_t>(8 + physical.device % 8 + index / 8);
    address.function = static_cast<std::uint8_t>(index % 8);
    ++address.bus;
    return address;
  }

  void act(FunctionState& function, const sriov::MakeVfs& action) {
    require(function.pf.has_value(), "no PF");
    auto& pf = *function.pf;
    const auto& own = nature(function.address);
    require(pf.vfs.size() == action.former, "another number of VFs than was planned from");
    require(!action.targets.empty() && action.targets.size() <= pf.total_vfs, "too many VFs, or none");
    require(is_native(function, own), "the PF's own driver must make VFs");
    require(!sriov::pf_driver(own.native).makes_none_while_down || pf.up == true, "the interface is down");
    remove_vfs(pf);
    set_eswitch(pf, action.eswitch);
    for (unsigned index = 0; index < action.targets.size(); ++index) {
      pf.vfs.push_back({.address = vf_address(function.address, index), .attributes = own.fresh_vf});
    }
    show_ports(pf);
    for (unsigned index = 0; index < action.targets.size(); ++index) {
      auto& vf = pf.vfs[index];
      const auto& [wish, driver, keeps] = action.targets[index];
      for (const auto& each : sriov::changes(vf.attributes, wish)) change(vf, each);
      give(function, vf, driver.driver.value_or(own.vf_native), driver.driver_override);
    }
    pf.autoprobe = action.autoprobe_after;
    pf.settings = action.settings;
  }

  void act(FunctionState& function, const sriov::RemoveVfs& /*action*/) {
    require(function.pf && !function.pf->vfs.empty(), "no VFs to remove");
    remove_vfs(*function.pf);
  }

  void act(FunctionState& function, const sriov::SetVf& action) {
    require(function.pf && action.index < function.pf->vfs.size(), "no such VF");
    auto& vf = function.pf->vfs[action.index];
    for (const auto& each : action.changes) change(vf, each);
  }

  void act(FunctionState& function, const sriov::SetEswitch& action) {
    require(function.pf.has_value(), "no PF");
    auto& pf = *function.pf;
    const bool moves = action.wish.mode && action.wish.mode != pf.eswitch.mode;
    const bool early = sriov::pf_driver(function.driver.driver).eswitch == sriov::EswitchOrder::before_vfs;
    const bool bound = std::ranges::any_of(pf.vfs, [](const auto& vf) { return !vf.driver.driver.empty(); });
    require(!moves || !(early ? !pf.vfs.empty() : bound), "the eswitch changes its mode at another moment");
    set_eswitch(pf, action.wish);
  }

  void act(FunctionState& function, const sriov::SetLink& action) {
    require(function.pf.has_value(), "no PF");
    if (action.autoprobe) function.pf->autoprobe = *action.autoprobe;
    require((!action.mtu && !action.up) || function.pf->mtu.has_value(), "no interface");
    if (action.mtu) function.pf->mtu = action.mtu;
    if (action.up) function.pf->up = action.up;
  }

  static constexpr std::uint32_t kOwnMsix{3};
  std::map<Bdf, Nature> natures_{};
  std::map<Bdf, MacAddress> probed_{};  // which a VF's native driver took when it was bound
};

}  // namespace pcivm::test
