// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/boot_use.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace pcivm::iommu {

namespace {

/// "UUID=1234-ABCD" -> "/dev/disk/by-uuid/1234-ABCD" (fstab(5)); other texts as they are.
std::string device_of_tag(const std::string& text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kTags{{
      {"UUID=", "/dev/disk/by-uuid/"},
      {"LABEL=", "/dev/disk/by-label/"},
      {"PARTUUID=", "/dev/disk/by-partuuid/"},
      {"PARTLABEL=", "/dev/disk/by-partlabel/"},
  }};
  for (const auto& [tag, directory] : kTags) {
    if (!text.starts_with(tag)) continue;
    auto value = text.substr(tag.size());
    std::erase(value, '"');
    return fmt::format("{}{}", directory, value);
  }
  return text;
}

bool needed_to_boot(const std::string& target) {
  return target == "/" || target == "/usr" || target == "/boot" || target == "/boot/efi" || target == "/efi";
}

template <class Visit>
void for_each_line(const SysRoot& root, std::string_view path, Visit visit) {
  std::istringstream lines{root.read(path).value_or("")};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words{line};
    std::string first;
    std::string second;
    words >> first >> second;
    if (!second.empty() && first.front() != '#') visit(first, second);
  }
}

void add_fstab(const SysRoot& root, std::vector<BootNeed>& needs) {
  for_each_line(root, "/etc/fstab", [&](const std::string& source, const std::string& target) {
    if (needed_to_boot(target)) needs.push_back({.kind = "boot", .name = target, .device = device_of_tag(source)});
  });
}

void add_resume(const SysRoot& root, std::vector<BootNeed>& needs) {
  constexpr std::string_view kKey{"resume="};
  std::istringstream words{root.read("/proc/cmdline").value_or("")};
  for (std::string word; words >> word;) {
    if (!word.starts_with(kKey)) continue;
    needs.push_back({.kind = "hibernate", .name = "resume", .device = device_of_tag(word.substr(kKey.size()))});
  }
  // "0:0" when there is none (kernel/power/hibernate.c).
  const auto set = root.read("/sys/power/resume").value_or("0:0");
  if (set != "0:0") needs.push_back({.kind = "hibernate", .name = "resume", .device = set});
}

/// kdump.conf(5): "raw DEVICE", or "ext4 DEVICE" and other file systems. Debian's kdump-tools dump to a mounted one.
void add_kdump(const SysRoot& root, std::vector<BootNeed>& needs) {
  constexpr std::array<std::string_view, 6> kTargets{"raw", "ext2", "ext3", "ext4", "xfs", "btrfs"};
  for_each_line(root, "/etc/kdump.conf", [&](const std::string& type, const std::string& device) {
    if (std::ranges::find(kTargets, type) == kTargets.end()) return;
    needs.push_back({.kind = "kdump", .name = "kdump", .device = device_of_tag(device)});
  });
}

}  // namespace

std::vector<BootNeed> boot_needs(const SysRoot& root) {
  std::vector<BootNeed> needs;
  add_fstab(root, needs);
  add_resume(root, needs);
  add_kdump(root, needs);
  return needs;
}

}  // namespace pcivm::iommu
