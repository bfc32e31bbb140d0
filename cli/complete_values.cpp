// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/complete_values.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/device_facts.hpp"
#include "cli/vm_definition.hpp"
#include "iommu/class_devices.hpp"
#include "iommu/in_use.hpp"
#include "iommu/inventory.hpp"
#include "vfio/mdev.hpp"
#include "vfio/quarantine.hpp"
#include "vfio/reset.hpp"

namespace pcivm::cli {

namespace {

using Candidates = std::vector<Candidate>;

/// Names below `directory`; empty when there is no such directory.
std::vector<std::string> names_in(const SysRoot& root, std::string_view directory) {
  return root.list(directory).value_or(std::vector<std::string>{});
}

/// "3b:" stands for "0000:3b:", as addresses may be typed without their domain.
std::string as_typed(const Bdf& address, std::string_view typed) {
  constexpr std::string_view kDomain = "0000:";
  auto text = address.to_string();
  if (text.starts_with(typed) || !text.starts_with(kDomain)) return text;
  return text.substr(kDomain.size());
}

class Functions final {
 public:
  Functions(const SysRoot& root, std::string_view typed)
      : typed_{typed}, netdevs_{iommu::class_devices(root, iommu::DeviceClass::net)} {}

  void add(const iommu::Function& function) {
    const auto text = as_typed(function.address, typed_);
    if (text.starts_with(typed_)) found_.push_back({text, about(function)});
    // Interfaces only when a letter was typed: they would double every list.
    if (typed_.empty()) return;
    for (const auto& netdev : netdevs(function)) {
      if (netdev.starts_with(typed_)) found_.push_back({netdev, about(function)});
    }
  }
  [[nodiscard]] Candidates take() { return std::move(found_); }

 private:
  [[nodiscard]] std::vector<std::string> netdevs(const iommu::Function& function) const {
    const auto found = netdevs_.find(function.address);
    return found == netdevs_.end() ? std::vector<std::string>{} : found->second;
  }
  /// "igb, Intel 82576 Gigabit Network Connection, group 6, eth0"
  [[nodiscard]] std::string about(const iommu::Function& function) const {
    std::vector<std::string> parts;
    parts.push_back(function.driver.empty() ? "no driver" : function.driver);
    parts.push_back(short_name(names_, function));
    if (function.physfn) parts.push_back(fmt::format("VF of {}", function.physfn->to_string()));
    if (function.iommu_group) parts.push_back(fmt::format("group {}", *function.iommu_group));
    const auto interfaces = netdevs(function);
    parts.insert(parts.end(), interfaces.begin(), interfaces.end());
    return fmt::format("{}", fmt::join(parts, ", "));
  }

  std::string_view typed_;
  std::map<Bdf, std::vector<std::string>> netdevs_;
  iommu::PciNames names_{iommu::PciNames::open()};
  Candidates found_;
};

template <class Wanted>
Candidates functions(const SysRoot& root, std::string_view typed, Wanted wanted) {
  Functions candidates{root, typed};
  for (const auto& function : iommu::list(root).value_or(std::vector<iommu::Function>{})) {
    if (wanted(function)) candidates.add(function);
  }
  return candidates.take();
}

Candidates devices(const SysRoot& root, std::string_view typed) {
  return functions(root, typed, [](const iommu::Function& each) { return !each.is_bridge; });
}
Candidates physical_functions(const SysRoot& root, std::string_view typed) {
  return functions(root, typed, [&root](const iommu::Function& each) {
    return !each.is_vf() && root.exists(each.directory() + "/sriov_totalvfs");
  });
}
Candidates virtual_functions(const SysRoot& root, std::string_view typed) {
  return functions(root, typed, [](const iommu::Function& each) { return each.is_vf(); });
}

Candidates groups(const SysRoot& root, std::string_view /*typed*/) {
  std::map<std::uint32_t, std::vector<std::string>> members;
  for (const auto& function : iommu::list(root).value_or(std::vector<iommu::Function>{})) {
    if (function.iommu_group) members[*function.iommu_group].push_back(function.address.to_string());
  }
  Candidates found;
  for (const auto& [number, addresses] : members)
    found.push_back({fmt::to_string(number), fmt::format("{}", fmt::join(addresses, " "))});
  return found;
}

Candidates drivers(const SysRoot& root, std::string_view /*typed*/) {
  Candidates found;
  for (const auto& name : names_in(root, "/sys/bus/pci/drivers")) found.push_back({name, "driver"});
  // Loaded on demand, so it need not be there yet.
  if (std::ranges::find(found, "vfio-pci", &Candidate::text) == found.end()) found.push_back({"vfio-pci", "driver"});
  return found;
}

Candidates machines(const SysRoot& root, std::string_view /*typed*/) {
  Candidates found;
  const auto running = names_in(root, "/run/pcivm/vm");
  for (const auto& name : running) found.push_back({name, "virtual machine"});
  for (const auto& name : defined_vms(root)) {
    if (std::ranges::find(running, name) == running.end()) found.push_back({name, "virtual machine, not running"});
  }
  return found;
}

// docs/cli.md, "What counts as in use" and "Why a function may not be given to a VM".
Candidates checks(const SysRoot& /*root*/, std::string_view /*typed*/) {
  Candidates found{{std::string{vfio::kForceDriver}, "a driver of the host has it"},
                   {std::string{vfio::kForceNoReset}, "it has no proven reset"},
                   {std::string{vfio::kForceQuarantined}, "it is in quarantine"}};
  for (const auto& [name, about] : iommu::kUseKinds) found.push_back({std::string{name}, std::string{about}});
  return found;
}

Candidates mdevs(const SysRoot& root, std::string_view /*typed*/) {
  Candidates found;
  for (const auto& uuid : names_in(root, vfio::kMdevs)) {
    const auto type = root.read(vfio::mdev_directory(uuid) + "/mdev_type/name");
    found.push_back({uuid, type ? fmt::format("mediated device, {}", *type) : "mediated device"});
  }
  return found;
}

struct Type {
  std::string_view name;
  Candidates (*find)(const SysRoot& root, std::string_view typed);
};
constexpr Type kTypes[] = {{"DEVICE", devices}, {"PF", physical_functions}, {"VF", virtual_functions},
                           {"GROUP", groups},   {"DRIVER", drivers},        {"VM", machines},
                           {"CHECK", checks},   {"MDEV", mdevs}};

void add_values(Completion& completion, const SysRoot* root, std::string_view type, std::string_view typed) {
  if (type == "FILE") completion.paths = Paths::files;
  if (type == "DIR") completion.paths = Paths::directories;
  const auto* known = std::ranges::find(kTypes, type, &Type::name);
  Candidates found;
  if (known != std::end(kTypes)) {
    if (root != nullptr) found = known->find(*root, typed);
  } else if (!type.empty() && (type.front() < 'A' || type.front() > 'Z')) {
    found.push_back({std::string{type}, {}});  // one word of a choice
  }
  std::erase_if(found, [typed](const Candidate& each) { return !each.text.starts_with(typed); });
  completion.candidates.insert(completion.candidates.end(), found.begin(), found.end());
}

}  // namespace

Completion values_of(const SysRoot* root, std::string_view type, std::string_view typed) {
  Completion completion;
  const bool is_choice = type.find('|') != std::string_view::npos;
  while (is_choice && !type.empty()) {
    const auto end = std::min(type.find('|'), type.size());
    add_values(completion, root, type.substr(0, end), typed);
    type.remove_prefix(std::min(end + 1, type.size()));
  }
  if (!is_choice) add_values(completion, root, type, typed);
  return completion;
}

}  // namespace pcivm::cli
