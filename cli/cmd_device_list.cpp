// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm device list
#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/render.hpp"
#include "iommu/inventory.hpp"

namespace pcivm::cli {

namespace {

Result<int> list_devices(Context& context) {
  Listing listing{.kind = "DeviceList",
                  .columns = {{"ADDRESS"}, {"ID"}, {"DRIVER"}, {"GROUP", false, true}},
                  .empty_note = "this host has no PCI functions"};
  for (const auto& function : TRY(iommu::list(context.root()))) {
    const auto address = function.address.to_string();
    const auto id = fmt::format("{:04x}:{:04x}", function.vendor, function.device);
    listing.rows.push_back(
        {{address}, {id}, {function.driver}, {function.iommu_group ? fmt::to_string(*function.iommu_group) : ""}});
    listing.items.push_back(
        {{"address", address}, {"driver", or_null(function.driver)}, {"iommuGroup", or_null(function.iommu_group)}});
  }
  return print(context, listing);
}

}  // namespace

void add_device_list(CLI::App& group, Context& context) {
  add_command(group, context, "list", "all PCI functions of this host", list_devices);
}

}  // namespace pcivm::cli
