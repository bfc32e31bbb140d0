// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <iterator>
#include <set>

#include <fmt/format.h>

#include "sriov/vf_access.hpp"
#include "sriov/vf_make.hpp"
#include "sriov/vf_recreate.hpp"
#include "sriov/vf_set.hpp"
#include "sriov/vf_steps.hpp"
#include "vfio/binding_check.hpp"
#include "vfio/vf_token.hpp"

namespace pcivm::sriov {

namespace {

Error unfit(Bdf physical, Errc kind, std::string_view code, const std::string& why) {
  return Error::make(kind, fmt::format("{} {}", physical.to_string(), why)).coded(code);
}

Result<void> check_driver(const PhysicalFunction& pf) {
  if (pf.driver.empty()) {
    return fail(unfit(pf.address, Errc::kernel, "pf.no_driver", "has no driver, and only its driver can make VFs")
                    .advise(fmt::format("pcivm device release {}", pf.address.to_string())));
  }
  return {};
}

// Whoever drives a PF can read and write what its VFs do, so no VF of one that was given away is for the host.
Result<void> check_shared(const vfio::Host& host, const PhysicalFunction& pf, const CreateRequest& request) {
  if (!vfio::is_vfio_driver(pf.driver)) return {};
  TRY(check_given_away(host.root, pf));
  const auto release = fmt::format("pcivm device release {}", pf.address.to_string());
  for (const auto& target : request.targets) {
    const auto driver = target.driver.driver.value_or(std::string{kBindHost});
    if (driver.empty() || vfio::is_vfio_driver(driver)) continue;
    return fail(unfit(pf.address, Errc::refused, "pf.given_away",
                      fmt::format("is given away itself (driver {}), and whoever has it could attack the host through "
                                  "a VF on driver '{}'; wanted --bind vfio-pci",
                                  pf.driver, driver))
                    .advise(release));
  }
  const auto plain = [](const VfTarget& target) { return target.wish == VfWish{}; };
  if (std::ranges::all_of(request.targets, plain) && request.eswitch == Eswitch{}) return {};
  return fail(unfit(pf.address, Errc::refused, "pf.given_away",
                    fmt::format("is given away itself (driver {}): the attributes of its VFs are for whoever has it to "
                                "set",
                                pf.driver))
                  .advise(release));
}

// With autoprobe off or on, vfio-pci names itself in the driver_override of the VFs that it makes
// (vfio_pci_bus_notifier).
Result<void> tell_of_token(const vfio::Host& host, const PhysicalFunction& pf) {
  if (!vfio::is_vfio_driver(pf.driver)) return {};
  TRY(vfio::ensure_vf_token(host.root, pf.address));
  const auto address = pf.address.to_string();
  const auto users = TRY(host.users_of(host.root, pf.address));
  const bool held = std::ranges::any_of(users, [](const iommu::InUse& user) { return user.kind == "vfio"; });
  host.note(held ? fmt::format("the VFs of {} open with the VF token with which it was opened itself", address)
                 : fmt::format("nobody has {} open: its VFs can be opened only after a VM has it (pcivm vm run NAME "
                               "--device {})",
                               address, address));
  return {};
}

Result<void> check_count(const PhysicalFunction& pf, unsigned count) {
  const auto address = pf.address.to_string();
  if (count == 0) {
    return fail(Error::make(Errc::invalid, "0 VFs is no number to create")
                    .coded("vf.count")
                    .advise(fmt::format("pcivm vf destroy {}", address)));
  }
  if (count > pf.total_vfs) {
    return fail(unfit(pf.address, Errc::invalid, "vf.count",
                      fmt::format("offers at most {} VFs, {} are wanted", pf.total_vfs, count)));
  }
  return {};
}

std::set<std::string> drivers_of(const CreateRequest& request) {
  std::set<std::string> drivers;
  for (const auto& target : request.targets) {
    const auto& name = target.driver.driver;
    if (name && !name->empty()) drivers.insert(*name);
  }
  return drivers;
}

// What would make every bind fail is found before the first VF exists.
Result<void> check_bind(const vfio::Host& host, const CreateRequest& request) {
  const bool confined = !host.root.link_name(vfio::directory_of(request.physical) + "/iommu_group").empty();
  for (const auto& driver : drivers_of(request)) {
    TRY(vfio::check_driver_name(driver));
    if (confined || !vfio::is_vfio_driver(driver)) continue;
    return fail(unfit(request.physical, Errc::refused, "device.no_iommu",
                      "has no IOMMU group: nothing would confine its VFs' DMA")
                    .advise("switch on VT-d or AMD-Vi in the firmware and boot with intel_iommu=on (Intel); then "
                            "/sys/kernel/iommu_groups is not empty"));
  }
  return {};
}

// What the VFs are made with cannot be changed under them.
Result<void> check_kept_settings(const vfio::Host& host, const CreateRequest& request) {
  if (request.settings.empty()) return {};
  const auto kept = TRY(AdapterTrail::kept(host, request.adapters, request.physical));
  if (kept.settings() == request.settings) return {};
  const auto address = request.physical.to_string();
  return fail(Error::make(Errc::busy, fmt::format("the VFs of {} were made with '{}', wanted '{}'", address,
                                                  to_string(kept.settings()), to_string(request.settings)))
                  .coded("vf.exist")
                  .advise(fmt::format("settings are given while VFs are made: pcivm vf destroy {}", address)));
}

Result<void> check_wishes(const vfio::Host& host, const CreateRequest& request) {
  const VfAccess access{host, request.port, request.physical};
  for (const auto& [wish, driver, keep] : request.targets) {
    TRY(check(wish));
    TRY(check(changes({}, wish)));
    TRY(access.check(wish));
  }
  return {};
}

Result<void> check_eswitch(const PhysicalFunction& pf, const CreateRequest& request) {
  if (request.eswitch == Eswitch{}) return {};
  if (request.port == nullptr) return fail(Errc::kernel, "an eswitch can be set on the live host only");
  TRY(read_eswitch(*request.port, pf.address));
  if (pf.num_vfs == 0 || (request.allow_recreate && pf.num_vfs != request.targets.size())) return {};
  return fail(unfit(pf.address, Errc::busy, "vf.exist",
                    fmt::format("has {} VFs; --eswitch goes with the creation of the first ones", pf.num_vfs))
                  .advise(fmt::format("pcivm vf eswitch {}", pf.address.to_string())));
}

// bnxt_en reports success and makes none (bnxt_sriov.c).
Result<void> check_up(const vfio::Host& host, const PhysicalFunction& pf) {
  if (!pf_driver(pf.driver).makes_none_while_down) return {};
  if (interface_up(host.root, pf.address) != false) return {};
  return fail(unfit(pf.address, Errc::kernel, "pf.down",
                    fmt::format("makes no VFs while its interface is down (driver {})", pf.driver))
                  .advise("ip link set INTERFACE up"));
}

struct Checked {
  PhysicalFunction pf;
  AdapterTrail trail;
  std::vector<Assignment> planned{};
};

Result<Checked> checked(const vfio::Host& host, const CreateRequest& request) {
  auto pf = TRY(read_physical(host, request.physical));
  TRY(check_driver(pf));
  TRY(check_shared(host, pf, request));
  const auto count = static_cast<unsigned>(request.targets.size());
  TRY(check_count(pf, count));
  TRY(check_bind(host, request));
  TRY(check_wishes(host, request));
  TRY(check_eswitch(pf, request));
  if (pf.num_vfs == 0) TRY(check_up(host, pf));
  if (pf.num_vfs != 0 && pf.num_vfs != count) TRY(check_recreate(host, pf, request));
  const AdapterRequest adapted{
      .host = host, .physical = request.physical, .settings = request.settings, .force = request.force};
  Checked all{.pf = std::move(pf), .trail = TRY(AdapterTrail::begin(adapted, request.adapters))};
  if (all.pf.num_vfs == count) {
    TRY(check_kept_settings(host, request));
    return all;
  }
  if (all.pf.num_vfs == 0) all.planned = TRY(all.trail.planned(count));
  return all;
}

vfio::Target target_for(std::string_view bind) {
  if (bind == kBindHost) return {.driver = {}, .driver_override = {}};
  return {.driver = std::string{bind}, .driver_override = std::string{bind}};
}

// True when it was changed.
Result<bool> bind_vf(const vfio::Host& host, const vfio::HostLock& lock, const CreateRequest& request, unsigned index,
                     Bdf vf) {
  const auto& target = request.targets[index];
  if (target.keep_driver) return false;
  const auto& name = target.driver.driver;
  if (!name || name->empty() || target.driver.driver_override.empty()) {
    const vfio::ReleaseRequest back{.function = vf, .driver = name, .force = request.force, .to_native = true};
    const auto change = TRY(vfio::release(host, lock, back));
    return change.changed;
  }
  const vfio::BindRequest bind{.function = vf, .driver = *name, .force = request.force, .remember = false};
  const auto change = TRY(vfio::bind(host, lock, bind));
  return change.changed;
}

Result<Created> settle_existing(const vfio::Host& host, const vfio::HostLock& lock, const CreateRequest& request) {
  Created created{.changed = false, .vfs = vfs_of(host.root, request.physical)};
  if (request.port != nullptr) {
    std::vector<SetRequest> wanted;
    for (unsigned index = 0; index < created.vfs.size(); ++index) {
      const auto& wish = request.targets[index].wish;
      if (wish != VfWish{}) wanted.push_back({.physical = request.physical, .index = index, .wish = wish});
    }
    const auto made = TRY(set_all(host, lock, *request.port, wanted));
    created.changed = !made.empty();
  }
  for (unsigned index = 0; index < created.vfs.size(); ++index) {
    const bool bound = TRY(bind_vf(host, lock, request, index, created.vfs[index]));
    created.changed = created.changed || bound;
  }
  return created;
}

Result<vfio::Record> opening(const vfio::Host& host, const PhysicalFunction& pf, const CreateRequest& request) {
  vfio::Record record;
  record.set("intent", kIntentCreate);
  record.set("identity", TRY(vfio::identity_of(host.root, pf.address)));
  record.set("autoprobe", pf.autoprobe ? "1" : "0");
  if (request.eswitch != Eswitch{}) {
    const auto former = TRY(read_eswitch(*request.port, pf.address));
    record.set("eswitch", serialize(former));
  }
  return record;
}

}  // namespace

std::vector<VfTarget> targets_for(unsigned count, std::string_view bind, const std::vector<VfWish>& wishes) {
  std::vector<VfTarget> targets(count, {.driver = target_for(bind), .keep_driver = bind == kBindNone});
  for (std::size_t index = 0; index < std::min(targets.size(), wishes.size()); ++index) {
    targets[index].wish = wishes[index];
  }
  return targets;
}

Result<Created> create(const vfio::Host& host, const vfio::HostLock& lock, const CreateRequest& request) {
  auto [pf, trail, planned] = TRY(checked(host, request));
  for (const auto& driver : drivers_of(request)) TRY(vfio::ensure_driver(host.root, driver));
  if (pf.num_vfs == request.targets.size()) return settle_existing(host, lock, request);
  if (pf.num_vfs != 0) return Created{.changed = true, .vfs = TRY(recreate(host, pf, request))};
  const auto record = TRY(opening(host, pf, request));
  auto journal = TRY(vfio::Journal::begin(host.root, pf.address, record));
  auto vfs = make_vfs({.host = host,
                       .port = request.port,
                       .journal = journal,
                       .trail = trail,
                       .physical = pf.address,
                       .autoprobe_after = request.autoprobe_after.value_or(pf.autoprobe),
                       .eswitch = request.eswitch},
                      request.targets);
  if (vfs) {
    // The entry goes last: a crash before that takes the VFs back, as if nothing had been asked.
    TRY(journal.close());
    if (const auto told = tell_of_token(host, pf); !told) host.note(told.error().text());
    return Created{.changed = true, .vfs = std::move(*vfs)};
  }
  return fail(end_failed(journal, request.physical, std::move(vfs).error(), [&]() -> Result<void> {
                TRY(take_back(host, request.physical, trail, pf.autoprobe));
                return restore_eswitch(request.port, request.physical, record);
              }).within(fmt::format("create {} VFs of {}", request.targets.size(), pf.address.to_string())));
}

Result<std::vector<std::string>> preview(const vfio::Host& host, const CreateRequest& request) {
  const auto [pf, trail, planned] = TRY(checked(host, request));
  std::vector<std::string> lines;
  if (pf.num_vfs == request.targets.size()) return describe_drivers(request.targets);
  if (pf.num_vfs != 0) return preview_recreate(host, pf, request);
  for (const auto& [name, value] : planned) lines.push_back(fmt::format("set {} to '{}'", name, value));
  if (request.eswitch != Eswitch{}) lines.push_back("set the eswitch to " + to_string(request.eswitch));
  auto making = describe_making(pf, request.targets, request.autoprobe_after.value_or(pf.autoprobe));
  if (!request.settings.empty()) {
    // Behind autoprobe and sriov_numvfs.
    making.insert(making.begin() + (pf.autoprobe ? 2 : 1),
                  fmt::format("set up each of {} VFs: {}", request.targets.size(), to_string(request.settings)));
  }
  std::ranges::move(making, std::back_inserter(lines));
  return lines;
}

}  // namespace pcivm::sriov
