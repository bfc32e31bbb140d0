// SPDX-License-Identifier: GPL-2.0-or-later
// Checks of what pcivm itself may have left below /run/pcivm after a crash.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include <fmt/format.h>

#include "iommu/readiness_checks.hpp"

namespace pcivm::iommu {

namespace {

constexpr auto* kReconcile = "pcivm reconcile";

/// Names that are addresses: what is being written has another name until it is complete.
std::vector<Bdf> addresses_in(const HostFacts& host, const std::string& directory) {
  std::vector<Bdf> found;
  for (const auto& name : host.names(directory)) {
    if (const auto address = Bdf::parse(name)) found.push_back(*address);
  }
  return found;
}

/// A transaction that runs now has an entry too, and then the host lock is held.
Verdicts unfinished(const HostFacts& host) {
  std::vector<std::string> entries;
  for (const auto& address : addresses_in(host, "/run/pcivm/journal")) entries.push_back(address.to_string());
  if (entries.empty()) return ok("no change of the host was left unfinished");
  return {{.level = Level::warning,
           .found = fmt::format("a change of {} is unfinished", some_of(entries)),
           .cause = "a command was killed, or runs at this moment",
           .fix = kReconcile}};
}

Verdicts vanished(const HostFacts& host) {
  std::vector<std::string> gone;
  for (const auto& address : addresses_in(host, "/run/pcivm/bound")) {
    const bool there = holds(host.functions, address, &Function::address);
    if (!there) gone.push_back(address.to_string());
  }
  if (gone.empty()) return ok("every function that pcivm bound is there");
  return {{.level = Level::warning,
           .found = fmt::format("pcivm bound {}, which is gone", some_of(gone)),
           .cause = "its VFs were destroyed by something else, or it was unplugged",
           .fix = kReconcile}};
}

/// "1: FLOCK  ADVISORY  WRITE 812 00:19:4711 0 EOF": is the file locked by anybody (proc_locks(5))?
bool is_locked(const HostFacts& host, const std::vector<std::string>& locks, const std::string& path) {
  const auto file = host.root.open_file(path, O_PATH);
  struct stat facts{};
  if (!file || ::fstat(file->ref().number(), &facts) != 0) return true;  // gone meanwhile: nothing was left
  const auto inode = fmt::format(":{}", facts.st_ino);
  return std::ranges::any_of(locks, [&](const std::string& line) {
    const auto words = words_of(line);
    return words.size() >= 6 && words[5].ends_with(inode);
  });
}

Verdicts vm_locks(const HostFacts& host) {
  const auto locks = lines_of(host.text("/proc/locks"));
  std::vector<std::string> dead;
  for (const auto& name : host.names("/run/pcivm/vm")) {
    const auto path = fmt::format("/run/pcivm/vm/{}/lock", name);
    if (host.root.exists(path) && !is_locked(host, locks, path)) dead.push_back(name);
  }
  if (dead.empty()) return ok("no VM left its lock behind");
  return {{.level = Level::note,
           .found = fmt::format("these VMs were killed and left their locks: {}", some_of(dead)),
           .cause = "their devices may still be on vfio-pci; the locks do no harm",
           .fix = kReconcile}};
}

constexpr Check kChecks[] = {
    {"unfinished-changes", unfinished},
    {"vanished-functions", vanished},
    {"vm-locks", vm_locks},
};

}  // namespace

std::span<const Check> leftover_checks() { return kChecks; }

}  // namespace pcivm::iommu
