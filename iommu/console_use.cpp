// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/console_use.hpp"

#include <array>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

namespace pcivm::iommu {

namespace {

/// Names under which drivers of the firmware's framebuffer claim it (drivers/firmware/sysfb.c, drivers/video/fbdev,
/// drivers/gpu/drm/sysfb).
bool is_firmware_framebuffer(std::string_view name) {
  constexpr std::array<std::string_view, 7> kNames{"BOOTFB",    "efifb",           "vesafb", "simplefb",
                                                   "simpledrm", "simple-framebuf", "efidrm"};
  for (const auto known : kNames) {
    if (name.starts_with(known)) return true;
  }
  return false;
}

/// Nesting is told by indentation, also to users whom the addresses are hidden from.
std::map<Bdf, std::string> framebuffers_in_bars(const SysRoot& root) {
  std::map<Bdf, std::string> claims;
  std::vector<std::pair<std::size_t, Bdf>> owners;  // of the lines around this one, outer first
  std::istringstream lines{root.read("/proc/iomem").value_or("")};
  for (std::string line; std::getline(lines, line);) {
    const auto indent = line.find_first_not_of(' ');
    const auto colon = line.find(" : ");
    if (indent == std::string::npos || colon == std::string::npos) continue;
    const auto name = line.substr(colon + 3);
    while (!owners.empty() && owners.back().first >= indent) owners.pop_back();
    if (const auto owner = Bdf::parse(name)) owners.emplace_back(indent, *owner);
    if (!owners.empty() && is_firmware_framebuffer(name)) claims.emplace(owners.back().second, name);
  }
  return claims;
}

bool fbcon_in_charge(const SysRoot& root) {
  constexpr std::string_view kTerminals{"/sys/class/vtconsole"};
  for (const auto& name : root.list(kTerminals).value_or(std::vector<std::string>{})) {
    const auto about = root.read(fmt::format("{}/{}/name", kTerminals, name)).value_or("");
    const auto bound = root.read(fmt::format("{}/{}/bind", kTerminals, name)).value_or("0");
    if (about.find("frame buffer") != std::string::npos && bound == "1") return true;
  }
  return false;
}

}  // namespace

ConsoleUse ConsoleUse::read(const SysRoot& root) {
  ConsoleUse use;
  use.claims_ = framebuffers_in_bars(root);
  use.terminal_on_framebuffer_ = fbcon_in_charge(root);
  std::istringstream lines{root.read("/proc/consoles").value_or("")};
  for (std::string line; std::getline(lines, line);) use.consoles_.insert(line.substr(0, line.find(' ')));
  return use;
}

std::vector<InUse> ConsoleUse::of(Bdf function, const std::vector<std::string>& framebuffers,
                                  const std::vector<std::string>& serial_ports) const {
  std::vector<InUse> users;
  const auto add = [&](std::string_view what) {
    users.push_back({.kind = "console", .detail = fmt::format("{} -> {}", what, function.to_string())});
  };
  if (const auto claim = claims_.find(function); claim != claims_.end())
    add(claim->second + " (the firmware's framebuffer)");
  if (terminal_on_framebuffer_) {
    for (const auto& framebuffer : framebuffers) add("terminals -> " + framebuffer);
  }
  for (const auto& port : serial_ports) {
    if (consoles_.contains(port)) add("kernel messages -> " + port);
  }
  return users;
}

}  // namespace pcivm::iommu
