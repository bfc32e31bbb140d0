// SPDX-License-Identifier: GPL-2.0-or-later
// Checks of what binds devices while the host boots: parameters, rules, and an initramfs that does not know of them.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <ctime>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "iommu/readiness_checks.hpp"

namespace pcivm::iommu {

namespace {

Verdict by_ids(const std::string& where, const std::string& ids) {
  return {.level = Level::note,
          .found = fmt::format("{} gives vfio-pci every function with ids {}", where, ids),
          .cause = "that is by type: a second card of the same type is taken from the host too",
          .fix = "bind by address instead: pcivm device bind DEVICE"};
}

Verdicts vfio_ids(const HostFacts& host) {
  Verdicts verdicts;
  if (const auto ids = host.parameter("vfio-pci.ids")) verdicts.push_back(by_ids("the kernel command line", *ids));
  for (const auto& line : host.modprobe_of("options", "vfio-pci")) {
    for (const auto& word : line.words) {
      if (word.starts_with("ids=")) verdicts.push_back(by_ids(line.file, word.substr(4)));
    }
  }
  return verdicts.empty() ? ok("no ids are set for vfio-pci") : verdicts;
}

/// "softdep nvidia pre: vfio-pci", or the other way round.
Verdicts softdeps(const HostFacts& host) {
  std::vector<std::string> found;
  for (const auto& line : host.modprobe) {
    if (line.words[0] != "softdep") continue;
    const bool names_vfio = std::ranges::any_of(
        line.words, [](const std::string& word) { return word == "vfio-pci" || word == "vfio_pci"; });
    if (names_vfio && line.file.starts_with("/etc/")) {
      found.push_back(fmt::format("'{}' in {}", fmt::join(line.words, " "), line.file));
    }
  }
  if (found.empty()) return ok("no softdep names vfio-pci");
  return {{.level = Level::note,
           .found = some_of(found),
           .cause = "the order in which modules load decides who gets a device at boot",
           .fix = "not needed for devices that pcivm binds by address"}};
}

Verdicts udev_rules(const HostFacts& host) {
  std::vector<std::string> found;
  for (const auto& name : host.names("/etc/udev/rules.d")) {
    const auto file = "/etc/udev/rules.d/" + name;
    if (!name.ends_with(".rules") || name.find("pcivm") != std::string::npos) continue;
    const auto rules = lines_of(host.text(file));
    const bool binds = std::ranges::any_of(rules, [](const std::string& line) {
      return !line.starts_with('#') && line.find("driver_override") != std::string::npos;
    });
    if (binds) found.push_back(file);
  }
  if (found.empty()) return ok("no udev rule sets drivers");
  return {{.level = Level::note,
           .found = fmt::format("these udev rules set driver_override: {}", some_of(found)),
           .cause = "they give functions to drivers behind pcivm's back, at boot and at hot-plug",
           .fix = fmt::format("if pcivm shall decide: rm {}, then: udevadm control --reload", found.front())}};
}

/// When a file was last changed; nothing when it is absent.
std::optional<timespec> changed(const HostFacts& host, const std::string& path) {
  const auto file = host.root.open_file(path, O_PATH);
  struct stat facts{};
  if (!file || ::fstat(file->ref().number(), &facts) != 0) return std::nullopt;
  return facts.st_mtim;
}

bool later(const timespec& left, const timespec& right) {
  return left.tv_sec != right.tv_sec ? left.tv_sec > right.tv_sec : left.tv_nsec > right.tv_nsec;
}

constexpr std::string_view kEarlyRules{"/etc/udev/rules.d/04-pcivm-early.rules"};
// Made by `pcivm udev install`; about interfaces and units, which an initramfs has not.
constexpr std::string_view kHostRules{"/etc/udev/rules.d/61-pcivm-host.rules"};

/// Of Debian, and of what dracut makes.
struct Initramfs {
  std::string file;
  std::string remake;
};

Verdicts initramfs(const HostFacts& host) {
  const Initramfs kinds[] = {
      {fmt::format("/boot/initrd.img-{}", host.release), fmt::format("update-initramfs -u -k {}", host.release)},
      {fmt::format("/boot/initramfs-{}.img", host.release), fmt::format("dracut -f --kver {}", host.release)},
  };
  const auto* kind = std::ranges::find_if(kinds, [&](const Initramfs& k) { return host.root.exists(k.file); });
  if (kind == std::end(kinds)) return ok("no initramfs of this kernel in /boot");
  const auto made = changed(host, kind->file);
  std::vector<std::string> newer;
  for (const std::string directory : {"/etc/modprobe.d", "/etc/udev/rules.d", "/etc/initramfs-tools"}) {
    for (const auto& name : host.names(directory)) {
      const auto path = fmt::format("{}/{}", directory, name);
      const auto when = path == kHostRules ? std::nullopt : changed(host, path);
      if (made && when && later(*when, *made)) newer.push_back(path);
    }
  }
  if (newer.empty()) return ok(fmt::format("{} is newer than what goes into it", kind->file));
  return {{.level = Level::warning,
           .found = fmt::format("{} is older than {}", kind->file, some_of(newer)),
           .cause = "at boot, drivers are chosen by the old settings that it holds",
           .fix = kind->remake}};
}

/// The hook of initramfs-tools keeps the early rules that it put into an initramfs.
Verdicts early_rules(const HostFacts& host) {
  const auto initramfs = fmt::format("/boot/initrd.img-{}", host.release);
  const auto kept = fmt::format("/var/lib/pcivm/initramfs/{}.rules", host.release);
  const auto wanted = host.root.read(kEarlyRules);
  const auto inside = host.root.read(kept);
  if (!inside && inside.error().kind() == Errc::denied) return unknown(inside.error().text(), "sudo pcivm doctor");
  if (!wanted && !inside) return ok("no function is bound in the initramfs");
  if (!host.root.exists(initramfs)) {
    return {{.level = Level::note,
             .found = fmt::format("{} counts only in an initramfs, and there is no {}", kEarlyRules, initramfs),
             .cause = "pcivm knows that of initramfs-tools only",
             .fix = fmt::format("see to it that the initramfs has {} and the module vfio_pci", kEarlyRules)}};
  }
  if (wanted && inside && *wanted == *inside) return ok(fmt::format("{} has the early rules of today", initramfs));
  return {{.level = Level::warning,
           .found = fmt::format("{} has {} early rules of pcivm, /etc has {}", initramfs,
                                inside ? (wanted ? "other" : "old") : "no", wanted ? "some" : "none"),
           .cause = "at boot, native drivers take functions that are to go to VMs, or the other way round",
           .fix = fmt::format("update-initramfs -u -k {}", host.release)}};
}

constexpr Check kChecks[] = {
    {"vfio-ids", vfio_ids},   {"softdeps", softdeps},       {"udev-rules", udev_rules},
    {"initramfs", initramfs}, {"early-rules", early_rules},
};

}  // namespace

std::span<const Check> boot_checks() { return kChecks; }

}  // namespace pcivm::iommu
