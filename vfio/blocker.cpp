// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/blocker.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "iommu/inventory.hpp"
#include "iommu/process_use.hpp"
#include "iommu/reset_policy.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::vfio {

namespace {

// Files whose writers hold the device's lock, or wait for one, inside the kernel.
bool takes_device_lock(std::string_view path) {
  constexpr std::array<std::string_view, 8> kFiles{"/unbind", "/bind",   "/drivers_probe",   "/sriov_numvfs",
                                                   "/remove", "/rescan", "/driver_override", "/reset"};
  return path.starts_with("/sys/") &&
         std::ranges::any_of(kFiles, [&](std::string_view file) { return path.ends_with(file); });
}

// Our own child waits for the same.
bool child_of(const SysRoot& root, const std::string& pid, const std::string& parent) {
  return !parent.empty() &&
         root.read(fmt::format("/proc/{}/status", pid)).value_or("").find("PPid:\t" + parent + "\n") !=
             std::string::npos;
}

void add_waiters(const SysRoot& root, const std::string& pid, std::set<std::string>& found) {
  const auto directory = fmt::format("/proc/{}/fd", pid);
  const auto numbers = root.list(directory);
  if (!numbers) return;
  for (const auto& number : *numbers) {
    const auto path = root.link(fmt::format("{}/{}", directory, number)).value_or("");
    if (!takes_device_lock(path)) continue;
    found.insert(fmt::format("{} waits in a call on '{}'", iommu::process_name(root, pid), path));
  }
}

// Of the function and, of a PF, of its VFs, which a write to its sriov_numvfs waits for. A VF that is being removed has
// lost its links to the PF already (drivers/pci/iov.c, pci_iov_remove_virtfn), but not its place on the PF's bus.
std::set<std::string> holders_of(const SysRoot& root, Bdf function) {
  auto functions = iommu::virtual_functions(root, function).value_or(std::vector<Bdf>{});
  if (root.exists(directory_of(function) + "/sriov_numvfs")) {
    for (const auto sibling : iommu::bus_siblings(root, function)) {
      if (std::ranges::find(functions, sibling) == functions.end()) functions.push_back(sibling);
    }
  }
  functions.push_back(function);
  const auto processes = iommu::ProcessUse::read(root);
  std::set<std::string> found;
  for (const auto one : functions) {
    const auto known = iommu::find(root, one);
    if (!known) continue;
    for (const auto& user : processes.vfio(root, *known)) {
      const bool guess = user.detail.find(" holds ") != std::string::npos;  // which one, the kernel does not say
      const auto name = one.to_string();
      found.insert(guess ? fmt::format("{} ({})", user.detail, name)
                         : fmt::format("{} holds {} open", user.detail, name));
    }
  }
  return found;
}

std::set<std::string> all_waiters(const SysRoot& root) {
  std::set<std::string> waiters;
  const auto self = root.live() ? fmt::to_string(::getpid()) : std::string{};
  for (const auto& pid : root.list("/proc").value_or(std::vector<std::string>{})) {
    if (parse_decimal<std::uint32_t>(pid) && pid != self && !child_of(root, pid, self)) add_waiters(root, pid, waiters);
  }
  return waiters;
}

}  // namespace

std::string waiters_of(const SysRoot& root) { return fmt::to_string(fmt::join(all_waiters(root), "; ")); }

std::string blockers_of(const SysRoot& root, Bdf function) {
  const auto holders = holders_of(root, function);
  std::vector<std::string> all{holders.begin(), holders.end()};
  std::ranges::copy(all_waiters(root), std::back_inserter(all));
  return fmt::to_string(fmt::join(all, "; "));
}

}  // namespace pcivm::vfio
