// SPDX-License-Identifier: GPL-2.0-or-later
// A PF driver's VF attributes in memory, with faults by the number of the change.
#pragma once

#include <functional>
#include <vector>

#include "sriov/vf_port.hpp"

namespace pcivm::test {

class FakeVfPort final : public sriov::VfPort {
 public:
  explicit FakeVfPort(std::size_t number)
      : vfs(number, {.mac = MacAddress{},
                     .vlan = sriov::Vlan{},
                     .rate = sriov::Rate{},
                     .spoofchk = true,
                     .link_state = sriov::LinkState::automatic}) {}

  Result<std::vector<sriov::VfAttributes>> read(int /*interface*/) override {
    forget_former_lives();
    return vfs;
  }
  Result<std::vector<sriov::Refusal>> set(int /*interface*/, std::span<const sriov::VfSetting> settings) override {
    std::vector<sriov::Refusal> refusals;
    forget_former_lives();
    ++calls;
    for (std::size_t index = 0; index < settings.size(); ++index) {
      const auto& [vf, change] = settings[index];
      ++count;
      on_set(vf);
      sent.push_back(sriov::to_string(change));
      if (count == kill_at) throw 0;
      const bool refuses = count == fail_at;
      if (refuses) {
        refusals.push_back({.index = index, .error = Error::from_errno(error, "set " + sriov::to_string(change))});
      }
      if (!refuses && count != lie_at) apply(vfs.at(vf), change);
    }
    return refusals;
  }

  Result<std::vector<sriov::DevlinkMessage>> devlink(const sriov::DevlinkMessage& request) override {
    return devlink_port ? devlink_port(request) : sriov::VfPort::devlink(request);
  }

  /// Plays devlink; empty = there is none.
  std::function<Result<std::vector<sriov::DevlinkMessage>>(const sriov::DevlinkMessage&)> devlink_port{};
  std::vector<sriov::VfAttributes> vfs;
  std::vector<std::string> sent{};
  int count{};  ///< of changes
  int calls{};  ///< in which they came
  int fail_at{};
  int lie_at{};
  int kill_at{};
  int error{};
  std::function<void(unsigned vf)> on_set{[](unsigned) {}};
  /// How often all VFs vanished: with them go their attributes.
  std::function<int()> lifetime{[] { return 0; }};

 private:
  void forget_former_lives() {
    if (lifetime() == seen_) return;
    seen_ = lifetime();
    vfs.assign(vfs.size(), fresh_);
  }

  static void apply(sriov::VfAttributes& vf, const sriov::VfChange& change) {
    if (const auto* mac = std::get_if<MacAddress>(&change)) vf.mac = *mac;
    if (const auto* vlan = std::get_if<sriov::Vlan>(&change)) vf.vlan = *vlan;
    if (const auto* rate = std::get_if<sriov::Rate>(&change)) vf.rate = *rate;
    if (const auto* check = std::get_if<sriov::SpoofCheck>(&change)) vf.spoofchk = check->on;
    if (const auto* link = std::get_if<sriov::LinkState>(&change)) vf.link_state = *link;
    if (const auto* query = std::get_if<sriov::RssQuery>(&change)) vf.rss_query = query->on;
    if (const auto* node = std::get_if<sriov::NodeGuid>(&change)) vf.node_guid = node->guid;
    if (const auto* port = std::get_if<sriov::PortGuid>(&change)) vf.port_guid = port->guid;
    // Trust is not reported by this driver.
  }

  sriov::VfAttributes fresh_{vfs.front()};
  int seen_{};
};

}  // namespace pcivm::test
