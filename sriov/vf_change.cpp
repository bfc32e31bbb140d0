// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "sriov/vf_access.hpp"
#include "sriov/vf_msix.hpp"
#include "sriov/vf_set.hpp"
#include "sriov/vf_steps.hpp"

namespace pcivm::sriov {

namespace {

struct Plan {
  VfAccess access;
  VfAttributes now;
  std::vector<VfChange> changes;
};

Result<Plan> checked(const vfio::Host& host, VfPort& port, const SetRequest& request) {
  TRY(check(request.wish));
  TRY(read_physical(host, request.physical));
  Plan plan{.access = VfAccess{host, &port, request.physical}, .now = {}, .changes = {}};
  TRY(plan.access.check(request.wish));
  plan.now = TRY(plan.access.read(request.index));
  TRY(plan.access.check(request.wish));  // the reading may have found the way blocked
  plan.changes = changes(plan.now, request.wish);
  TRY(check(plan.changes));
  if (!request.wish.msix_count) return plan;
  const auto vfs = vfs_of(host.root, request.physical);
  if (request.index >= vfs.size()) return fail(Errc::kernel, fmt::format("VF {} vanished meanwhile", request.index));
  TRY(check_msix_count(host.root, request.physical, vfs[request.index], *request.wish.msix_count));
  return plan;
}

Result<void> send(VfAccess& access, unsigned index, const std::vector<VfChange>& changes) {
  std::vector<VfSetting> settings;
  for (const auto& change : changes) settings.push_back({.vf = index, .change = change});
  auto refusals = TRY(access.set(settings));
  if (!refusals.empty()) return fail(std::move(refusals.front().error));
  return {};
}

Result<void> set_steps(const SetRequest& request, Plan& plan) {
  TRY(send(plan.access, request.index, plan.changes));
  const auto now = TRY(plan.access.read(request.index));
  for (const auto& change : plan.changes) TRY(plan.access.expect(now, request.index, change));
  return {};
}

Result<void> set_back(VfAccess& access, unsigned index, const VfAttributes& former) {
  const auto now = TRY(access.read(index));
  return send(access, index, changes_back(now, former));
}

}  // namespace

Result<std::vector<VfChange>> set(const vfio::Host& host, const vfio::HostLock& /*lock*/, VfPort& port,
                                  const SetRequest& request) {
  auto plan = TRY(checked(host, port, request));
  if (plan.changes.empty()) return plan.changes;
  vfio::Record record;
  record.set("intent", kIntentSet);
  record.set("identity", TRY(vfio::identity_of(host.root, request.physical)));
  record.set("vf", fmt::to_string(request.index));
  record.set("former", serialize(plan.now));
  auto journal = TRY(vfio::Journal::begin(host.root, request.physical, record));
  if (auto done = set_steps(request, plan); !done) {
    return fail(end_failed(journal, request.physical, std::move(done).error(), [&] {
                  return set_back(plan.access, request.index, plan.now);
                }).within(fmt::format("change VF {} of {}", request.index, request.physical.to_string())));
  }
  TRY(journal.close());
  return std::move(plan.changes);
}

Result<std::vector<std::string>> preview(const vfio::Host& host, VfPort& port, const SetRequest& request) {
  const auto plan = TRY(checked(host, port, request));
  std::vector<std::string> lines;
  for (const auto& change : plan.changes) {
    lines.push_back(fmt::format("set {} of VF {}", to_string(change), request.index));
  }
  return lines;
}

Result<void> restore_attributes(const vfio::Host& host, VfPort& port, Bdf physical, const vfio::Record& record) {
  const auto index = TRY(parse_decimal<unsigned>(record.get("vf")));
  const auto former = TRY(parse_attributes(record.get("former")));
  VfAccess access{host, &port, physical};
  if (access.missing()) return fail(*access.missing());
  return set_back(access, index, former);
}

}  // namespace pcivm::sriov
