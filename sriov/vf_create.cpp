// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "sriov/vf_set.hpp"
#include "sriov/vf_steps.hpp"
#include "vfio/binding_check.hpp"

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
  if (vfio::is_vfio_driver(pf.driver)) {
    return fail(unfit(pf.address, Errc::kernel, "pf.given_away",
                      fmt::format("is given away itself (driver {}); its own driver must make VFs", pf.driver))
                    .advise(fmt::format("pcivm device release {}", pf.address.to_string())));
  }
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
  if (pf.num_vfs != 0 && pf.num_vfs != count) {
    return fail(
        unfit(pf.address, Errc::busy, "vf.exist",
              fmt::format("has {} VFs already; their number can only be changed by removing all of them", pf.num_vfs))
            .advise(fmt::format("pcivm vf destroy {}", address)));
  }
  return {};
}

// What would make every bind fail is found before the first VF exists.
Result<void> check_bind(const vfio::Host& host, const CreateRequest& request) {
  if (request.bind == kBindNone || request.bind == kBindHost) return {};
  TRY(vfio::check_driver_name(request.bind));
  if (vfio::is_vfio_driver(request.bind) &&
      host.root.link_name(vfio::directory_of(request.physical) + "/iommu_group").empty()) {
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

struct Checked {
  PhysicalFunction pf;
  AdapterTrail trail;
  std::vector<Assignment> planned{};
};

Result<Checked> checked(const vfio::Host& host, const CreateRequest& request) {
  auto pf = TRY(read_physical(host, request.physical));
  TRY(check_driver(pf));
  TRY(check_count(pf, request.count));
  TRY(check_bind(host, request));
  const AdapterRequest adapted{
      .host = host, .physical = request.physical, .settings = request.settings, .force = request.force};
  Checked all{.pf = std::move(pf), .trail = TRY(AdapterTrail::begin(adapted, request.adapters))};
  if (all.pf.num_vfs != 0) {
    TRY(check_kept_settings(host, request));
    return all;
  }
  all.planned = TRY(all.trail.planned(request.count));
  return all;
}

bool all_there(const SysRoot& root, Bdf physical, unsigned count) {
  const auto vfs = vfs_of(root, physical);
  return vfs.size() == count && std::ranges::all_of(vfs, [&](Bdf vf) {
           return root.link_name(vfio::directory_of(vf) + "/physfn") == physical.to_string();
         });
}

// On most platforms all are there when the write returns; where no_vf_scan is set (s390) they follow later.
Result<std::vector<Bdf>> await_vfs(const vfio::Host& host, Bdf physical, unsigned count) {
  using std::chrono::steady_clock;
  const auto end = steady_clock::now() + std::min(host.deadline, std::chrono::milliseconds{5'000});
  while (!all_there(host.root, physical, count)) {
    if (steady_clock::now() >= end) {
      return fail(Errc::kernel, fmt::format("{} of {} VFs of {} appeared", vfs_of(host.root, physical).size(), count,
                                            physical.to_string()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  return vfs_of(host.root, physical);
}

struct Run {
  const vfio::Host& host;
  const vfio::HostLock& lock;
  const CreateRequest& request;
};

// True when it was changed.
Result<bool> bind_vf(const vfio::Host& host, const vfio::HostLock& lock, vfio::Journal* journal,
                     const CreateRequest& request, Bdf vf) {
  if (request.bind == kBindNone) return false;
  if (request.bind == kBindHost) {
    if (journal == nullptr) {
      const auto change = TRY(vfio::release(host, lock, {.function = vf, .force = request.force}));
      return change.changed;
    }
    TRY(vfio::probe_native(host, *journal, vf, {.driver = {}, .driver_override = {}}));
    return true;
  }
  const vfio::BindRequest bind{.function = vf, .driver = request.bind, .force = request.force, .remember = false};
  const auto change = TRY(vfio::bind(host, lock, bind));
  return change.changed;
}

// Everything a VF needs before it has a driver, then the driver.
Result<void> set_up_vf(const Run& run, vfio::Journal& journal, AdapterTrail& trail, unsigned index, Bdf vf) {
  TRY(trail.provision(journal, index));
  TRY(journal.step(fmt::format("bind {}", vf.to_string())));
  TRY(bind_vf(run.host, run.lock, &journal, run.request, vf));
  return {};
}

Result<std::vector<Bdf>> create_steps(const Run& run, vfio::Journal& journal, AdapterTrail& trail,
                                      const PhysicalFunction& pf) {
  const auto& [host, lock, request] = run;
  TRY(trail.before_create(journal, request.count));
  if (pf.autoprobe) {
    TRY(journal.step("autoprobe 0"));
    TRY(set_autoprobe(host, pf.address, false));
  }
  TRY(journal.step(fmt::format("numvfs {}", request.count)));
  TRY(set_numvfs(host, pf.address, request.count));
  auto vfs = TRY(await_vfs(host, pf.address, request.count));
  for (unsigned index = 0; index < vfs.size(); ++index) TRY(set_up_vf(run, journal, trail, index, vfs[index]));
  if (pf.autoprobe && !request.keep_autoprobe_off) {
    TRY(journal.step("autoprobe 1"));
    TRY(set_autoprobe(host, pf.address, true));
  }
  TRY(trail.keep());
  return vfs;
}

Result<Created> bind_existing(const vfio::Host& host, const vfio::HostLock& lock, const CreateRequest& request) {
  Created created{.changed = false, .vfs = vfs_of(host.root, request.physical)};
  for (const auto vf : created.vfs) {
    const bool changed = TRY(bind_vf(host, lock, nullptr, request, vf));
    created.changed = created.changed || changed;
  }
  return created;
}

Result<vfio::Record> opening(const vfio::Host& host, const PhysicalFunction& pf) {
  vfio::Record record;
  record.set("intent", kIntentCreate);
  record.set("identity", TRY(vfio::identity_of(host.root, pf.address)));
  record.set("autoprobe", pf.autoprobe ? "1" : "0");
  return record;
}

}  // namespace

Result<Created> create(const vfio::Host& host, const vfio::HostLock& lock, const CreateRequest& request) {
  auto [pf, trail, planned] = TRY(checked(host, request));
  if (request.bind != kBindNone && request.bind != kBindHost) TRY(vfio::ensure_driver(host.root, request.bind));
  if (pf.num_vfs == request.count) return bind_existing(host, lock, request);
  const auto record = TRY(opening(host, pf));
  auto journal = TRY(vfio::Journal::begin(host.root, pf.address, record));
  auto vfs = create_steps({host, lock, request}, journal, trail, pf);
  if (vfs) {
    // The entry goes last: a crash before that takes the VFs back, as if nothing had been asked.
    TRY(journal.close());
    return Created{.changed = true, .vfs = std::move(*vfs)};
  }
  return fail(end_failed(journal, request.physical, std::move(vfs).error(), [&] {
                return take_back(host, request.physical, trail, pf.autoprobe);
              }).within(fmt::format("create {} VFs of {}", request.count, pf.address.to_string())));
}

Result<std::vector<std::string>> preview(const vfio::Host& host, const CreateRequest& request) {
  const auto [pf, trail, planned] = TRY(checked(host, request));
  std::vector<std::string> lines;
  for (const auto& [name, value] : planned) lines.push_back(fmt::format("set {} to '{}'", name, value));
  if (pf.num_vfs == 0) {
    if (pf.autoprobe) lines.push_back(fmt::format("write '0' to '{}'", autoprobe_file(pf.address)));
    lines.push_back(fmt::format("write '{}' to '{}'", request.count, numvfs_file(pf.address)));
    if (!request.settings.empty()) {
      lines.push_back(fmt::format("set up each of {} VFs: {}", request.count, to_string(request.settings)));
    }
  }
  if (request.bind != kBindNone) {
    lines.push_back(fmt::format("give each of {} VFs to {}", request.count,
                                request.bind == kBindHost ? "its host driver" : request.bind));
  }
  if (pf.num_vfs == 0 && pf.autoprobe && !request.keep_autoprobe_off) {
    lines.push_back(fmt::format("write '1' to '{}'", autoprobe_file(pf.address)));
  }
  return lines;
}

}  // namespace pcivm::sriov
