// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/readiness_facts.hpp"

#include <linux/capability.h>

#include <algorithm>
#include <array>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "iommu/inventory.hpp"

namespace pcivm::iommu {

namespace {

/// Module names mean the same with "-" and "_".
std::string plain(std::string_view module) {
  std::string name{module};
  std::ranges::replace(name, '-', '_');
  return name;
}

std::vector<ModprobeLine> read_modprobe(const SysRoot& root) {
  std::vector<ModprobeLine> all;
  for (const std::string directory : {"/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d"}) {
    for (const auto& name : root.list(directory).value_or(std::vector<std::string>{})) {
      if (!name.ends_with(".conf")) continue;
      const auto file = fmt::format("{}/{}", directory, name);
      for (const auto& line : lines_of(root.read(file).value_or(""))) {
        auto words = words_of(line.substr(0, line.find('#')));
        if (words.size() >= 2) all.push_back({.file = file, .words = std::move(words)});
      }
    }
  }
  return all;
}

bool has_capability(const SysRoot& root, unsigned number) {
  for (const auto& line : lines_of(root.read("/proc/self/status").value_or(""))) {
    const auto words = words_of(line);
    if (words.size() == 2 && words[0] == "CapEff:") {
      return (parse_hex<std::uint64_t>(words[1]).value_or(0) >> number & 1U) != 0;
    }
  }
  return false;
}

/// Where the boot loader of this host takes its parameters from.
struct BootLoader {
  const char* mark;  ///< this file is there
  const char* where;
  const char* then;
};
constexpr BootLoader kBootLoaders[] = {
    {"/etc/default/grub", "GRUB_CMDLINE_LINUX in /etc/default/grub", "update-grub && reboot"},
    {"/etc/kernel/cmdline", "/etc/kernel/cmdline", "kernel-install add-all && reboot"},
};

std::string change_parameter(const SysRoot& root, std::string_view verb, std::string_view words) {
  for (const auto& loader : kBootLoaders) {
    if (root.exists(loader.mark)) return fmt::format("{} {} {}, then: {}", verb, words, loader.where, loader.then);
  }
  return fmt::format("{} {} the kernel command line, then reboot", verb, words);
}

}  // namespace

HostFacts HostFacts::read(const SysRoot& root, IoctlPort* ioctls) {
  HostFacts host{.root = root, .ioctls = ioctls};
  host.caps = read_host_caps(root);
  host.functions = list(root).value_or(std::vector<Function>{});
  host.parameters = words_of(host.text("/proc/cmdline"));
  host.modprobe = read_modprobe(root);
  host.release = host.text("/proc/sys/kernel/osrelease");
  host.privileged = has_capability(root, CAP_SYS_ADMIN);
  return host;
}

std::optional<std::uint64_t> HostFacts::number(const std::string& path) const {
  const auto value = parse_decimal<std::uint64_t>(text(path));
  return value ? std::optional{*value} : std::nullopt;
}

std::vector<std::string> HostFacts::names(const std::string& path) const {
  return root.list(path).value_or(std::vector<std::string>{});
}

bool HostFacts::is_on(std::string_view module, std::string_view parameter) const {
  const auto value = text(fmt::format("/sys/module/{}/parameters/{}", module, parameter));
  return value == "Y" || value == "1";
}

std::optional<std::string> HostFacts::parameter(std::string_view name) const {
  std::optional<std::string> value;
  for (const std::string_view word : parameters) {
    const auto sign = word.find('=');
    if (plain(word.substr(0, sign)) != plain(name)) continue;
    value = sign == std::string_view::npos ? "" : std::string{word.substr(sign + 1)};
  }
  return value;
}

std::string HostFacts::blacklisted(std::string_view module) const {
  for (const auto* name : {"module_blacklist", "modprobe.blacklist"}) {
    auto value = plain(parameter(name).value_or(""));
    std::ranges::replace(value, ',', ' ');
    if (holds(words_of(value), plain(module))) return fmt::format("{}= on the command line", name);
  }
  for (const auto& line : modprobe) {
    if (plain(line.words[1]) != plain(module)) continue;
    const bool refuses = line.words[0] == "install" && line.words.size() == 3 &&
                         (line.words[2].ends_with("/false") || line.words[2].ends_with("/true"));
    if (line.words[0] == "blacklist" || refuses) return line.file;
  }
  return {};
}

std::vector<ModprobeLine> HostFacts::modprobe_of(std::string_view verb, std::string_view module) const {
  std::vector<ModprobeLine> found;
  for (const auto& line : modprobe) {
    if (line.words[0] == verb && plain(line.words[1]) == plain(module)) found.push_back(line);
  }
  return found;
}

std::string HostFacts::kernel_option(std::string_view name) const {
  const auto config = text("/boot/config-" + release);
  if (config.empty()) return {};
  for (const auto& line : lines_of(config)) {
    if (line.starts_with(fmt::format("{}=", name))) return line.substr(name.size() + 1);
  }
  return "n";
}

std::string HostFacts::add_parameter(std::string_view words) const {
  return change_parameter(root, "add", fmt::format("{} to", words));
}

std::string HostFacts::remove_parameter(std::string_view words) const {
  return change_parameter(root, "remove", fmt::format("{} from", words));
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream{text};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream{text};
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string human_size(std::uint64_t bytes) {
  constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  constexpr std::uint64_t kStep = 1024;
  std::size_t unit = 0;
  std::uint64_t divisor = 1;
  while (unit + 1 < kUnits.size() && bytes / divisor >= kStep) {
    divisor *= kStep;
    ++unit;
  }
  if (bytes % divisor == 0) return fmt::format("{} {}", bytes / divisor, kUnits.at(unit));
  return fmt::format("{:.1f} {}", static_cast<double>(bytes) / static_cast<double>(divisor), kUnits.at(unit));
}

std::string some_of(const std::vector<std::string>& names, std::size_t most) {
  if (names.size() <= most + 1) return fmt::format("{}", fmt::join(names, ", "));
  const std::vector<std::string> first(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(most));
  return fmt::format("{} and {} more", fmt::join(first, ", "), names.size() - most);
}

}  // namespace pcivm::iommu
