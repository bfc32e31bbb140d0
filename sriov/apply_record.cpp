// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/apply_record.hpp"

#include "base/replace_file.hpp"
#include "vfio/journal_record.hpp"

namespace pcivm::sriov {

namespace {

constexpr std::string_view kRunning{"/var/lib/pcivm/apply/running"};
constexpr std::string_view kApplied{"/var/lib/pcivm/apply/applied"};
constexpr std::string_view kDamaged{"/var/lib/pcivm/apply/damaged"};

std::string_view file_of(ApplyMark mark) { return mark == ApplyMark::running ? kRunning : kApplied; }

}  // namespace

std::string boot_id(const SysRoot& root) { return root.read("/proc/sys/kernel/random/boot_id").value_or(""); }

Result<void> begin_apply(const SysRoot& root, const std::string& plan, const HostState& before) {
  auto record = to_record(before);
  record.set("apply.plan", plan);
  record.set("apply.boot", boot_id(root));
  auto kept = vfio::store(root, kRunning, record);
  if (kept) return kept;
  return fail(std::move(kept)
                  .error()
                  .within("the state before the change cannot be kept, so nothing was touched")
                  .coded("apply.not_kept")
                  .advise("make room on the disk of /var/lib/pcivm"));
}

Result<void> keep_applied(const SysRoot& root) { return rename_file(root, kRunning, kApplied); }

Result<void> forget_apply(const SysRoot& root, ApplyMark mark) {
  // Its directory is made by the first apply.
  if (!root.exists(file_of(mark))) return {};
  return vfio::erase(root, file_of(mark));
}

Result<ApplyRecord> load_apply(const SysRoot& root, ApplyMark mark) {
  const auto record = TRY(vfio::load(root, file_of(mark)));
  return ApplyRecord{.plan = record.get("apply.plan"),
                     .boot = record.get("apply.boot"),
                     .before = TRY_IN(state_in(record), std::string{file_of(mark)})};
}

Result<void> set_aside(const SysRoot& root) { return rename_file(root, kRunning, kDamaged); }

}  // namespace pcivm::sriov
