// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "sriov/vf_set.hpp"
#include "sriov/vf_steps.hpp"

namespace pcivm::sriov {

namespace {

Result<std::string> repair_create(const vfio::Host& host, Bdf physical, const vfio::Record& record) {
  TRY(refuse_vfs_in_use(host, physical, {}));
  TRY(take_back(host, physical, record.get("autoprobe") != "0"));
  return "without virtual functions, as before their creation";
}

Result<std::string> repair_destroy(const vfio::Host& host, Bdf physical) {
  TRY(refuse_vfs_in_use(host, physical, {}));
  TRY(remove_vfs(host, nullptr, physical));
  return "without virtual functions, as was asked";
}

Result<std::string> repair_set(const vfio::Host& host, VfPort* port, Bdf physical, const vfio::Record& record) {
  if (vfs_of(host.root, physical).empty()) return "without virtual functions";
  if (port == nullptr) return fail(Errc::kernel, "VF attributes cannot be reached");
  TRY(restore_attributes(host, *port, physical, record));
  return fmt::format("with the former attributes of VF {}", record.get("vf"));
}

Result<std::string> repair(const vfio::Host& host, VfPort* port, Bdf physical, const vfio::Record& record) {
  if (!host.root.exists(vfio::directory_of(physical))) return "gone";
  const auto identity = TRY(vfio::identity_of(host.root, physical));
  if (identity != record.get("identity")) return fmt::format("replaced by {}", identity);
  const auto intent = record.get("intent");
  if (intent == kIntentCreate) return repair_create(host, physical, record);
  if (intent == kIntentDestroy) return repair_destroy(host, physical);
  if (intent == kIntentSet) return repair_set(host, port, physical, record);
  return fail(Errc::invalid, fmt::format("unknown intent '{}' in the journal", intent));
}

}  // namespace

Result<std::vector<vfio::Repair>> recover(const vfio::Host& host, const vfio::HostLock& lock, VfPort* port) {
  auto repairs = TRY(vfio::recover_bindings(host, lock));
  for (const auto& entry : TRY(vfio::left_over(host.root))) {
    // Bindings that could not be repaired are in the list already.
    if (!entry.record) continue;
    const auto intent = entry.record->get("intent");
    if (intent == vfio::kIntentBind || intent == vfio::kIntentRelease) continue;
    auto state = repair(host, port, entry.function, *entry.record);
    if (state) {
      TRY(vfio::forget_entry(host.root, entry.function));
      repairs.push_back({.function = entry.function, .state = *state});
    } else {
      repairs.push_back(
          {.function = entry.function, .state = "left: " + state.error().text(), .problem = std::move(state).error()});
    }
  }
  return repairs;
}

}  // namespace pcivm::sriov
