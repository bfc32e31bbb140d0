// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/quarantine.hpp"

#include <algorithm>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "iommu/quarantine.hpp"
#include "iommu/reset_policy.hpp"
#include "vfio/binding_plan.hpp"
#include "vfio/force.hpp"
#include "vfio/journal_record.hpp"

namespace pcivm::vfio {

namespace {

std::string path_of(Bdf function) { return fmt::format("/run/pcivm/quarantine/{}", function.to_string()); }

}  // namespace

Result<void> quarantine(const SysRoot& root, Bdf function, std::string_view reason) {
  Record record;
  record.set("reason", reason);
  record.set("since", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))));
  record.set("identity", identity_of(root, function).value_or(""));
  return store(root, path_of(function), record);
}

Result<void> lift_quarantine(const SysRoot& root, Bdf function) { return erase(root, path_of(function)); }

Result<void> refuse_quarantined(const Host& host, Bdf function, const std::vector<std::string>& force) {
  const auto found = iommu::quarantine_of(host.root, function);
  if (!found || forced(force, kForceQuarantined)) return {};
  const auto identity = identity_of(host.root, function);
  if (identity && !found->identity.empty() && *identity != found->identity) return {};
  return fail(Error::make(Errc::refused, fmt::format("{} is in quarantine since {}: {}", function.to_string(),
                                                     found->since, found->reason))
                  .coded("device.quarantined")
                  .advise(fmt::format("pcivm device reset {} lifts it when the device then answers; --force={} "
                                      "overrides exactly this check",
                                      function.to_string(), kForceQuarantined)));
}

Result<void> refuse_unproven_reset(const Host& host, Bdf function, const std::string& method,
                                   const std::vector<std::string>& force) {
  if (forced(force, kForceNoReset)) return {};
  const auto policy =
      TRY(method.empty() ? iommu::reset_policy(host.root, function) : iommu::reset_policy(host.root, function, method));
  if (policy.proven) return {};
  return fail(Error::make(Errc::refused, fmt::format("{} has no proven reset: {}", function.to_string(), policy.reason))
                  .coded("device.no_reset")
                  .advise(fmt::format("it may hold the data of its last user; --force={} overrides exactly this check",
                                      kForceNoReset)));
}

}  // namespace pcivm::vfio
