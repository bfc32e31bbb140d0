// SPDX-License-Identifier: GPL-2.0-or-later
// The tables of checks that check_host runs, one table a topic. Inside iommu/ only. A new check is a function, a line
// in its table, a section in docs/doctor.md and two tests: one that makes it fire and one that keeps it silent.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "iommu/readiness.hpp"
#include "iommu/readiness_facts.hpp"

namespace pcivm::iommu {

/// A Finding less its id, which the table knows.
struct Verdict {
  Level level{Level::ok};
  std::string found{};
  std::string cause{};
  std::string fix{};
};
using Verdicts = std::vector<Verdict>;

struct Check {
  std::string_view id;
  Verdicts (*run)(const HostFacts& host);  ///< none = the question does not arise on this host
};

[[nodiscard]] inline Verdicts ok(std::string found) { return {{.level = Level::ok, .found = std::move(found)}}; }
[[nodiscard]] inline Verdicts unknown(std::string found, std::string fix) {
  return {{.level = Level::unknown, .found = std::move(found), .fix = std::move(fix)}};
}

[[nodiscard]] std::span<const Check> iommu_checks();
[[nodiscard]] std::span<const Check> kernel_checks();
[[nodiscard]] std::span<const Check> vfio_checks();
[[nodiscard]] std::span<const Check> kvm_checks();
[[nodiscard]] std::span<const Check> memory_checks();
[[nodiscard]] std::span<const Check> device_checks();
[[nodiscard]] std::span<const Check> mmio_checks();
[[nodiscard]] std::span<const Check> manager_checks();
[[nodiscard]] std::span<const Check> boot_checks();
[[nodiscard]] std::span<const Check> leftover_checks();

}  // namespace pcivm::iommu
