// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "sriov/vf_set.hpp"
#include "sriov/vf_steps.hpp"

namespace pcivm::sriov {

namespace {

struct Plan {
  Interface interface;
  VfAttributes now;
  std::vector<VfChange> changes;
};

Result<VfAttributes> attributes_of(VfPort& port, int interface, Bdf physical, unsigned index) {
  const auto all = TRY(port.read(interface));
  if (index < all.size()) return all[index];
  return fail(
      Error::make(Errc::not_found, fmt::format("{} has no VF {}; it has {}", physical.to_string(), index, all.size()))
          .coded("vf.not_found")
          .advise(fmt::format("pcivm vf list {}", physical.to_string())));
}

Result<void> check_wish(const VfWish& wish) {
  constexpr unsigned kHighestVlan{4094};
  constexpr unsigned kHighestQos{7};
  if (wish.vlan && *wish.vlan > kHighestVlan) {
    return fail(Errc::invalid, fmt::format("VLAN {} is not in 0..{}", *wish.vlan, kHighestVlan));
  }
  if (wish.qos && *wish.qos > kHighestQos) {
    return fail(Errc::invalid, fmt::format("QoS {} is not in 0..{}", *wish.qos, kHighestQos));
  }
  return {};
}

Result<void> check_changes(const std::vector<VfChange>& list) {
  for (const auto& change : list) {
    if (const auto* vlan = std::get_if<Vlan>(&change); vlan != nullptr && vlan->id == 0 && vlan->qos != 0) {
      return fail(Error::make(Errc::invalid, fmt::format("QoS {} needs a VLAN", vlan->qos)).advise("give --vlan too"));
    }
    if (const auto* rate = std::get_if<Rate>(&change); rate != nullptr && rate->max != 0 && rate->min > rate->max) {
      return fail(Errc::invalid, fmt::format("minimum rate {} is above the maximum {}", rate->min, rate->max));
    }
  }
  return {};
}

Result<Plan> checked(const vfio::Host& host, VfPort& port, const SetRequest& request) {
  TRY(check_wish(request.wish));
  TRY(read_physical(host, request.physical));
  Plan plan{.interface = TRY(interface_of(host.root, request.physical)), .now = {}, .changes = {}};
  plan.now = TRY(attributes_of(port, plan.interface.index, request.physical, request.index));
  plan.changes = changes(plan.now, request.wish);
  TRY(check_changes(plan.changes));
  return plan;
}

Result<void> set_steps(VfPort& port, vfio::Journal& journal, const SetRequest& request, const Plan& plan) {
  for (const auto& change : plan.changes) {
    TRY(journal.step(to_string(change)));
    TRY(port.set(plan.interface.index, request.index, change));
    const auto now = TRY(attributes_of(port, plan.interface.index, request.physical, request.index));
    if (!shows(now, change)) {
      return fail(Errc::kernel, fmt::format("{} was accepted, but the driver of {} reports something else",
                                            to_string(change), plan.interface.name));
    }
  }
  return {};
}

Result<void> set_back(VfPort& port, int interface, Bdf physical, unsigned index, const VfAttributes& former) {
  const auto now = TRY(attributes_of(port, interface, physical, index));
  for (const auto& change : changes_back(now, former)) TRY(port.set(interface, index, change));
  return {};
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
  if (auto done = set_steps(port, journal, request, plan); !done) {
    return fail(end_failed(journal, request.physical, std::move(done).error(), [&] {
                  return set_back(port, plan.interface.index, request.physical, request.index, plan.now);
                }).within(fmt::format("change VF {} of {}", request.index, request.physical.to_string())));
  }
  TRY(journal.close());
  return std::move(plan.changes);
}

Result<std::vector<std::string>> preview(const vfio::Host& host, VfPort& port, const SetRequest& request) {
  const auto plan = TRY(checked(host, port, request));
  std::vector<std::string> lines;
  for (const auto& change : plan.changes) {
    lines.push_back(fmt::format("set {} of VF {} through {}", to_string(change), request.index, plan.interface.name));
  }
  return lines;
}

Result<void> restore_attributes(const vfio::Host& host, VfPort& port, Bdf physical, const vfio::Record& record) {
  const auto index = TRY(parse_decimal<unsigned>(record.get("vf")));
  const auto former = TRY(parse_attributes(record.get("former")));
  const auto interface = TRY(interface_of(host.root, physical));
  return set_back(port, interface.index, physical, index, former);
}

}  // namespace pcivm::sriov
