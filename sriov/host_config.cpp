// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_config.hpp"

#include <utility>

#include <fmt/format.h>

namespace pcivm::sriov {

std::string to_string(const Place& place) {
  if (place.line == 0) return place.file;
  return fmt::format("{}:{}:{}", place.file, place.line, place.column);
}

std::string to_string(const DeviceMatch& match) {
  std::string text;
  const auto add = [&text](std::string_view key, const std::string& value) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", key, value);
  };
  if (match.permanent_mac) add("permanentMac", match.permanent_mac->to_string());
  if (match.permanent_guid) add("permanentGuid", match.permanent_guid->to_string());
  if (match.serial) add("serial", *match.serial);
  if (match.nvme_serial) add("nvme.serial", *match.nvme_serial);
  if (match.nvme_nqn) add("nvme.nqn", *match.nvme_nqn);
  if (match.slot) add("slot", *match.slot);
  if (match.path) add("path", *match.path);
  if (match.address) add("bdf", match.address->to_string());
  if (match.function) add("function", fmt::to_string(*match.function));
  return text;
}

DeviceEntry without_places(DeviceEntry device) {
  device.place = {};
  if (device.sriov) {
    device.sriov->place = {};
    for (auto& entry : device.sriov->vfs) entry.place = {};
  }
  if (device.passthrough) device.passthrough->place = {};
  return device;
}

HostConfig without_places(HostConfig config) {
  config.files.clear();
  for (auto& device : config.devices) device = without_places(std::move(device));
  for (auto& [name, place] : config.pools) place = {};
  return config;
}

}  // namespace pcivm::sriov
