// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "sriov/vf_set.hpp"
#include "sriov/vf_steps.hpp"

namespace pcivm::sriov {

namespace {

struct Holder {
  Bdf vf;
  vfio::DriverState state;
};

Result<std::vector<Holder>> holders_of(const vfio::Host& host, Bdf physical) {
  std::vector<Holder> holders;
  for (const auto vf : vfs_of(host.root, physical)) {
    const auto now = TRY(vfio::situation(host, vf));
    holders.push_back({vf, now.state});
  }
  return holders;
}

// A function that cannot make VFs has none, as was asked.
bool without_sriov(const SysRoot& root, Bdf function) {
  const auto directory = vfio::directory_of(function);
  return root.exists(directory) && !root.exists(directory + "/physfn") && !root.exists(numvfs_file(function));
}

// While the VFs are still there, each can go back to its driver; once they are gone, the removal is complete.
Result<void> give_back(const vfio::Host& host, vfio::Journal& journal, AdapterTrail& trail,
                       const std::vector<Holder>& former) {
  if (!trail.after_driver()) TRY(trail.give_back(journal));
  for (const auto& [vf, state] : former) {
    if (!host.root.exists(vfio::directory_of(vf))) {
      return fail(Errc::kernel, fmt::format("VF {} is gone already", vf.to_string()));
    }
    TRY(vfio::move_to(host, journal, vf, {.driver = state.driver, .driver_override = state.driver_override}));
  }
  return trail.after_driver() ? trail.give_back(journal) : Result<void>{};
}

}  // namespace

Result<bool> destroy(const vfio::Host& host, const vfio::HostLock& /*lock*/, const DestroyRequest& request) {
  if (without_sriov(host.root, request.physical)) return false;
  const auto pf = TRY(read_physical(host, request.physical));
  if (pf.num_vfs == 0) return false;
  TRY(check_given_away(host.root, pf));
  TRY(refuse_vfs_in_use(host, pf.address, request.force));
  const auto former = TRY(holders_of(host, pf.address));
  auto trail = TRY(AdapterTrail::kept(host, request.adapters, pf.address));
  vfio::Record record;
  record.set("intent", kIntentDestroy);
  record.set("identity", TRY(vfio::identity_of(host.root, pf.address)));
  record.set("numvfs", fmt::to_string(pf.num_vfs));
  for (const auto& [vf, state] : former) record.set("driver." + vf.to_string(), state.driver);
  auto journal = TRY(vfio::Journal::begin(host.root, pf.address, record));
  if (auto done = remove_vfs(host, &journal, pf.address, trail); !done) {
    return fail(end_failed(journal, pf.address, std::move(done).error(), [&] {
                  return give_back(host, journal, trail, former);
                }).within(fmt::format("remove the VFs of {}", pf.address.to_string())));
  }
  TRY(journal.close());
  return true;
}

Result<std::vector<std::string>> preview(const vfio::Host& host, const DestroyRequest& request) {
  std::vector<std::string> lines;
  if (without_sriov(host.root, request.physical)) return lines;
  const auto pf = TRY(read_physical(host, request.physical));
  if (pf.num_vfs == 0) return lines;
  TRY(check_given_away(host.root, pf));
  TRY(refuse_vfs_in_use(host, pf.address, request.force));
  for (const auto& [vf, state] : TRY(holders_of(host, pf.address))) {
    if (state.driver.empty()) continue;
    lines.push_back(fmt::format("write '{}' to '/sys/bus/pci/drivers/{}/unbind'", vf.to_string(), state.driver));
  }
  lines.push_back(fmt::format("write '0' to '{}'", numvfs_file(pf.address)));
  return lines;
}

}  // namespace pcivm::sriov
