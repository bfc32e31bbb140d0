// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_device.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/config_value.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::cli {

namespace {

sriov::DeviceMatch read_match(ConfigMap& map) {
  constexpr unsigned kMostFunction{7};
  sriov::DeviceMatch match;
  map.take("permanentMac", match.permanent_mac, mac_value);
  map.take("permanentGuid", match.permanent_guid, guid_value);
  map.take("serial", match.serial, text_value);
  if (auto nvme = map.below("nvme")) {
    nvme->take("serial", match.nvme_serial, text_value);
    nvme->take("nqn", match.nvme_nqn, text_value);
    nvme->finish();
  }
  map.take("slot", match.slot, text_value);
  map.take("path", match.path, text_value);
  map.take("bdf", match.address, bdf_value);
  map.take("function", match.function,
           [](const ConfigNode& node) { return number_value<unsigned>(node, 0, kMostFunction); });
  map.finish();
  return match;
}

void require_match(const ConfigMap& map, const sriov::DeviceMatch& match, std::size_t problems_before) {
  auto named = match;
  named.function.reset();
  if (named != sriov::DeviceMatch{} || map.sink().problems.size() != problems_before) return;
  map.sink().add(map.place(), fmt::format("{}: it names no card", map.path()),
                 match.function ? "function only tells functions of one card apart: name the card too"
                                : "give permanentMac, permanentGuid, serial, nvme, slot, path or bdf");
}

sriov::DeviceExpect read_expect(ConfigMap& map) {
  sriov::DeviceExpect expect;
  map.take("id", expect.id, pci_id_value);
  map.take("subsystem", expect.subsystem, pci_id_value);
  map.take("driver", expect.driver, driver_value);
  map.take("firmware", expect.firmware, text_value);
  map.finish();
  return expect;
}

// Of the kernel (drivers/pci/pci.c, pci_reset_fn_methods).
constexpr std::array<Choice<std::string_view>, 7> kResetMethods{{{"device_specific", "device_specific"},
                                                                 {"acpi", "acpi"},
                                                                 {"flr", "flr"},
                                                                 {"af_flr", "af_flr"},
                                                                 {"pm", "pm"},
                                                                 {"bus", "bus"},
                                                                 {"cxl_bus", "cxl_bus"}}};
constexpr std::array<Choice<std::string_view>, 2> kPower{{{"on", "on"}, {"auto", "auto"}}};
constexpr std::array<Choice<bool>, 1> kWhole{{{"whole", true}}};
constexpr std::array<Choice<bool>, 1> kInitramfs{{{"initramfs", true}}};

void check_early(ConfigMap& map, const sriov::PassthroughEntry& entry) {
  if (!entry.early || vfio::is_vfio_driver(entry.bind)) return;
  map.sink().add(map.place(), fmt::format("{}: early with bind {}", map.path_of("early"), entry.bind),
                 "only a VFIO driver such as vfio-pci can be bound in the initramfs");
}

void check_reset_methods(ConfigMap& map, const std::vector<std::string>& methods) {
  for (auto method = methods.begin(); method != methods.end(); ++method) {
    if (std::find(methods.begin(), method, *method) == method) continue;
    map.sink().add(map.place(), fmt::format("{}: '{}' is named twice", map.path_of("resetMethod"), *method));
  }
}

sriov::PassthroughEntry read_passthrough(ConfigMap& map) {
  sriov::PassthroughEntry entry;
  entry.place = map.place();
  map.take("bind", entry.bind, bind_value);
  map.take("group", entry.whole_group, [](const ConfigNode& node) { return choice_value<bool>(node, kWhole); });
  map.take("early", entry.early, [](const ConfigNode& node) { return choice_value<bool>(node, kInitramfs); });
  map.take_list("resetMethod", entry.reset_methods,
                [](const ConfigNode& node) { return choice_value<std::string>(node, kResetMethods); });
  map.take("d3cold", entry.d3cold, bool_value);
  map.take("power", entry.power, [](const ConfigNode& node) { return choice_value<std::string>(node, kPower); });
  map.take("pool", entry.pool, name_value);
  map.finish();
  check_early(map, entry);
  check_reset_methods(map, entry.reset_methods);
  return entry;
}

}  // namespace

sriov::DeviceEntry read_device(ConfigMap& map, const std::string& name) {
  sriov::DeviceEntry device{.name = name, .place = map.place()};
  map.require("match", "what tells the card from all others");
  const auto problems_before = map.sink().problems.size();
  if (auto match = map.below("match")) {
    device.match = read_match(*match);
    require_match(*match, device.match, problems_before);
  }
  if (auto expect = map.below("expect")) device.expect = read_expect(*expect);
  map.take("externallyManaged", device.externally_managed, bool_value);
  if (auto sriov = map.below("sriov")) device.sriov = read_sriov(*sriov);
  if (auto passthrough = map.below("passthrough")) device.passthrough = read_passthrough(*passthrough);
  map.finish();
  if (device.sriov && device.passthrough) {
    map.sink().add(device.passthrough->place,
                   fmt::format("{}: passthrough here and sriov at {}: a function is given away whole or by its VFs",
                               map.path(), to_string(device.sriov->place)));
  }
  return device;
}

}  // namespace pcivm::cli
