// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_plug.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cli/vm_request.hpp"
#include "iommu/inventory.hpp"
#include "vfio/force.hpp"
#include "vfio/memlock.hpp"
#include "vfio/quarantine.hpp"
#include "vmm/platform.hpp"

namespace pcivm::cli {

namespace {

constexpr int kReturnTries = 30;
constexpr std::chrono::milliseconds kReturnPause{100};
constexpr unsigned kBars = 6;

// A BAR for which no window can have room: the guest would leave the device without it.
Result<void> check_room(const SysRoot& root, Bdf function, const PlugFacts& facts) {
  if (facts.firmware) return {};
  const auto found = TRY(iommu::read_function(root, function));
  for (const auto& bar : found.bars) {
    if (bar.io || bar.index >= kBars) continue;
    const auto high = bar.wide ? facts.layout.window64.length : 0;
    const auto room = std::max(high, vmm::platform::kPciWindow32.length);
    if (bar.size <= room) continue;
    return fail(Error::make(Errc::refused, fmt::format("BAR {} has {} MiB, and the guest has addresses for {} MiB",
                                                       bar.index, bar.size / kMiB, room / kMiB))
                    .coded("vm.no_room")
                    .advise(fmt::format("start the VM with --hotplug-room {}M or more", bar.size / kMiB)));
  }
  return {};
}

Result<void> check_ram(const vfio::OpenedVfio& opened, const PlugFacts& facts) {
  auto all = facts.layout.ram;
  if (facts.layout.blocks.length != 0) all.push_back(facts.layout.blocks);
  for (const auto& range : opened.reserved()) {
    for (const auto& ram : all) {
      if (range.last.value < ram.gpa.value || range.first.value >= ram.gpa.value + ram.length) continue;
      return fail(
          Error::make(Errc::refused, fmt::format("the IOMMU does not translate {:#x} to {:#x} for it, where the "
                                                 "guest has RAM",
                                                 range.first.value, range.last.value))
              .coded("vm.reserved_ram")
              .advise("start the VM with the device: its RAM is then laid out around that"));
    }
  }
  return {};
}

Result<void> check_memlock(const SysRoot& root, const vfio::OpenedVfio& opened, const PlugFacts& facts) {
  const bool iommufd = opened.backend == vfio::IommuBackend::iommufd;
  const auto pinned = pinned_memory(facts.memory, facts.guest_iommu, 1);
  return vfio::ensure_memlock(root, pinned,
                              iommufd && !facts.own_user ? vfio::MemlockOf::user : vfio::MemlockOf::process, facts.vmm);
}

Result<vfio::OpenedVfio> take(const vfio::Host& host, const PlugFacts& facts, Bdf function,
                              const std::vector<std::string>& force, const VmDevices::Held& held) {
  const auto name = function.to_string();
  TRY_IN(check_room(host.root, function, facts), name);
  const auto bindings = TRY(vfio::acquire(
      host, {.functions = {function}, .force = force, .on_release = facts.on_release, .owner = facts.supervisor}));
  auto opened =
      vfio::open_one_more(host.root, system_ioctl(), function, held.groups, held.backend ? held.backend : facts.wish);
  auto checked = [&]() -> Result<void> {
    if (!opened) return fail(opened.error());
    const auto group = opened->groups.front().number;
    if (facts.guest_iommu && std::ranges::find(held.groups, group) != held.groups.end())
      return fail(shared_group(function, group));
    TRY(check_ram(*opened, facts));
    // With functions its RAM is pinned.
    return held.groups.empty() ? check_memlock(host.root, *opened, facts) : Result<void>{};
  }();
  if (!checked) {
    opened = vfio::OpenedVfio{};  // closed, so that it can go back
    auto returned = vfio::give_back(host, bindings);
    if (!returned) return fail(std::move(checked).error().within(returned.error().text()).as(Errc::stranded));
    return fail(std::move(checked).error().within(name));
  }
  opened->devices.front().reset_forced = vfio::forced(force, vfio::kForceNoReset);
  return opened;
}

}  // namespace

VmDevices::RootSide root_side(const vfio::Host& host, PlugFacts facts) {
  const auto supervisor = facts.supervisor;
  return {
      .take = [&host, facts = std::move(facts)](
                  Bdf function, const std::vector<std::string>& force,
                  const VmDevices::Held& held) { return take(host, facts, function, force, held); },
      .give_back = [&host](std::span<const vfio::ManagedBinding> bindings) { return return_functions(host, bindings); },
      .binding = [&host, supervisor](Bdf function) { return vfio::binding_for(host.root, function, supervisor); }};
}

Result<void> return_functions(const vfio::Host& host, std::span<const vfio::ManagedBinding> bindings) {
  if (bindings.empty()) return {};  // without the host's lock, which only root may take
  for (int attempt = 1;; ++attempt) {
    auto done = vfio::give_back(host, bindings);
    if (done || done.error().kind() != Errc::busy || attempt == kReturnTries) return done;
    std::this_thread::sleep_for(kReturnPause);
  }
}

}  // namespace pcivm::cli
