// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_import.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "iommu/inventory.hpp"
#include "sriov/physical_function.hpp"

namespace pcivm::cli {

namespace {

/// "pci-0000-01-00-0"
std::string name_of(Bdf address) {
  auto name = "pci-" + address.to_string();
  std::ranges::replace_if(name, [](char c) { return c == ':' || c == '.'; }, '-');
  return name;
}

/// The same for other VFs.
bool alike(sriov::VfEntry left, const sriov::VfEntry& right) {
  left.first = right.first;
  left.last = right.last;
  return left == right && !left.name && !left.wish.node_guid && !left.wish.port_guid &&
         (!left.mac || left.mac->find('%') != std::string::npos);
}

void join_neighbours(std::vector<sriov::VfEntry>& vfs) {
  std::ranges::stable_sort(vfs, {}, &sriov::VfEntry::first);
  std::vector<sriov::VfEntry> joined;
  for (auto& entry : vfs) {
    if (!joined.empty() && joined.back().last + 1 == entry.first && alike(joined.back(), entry)) {
      joined.back().last = entry.last;
    } else {
      joined.push_back(std::move(entry));
    }
  }
  vfs = std::move(joined);
}

}  // namespace

sriov::DeviceEntry* ConfigImport::known(Bdf address) {
  const auto found =
      std::ranges::find_if(config_.devices, [&](const auto& each) { return each.match.address == address; });
  return found == config_.devices.end() ? nullptr : &*found;
}

sriov::DeviceEntry& ConfigImport::device(Bdf address) {
  if (auto* present = known(address)) return *present;
  auto& made = config_.devices.emplace_back();
  made.name = name_of(address);
  made.match.address = address;
  if (const auto function = iommu::find(root_, address)) {
    made.expect.id = sriov::PciId{function->vendor, function->device};
  } else {
    note(fmt::format("{} is not on this host: add `expect` yourself, an address names a place and no card", made.name));
  }
  return made;
}

void ConfigImport::add_function(Bdf address, const sriov::VfEntry& wish, std::string_view source) {
  const auto function = iommu::find(root_, address);
  if (function && function->physfn) {
    const auto vfs = sriov::vfs_of(root_, *function->physfn);
    auto& physical = device(*function->physfn);
    auto entry = wish;
    entry.first = entry.last = static_cast<unsigned>(std::ranges::find(vfs, address) - vfs.begin());
    add_vfs(physical, entry, source);
    if (physical.sriov) physical.sriov->num_vfs = static_cast<unsigned>(vfs.size());
    return;
  }
  if (wish.mac || wish.wish != sriov::VfWish{}) {
    note(fmt::format("{}: MAC and VLAN of {} are left out: it is no VF of this host", source, address.to_string()));
  }
  auto& whole = device(address);
  if (whole.sriov) return note(fmt::format("{}: {} is left out: its VFs are given away", source, whole.name));
  if (!whole.passthrough) whole.passthrough.emplace();
  whole.passthrough->bind = wish.bind.value_or("vfio-pci");
}

void ConfigImport::add_vfs(sriov::DeviceEntry& device, const sriov::VfEntry& entry, std::string_view source) {
  if (device.passthrough) {
    note(fmt::format("{}: {} is no longer given away whole: its VFs are", source, device.name));
    device.passthrough.reset();
  }
  if (!device.sriov) device.sriov.emplace();
  for (unsigned index = entry.first; index <= entry.last; ++index) {
    auto one = entry;
    one.first = one.last = index;
    const auto taken = std::ranges::find(device.sriov->vfs, index, &sriov::VfEntry::first);
    if (taken == device.sriov->vfs.end()) {
      device.sriov->vfs.push_back(std::move(one));
    } else if (*taken != one) {
      note(fmt::format("{}: VF {} of {} is left out: it is described already, and otherwise", source, index,
                       device.name));
    }
  }
}

sriov::HostConfig ConfigImport::take() {
  for (auto& device : config_.devices) {
    if (device.sriov) join_neighbours(device.sriov->vfs);
  }
  std::ranges::sort(config_.devices, {}, &sriov::DeviceEntry::name);
  return std::move(config_);
}

}  // namespace pcivm::cli
