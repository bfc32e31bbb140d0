// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm group list, pcivm group show
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "cli/commands.hpp"
#include "cli/device_facts.hpp"
#include "cli/render.hpp"
#include "cli/selector.hpp"
#include "iommu/group.hpp"
#include "iommu/inventory.hpp"

namespace pcivm::cli {

namespace {

struct ShowArguments {
  std::string group;
};

Json to_json(const iommu::Group& group, const std::vector<iommu::SharingReason>& sharing) {
  auto reserved = Json::array();
  for (const auto& region : group.reserved) {
    reserved.push_back({{"first", fmt::format("{:#x}", region.first.value)},
                        {"last", fmt::format("{:#x}", region.last.value)},
                        {"type", region.type}});
  }
  return {{"number", group.number},         {"type", or_null(group.type)},      {"viable", group.viable()},
          {"members", members_json(group)}, {"sharing", sharing_json(sharing)}, {"reservedRegions", reserved}};
}

std::string member_text(const iommu::Member& member) {
  const auto& driver = member.function.driver;
  return fmt::format("{} ({})", member.function.address.to_string(), driver.empty() ? "no driver" : driver);
}

Result<int> list_groups(Context& context) {
  Listing listing;
  listing.kind = "GroupList";
  listing.columns = {
      {.title = "GROUP", .right = true}, {.title = "TYPE"}, {.title = "VIABLE"}, {.title = "MEMBERS", .may_cut = true}};
  listing.empty_note = "this host has no IOMMU groups: no IOMMU is in use";
  for (const auto& group : TRY(iommu::groups(context.root()))) {
    std::vector<std::string> members;
    for (const auto& member : group.members) members.push_back(member_text(member));
    listing.rows.push_back({{fmt::to_string(group.number)},
                            {group.type},
                            {group.viable() ? "yes" : "no", group.viable() ? Mark::good : Mark::notice},
                            {fmt::format("{}", fmt::join(members, ", "))}});
    if (!context.structured()) continue;
    listing.items.push_back(to_json(group, iommu::sharing_reasons(context.root(), group.members)));
  }
  return print(context, listing);
}

/// Lines that say what the state of the group means for VFIO.
std::vector<std::string> viability(const iommu::Group& group) {
  if (group.viable()) return {"yes"};
  std::vector<std::string> lines{"no, these drivers keep it from VMs:"};
  for (const auto& member : group.members) {
    if (member.role == iommu::Role::blocks) lines.push_back("  " + member_text(member));
  }
  lines.emplace_back("fix: bind them to vfio-pci, or release them from their drivers");
  return lines;
}

/// A number, or a function whose group is meant.
Result<std::uint32_t> group_number(const SysRoot& root, const std::string& text) {
  if (const auto number = parse_decimal<std::uint32_t>(text)) return *number;
  const auto address = TRY(select_function(root, text));
  const auto function = TRY(iommu::find(root, address));
  if (function.iommu_group) return *function.iommu_group;
  return fail(Error::make(Errc::not_found, fmt::format("{} is in no IOMMU group", function.address.to_string()))
                  .advise(fmt::format("pcivm device show {}", function.address.to_string()))
                  .coded("group.not_found"));
}

Result<int> show_group(Context& context, const ShowArguments& args) {
  const auto number = TRY(group_number(context.root(), args.group));
  const auto group = TRY(iommu::read_group(context.root(), number));
  const auto names = iommu::PciNames::open();
  Record record;
  record.kind = "Group";
  record.name = fmt::to_string(group.number);
  const auto sharing = iommu::sharing_reasons(context.root(), group.members);
  record.object = to_json(group, sharing);
  record.add("Group", record.name);
  record.add("Type", group.type);
  record.fields.emplace_back("Viable", viability(group));
  std::vector<std::string> members;
  for (const auto& member : group.members) {
    members.push_back(fmt::format("{}  {}", member_text(member), short_name(names, member.function)));
  }
  record.fields.emplace_back("Members", members);
  std::vector<std::string> reasons;
  for (const auto& reason : sharing) reasons.push_back(reason.text);
  if (!reasons.empty()) record.fields.emplace_back("Shared because", reasons);
  std::vector<std::string> reserved;
  for (const auto& region : group.reserved) {
    reserved.push_back(fmt::format("{:#x} to {:#x}, {}", region.first.value, region.last.value, region.type));
  }
  if (!reserved.empty()) record.fields.emplace_back("Reserved addresses", reserved);
  return print(context, record);
}

}  // namespace

void add_group_list(CLI::App& group, Context& context) {
  add_command(group, context, "list", "all IOMMU groups of this host", list_groups);
}

void add_group_show(CLI::App& group, Context& context) {
  auto& args = context.keep<ShowArguments>();
  auto& command = add_command(group, context, "show", "one IOMMU group, and what keeps it from VMs",
                              [&args](Context& here) { return show_group(here, args); });
  command.add_option("group", args.group, "number, or a DEVICE in it")->required()->type_name("GROUP");
}

}  // namespace pcivm::cli
