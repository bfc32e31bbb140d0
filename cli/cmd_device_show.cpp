// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm device show DEVICE
#include <chrono>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.hpp"
#include "cli/device_facts.hpp"
#include "cli/render.hpp"
#include "cli/selector.hpp"
#include "cli/size_text.hpp"
#include "iommu/reset_policy.hpp"

namespace pcivm::cli {

namespace {

// Of each thing that may block: an answer that takes longer is shown as missing.
constexpr std::chrono::seconds kPatience{3};

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
  if (function.numa_node) {
    const auto cpus = function.local_cpus.empty() ? "" : fmt::format(", CPUs {}", function.local_cpus);
    record.add("NUMA node", fmt::format("{}{}", *function.numa_node, cpus));
  }
}

void add_card(Record& record, const iommu::FunctionDetail& function, const iommu::DeviceRecord& details) {
  const auto add = [&record](std::string label, const std::string& value) {
    if (!value.empty()) record.add(std::move(label), value);
  };
  add("Slot", function.slot);
  add("Label", details.label);
  if (details.acpi_index) record.add("Firmware index", fmt::to_string(*details.acpi_index));
  add("Serial", function.serial);
  add("Product data", details.vpd_missing.empty() ? "" : "not read: " + details.vpd_missing);
  if (!details.vpd) return;
  const auto& vpd = *details.vpd;
  std::vector<std::string> lines;
  if (!vpd.product.empty()) lines.push_back(vpd.product);
  if (!vpd.part_number.empty()) lines.push_back("part number " + vpd.part_number);
  if (!vpd.serial.empty()) lines.push_back("serial number " + vpd.serial);
  for (const auto& [keyword, value] : vpd.fields) lines.push_back(fmt::format("{} {}", keyword, value));
  if (vpd.checksum_ok == false) lines.emplace_back("its checksum is wrong");
  if (!vpd.problem.empty()) lines.push_back("damaged: " + vpd.problem);
  record.fields.emplace_back("Product data", lines);
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

std::string sizes_text(const iommu::Bar& bar) {
  if (bar.sizes.size() < 2) return {};
  return fmt::format(", resizable {} to {}", size_text(bar.sizes.front()), size_text(bar.sizes.back()));
}

std::string bar_text(const iommu::Bar& bar, std::string_view kind) {
  const auto name = bar.index < 6 ? fmt::format("{} {}", kind, bar.index) : std::string{"ROM"};
  if (bar.io) return fmt::format("{}: {} ports at {:#x}", name, bar.size, bar.address);
  return fmt::format("{}: {} at {:#x}{}{}{}", name, size_text(bar.size), bar.address, bar.wide ? ", 64-bit" : "",
                     bar.prefetchable ? ", prefetchable" : "", sizes_text(bar));
}

std::string link_text(const iommu::Link& link) {
  const auto text = [](const std::string& speed, std::optional<unsigned> width) {
    return fmt::format("{} x{}", speed, width.value_or(0));
  };
  auto line = text(link.speed, link.width);
  if (link.below_capability())
    line += fmt::format(", below what the device can: {}", text(link.max_speed, link.max_width));
  return line;
}

std::string interrupts_text(const iommu::FunctionDetail& function) {
  auto text = fmt::format("MSI {}, MSI-X {}", *function.msi_vectors, *function.msix_vectors);
  if (function.msix) {
    text += fmt::format(" (table in BAR {} at {:#x}, pending bits in BAR {} at {:#x})", function.msix->table_bar,
                        function.msix->table_offset, function.msix->pba_bar, function.msix->pba_offset);
  }
  return text;
}

std::string power_text(const iommu::FunctionDetail& function, const iommu::DeviceRecord& details) {
  std::vector<std::string> parts;
  if (!function.power_state.empty()) parts.push_back(function.power_state);
  if (!details.runtime_status.empty()) parts.push_back(details.runtime_status);
  if (details.power_control == "auto") parts.emplace_back("sleeps when idle");
  if (details.d3cold_allowed) parts.emplace_back(*details.d3cold_allowed ? "D3cold allowed" : "D3cold not allowed");
  return words(parts);
}

void add_resources(Record& record, const iommu::FunctionDetail& function, const iommu::DeviceRecord& details) {
  std::vector<std::string> bars;
  for (const auto& bar : function.bars) bars.push_back(bar_text(bar, "BAR"));
  if (function.sriov) {
    for (const auto& bar : function.sriov->vf_bars) bars.push_back(bar_text(bar, "VF BAR"));
  }
  if (!bars.empty()) record.fields.emplace_back("Resources", bars);
  if (function.msi_vectors && function.msix_vectors) record.add("Interrupts", interrupts_text(function));
  const auto reset = iommu::reset_policy(function);
  std::vector<std::string> reset_lines{reset.methods.empty() ? "none" : words(reset.methods)};
  if (!reset.proven && !function.is_bridge) reset_lines.push_back("not proven: " + reset.reason);
  record.fields.emplace_back("Reset", reset_lines);
  if (!function.pcie_type.empty()) {
    record.add("PCI Express", function.pcie_type + (details.ari.value_or(false) ? ", ARI" : ""));
  }
  if (function.link) record.add("Link", link_text(*function.link));
  const auto power = power_text(function, details);
  if (!power.empty()) record.add("Power", power);
  if (const auto& errors = details.errors) {
    record.add("Errors", fmt::format("{} correctable, {} nonfatal, {} fatal", errors->correctable, errors->nonfatal,
                                     errors->fatal));
  }
}

std::string netdev_text(const iommu::NetdevFacts& netdev) {
  std::string text = netdev.name;
  const auto add = [&text](std::string_view what, const std::string& value) {
    if (!value.empty()) text += fmt::format("{}{}", what, value);
  };
  add(": ", netdev.state);
  if (netdev.speed) add(", ", fmt::format("{} Mbit/s", *netdev.speed));
  add(", MAC ", netdev.mac);
  if (netdev.permanent_mac != netdev.mac)
    add(" (permanent ", netdev.permanent_mac.empty() ? "" : netdev.permanent_mac + ")");
  if (netdev.mtu) add(", MTU ", fmt::to_string(*netdev.mtu));
  add(", queues ", fmt::format("{} rx {} tx", netdev.receive_queues, netdev.transmit_queues));
  return text;
}

void add_owned(Record& record, const iommu::FunctionDetail& function, const iommu::DeviceRecord& details) {
  const auto add = [&record](std::string label, std::vector<std::string> lines) {
    if (!lines.empty()) record.fields.emplace_back(std::move(label), std::move(lines));
  };
  std::vector<std::string> netdevs;
  for (const auto& netdev : details.netdevs) netdevs.push_back(netdev_text(netdev));
  add("Interfaces", netdevs);
  std::vector<std::string> drives;
  for (const auto& nvme : details.nvme) {
    drives.push_back(fmt::format("{}: {}, serial number {}, firmware {}, {}", nvme.name, nvme.model, nvme.serial,
                                 nvme.firmware, nvme.state));
  }
  add("NVMe", drives);
  std::vector<std::string> disks;
  for (const auto& disk : details.disks) {
    disks.push_back(
        fmt::format("{}: {}{}{}", disk.name, size_text(disk.size), disk.model.empty() ? "" : ", ", disk.model));
  }
  add("Disks", disks);
  add("Graphics", function.drm_nodes);
  add("RDMA", function.rdma_devices);
  add("Sound", details.sound_nodes);
  add("Serial ports", details.serial_ports);
}

void add_group(Record& record, const iommu::FunctionDetail& function, const DeviceDetails& details) {
  if (!function.iommu_group) return record.add("IOMMU group", "none");
  std::vector<std::string> lines{fmt::to_string(*function.iommu_group)};
  if (details.group && details.group->members.size() > 1) {
    std::vector<std::string> others;
    for (const auto& member : details.group->members) {
      if (member.function.address != function.address) others.push_back(member.function.address.to_string());
    }
    lines.front() += fmt::format(", shared with {}", words(others));
  }
  for (const auto& reason : details.sharing) lines.push_back(fmt::format("  {}", reason.text));
  record.fields.emplace_back("IOMMU group", lines);
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
  const auto details = device_details(context.root(), facts.function, context.options.timeout.value_or(kPatience));
  const auto names = iommu::PciNames::open();
  Record record;
  record.kind = "Device";
  record.name = address.to_string();
  record.object = to_json(facts, names);
  record.object["details"] = details_json(details);
  add_identity(record, facts.function, names);
  add_group(record, facts.function, details);
  add_card(record, facts.function, details.record);
  add_sriov(record, facts.function);
  if (facts.has_vf_token) record.add("VF token", "has one");
  add_resources(record, facts.function, details.record);
  add_owned(record, facts.function, details.record);
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
