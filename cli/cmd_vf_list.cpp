// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm vf list [PF], pcivm vf show VF
#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/host_change.hpp"
#include "cli/selector.hpp"
#include "cli/vf_facts.hpp"

namespace pcivm::cli {

namespace {

struct ListArguments {
  std::string pf;
};
struct ShowArguments {
  std::string vf;
};

Result<int> list_vfs(Context& context, const ListArguments& args) {
  std::optional<Bdf> physical;
  if (!args.pf.empty()) physical = TRY(select_function(context.root(), args.pf));
  const auto vfs = TRY(vf_facts(context, physical));
  return print_vfs(context, vfs);
}

std::string known(const std::string& text) { return text.empty() ? "not reported" : text; }

void add_attributes(Record& record, const sriov::VfAttributes& attributes) {
  record.add("MAC", attributes.mac ? attributes.mac->to_string() : known(""));
  const auto vlan = vlan_text(attributes);
  record.add("VLAN", !attributes.vlan ? known("") : vlan.empty() ? "none" : vlan);
  const auto rate = rate_text(attributes);
  record.add("Rate", !attributes.rate ? known("") : rate.empty() ? "not limited" : rate + " Mbit/s");
  record.add("Spoof check", known(switch_text(attributes.spoofchk)));
  record.add("Trust", known(switch_text(attributes.trust)));
  const auto link = attributes.link_state ? std::string{to_string(*attributes.link_state)} : std::string{};
  record.add("Link state", known(link));
  record.add("RSS query", known(switch_text(attributes.rss_query)));
  record.add("Node GUID", known(attributes.node_guid ? attributes.node_guid->to_string() : ""));
  record.add("Port GUID", known(attributes.port_guid ? attributes.port_guid->to_string() : ""));
  if (attributes.roce) record.add("RoCE", switch_text(attributes.roce));
  if (attributes.migratable) record.add("Migratable", switch_text(attributes.migratable));
  if (attributes.rate_parent)
    record.add("Rate parent", attributes.rate_parent->empty() ? "none" : *attributes.rate_parent);
  record.add("Interrupt vectors", known(attributes.msix_count ? fmt::to_string(*attributes.msix_count) : ""));
}

Result<int> show_vf(Context& context, const ShowArguments& args) {
  const auto name = TRY(select_vf(context, args.vf));
  for (const auto& each : TRY(vf_facts(context, name.physical))) {
    if (each.vf.address != name.address) continue;
    const auto names = iommu::PciNames::open();
    Record record{.kind = "VF", .name = name.address.to_string(), .object = to_json(each, names)};
    record.add("Address", record.name);
    record.add("Name", full_name(names, each.device.function));
    record.add("Virtual", fmt::format("VF {} of {}", each.vf.index, each.vf.physical.to_string()));
    record.add("Driver", driver_text(each.vf.driver));
    if (!each.vf.driver_override.empty()) record.add("Driver override", each.vf.driver_override);
    record.add("IOMMU group", each.vf.iommu_group ? fmt::to_string(*each.vf.iommu_group) : "none");
    if (!each.vf.missing.empty()) record.add("Attributes", "cannot be read: " + each.vf.missing);
    add_attributes(record, each.vf.attributes);
    if (!each.profile.empty()) record.add("Profile", fmt::format("{} ({})", profile_text(each), each.adapter));
    const auto users = iommu::to_string(each.device.users);
    record.add("In use", users.empty() ? "no" : users);
    return print(context, record);
  }
  return fail(Error::make(Errc::not_found, fmt::format("{} vanished meanwhile", name.address.to_string()))
                  .coded("device.not_found"));
}

}  // namespace

void add_vf_list(CLI::App& group, Context& context) {
  auto& args = context.keep<ListArguments>();
  auto& command = add_command(group, context, "list", "virtual functions and their attributes",
                              [&args](Context& here) { return list_vfs(here, args); });
  command.add_option("pf", args.pf, "only those of this physical function: address or interface")->type_name("PF");
}

void add_vf_show(CLI::App& group, Context& context) {
  auto& args = context.keep<ShowArguments>();
  auto& command = add_command(group, context, "show", "one virtual function",
                              [&args](Context& here) { return show_vf(here, args); });
  command.add_option("vf", args.vf, "PF/vfN or its address")->required()->type_name("VF");
}

}  // namespace pcivm::cli
