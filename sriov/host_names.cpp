// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_names.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace pcivm::sriov {

namespace {

std::string file_of(Bdf function) { return fmt::format("/run/pcivm/names/{}", function.to_string()); }

bool tells(const FunctionState& function) {
  return function.permanent_mac || function.permanent_guid || !function.nvme_serial.empty() ||
         !function.nvme_nqn.empty();
}

// Another card in the same place has another serial, if it has any.
std::string card_of(const FunctionState& function) {
  return fmt::format("{:04x}:{:04x} {:04x}:{:04x} {}", function.id.vendor, function.id.device,
                     function.subsystem.vendor, function.subsystem.device, fmt::join(function.serials, " "));
}

vfio::Record record_of(const FunctionState& function) {
  vfio::Record record;
  record.set("card", card_of(function));
  if (function.permanent_mac) record.set("mac", function.permanent_mac->to_string());
  if (function.permanent_guid) record.set("guid", function.permanent_guid->to_string());
  record.set("nvme_serial", function.nvme_serial);
  record.set("nvme_nqn", function.nvme_nqn);
  record.set("firmware", function.firmware);
  return record;
}

}  // namespace

Result<void> remember_names(const SysRoot& root, const HostState& state) {
  for (const auto& function : state.functions) {
    if (!tells(function)) continue;
    const auto record = record_of(function);
    const auto kept = vfio::load(root, file_of(function.address));
    if (!kept || *kept != record) TRY(vfio::store(root, file_of(function.address), record));
  }
  return {};
}

void recall_names(const SysRoot& root, FunctionState& function) {
  if (tells(function)) return;
  const auto kept = vfio::load(root, file_of(function.address));
  if (!kept || kept->get("card") != card_of(function)) return;
  if (const auto mac = MacAddress::parse(kept->get("mac"))) function.permanent_mac = *mac;
  if (const auto guid = Guid::parse(kept->get("guid"))) function.permanent_guid = *guid;
  function.nvme_serial = kept->get("nvme_serial");
  function.nvme_nqn = kept->get("nvme_nqn");
  function.firmware = kept->get("firmware");
}

}  // namespace pcivm::sriov
