// SPDX-License-Identifier: GPL-2.0-or-later
// Checks of VFIO: its modules, its back ends, its parameters, and how much memory may be pinned for it.
#include <linux/capability.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "iommu/readiness_checks.hpp"

namespace pcivm::iommu {

namespace {

constexpr const char* kModules[] = {"vfio", "vfio_pci", "vfio_iommu_type1"};

Verdict missing_vfio(const HostFacts& host) {
  Verdict verdict{
      .level = Level::problem,
      .found = fmt::format("the kernel has no VFIO for PCI ({})", host.release),
      .cause = "nothing can be given away without it",
      .fix = fmt::format("apt install linux-image-{}, or boot a kernel with CONFIG_VFIO_PCI", host.release)};
  if (host.kernel_option("CONFIG_VFIO_PCI") == "n") {
    verdict.cause = fmt::format("/boot/config-{} has CONFIG_VFIO_PCI off", host.release);
    verdict.fix = "boot a kernel with CONFIG_VFIO_PCI=m (apt install linux-image-amd64)";
  }
  return verdict;
}

Verdicts modules(const HostFacts& host) {
  Verdicts verdicts;
  for (const auto* module : kModules) {
    const auto where = host.blacklisted(module);
    if (where.empty() || host.root.exists(fmt::format("/sys/module/{}", module))) continue;
    verdicts.push_back({.level = Level::problem,
                        .found = fmt::format("module '{}' is blacklisted by {}", module, where),
                        .cause = "pcivm loads it when a device is bound, and does not override that",
                        .fix = fmt::format("remove '{}' from {}", module, where)});
  }
  if (!verdicts.empty()) return verdicts;
  if (host.caps.vfio_loaded) return ok("vfio-pci is loaded");
  if (host.caps.vfio_available) return ok("vfio-pci is a module of this kernel, loaded when it is needed");
  return {missing_vfio(host)};
}

Verdicts backend(const HostFacts& host) {
  if (!host.caps.vfio_available && !host.caps.iommufd) return {};  // `vfio-modules` tells
  if (host.caps.iommufd && host.root.exists("/dev/vfio/devices")) return ok("iommufd and VFIO character devices");
  if (host.caps.iommufd) return ok("iommufd, and VFIO groups with containers");
  const bool built = host.kernel_option("CONFIG_IOMMUFD") == "m";
  return ok(built ? "VFIO groups with containers; iommufd is a module that is not loaded"
                  : "VFIO groups with containers (this kernel has no iommufd)");
}

/// A parameter of vfio-pci that changes what it does with all its devices (drivers/vfio/pci/vfio_pci.c).
struct Parameter {
  const char* module;
  const char* name;
  Level level;
  const char* meaning;
};
constexpr Parameter kParameters[] = {
    {"vfio_pci", "disable_idle_d3", Level::note, "functions on vfio-pci stay in D0 and draw full power"},
    {"vfio_pci", "disable_vga", Level::note, "guests cannot use legacy VGA ranges of a graphics card"},
    {"vfio_pci", "enable_sriov", Level::note,
     "VFs may be made on a PF that a VM's user space drives: needs a VF token"},
    {"vfio_pci", "disable_denylist", Level::warning, "devices that are known to break isolation may be given away"},
};

Verdicts vfio_parameters(const HostFacts& host) {
  Verdicts verdicts;
  for (const auto& parameter : kParameters) {
    if (!host.is_on(parameter.module, parameter.name)) continue;
    verdicts.push_back({.level = parameter.level,
                        .found = fmt::format("{}.{} is on", parameter.module, parameter.name),
                        .cause = parameter.meaning,
                        .fix = "if not intended: remove it from /etc/modprobe.d and reload vfio-pci"});
  }
  return verdicts.empty() ? ok("vfio-pci has its default parameters") : verdicts;
}

bool may_exceed_limit(const HostFacts& host) {
  for (const auto& line : lines_of(host.text("/proc/self/status"))) {
    const auto words = words_of(line);
    if (words.size() == 2 && words[0] == "CapEff:") {
      return (parse_hex<std::uint64_t>(words[1]).value_or(0) >> CAP_IPC_LOCK & 1U) != 0;
    }
  }
  return false;
}

/// "Max locked memory         8388608              8388608              bytes"
Verdicts memlock(const HostFacts& host) {
  if (may_exceed_limit(host)) return ok("this process may lock any amount of memory (CAP_IPC_LOCK)");
  constexpr std::string_view kLabel = "Max locked memory";
  for (const auto& line : lines_of(host.text("/proc/self/limits"))) {
    if (!line.starts_with(kLabel)) continue;
    const auto words = words_of(line.substr(kLabel.size()));
    if (words.empty()) break;
    if (words[0] == "unlimited") return ok("locked memory is not limited");
    const auto bytes = parse_decimal<std::uint64_t>(words[0]).value_or(0);
    constexpr std::uint64_t kSmallGuest = 1ULL << 30U;
    if (bytes >= kSmallGuest) return ok(fmt::format("up to {} of memory may be locked", human_size(bytes)));
    return {{.level = Level::warning,
             .found = fmt::format("this user may lock {} of memory only", human_size(bytes)),
             .cause = "all RAM of a guest with a device is locked, so VMs of this user cannot start",
             .fix = "run as root, or in /etc/security/limits.d/pcivm.conf: USER - memlock unlimited"}};
  }
  return unknown("the limit of locked memory cannot be read", "");
}

/// systemd-system.conf(5). Without a line there services get 8 MiB, which root's services may exceed.
Verdicts memlock_services(const HostFacts& host) {
  std::vector<std::string> files{"/etc/systemd/system.conf"};
  for (const auto& name : host.names("/etc/systemd/system.conf.d")) {
    files.push_back("/etc/systemd/system.conf.d/" + name);
  }
  constexpr std::string_view kKey = "DefaultLimitMEMLOCK=";
  std::string value;
  std::string file;
  for (const auto& path : files) {
    for (const auto& line : lines_of(host.text(path))) {
      if (!line.starts_with(kKey)) continue;
      value = line.substr(kKey.size());
      file = path;
    }
  }
  if (value.empty() || value == "infinity") return ok("services of root may lock any amount of memory");
  return {{.level = Level::note,
           .found = fmt::format("{} has {}{}", file, kKey, value),
           .cause = "a VM in a service without CAP_IPC_LOCK cannot lock more than that",
           .fix = "LimitMEMLOCK=infinity in the unit of such a service"}};
}

constexpr Check kChecks[] = {
    {"vfio-modules", modules},
    {"vfio-backend", backend},
    {"vfio-parameters", vfio_parameters},
    {"memlock", memlock},
    {"memlock-services", memlock_services},
};

}  // namespace

std::span<const Check> vfio_checks() { return kChecks; }

}  // namespace pcivm::iommu
