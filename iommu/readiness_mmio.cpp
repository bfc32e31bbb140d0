// SPDX-License-Identifier: GPL-2.0-or-later
// Checks of address space for BARs: of functions, of the VFs that a PF could make, of BARs that can grow.
#include <linux/pci_regs.h>

#include <algorithm>
#include <bit>
#include <map>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "iommu/readiness_checks.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::uint64_t kAbove4G = 1ULL << 32U;
// include/linux/ioport.h
constexpr std::uint64_t kMemory = 0x200;
constexpr std::uint64_t kUnset = 0x20000000;

/// One line of sysfs `resource` (drivers/pci/pci-sysfs.c, resource_show).
struct Resource {
  std::uint64_t first{};
  std::uint64_t last{};
  std::uint64_t flags{};
  [[nodiscard]] bool used() const { return flags != 0; }
  /// The kernel found no room: it keeps the size and sets a flag, or leaves the address at zero.
  [[nodiscard]] bool unplaced() const { return (flags & kMemory) != 0 && ((flags & kUnset) != 0 || first == 0); }
  [[nodiscard]] std::uint64_t size() const { return last >= first ? last - first + 1 : 0; }
};

/// Six BARs, the ROM, and with CONFIG_PCI_IOV six BARs for all VFs together.
constexpr std::size_t kBars = 6;
constexpr std::size_t kVfBars = 7;
constexpr std::size_t kEnd = 13;

std::vector<Resource> resources(const HostFacts& host, const Function& function) {
  std::vector<Resource> all;
  for (const auto& line : lines_of(host.text(function.directory() + "/resource"))) {
    const auto words = words_of(line);
    if (words.size() != 3) break;
    const auto number = [&](std::size_t i) { return parse_hex_prefixed<std::uint64_t>(words[i]).value_or(0); };
    all.push_back({.first = number(0), .last = number(1), .flags = number(2)});
  }
  return all;
}

constexpr auto* kFirmwareFix =
    "enable \"Above 4G Decoding\" and SR-IOV in the firmware setup; if that is on already, boot with pci=realloc";

Verdicts bars(const HostFacts& host) {
  Verdicts verdicts;
  for (const auto& function : host.functions) {
    const auto all = resources(host, function);
    for (std::size_t i = 0; i < std::min(kBars, all.size()); ++i) {
      if (!all[i].unplaced()) continue;
      verdicts.push_back({.level = Level::warning,
                          .found = fmt::format("{}: BAR {} ({}) got no address", function.address.to_string(), i,
                                               human_size(all[i].size())),
                          .cause = "its driver, or a guest's, cannot use the function",
                          .fix = kFirmwareFix});
    }
  }
  return verdicts.empty() ? ok("every BAR has an address") : verdicts;
}

Verdicts vf_mmio(const HostFacts& host) {
  Verdicts verdicts;
  bool any = false;
  for (const auto& function : host.functions) {
    const auto total = host.number(function.directory() + "/sriov_totalvfs").value_or(0);
    const auto all = resources(host, function);
    if (total == 0 || all.size() < kEnd) continue;
    any = true;
    const std::span vf_bars{all.data() + kVfBars, kEnd - kVfBars};
    std::uint64_t wanted = 0;
    for (const auto& bar : vf_bars) wanted += bar.unplaced() ? bar.size() : 0;
    if (std::ranges::any_of(vf_bars, &Resource::used) && std::ranges::none_of(vf_bars, &Resource::unplaced)) continue;
    verdicts.push_back({.level = Level::problem,
                        .found = fmt::format("{}: no room for the BARs of its {} VFs{}", function.address.to_string(),
                                             total, wanted == 0 ? "" : fmt::format(" ({})", human_size(wanted))),
                        .cause = "making VFs fails with \"not enough MMIO resources for SR-IOV\"",
                        .fix = kFirmwareFix});
  }
  if (!any || !verdicts.empty()) return verdicts;
  return ok("every function with SR-IOV has room for the BARs of all its VFs");
}

/// Sizes of the windows above 4 GiB by host bridge: "380000000000-38ffffffffff : PCI Bus 0000:00". Without root all
/// addresses in /proc/iomem are zero.
std::map<std::string, std::uint64_t> windows(const HostFacts& host) {
  std::map<std::string, std::uint64_t> found;
  for (const auto& line : lines_of(host.text("/proc/iomem"))) {
    const auto words = words_of(line);
    if (line.starts_with(' ') || words.size() != 5 || words[2] != "PCI" || words[3] != "Bus") continue;
    const std::string_view range{words[0]};
    const auto dash = std::min(range.find('-'), range.size() - 1);
    const auto first = parse_hex<std::uint64_t>(range.substr(0, dash)).value_or(0);
    const auto last = parse_hex<std::uint64_t>(range.substr(dash + 1)).value_or(0);
    auto& size = found[words[4]];
    if (first >= kAbove4G && last > first) size += last - first + 1;
  }
  return found;
}

Verdicts window(const HostFacts& host) {
  if (!host.privileged) return unknown("windows of the host bridges: only root sees /proc/iomem", "run as root");
  std::vector<std::string> parts;
  for (const auto& [bus, size] : windows(host)) {
    if (size != 0) parts.push_back(fmt::format("{} on bus {}", human_size(size), bus));
  }
  if (!parts.empty()) return ok(fmt::format("64-bit windows: {}", some_of(parts)));
  if (host.functions.empty()) return {};
  return {{.level = Level::warning,
           .found = "no host bridge has a window above 4 GiB",
           .cause = "there is little room for large BARs and for many VFs",
           .fix = "enable \"Above 4G Decoding\" in the firmware setup"}};
}

/// resourceN_resize holds a bit for each size that the BAR can take: bit n = 2^n MiB (drivers/pci/pci-sysfs.c).
Verdicts resizable(const HostFacts& host) {
  Verdicts verdicts;
  bool any = false;
  for (const auto& function : host.functions) {
    if (function.is_bridge || function.is_vf()) continue;
    const auto all = resources(host, function);
    for (std::size_t i = 0; i < std::min(kBars, all.size()); ++i) {
      const auto sizes = host.text(fmt::format("{}/resource{}_resize", function.directory(), i));
      const auto mask = parse_hex<std::uint64_t>(sizes).value_or(0);
      if (mask == 0) continue;
      any = true;
      const auto largest = std::uint64_t{1} << (static_cast<unsigned>(std::bit_width(mask)) - 1 + 20);
      if (all[i].size() >= largest) continue;
      verdicts.push_back({.level = Level::note,
                          .found = fmt::format("{}: BAR {} is {}, and could be {}", function.address.to_string(), i,
                                               human_size(all[i].size()), human_size(largest)),
                          .cause = "a driver reaches the rest of the device's memory through a window only",
                          .fix = "enable \"Resizable BAR\" and \"Above 4G Decoding\" in the firmware setup"});
    }
  }
  if (!any || !verdicts.empty()) return verdicts;
  return ok("every resizable BAR has its full size");
}

constexpr Check kChecks[] = {
    {"bars", bars},
    {"vf-mmio", vf_mmio},
    {"mmio-window", window},
    {"resizable-bars", resizable},
};

}  // namespace

std::span<const Check> mmio_checks() { return kChecks; }

}  // namespace pcivm::iommu
