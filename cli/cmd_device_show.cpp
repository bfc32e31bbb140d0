// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm device show DEVICE
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.hpp"
#include "cli/device_facts.hpp"
#include "cli/render.hpp"
#include "cli/selector.hpp"
#include "cli/size_text.hpp"

namespace pcivm::cli {

namespace {

struct ShowArguments {
  std::string device;
};

std::string words(const std::vector<std::string>& list) { return fmt::format("{}", fmt::join(list, ", ")); }

void add_identity(Record& record, const iommu::FunctionDetail& function, const iommu::PciNames& names) {
  record.add("Address", record.name);
  record.add("Name", full_name(names, function));
  record.add("ID", fmt::format("{}, subsystem {:04x}:{:04x}, revision {:02x}", id_of(function),
                               function.subsystem_vendor, function.subsystem_device, function.revision));
  const auto class_name = names.class_name(function.class_code);
  record.add("Class", fmt::format("{:06x} {}", function.class_code, class_name));
  record.add("Driver", function.driver);
  if (!function.driver_override.empty()) record.add("Driver override", function.driver_override);
  record.add("IOMMU group", function.iommu_group ? fmt::to_string(*function.iommu_group) : "none");
  if (function.numa_node) record.add("NUMA node", fmt::to_string(*function.numa_node));
}

void add_sriov(Record& record, const iommu::FunctionDetail& function) {
  if (function.physfn) {
    const auto index = function.vf_index ? fmt::format("VF {} of ", *function.vf_index) : std::string{"VF of "};
    record.add("Virtual", index + function.physfn->to_string());
  }
  if (function.sriov) {
    record.add("VFs", fmt::format("{} of at most {}, native driver for new ones: {}", function.sriov->num_vfs,
                                  function.sriov->total_vfs, function.sriov->autoprobe ? "yes" : "no"));
  }
}

std::string bar_text(const iommu::Bar& bar) {
  const auto name = bar.index < 6 ? fmt::format("BAR {}", bar.index) : std::string{"ROM"};
  if (bar.io) return fmt::format("{}: {} ports at {:#x}", name, bar.size, bar.address);
  return fmt::format("{}: {} at {:#x}{}{}", name, size_text(bar.size), bar.address, bar.wide ? ", 64-bit" : "",
                     bar.prefetchable ? ", prefetchable" : "");
}

void add_resources(Record& record, const iommu::FunctionDetail& function) {
  std::vector<std::string> bars;
  for (const auto& bar : function.bars) bars.push_back(bar_text(bar));
  if (!bars.empty()) record.fields.emplace_back("Resources", bars);
  if (function.msi_vectors && function.msix_vectors) {
    record.add("Interrupts", fmt::format("MSI {}, MSI-X {}", *function.msi_vectors, *function.msix_vectors));
  }
  record.add("Reset", function.reset_methods.empty() ? "none" : words(function.reset_methods));
  if (function.link) record.add("Link", fmt::format("{} x{}", function.link->speed, function.link->width.value_or(0)));
  if (!function.power_state.empty()) record.add("Power", function.power_state);
  if (!function.netdevs.empty()) record.add("Interfaces", words(function.netdevs));
  if (!function.block_devices.empty()) record.add("Disks", words(function.block_devices));
  if (!function.drm_nodes.empty()) record.add("Graphics", words(function.drm_nodes));
}

void add_verdict(Record& record, const DeviceFacts& facts) {
  std::vector<std::string> users;
  for (const auto& user : facts.users) users.push_back(fmt::format("{}: {}", user.kind, user.detail));
  if (users.empty()) users.emplace_back("no");
  record.fields.emplace_back("In use", users);
  if (facts.assignable.ok()) return record.add("Assignable", "yes");
  std::vector<std::string> lines{"no"};
  for (const auto& reason : facts.assignable.reasons) {
    lines.push_back(fmt::format("{}: {}", reason.code, reason.text));
    if (!reason.fix.empty()) lines.push_back(fmt::format("  fix: {}", reason.fix));
  }
  record.fields.emplace_back("Assignable", lines);
}

Result<int> show_device(Context& context, const ShowArguments& args) {
  const auto address = TRY(select_function(context.root(), args.device));
  const auto facts = TRY(device_facts(context.root(), address));
  const auto names = iommu::PciNames::open();
  Record record;
  record.kind = "Device";
  record.name = address.to_string();
  record.object = to_json(facts, names);
  add_identity(record, facts.function, names);
  add_sriov(record, facts.function);
  add_resources(record, facts.function);
  add_verdict(record, facts);
  return print(context, record);
}

}  // namespace

void add_device_show(CLI::App& group, Context& context) {
  auto& args = context.keep<ShowArguments>();
  auto& command = add_command(group, context, "show", "one PCI function, who uses it, and whether a VM may have it",
                              [&args](Context& here) { return show_device(here, args); });
  command.add_option("device", args.device, kDeviceHelp)->required()->type_name("DEVICE");
}

}  // namespace pcivm::cli
