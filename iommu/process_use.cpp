// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/process_use.hpp"

#include <unistd.h>

#include <algorithm>
#include <span>
#include <sstream>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "iommu/group.hpp"

namespace pcivm::iommu {

namespace {

constexpr std::string_view kVfio = "/dev/vfio/";
constexpr std::string_view kVfioDevices = "/dev/vfio/devices/";
constexpr std::string_view kContainer = "/dev/vfio/vfio";
constexpr std::string_view kRemoved = " (deleted)";

/// A device's own node, of which the kernel has taken the name away already, though not the device: it waits for the
/// holder (drivers/vfio/vfio_main.c, vfio_unregister_group_dev).
bool is_removed_device(std::string_view path) { return path.starts_with(kVfioDevices) && path.ends_with(kRemoved); }

bool is_vfio_driver(std::string_view driver) { return driver.find("vfio") != std::string_view::npos; }

/// Newer kernels tell in fdinfo which device a VFIO descriptor is (drivers/vfio/vfio_main.c, show_fdinfo).
std::string device_in_fdinfo(const SysRoot& root, const std::string& pid, const std::string& number) {
  constexpr std::string_view kKey = "vfio-device-syspath:";
  std::istringstream lines{root.read(fmt::format("/proc/{}/fdinfo/{}", pid, number)).value_or("")};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(kKey)) return line.substr(line.find_last_of(" \t") + 1);
  }
  return {};
}

struct OpenFile {
  std::string number;
  std::string path;
};

/// None: it ended, or is of another user.
std::vector<OpenFile> open_files_of(const SysRoot& root, const std::string& pid) {
  const auto directory = fmt::format("/proc/{}/fd", pid);
  std::vector<OpenFile> files;
  for (auto& number : root.list(directory).value_or(std::vector<std::string>{})) {
    auto path = root.link(fmt::format("{}/{}", directory, number)).value_or("");
    files.push_back({.number = std::move(number), .path = std::move(path)});
  }
  return files;
}

// The VM that a process runs: it holds the lock of that name (cli/vm_name_lock.hpp).
std::string vm_of(std::span<const OpenFile> open_files) {
  constexpr std::string_view kNames = "/run/pcivm/vm/";
  for (const auto& [number, path] : open_files) {
    if (!path.starts_with(kNames) || !path.ends_with("/lock")) continue;
    return path.substr(kNames.size(), path.rfind('/') - kNames.size());
  }
  return {};
}

// "pcivm device bind": the words up to the first option.
std::string words_of(const SysRoot& root, std::string_view pid) {
  std::istringstream words{root.read(fmt::format("/proc/{}/cmdline", pid)).value_or("")};
  std::string line{"pcivm"};
  std::string word;
  std::getline(words, word, '\0');  // the program, by whatever path
  while (std::getline(words, word, '\0') && !word.starts_with('-')) line += " " + word;
  return line;
}

// "pid 1234 (pcivm, VM web)"
std::string name_of(const SysRoot& root, const std::string& pid, std::string command,
                    std::span<const OpenFile> open_files) {
  const auto vm = vm_of(open_files);
  if (!vm.empty()) {
    command += ", VM " + vm;
  } else if (command == "pcivm") {
    command = words_of(root, pid);
  }
  return fmt::format("pid {} ({})", pid, command);
}

std::string command_of(const SysRoot& root, const std::string& pid) {
  return root.read(fmt::format("/proc/{}/comm", pid)).value_or("?");
}

}  // namespace

std::string process_name(const SysRoot& root, const std::string& pid) {
  return name_of(root, pid, command_of(root, pid), open_files_of(root, pid));
}

void ProcessUse::read_process(const SysRoot& root, const std::string& pid) {
  const auto open_files = open_files_of(root, pid);
  std::vector<std::string> devices;
  for (const auto& [number, path] : open_files) {
    if (path == kUnnamedDevice) {
      auto device = device_in_fdinfo(root, pid, number);
      devices.push_back(device.empty() ? path : std::move(device));
    } else if (path.starts_with("/dev/") && path != "/dev/null") {
      devices.push_back(path);
    }
  }
  if (devices.empty()) return;
  const auto command = command_of(root, pid);
  const auto name = name_of(root, pid, command, open_files);
  for (auto& path : devices) {
    holders_.push_back({.pid = pid, .command = command, .name = name, .path = std::move(path)});
  }
}

ProcessUse ProcessUse::read(const SysRoot& root) {
  ProcessUse use;
  const auto self = root.live() ? fmt::to_string(::getpid()) : std::string{};
  for (const auto& name : root.list("/proc").value_or(std::vector<std::string>{})) {
    if (parse_decimal<std::uint32_t>(name) && name != self) use.read_process(root, name);
  }
  return use;
}

bool ProcessUse::names_its_group(const std::string& pid) const {
  return std::ranges::any_of(holders_, [&](const Holder& holder) {
    return holder.pid == pid && holder.path.starts_with(kVfio) && holder.path != kContainer;
  });
}

std::vector<InUse> ProcessUse::vfio(const SysRoot& root, const Function& function) const {
  std::vector<InUse> users;
  // A function without driver belongs to the owner of its group all the same.
  if (!function.driver.empty() && !is_vfio_driver(function.driver)) return users;
  const auto group = function.iommu_group ? fmt::to_string(*function.iommu_group) : std::string{"none"};
  const auto holds = [&](const Holder& holder) {
    const auto& path = holder.path;
    if (path == fmt::format("{}{}", kVfio, group) || path == fmt::format("{}noiommu-{}", kVfio, group)) return true;
    if (is_removed_device(path)) return !root.exists(function.directory() + "/vfio-dev");  // its name goes as early
    if (path.starts_with(kVfioDevices)) {
      return root.exists(fmt::format("{}/vfio-dev/{}", function.directory(), path.substr(kVfioDevices.size())));
    }
    if (path.ends_with("/" + function.address.to_string())) return true;
    // A device whose group descriptor was closed: the kernel does not say which it is, so it may be this one.
    return path == kUnnamedDevice && is_vfio_driver(function.driver) && !names_its_group(holder.pid);
  };
  for (const auto& holder : holders_) {
    if (!holds(holder)) continue;
    InUse user{.kind = "vfio", .detail = holder.name};
    if (holder.path == kUnnamedDevice) user.detail += " holds a VFIO device, perhaps this one";
    if (is_removed_device(holder.path)) user.detail += " holds a VFIO device that is being removed, perhaps this one";
    if (std::ranges::find(users, user) == users.end()) users.push_back(std::move(user));
  }
  return users;
}

std::vector<InUse> ProcessUse::drm(const std::string& node) const { return this->node("drm", "/dev/dri/" + node); }

std::vector<InUse> ProcessUse::node(const std::string& kind, const std::string& path) const {
  std::vector<InUse> users;
  for (const auto& holder : holders_) {
    if (holder.path != path) continue;
    InUse user{.kind = kind, .detail = fmt::format("{} -> {}", holder.name, path)};
    if (std::ranges::find(users, user) == users.end()) users.push_back(std::move(user));
  }
  return users;
}

std::vector<InUse> ProcessUse::disk(const SysRoot& root, const std::string& disk) const {
  std::vector<InUse> users;
  for (const auto& holder : holders_) {
    if (holder.command == "systemd-udevd" || holder.command == "(udev-worker)") continue;
    const auto name = holder.path.substr(holder.path.rfind('/') + 1);
    if (!name.starts_with(disk)) continue;  // "nvme0n1p2" of "nvme0n1": most descriptors are of no disk at all
    const bool partition = root.exists(fmt::format("/sys/class/block/{}/{}/partition", disk, name));
    if (holder.path != "/dev/" + disk && !(partition && holder.path == "/dev/" + name)) continue;
    const auto chain = partition ? fmt::format("{} -> {}", name, disk) : disk;
    InUse user{.kind = "open", .detail = fmt::format("{} -> {}", holder.name, chain)};
    if (std::ranges::find(users, user) == users.end()) users.push_back(std::move(user));
  }
  return users;
}

}  // namespace pcivm::iommu
