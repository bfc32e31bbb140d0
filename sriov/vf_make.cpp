// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_make.hpp"

#include <algorithm>
#include <cerrno>
#include <thread>

#include <fmt/format.h>

#include "sriov/vf_access.hpp"
#include "vfio/binding_check.hpp"
#include "vfio/binding_verify.hpp"

namespace pcivm::sriov {

namespace {

bool all_there(const SysRoot& root, Bdf physical, std::size_t count) {
  const auto vfs = vfs_of(root, physical);
  return vfs.size() == count && std::ranges::all_of(vfs, [&](Bdf vf) {
           return root.link_name(vfio::directory_of(vf) + "/physfn") == physical.to_string();
         });
}

// On most platforms all are there when the write returns; where no_vf_scan is set (s390) they follow later.
Result<std::vector<Bdf>> await_vfs(const vfio::Host& host, Bdf physical, std::size_t count) {
  using std::chrono::steady_clock;
  const auto end = steady_clock::now() + std::min(host.deadline, std::chrono::milliseconds{5'000});
  while (!all_there(host.root, physical, count)) {
    if (steady_clock::now() >= end) {
      return fail(Errc::kernel, fmt::format("{} of {} VFs of {} appeared", vfs_of(host.root, physical).size(), count,
                                            physical.to_string()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  return vfs_of(host.root, physical);
}

Result<std::vector<Bdf>> enable(const Making& making, std::size_t count) {
  const auto& host = making.host;
  auto& journal = making.journal;
  const auto physical = making.physical;
  const auto pf = TRY(read_physical(host, physical));
  if (pf.autoprobe) {
    TRY(journal.step("autoprobe 0"));
    TRY(set_autoprobe(host, physical, false));
  }
  TRY(journal.step(fmt::format("numvfs {}", count)));
  TRY(set_numvfs(host, physical, static_cast<unsigned>(count)));
  return await_vfs(host, physical, count);
}

Result<void> set_eswitch(const Making& making, EswitchOrder now, std::size_t count) {
  if (making.eswitch == Eswitch{}) return {};
  const auto pf = TRY(read_physical(making.host, making.physical));
  if (pf_driver(pf.driver).eswitch == now) {
    TRY(making.journal.step("eswitch " + to_string(making.eswitch)));
    TRY(apply_eswitch(*making.port, making.physical, making.eswitch));
  }
  const bool complete = now == EswitchOrder::with_unbound_vfs && making.eswitch.mode == EswitchMode::switchdev;
  if (complete) return await_representors(making.host, *making.port, making.physical, count);
  return {};
}

// Some drivers (igb) take their link down for a moment when they make or remove VFs, and refuse a rate meanwhile.
Result<void> set_patiently(const vfio::Host& host, Bdf physical, VfAccess& access,
                           std::span<const VfSetting> settings) {
  using std::chrono::steady_clock;
  const auto end = steady_clock::now() + std::min(host.deadline, std::chrono::milliseconds{10'000});
  for (auto& refusal : TRY(access.set(settings))) {
    const auto& [vf, change] = settings[refusal.index];
    Result<void> done = fail(std::move(refusal.error));
    while (!done) {
      const bool may_pass = std::holds_alternative<Rate>(change) && done.error().sys_errno() == EINVAL;
      if (!may_pass || steady_clock::now() >= end || interface_up(host.root, physical) != true) return done;
      std::this_thread::sleep_for(std::chrono::milliseconds{50});
      done = access.set(vf, change);
    }
  }
  return {};
}

// One step of the journal for all: undoing it is removing the VFs. All are sent, then one reading tells of all.
Result<void> set_attributes(const Making& making, const std::vector<VfTarget>& targets) {
  const auto nothing = [](const VfTarget& target) { return target.wish == VfWish{}; };
  if (std::ranges::all_of(targets, nothing)) return {};
  VfAccess access{making.host, making.port, making.physical};
  const auto fresh = access.read();
  std::vector<VfSetting> settings;
  for (unsigned index = 0; index < targets.size(); ++index) {
    TRY(access.check(targets[index].wish));
    for (const auto& change : changes(index < fresh.size() ? fresh[index] : VfAttributes{}, targets[index].wish)) {
      settings.push_back({.vf = index, .change = change});
    }
  }
  if (settings.empty()) return {};
  TRY(making.journal.step(fmt::format("{} attributes of {} VFs", settings.size(), targets.size())));
  TRY(set_patiently(making.host, making.physical, access, settings));
  const auto now = access.read();
  if (access.missing()) return fail(*access.missing());
  for (const auto& [index, change] : settings) {
    if (index >= now.size()) return fail(Errc::kernel, fmt::format("VF {} vanished meanwhile", index));
    TRY(access.expect(now[index], index, change));
  }
  return {};
}

bool driverless(const vfio::Target& target) {
  return target.driver && target.driver->empty() && target.driver_override.empty();
}

// Nobody can be using a VF that was just made and has no driver, so this needs none of the checks of vfio::bind().
Result<void> give_driver(const Making& making, Bdf vf, const vfio::Target& target) {
  if (driverless(target)) return {};
  if (!target.driver) return vfio::probe_native(making.host, making.journal, vf, target);
  TRY(vfio::move_to(making.host, vf, target));
  if (vfio::is_vfio_driver(*target.driver)) return vfio::await_vfio_node(making.host, vf);
  return {};
}

}  // namespace

std::vector<std::string> describe_drivers(const std::vector<VfTarget>& targets) {
  const auto name = [](const vfio::Target& target) { return target.driver.value_or("its host driver"); };
  const auto same = [&](const VfTarget& target) { return target.driver == targets.front().driver; };
  std::vector<std::string> lines;
  if (std::ranges::all_of(targets, same)) {
    if (driverless(targets.front().driver)) return lines;
    return {fmt::format("give each of {} VFs to {}", targets.size(), name(targets.front().driver))};
  }
  for (std::size_t index = 0; index < targets.size(); ++index) {
    const auto& driver = targets[index].driver;
    if (!driverless(driver)) lines.push_back(fmt::format("give VF {} to {}", index, name(driver)));
  }
  return lines;
}

std::vector<std::string> describe_making(const PhysicalFunction& pf, const std::vector<VfTarget>& targets,
                                         bool autoprobe_after) {
  std::vector<std::string> lines;
  if (pf.autoprobe) lines.push_back(fmt::format("write '0' to '{}'", autoprobe_file(pf.address)));
  lines.push_back(fmt::format("write '{}' to '{}'", targets.size(), numvfs_file(pf.address)));
  for (std::size_t index = 0; index < targets.size(); ++index) {
    for (const auto& change : changes({}, targets[index].wish)) {
      lines.push_back(fmt::format("set {} of VF {}", to_string(change), index));
    }
  }
  for (auto& line : describe_drivers(targets)) lines.push_back(std::move(line));
  if (autoprobe_after) lines.push_back(fmt::format("write '1' to '{}'", autoprobe_file(pf.address)));
  return lines;
}

Result<std::vector<Bdf>> make_vfs(const Making& making, const std::vector<VfTarget>& targets) {
  TRY(making.trail.before_create(making.journal, static_cast<unsigned>(targets.size())));
  TRY(set_eswitch(making, EswitchOrder::before_vfs, targets.size()));
  auto vfs = TRY(enable(making, targets.size()));
  TRY(set_eswitch(making, EswitchOrder::with_unbound_vfs, targets.size()));
  TRY(set_attributes(making, targets));
  TRY(making.journal.step(fmt::format("drivers of {} VFs", vfs.size())));
  for (unsigned index = 0; index < vfs.size(); ++index) {
    auto& trail = making.trail;
    if (!trail.after_driver()) TRY(trail.provision(making.journal, index));
    TRY_IN(give_driver(making, vfs[index], targets[index].driver), vfs[index].to_string());
    if (index < making.bound.size() && making.bound[index]) {
      TRY(vfio::store_bound(making.host.root, vfio::bound_in(vfs[index], *making.bound[index])));
    }
    if (trail.after_driver()) TRY(trail.provision(making.journal, index));
  }
  if (making.autoprobe_after) {
    TRY(making.journal.step("autoprobe 1"));
    TRY(set_autoprobe(making.host, making.physical, true));
  }
  TRY(making.trail.keep());
  return vfs;
}

}  // namespace pcivm::sriov
