// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/selector.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "iommu/class_devices.hpp"
#include "iommu/inventory.hpp"

namespace pcivm::cli {

namespace {

std::unexpected<Error> no_match(std::string what) {
  return fail(Error::make(Errc::not_found, std::move(what)).advise("pcivm device list").coded("device.not_found"));
}

Result<Bdf> exactly_one(std::string_view selector, const std::vector<Bdf>& matches) {
  if (matches.empty()) return no_match(fmt::format("no PCI function matches '{}'", selector));
  if (matches.size() == 1) return matches.front();
  std::vector<std::string> names;
  for (const auto match : matches) names.push_back(match.to_string());
  return fail(Error::make(Errc::invalid, fmt::format("'{}' matches {} functions: {}", selector, matches.size(),
                                                     fmt::join(names, ", ")))
                  .advise("name one of them by its address")
                  .coded("selector.ambiguous"));
}

Result<Bdf> by_interface(const SysRoot& root, std::string_view name) {
  for (const auto& [owner, netdevs] : iommu::class_devices(root, iommu::DeviceClass::net)) {
    if (std::ranges::find(netdevs, name) != netdevs.end()) return owner;
  }
  if (!name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
      root.exists(fmt::format("/sys/class/net/{}", name))) {
    return no_match(fmt::format("network interface '{}' belongs to no PCI function", name));
  }
  return no_match(fmt::format("no PCI function and no network interface is called '{}'", name));
}

Result<Bdf> by_mac(const SysRoot& root, std::string_view selector, std::string_view value) {
  const auto wanted = TRY(MacAddress::parse(value));
  std::vector<Bdf> matches;
  for (const auto& [owner, netdevs] : iommu::class_devices(root, iommu::DeviceClass::net)) {
    for (const auto& netdev : netdevs) {
      const auto text = root.read(fmt::format("/sys/class/net/{}/address", netdev));
      const auto mac = MacAddress::parse(text.value_or(""));
      if (mac && *mac == wanted && (matches.empty() || matches.back() != owner)) matches.push_back(owner);
    }
  }
  return exactly_one(selector, matches);
}

Result<Bdf> by_serial(const SysRoot& root, std::string_view selector, std::string_view value) {
  const auto unpadded = [](std::string_view text) {  // NVMe pads serials to 20 characters
    return text.substr(0, text.find_last_not_of(' ') + 1);
  };
  std::vector<Bdf> matches;
  for (const auto& function : TRY(iommu::list(root))) {
    const auto directory = function.directory() + "/nvme";
    for (const auto& controller : root.list(directory).value_or(std::vector<std::string>{})) {
      const auto serial = root.read(fmt::format("{}/{}/serial", directory, controller));
      if (serial && unpadded(*serial) == unpadded(value)) matches.push_back(function.address);
    }
  }
  return exactly_one(selector, matches);
}

Result<Bdf> by_id(const SysRoot& root, std::string_view selector, std::string_view value) {
  const auto colon = std::min(value.find(':'), value.size());
  const auto vendor = parse_hex<std::uint16_t>(value.substr(0, colon));
  const auto device = parse_hex<std::uint16_t>(value.substr(std::min(colon + 1, value.size())));
  if (!vendor || !device) {
    return fail(Errc::invalid, fmt::format("malformed '{}', wanted id=VENDOR:DEVICE such as id=8086:10ca", selector));
  }
  std::vector<Bdf> matches;
  for (const auto& function : TRY(iommu::list(root))) {
    if (function.vendor == *vendor && function.device == *device) matches.push_back(function.address);
  }
  return exactly_one(selector, matches);
}

Result<Bdf> by_key(const SysRoot& root, std::string_view selector, std::size_t equals) {
  const auto key = selector.substr(0, equals);
  const auto value = selector.substr(equals + 1);
  if (key == "mac") return by_mac(root, selector, value);
  if (key == "serial") return by_serial(root, selector, value);
  if (key == "id") return by_id(root, selector, value);
  return fail(Errc::invalid, fmt::format("unknown selector '{}=', wanted mac=, serial= or id=", key));
}

Result<Bdf> by_address_or_interface(const SysRoot& root, std::string_view text) {
  // Interface names hold no colon (net/core/dev.c, dev_valid_name), addresses do.
  if (text.find(':') == std::string_view::npos) return by_interface(root, text);
  const auto address = TRY(Bdf::parse(text));
  return TRY(iommu::find(root, address)).address;
}

Result<Bdf> by_number(const SysRoot& root, std::string_view physical, std::string_view number_text) {
  const auto number = TRY(parse_decimal<std::uint16_t>(number_text));
  const auto address = TRY(by_address_or_interface(root, physical));
  const auto virtuals = TRY(iommu::virtual_functions(root, address));
  if (number < virtuals.size()) return virtuals[number];
  const auto range = virtuals.empty() ? std::string{"none"} : fmt::format("vf0 to vf{}", virtuals.size() - 1);
  return no_match(fmt::format("no VF {} of {}: it has {}", number, address.to_string(), range));
}

}  // namespace

Result<Bdf> select_function(const SysRoot& root, std::string_view text) {
  if (const auto equals = text.find('='); equals != std::string_view::npos) return by_key(root, text, equals);
  constexpr std::string_view kVirtual = "/vf";
  if (const auto slash = text.rfind(kVirtual); slash != std::string_view::npos) {
    return by_number(root, text.substr(0, slash), text.substr(slash + kVirtual.size()));
  }
  return by_address_or_interface(root, text);
}

}  // namespace pcivm::cli
