// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm device list
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.hpp"
#include "cli/device_facts.hpp"
#include "cli/render.hpp"
#include "iommu/inventory.hpp"

namespace pcivm::cli {

namespace {

/// The kinds of use, each once: "mount, swap".
std::string kinds_of(const std::vector<iommu::InUse>& users) {
  std::vector<std::string> kinds;
  for (const auto& user : users) {
    if (std::ranges::find(kinds, user.kind) == kinds.end()) kinds.push_back(user.kind);
  }
  return fmt::format("{}", fmt::join(kinds, ", "));
}

std::vector<Cell> row_of(const iommu::Function& function, const std::vector<iommu::InUse>& users,
                         const iommu::PciNames& names) {
  return {{function.address.to_string(), function.is_bridge ? Mark::dim : Mark::none},
          {short_name(names, function)},
          {iommu::short_class(function.class_code)},
          {function.driver},
          {function.iommu_group ? fmt::to_string(*function.iommu_group) : ""},
          {kinds_of(users), Mark::notice},
          {id_of(function)},
          {function.physfn ? function.physfn->to_string() : ""}};
}

Listing make_listing() {
  Listing listing;
  listing.kind = "DeviceList";
  listing.columns = {{.title = "ADDRESS"},
                     {.title = "NAME", .may_cut = true},
                     {.title = "CLASS"},
                     {.title = "DRIVER"},
                     {.title = "GROUP", .right = true},
                     {.title = "IN USE"},
                     {.title = "ID", .wide_only = true},
                     {.title = "VF OF", .wide_only = true}};
  listing.empty_note = "this host has no PCI functions";
  return listing;
}

Result<int> list_devices(Context& context) {
  auto listing = make_listing();
  const auto names = iommu::PciNames::open();
  if (context.structured()) {
    for (const auto& facts : TRY(all_device_facts(context.root()))) listing.items.push_back(to_json(facts, names));
    return print(context, listing);
  }
  const auto functions = TRY(iommu::list(context.root()));
  const auto users = TRY(iommu::users_of_all(context.root(), functions));
  for (std::size_t i = 0; i < functions.size(); ++i) listing.rows.push_back(row_of(functions[i], users[i], names));
  return print(context, listing);
}

}  // namespace

void add_device_list(CLI::App& group, Context& context) {
  add_command(group, context, "list", "all PCI functions of this host", list_devices);
}

}  // namespace pcivm::cli
