// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/vf_access.hpp"

#include <net/if.h>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "sriov/vf_msix.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::sriov {

Error no_such_vf(Bdf physical, unsigned index, std::size_t count) {
  return Error::make(Errc::not_found, fmt::format("{} has no VF {}; it has {}", physical.to_string(), index, count))
      .coded("vf.not_found")
      .advise(fmt::format("pcivm vf list {}", physical.to_string()));
}

bool wants_network(const VfWish& wish) {
  auto rest = wish;
  rest.msix_count.reset();
  return rest != VfWish{};
}

std::optional<bool> interface_up(const SysRoot& root, Bdf physical) {
  const auto interface = interface_of(root, physical);
  if (!interface) return std::nullopt;
  const auto text = root.read(fmt::format("{}/net/{}/flags", vfio::directory_of(physical), interface->name));
  if (!text) return std::nullopt;
  const auto flags = parse_hex_prefixed<unsigned>(*text);
  if (!flags) return std::nullopt;
  return (*flags & IFF_UP) != 0;
}

VfAccess::VfAccess(const vfio::Host& host, VfPort* port, Bdf physical)
    : host_{&host}, port_{port}, physical_{physical} {
  auto found = interface_of(host.root, physical);
  if (!found) {
    missing_ = std::move(found).error();
  } else if (port == nullptr) {
    missing_ = Error::make(Errc::kernel, "VF attributes are told by the live kernel only");
  } else {
    interface_ = *found;
    functions_ = PortFunctions::of(*port, physical);
  }
}

std::vector<VfAttributes> VfAccess::read() {
  const auto vfs = vfs_of(host_->root, physical_);
  std::vector<VfAttributes> all;
  if (!missing_) {
    auto reported = port_->read(interface_.index);
    if (reported) all = std::move(*reported);
    if (!reported) missing_ = std::move(reported).error();
  }
  all.resize(vfs.size());
  if (functions_ && functions_->refresh()) functions_->tell(all);
  if (msix_pool(host_->root, physical_) == 0) return all;
  for (std::size_t index = 0; index < vfs.size(); ++index) all[index].msix_count = msix_count(host_->root, vfs[index]);
  return all;
}

Result<void> VfAccess::check(const VfWish& wish) const {
  if (wish.msix_count && msix_pool(host_->root, physical_) == 0) {
    return check_msix_count(host_->root, physical_, physical_, 0);
  }
  if (missing_ && wants_network(wish)) return fail(*missing_);
  if (!functions_ && (wish.roce || wish.migratable || wish.rate_parent)) {
    return fail(Error::make(Errc::kernel, fmt::format("{} is not in switchdev mode, and only there its VFs have RoCE, "
                                                      "migratable and rate nodes",
                                                      physical_.to_string()))
                    .coded("pf.not_switchdev")
                    .advise(fmt::format("pcivm vf eswitch {}", physical_.to_string())));
  }
  return {};
}

// What does not go through the PF's network interface; false: it does.
Result<bool> VfAccess::set_otherwise(const VfSetting& setting) {
  const auto& [index, change] = setting;
  if (const auto* msix = std::get_if<MsixCount>(&change)) {
    const auto vfs = vfs_of(host_->root, physical_);
    if (index >= vfs.size()) return fail(no_such_vf(physical_, index, vfs.size()));
    TRY(set_msix_count(*host_, physical_, vfs[index], msix->count));
    return true;
  }
  if (missing_) return fail(*missing_);
  if (!functions_ || !functions_->takes(index, change)) return false;
  TRY(functions_->set(index, change));
  return true;
}

Result<std::vector<Refusal>> VfAccess::set(std::span<const VfSetting> settings) {
  std::vector<Refusal> refusals;
  std::vector<VfSetting> network;
  std::vector<std::size_t> places;
  for (std::size_t place = 0; place < settings.size(); ++place) {
    auto done = set_otherwise(settings[place]);
    if (!done) refusals.push_back({.index = place, .error = std::move(done).error()});
    if (!done || *done) continue;
    network.push_back(settings[place]);
    places.push_back(place);
  }
  if (network.empty()) return refusals;
  for (auto& refusal : TRY(port_->set(interface_.index, network))) {
    refusals.push_back({.index = places.at(refusal.index), .error = std::move(refusal.error)});
  }
  return refusals;
}

Result<void> VfAccess::set(unsigned index, const VfChange& change) {
  const VfSetting setting{.vf = index, .change = change};
  auto refusals = TRY(set(std::span{&setting, 1}));
  if (!refusals.empty()) return fail(std::move(refusals.front().error));
  return {};
}

Result<void> VfAccess::expect(const VfAttributes& now, unsigned index, const VfChange& change) const {
  if (shows(now, change)) return {};
  return fail(Errc::kernel, fmt::format("{} of VF {} was accepted, but the driver of {} reports something else",
                                        to_string(change), index, physical_.to_string()));
}

}  // namespace pcivm::sriov
