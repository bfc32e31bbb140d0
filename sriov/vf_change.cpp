// SPDX-License-Identifier: GPL-2.0-or-later
#include <ranges>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "sriov/vf_access.hpp"
#include "sriov/vf_msix.hpp"
#include "sriov/vf_set.hpp"
#include "sriov/vf_steps.hpp"

namespace pcivm::sriov {

namespace {

struct Former {
  unsigned index{};
  VfAttributes attributes;
};
struct Plan {
  Bdf physical;
  VfAccess access;
  std::vector<Former> former{};  // of the VFs that change
  std::vector<VfSetting> settings{};
};

Result<void> add(const vfio::Host& host, const SetRequest& request, const VfAttributes& now, Plan& plan) {
  const auto wanted = changes(now, request.wish);
  TRY(check(wanted));
  if (request.wish.msix_count) {
    const auto vfs = vfs_of(host.root, request.physical);
    if (request.index >= vfs.size()) return fail(Errc::kernel, fmt::format("VF {} vanished meanwhile", request.index));
    TRY(check_msix_count(host.root, request.physical, vfs[request.index], *request.wish.msix_count));
  }
  if (wanted.empty()) return {};
  plan.former.push_back({.index = request.index, .attributes = now});
  for (const auto& change : wanted) plan.settings.push_back({.vf = request.index, .change = change});
  return {};
}

Result<Plan> checked(const vfio::Host& host, VfPort& port, std::span<const SetRequest> requests) {
  for (const auto& request : requests) TRY(check(request.wish));
  const auto physical = requests.front().physical;
  TRY(read_physical(host, physical));
  Plan plan{.physical = physical, .access = VfAccess{host, &port, physical}};
  for (const auto& request : requests) TRY(plan.access.check(request.wish));
  const auto now = plan.access.read();
  for (const auto& request : requests) {
    if (request.index >= now.size()) return fail(no_such_vf(physical, request.index, now.size()));
    TRY(plan.access.check(request.wish));  // the reading may have found the way blocked
    TRY(add(host, request, now[request.index], plan));
  }
  return plan;
}

Result<void> send(VfAccess& access, std::span<const VfSetting> settings) {
  auto refusals = TRY(access.set(settings));
  if (!refusals.empty()) return fail(std::move(refusals.front().error));
  return {};
}

Result<void> set_steps(Plan& plan) {
  TRY(send(plan.access, plan.settings));
  const auto now = plan.access.read();
  for (const auto& [index, change] : plan.settings) {
    if (index >= now.size()) return fail(no_such_vf(plan.physical, index, now.size()));
    TRY(plan.access.expect(now[index], index, change));
  }
  return {};
}

Result<void> set_back(Bdf physical, VfAccess& access, std::span<const Former> former) {
  const auto now = access.read();
  std::vector<VfSetting> settings;
  for (const auto& [index, attributes] : former) {
    if (index >= now.size()) return fail(no_such_vf(physical, index, now.size()));
    for (const auto& change : changes_back(now[index], attributes)) settings.push_back({.vf = index, .change = change});
  }
  return send(access, settings);
}

std::string numbers(std::span<const Former> former) {
  std::vector<unsigned> all;
  for (const auto& each : former) all.push_back(each.index);
  return fmt::format("{}", fmt::join(all, ","));
}

std::string former_key(unsigned index) { return fmt::format("former.{}", index); }

Result<vfio::Record> opening(const SysRoot& root, const Plan& plan) {
  vfio::Record record;
  record.set("intent", kIntentSet);
  record.set("identity", TRY(vfio::identity_of(root, plan.physical)));
  record.set("vf", numbers(plan.former));
  for (const auto& each : plan.former) record.set(former_key(each.index), serialize(each.attributes));
  return record;
}

}  // namespace

Result<std::vector<VfSetting>> set_all(const vfio::Host& host, const vfio::HostLock& /*lock*/, VfPort& port,
                                       std::span<const SetRequest> requests) {
  if (requests.empty()) return std::vector<VfSetting>{};
  auto plan = TRY(checked(host, port, requests));
  if (plan.settings.empty()) return plan.settings;
  const auto record = TRY(opening(host.root, plan));
  auto journal = TRY(vfio::Journal::begin(host.root, plan.physical, record));
  if (auto done = set_steps(plan); !done) {
    return fail(end_failed(journal, plan.physical, std::move(done).error(), [&] {
                  return set_back(plan.physical, plan.access, plan.former);
                }).within(fmt::format("change VF {} of {}", numbers(plan.former), plan.physical.to_string())));
  }
  TRY(journal.close());
  return std::move(plan.settings);
}

Result<std::vector<VfChange>> set(const vfio::Host& host, const vfio::HostLock& lock, VfPort& port,
                                  const SetRequest& request) {
  auto settings = TRY(set_all(host, lock, port, std::span{&request, 1}));
  std::vector<VfChange> made;
  for (auto& setting : settings) made.push_back(std::move(setting.change));
  return made;
}

Result<std::vector<std::string>> preview(const vfio::Host& host, VfPort& port, const SetRequest& request) {
  const auto plan = TRY(checked(host, port, std::span{&request, 1}));
  std::vector<std::string> lines;
  for (const auto& [index, change] : plan.settings) {
    lines.push_back(fmt::format("set {} of VF {}", to_string(change), index));
  }
  return lines;
}

Result<void> restore_attributes(const vfio::Host& host, VfPort& port, Bdf physical, const vfio::Record& record) {
  std::vector<Former> former;
  for (const auto number : record.get("vf") | std::views::split(',')) {
    const auto index = TRY(parse_decimal<unsigned>(std::string_view{number}));
    former.push_back({.index = index, .attributes = TRY(parse_attributes(record.get(former_key(index))))});
  }
  VfAccess access{host, &port, physical};
  if (access.missing()) return fail(*access.missing());
  return set_back(physical, access, former);
}

}  // namespace pcivm::sriov
