// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding_scope.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "iommu/group.hpp"
#include "iommu/inventory.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::vfio {

namespace {

Result<std::vector<Bdf>> vfs_of(const SysRoot& root, Bdf physical) {
  auto vfs = TRY(iommu::virtual_functions(root, physical));
  if (!vfs.empty()) return vfs;
  return fail(Error::make(Errc::not_found, fmt::format("{} has no virtual functions", physical.to_string()))
                  .coded("pf.no_vfs")
                  .advise(fmt::format("pcivm vf create {} N", physical.to_string())));
}

bool in_scope(const iommu::Member& member) {
  const bool foreign = member.role == iommu::Role::managed && !is_vfio_driver(member.function.driver);
  return !member.function.is_bridge && !foreign;
}

Result<std::vector<Bdf>> members_of(const SysRoot& root, Bdf function) {
  const auto number = TRY(iommu::find(root, function)).iommu_group;
  if (!number) {
    return fail(Error::make(Errc::refused, fmt::format("{} has no IOMMU group", function.to_string()))
                    .coded("device.no_iommu")
                    .advise("pcivm doctor"));
  }
  std::vector<Bdf> members;
  for (const auto& member : TRY(iommu::read_group(root, *number)).members) {
    if (in_scope(member)) members.push_back(member.function.address);
  }
  return members;
}

// Each function by what `more` gives for it.
template <class More>
Result<std::vector<Bdf>> replaced(const SysRoot& root, std::span<const Bdf> functions, More more) {
  std::vector<Bdf> all;
  for (const auto function : functions) {
    for (const auto one : TRY(more(root, function))) {
      if (std::ranges::find(all, one) == all.end()) all.push_back(one);
    }
  }
  return all;
}

}  // namespace

Result<std::vector<Bdf>> widen(const SysRoot& root, std::span<const Bdf> named, Scope scope) {
  std::vector<Bdf> functions{named.begin(), named.end()};
  if (scope.vfs) functions = TRY(replaced(root, functions, vfs_of));
  if (scope.group) functions = TRY(replaced(root, functions, members_of));
  return functions;
}

}  // namespace pcivm::vfio
