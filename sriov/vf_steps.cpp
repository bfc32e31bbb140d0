// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_steps.hpp"

#include <fmt/format.h>

#include "base/log.hpp"

namespace pcivm::sriov {

Result<void> check_given_away(const SysRoot& root, const PhysicalFunction& pf) {
  constexpr std::string_view kParameter{"/sys/module/vfio_pci/parameters/enable_sriov"};
  if (!vfio::is_vfio_driver(pf.driver)) return {};
  const auto address = pf.address.to_string();
  const auto given_away = [&](std::string_view why) {
    return Error::make(Errc::kernel, fmt::format("{} is given away itself (driver {}), {}", address, pf.driver, why))
        .coded("pf.given_away");
  };
  if (pf.driver != "vfio-pci") {
    return fail(
        given_away("which makes no VFs; its own driver must").advise(fmt::format("pcivm device release {}", address)));
  }
  const auto enabled = root.read(kParameter);
  if (enabled && *enabled == "Y") return {};
  return fail(given_away("which makes and removes VFs only with its parameter enable_sriov, and that is off")
                  .advise(fmt::format("echo 1 >{} (for good: 'options vfio-pci enable_sriov=1' in /etc/modprobe.d); or "
                                      "let its own driver make them: pcivm device release {}",
                                      kParameter, address)));
}

Result<void> refuse_vfs_in_use(const vfio::Host& host, Bdf physical, const std::vector<std::string>& force) {
  std::string holders;
  std::string hint;
  for (const auto vf : vfs_of(host.root, physical)) {
    auto free = vfio::refuse_in_use(host, vf, force);
    if (free) continue;
    if (free.error().kind() != Errc::busy) return free;
    holders += (holders.empty() ? "" : "; ") + free.error().text();
    hint = free.error().hint();
  }
  if (holders.empty()) return {};
  return fail(Error::make(Errc::busy, holders).coded("vf.in_use").advise(hint));
}

namespace {

Result<void> unbind_vfs(const vfio::Host& host, vfio::Journal* journal, const std::vector<Bdf>& vfs) {
  for (const auto vf : vfs) {
    const auto driver = host.root.link_name(vfio::directory_of(vf) + "/driver");
    if (driver.empty()) continue;
    if (journal != nullptr) TRY(journal->step(fmt::format("unbind {} from {}", vf.to_string(), driver)));
    TRY(vfio::apply(host, {.kind = vfio::StepKind::unbind,
                           .function = vf,
                           .path = fmt::format("/sys/bus/pci/drivers/{}/unbind", driver),
                           .value = vf.to_string(),
                           .wanted = {}}));
  }
  return {};
}

Result<void> disable_vfs(const vfio::Host& host, vfio::Journal* journal, Bdf physical) {
  const auto count = TRY(vfio::read_within(host, numvfs_file(physical)));
  if (count == "0") return {};
  if (journal != nullptr) TRY(journal->step("numvfs 0"));
  TRY(set_numvfs(host, physical, 0));
  const auto left = vfs_of(host.root, physical);
  if (left.empty()) return {};
  return fail(Errc::kernel, fmt::format("sriov_numvfs of {} is 0, but {} is still there", physical.to_string(),
                                        left.front().to_string()));
}

// By what the records say: a repair finds the VFs gone already.
void forget_bound_vfs(const SysRoot& root, Bdf physical) {
  const auto of_it = " of " + physical.to_string();
  for (const auto& bound : vfio::all_bound(root)) {
    if (!bound.identity.ends_with(of_it)) continue;
    if (const auto gone = vfio::forget_bound(root, bound.function); !gone) log::debug("{}", gone.error().text());
  }
}

}  // namespace

Result<void> remove_vfs(const vfio::Host& host, vfio::Journal* journal, Bdf physical, AdapterTrail& trail) {
  const auto vfs = vfs_of(host.root, physical);
  if (trail.after_driver()) TRY(trail.before_destroy(journal));
  TRY(unbind_vfs(host, journal, vfs));
  if (!trail.after_driver()) TRY(trail.before_destroy(journal));
  TRY(disable_vfs(host, journal, physical));
  TRY(trail.after_destroy(journal));
  forget_bound_vfs(host.root, physical);
  return trail.forget();
}

Result<void> take_back(const vfio::Host& host, Bdf physical, AdapterTrail& trail, bool former_autoprobe) {
  TRY(remove_vfs(host, nullptr, physical, trail));
  const auto pf = TRY(read_physical(host, physical));
  if (pf.autoprobe == former_autoprobe) return {};
  return set_autoprobe(host, physical, former_autoprobe);
}

Result<void> restore_eswitch(VfPort* port, Bdf physical, const Eswitch& former) {
  if (port == nullptr) return fail(Errc::kernel, "devlink cannot be reached");
  return apply_eswitch(*port, physical, former);
}

Result<void> restore_eswitch(VfPort* port, Bdf physical, const vfio::Record& record) {
  if (!record.has("eswitch")) return {};
  return restore_eswitch(port, physical, parse_eswitch(record.get("eswitch")));
}

Error end_failed(vfio::Journal& journal, Bdf physical, Error cause, const std::function<Result<void>()>& back) {
  if (vfio::blocked(cause)) {
    return std::move(cause)
        .within(fmt::format("{} is blocked in the kernel and was left as it is", physical.to_string()))
        .advise("end the process that has one of its VFs open, then: pcivm reconcile");
  }
  return vfio::conclude(journal, physical.to_string(), back(), std::move(cause));
}

}  // namespace pcivm::sriov
