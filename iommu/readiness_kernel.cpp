// SPDX-License-Identifier: GPL-2.0-or-later
// Checks of the kernel: its age, what it locks down, what its processor leaks.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "iommu/readiness_checks.hpp"

namespace pcivm::iommu {

namespace {

/// "6.12.48-amd64" -> {6, 12}
std::optional<std::array<unsigned, 2>> version_of(const std::string& release) {
  const auto first = release.find('.');
  if (first == std::string::npos) return std::nullopt;
  const auto end = release.find_first_not_of("0123456789", first + 1);
  const auto major = parse_decimal<unsigned>(std::string_view{release}.substr(0, first));
  const auto minor = parse_decimal<unsigned>(std::string_view{release}.substr(first + 1, end - first - 1));
  if (!major || !minor) return std::nullopt;
  return std::array{*major, *minor};
}

Verdicts kernel_version(const HostFacts& host) {
  // 5.19: who owns a group's DMA is the kernel's business (iommu_device_use_default_domain). 6.1: what is tested.
  constexpr std::array kNeeded{5U, 19U};
  constexpr std::array kTested{6U, 1U};
  const auto version = version_of(host.release);
  if (!version) return unknown("the release of the kernel cannot be read", "");
  if (*version >= kTested) return ok(fmt::format("Linux {}", host.release));
  const bool too_old = *version < kNeeded;
  return {{.level = too_old ? Level::problem : Level::warning,
           .found = fmt::format("Linux {} is older than {}", host.release, too_old ? "5.19" : "6.1"),
           .cause = too_old ? "such kernels do not keep native drivers out of a group that a VM owns"
                            : "pcivm is tested with 6.1 and later",
           .fix = "install a newer kernel (Debian 12 has 6.1, its backports 6.12)"}};
}

Verdicts lockdown(const HostFacts& host) {
  const auto modes = host.text("/sys/kernel/security/lockdown");
  const auto start = modes.find('[');
  if (start == std::string::npos) return ok("the kernel is not locked down");
  const auto mode = modes.substr(start + 1, modes.find(']') - start - 1);
  if (mode == "none") return ok("the kernel is not locked down");
  return {{.level = Level::note,
           .found = fmt::format("the kernel is locked down: {}", mode),
           .cause = "unsigned modules are refused, and so are writes to PCI configuration space; VFIO works"}};
}

/// An EFI variable: four bytes of attributes, then the value (UEFI 2.10, 8.2).
Verdicts secure_boot(const HostFacts& host) {
  const auto value = host.text("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
  constexpr std::size_t kValue = 4;
  if (value.size() <= kValue || value[kValue] != 1) return ok("Secure Boot is off");
  return {
      {.level = Level::note,
       .found = "Secure Boot is on",
       .cause = "modules from outside the distribution (drivers of GPUs, DKMS) must be signed with an enrolled key"}};
}

Verdicts vulnerabilities(const HostFacts& host) {
  constexpr std::string_view kDirectory = "/sys/devices/system/cpu/vulnerabilities";
  std::vector<std::string> open;
  std::vector<std::string> threads;
  for (const auto& name : host.names(std::string{kDirectory})) {
    const auto state = host.text(fmt::format("{}/{}", kDirectory, name));
    if (state.starts_with("Vulnerable")) open.push_back(name);
    if (state.find("SMT vulnerable") != std::string::npos) threads.push_back(name);
  }
  Verdicts verdicts;
  if (!open.empty()) {
    verdicts.push_back({.level = Level::note,
                        .found = fmt::format("the processor is vulnerable to: {}", some_of(open)),
                        .cause = "a hostile guest may read memory of the host or of another guest",
                        .fix = "apt install intel-microcode or amd64-microcode; remove mitigations=off"});
  }
  if (!threads.empty()) {
    verdicts.push_back({.level = Level::note,
                        .found = fmt::format("hyper-threads leak between guests: {}", some_of(threads)),
                        .cause = "two guests on threads of one core may read each other's memory",
                        .fix = host.add_parameter("nosmt")});
  }
  return verdicts.empty() ? ok("no open vulnerability of the processor is known to the kernel") : verdicts;
}

constexpr Check kChecks[] = {
    {"kernel-version", kernel_version},
    {"kernel-lockdown", lockdown},
    {"secure-boot", secure_boot},
    {"cpu-vulnerabilities", vulnerabilities},
};

}  // namespace

std::span<const Check> kernel_checks() { return kChecks; }

}  // namespace pcivm::iommu
