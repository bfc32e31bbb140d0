// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "sriov/host_apply.hpp"
#include "sriov/vf_recreate.hpp"
#include "sriov/vf_set.hpp"
#include "sriov/vf_steps.hpp"

namespace pcivm::sriov {

namespace {

struct Tools {
  const vfio::Host& host;
  VfPort* port;
  std::span<const AdapterKind> adapters;
};

Result<std::string> repair_create(const Tools& tools, Bdf physical, const vfio::Record& record) {
  TRY(refuse_vfs_in_use(tools.host, physical, {}));
  auto trail = TRY(AdapterTrail::resume(tools.host, tools.adapters, physical, record));
  TRY(take_back(tools.host, physical, trail, record.get("autoprobe") != "0"));
  TRY(restore_eswitch(tools.port, physical, record));
  return "without virtual functions, as before their creation";
}

Result<std::string> repair_destroy(const Tools& tools, Bdf physical) {
  TRY(refuse_vfs_in_use(tools.host, physical, {}));
  auto trail = TRY(AdapterTrail::kept(tools.host, tools.adapters, physical));
  TRY(remove_vfs(tools.host, nullptr, physical, trail));
  return "without virtual functions, as was asked";
}

Result<std::string> repair_set(const Tools& tools, Bdf physical, const vfio::Record& record) {
  if (vfs_of(tools.host.root, physical).empty()) return "without virtual functions";
  if (tools.port == nullptr) return fail(Errc::kernel, "VF attributes cannot be reached");
  TRY(restore_attributes(tools.host, *tools.port, physical, record));
  return fmt::format("with the former attributes of VF {}", record.get("vf"));
}

Result<std::string> repair(const Tools& tools, Bdf physical, const vfio::Record& record) {
  if (!tools.host.root.exists(vfio::directory_of(physical))) return "gone";
  const auto identity = TRY(vfio::identity_of(tools.host.root, physical));
  if (identity != record.get("identity")) return fmt::format("replaced by {}", identity);
  const auto intent = record.get("intent");
  if (intent == kIntentCreate) return repair_create(tools, physical, record);
  if (intent == kIntentDestroy) return repair_destroy(tools, physical);
  if (intent == kIntentSet) return repair_set(tools, physical, record);
  if (intent == kIntentEswitch) {
    TRY(restore_eswitch(tools.port, physical, record));
    return "with its eswitch as before";
  }
  if (intent == kIntentRecreate) return repair_recreate(tools.host, tools.port, tools.adapters, physical, record);
  return fail(Errc::invalid, fmt::format("unknown intent '{}' in the journal", intent));
}

}  // namespace

Result<std::vector<vfio::Repair>> recover_transactions(const vfio::Host& host, const vfio::HostLock& lock, VfPort* port,
                                                       std::span<const AdapterKind> adapters) {
  const Tools tools{.host = host, .port = port, .adapters = adapters};
  auto repairs = TRY(vfio::recover_bindings(host, lock));
  for (const auto& entry : TRY(vfio::left_over(host.root))) {
    // Bindings that could not be repaired are in the list already.
    if (!entry.record) continue;
    const auto intent = entry.record->get("intent");
    if (vfio::is_bindings_own(intent)) continue;
    auto state = repair(tools, entry.function, *entry.record);
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

Result<std::vector<vfio::Repair>> recover(const vfio::Host& host, const vfio::HostLock& lock, VfPort* port,
                                          std::span<const AdapterKind> adapters) {
  auto repairs = TRY(recover_transactions(host, lock, port, adapters));
  auto whole = TRY(recover_apply({.host = host, .lock = lock, .port = port, .adapters = adapters}));
  std::ranges::move(whole, std::back_inserter(repairs));
  return repairs;
}

}  // namespace pcivm::sriov
