// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_expect.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "iommu/group.hpp"

namespace pcivm::sriov {

namespace {

std::string shown(PciId id) { return fmt::format("{:04x}:{:04x}", id.vendor, id.device); }

/// The driver of the function as the host uses it; nothing when only whoever gave it away knows.
std::optional<std::string> host_driver(const FunctionState& function) {
  if (function.bound_by_pcivm) return function.native_driver;
  if (iommu::leaves_dma_to_user(function.driver.driver)) return std::nullopt;
  return function.driver.driver;
}

bool on_host_driver(const FunctionState& function) {
  return !function.bound_by_pcivm && !iommu::leaves_dma_to_user(function.driver.driver);
}

struct Surprise {
  std::string what;
  std::string wanted;
  std::string found;
};

std::optional<Surprise> surprise(const DeviceExpect& expect, const FunctionState& function) {
  if (expect.id && *expect.id != function.id) return Surprise{"id", shown(*expect.id), shown(function.id)};
  if (expect.subsystem && *expect.subsystem != function.subsystem) {
    return Surprise{"subsystem", shown(*expect.subsystem), shown(function.subsystem)};
  }
  const auto driver = host_driver(function);
  if (expect.driver && driver && *expect.driver != *driver) {
    return Surprise{"driver", *expect.driver, driver->empty() ? "none" : *driver};
  }
  // Firmware is told by the native driver only: once the function is given away, it was checked before.
  const bool told = !function.firmware.empty() || on_host_driver(function);
  if (expect.firmware && told && !firmware_fits(function.firmware, *expect.firmware)) {
    return Surprise{"firmware", *expect.firmware, function.firmware.empty() ? "not told" : function.firmware};
  }
  return std::nullopt;
}

std::vector<std::uint64_t> numbers_in(std::string_view text) {
  std::vector<std::uint64_t> numbers;
  text.remove_prefix(std::min(text.find_first_of("0123456789"), text.size()));
  while (!text.empty()) {
    const auto length = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = parse_decimal<std::uint64_t>(text.substr(0, length));
    if (!number) break;
    numbers.push_back(*number);
    text.remove_prefix(length);
    if (!text.starts_with('.')) break;
    text.remove_prefix(1);
  }
  return numbers;
}

}  // namespace

std::optional<PlanProblem> unexpected(const DeviceEntry& device, const FunctionState& function) {
  const auto found = surprise(device.expect, function);
  if (!found) return std::nullopt;
  return PlanProblem{.device = device.name,
                     .place = device.place,
                     .code = "unexpected",
                     .text = fmt::format("{} is {}, whose {} is {}, expected is {}", device.name,
                                         function.address.to_string(), found->what, found->found, found->wanted),
                     .fix = fmt::format("pcivm device show {}; if this is the right card, change expect.{}",
                                        function.address.to_string(), found->what)};
}

bool firmware_fits(std::string_view found, std::string_view wanted) {
  constexpr std::string_view kAtLeast{">="};
  if (!wanted.starts_with(kAtLeast)) return found == wanted;
  auto has = numbers_in(found);
  auto least = numbers_in(wanted.substr(kAtLeast.size()));
  if (has.empty() || least.empty()) return false;
  const auto size = std::max(has.size(), least.size());
  has.resize(size);
  least.resize(size);
  return has >= least;
}

}  // namespace pcivm::sriov
