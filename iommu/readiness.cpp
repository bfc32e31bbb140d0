// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/readiness.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "iommu/readiness_checks.hpp"

namespace pcivm::iommu {

namespace {

// In the order of the report.
constexpr std::array kTables{iommu_checks,  kernel_checks, vfio_checks,    kvm_checks,  memory_checks,
                             device_checks, mmio_checks,   manager_checks, boot_checks, leftover_checks};

/// What `assignable` asks about a function: its codes, and what to say when none of them was raised.
struct Question {
  std::string_view id;
  std::vector<std::string_view> codes;
  std::string (*answer)(const FunctionDetail& function);
};

std::string group_of(const FunctionDetail& function) {
  return fmt::format("IOMMU group {}: no member blocks it", function.iommu_group.value_or(0));
}
std::string driver_of(const FunctionDetail& function) {
  if (function.driver.empty()) return "no driver has it";
  return fmt::format("driver {}", function.driver);
}
std::string reset_of(const FunctionDetail& function) {
  return fmt::format("can be reset by: {}", fmt::join(function.reset_methods, ", "));
}
std::string vfs_of(const FunctionDetail& function) {
  return function.sriov ? "no virtual functions exist" : "it has no virtual functions";
}

const std::vector<Question>& questions() {
  static const std::vector<Question> all{
      {"group", {"no-iommu", "no-iommu-group", "group-not-viable"}, group_of},
      {"interrupts",
       {"no-interrupt-remapping"},
       [](const FunctionDetail&) { return std::string{"its interrupts can be isolated"}; }},
      {"vfio", {"no-vfio"}, [](const FunctionDetail&) { return std::string{"the kernel has VFIO"}; }},
      {"use", {"in-use"}, [](const FunctionDetail&) { return std::string{"nothing of the host uses it"}; }},
      {"virtual-functions", {"vfs-enabled"}, vfs_of},
      {"reset", {"no-reset", "quarantined"}, reset_of},
      {"driver", {}, driver_of},
  };
  return all;
}

bool known(std::string_view code) {
  return std::ranges::any_of(questions(), [&](const Question& q) { return holds(q.codes, code); });
}

Finding refusal(const Reason& reason) {
  return {.id = reason.code, .level = Level::problem, .found = reason.text, .fix = reason.fix};
}

}  // namespace

std::string_view to_string(Level level) {
  switch (level) {
    case Level::ok: return "ok";
    case Level::note: return "note";
    case Level::unknown: return "unknown";
    case Level::warning: return "warning";
    case Level::problem: return "problem";
  }
  return "?";
}

std::vector<Finding> check_host(const SysRoot& root, IoctlPort* ioctls) {
  const auto host = HostFacts::read(root, ioctls);
  std::vector<Finding> findings;
  for (const auto table : kTables) {
    for (const auto& check : table()) {
      for (auto& verdict : check.run(host)) {
        findings.push_back({.id = std::string{check.id},
                            .level = verdict.level,
                            .found = std::move(verdict.found),
                            .cause = std::move(verdict.cause),
                            .fix = std::move(verdict.fix)});
      }
    }
  }
  return findings;
}

std::vector<Finding> check_device(const FunctionDetail& function, const Assignable& answer) {
  std::vector<Finding> findings;
  if (function.is_bridge) {  // nothing else was asked
    for (const auto& reason : answer.reasons) findings.push_back(refusal(reason));
    return findings;
  }
  for (const auto& question : questions()) {
    bool raised = false;
    for (const auto& reason : answer.reasons) {
      if (!holds(question.codes, reason.code)) continue;
      findings.push_back(refusal(reason));
      raised = true;
    }
    if (!raised) findings.push_back({.id = std::string{question.id}, .found = question.answer(function)});
  }
  for (const auto& reason : answer.reasons) {  // a code that this table does not know yet must not be lost
    if (!known(reason.code)) findings.push_back(refusal(reason));
  }
  return findings;
}

std::vector<std::string_view> host_check_ids() {
  std::vector<std::string_view> ids;
  for (const auto table : kTables) {
    for (const auto& check : table()) ids.push_back(check.id);
  }
  return ids;
}

}  // namespace pcivm::iommu
