// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/eswitch.hpp"

#include <linux/devlink.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>

#include <fmt/format.h>

#include "vfio/binding_transaction.hpp"

namespace pcivm::sriov {

namespace {

// ice refuses a change with VFs (ice_eswitch.c); mlx5_core and bnxt_en make a representor of each VF that is there.
constexpr std::array kDrivers{
    PfDriver{.name = "ice", .eswitch = EswitchOrder::before_vfs},
    PfDriver{.name = "mlx5_core", .eswitch = EswitchOrder::with_unbound_vfs},
    PfDriver{.name = "bnxt_en", .eswitch = EswitchOrder::with_unbound_vfs, .makes_none_while_down = true},
};

template <class Value>
bool differs(const std::optional<Value>& wish, const std::optional<Value>& now) {
  return wish && wish != now;
}

std::vector<Eswitch> single_changes(const Eswitch& now, const Eswitch& wish) {
  std::vector<Eswitch> list;
  if (differs(wish.mode, now.mode)) list.push_back({.mode = wish.mode});
  if (differs(wish.inline_mode, now.inline_mode)) list.push_back({.inline_mode = wish.inline_mode});
  if (differs(wish.encap, now.encap)) list.push_back({.encap = wish.encap});
  return list;
}

std::string hint_for(int error) {
  switch (error) {
    case EOPNOTSUPP: return "the PF's driver does not offer this, or not while it has VFs";
    case EINVAL: return "the PF's firmware or driver is not set up for this; see dmesg";
    case EBUSY: return "the PF's firmware is being reset; try again";
    default: return "see dmesg for the driver's own words";
  }
}

// An empty list: encap and inline mode go away with switchdev mode in some drivers, and are then not reported.
std::vector<std::string> not_so(const Eswitch& now, const Eswitch& wish) {
  std::vector<std::string> wrong;
  for (const auto& change : single_changes(now, wish)) wrong.push_back(to_string(change));
  return wrong;
}

struct Plan {
  Eswitch now;
  std::vector<Eswitch> changes;
};

Result<Plan> planned(const vfio::Host& host, VfPort& port, Bdf physical, const Eswitch& wish) {
  const auto pf = TRY(read_physical(host, physical));
  Plan plan{.now = TRY(read_eswitch(port, physical)), .changes = {}};
  plan.changes = single_changes(plan.now, wish);
  if (!plan.changes.empty() && plan.changes.front().mode) TRY(check_eswitch_order(host, pf));
  return plan;
}

}  // namespace

PfDriver pf_driver(std::string_view name) {
  const auto* found = std::ranges::find(kDrivers, name, &PfDriver::name);
  return found == kDrivers.end() ? PfDriver{.name = name} : *found;
}

Result<Eswitch> read_eswitch(VfPort& port, Bdf physical) {
  auto objects = port.devlink({.command = DEVLINK_CMD_ESWITCH_GET, .device = physical});
  if (objects && !objects->empty()) {
    const auto& told = objects->front();
    return Eswitch{.mode = told.mode, .inline_mode = told.inline_mode, .encap = told.encap};
  }
  const auto why = objects ? std::string{"no answer"} : objects.error().text();
  return fail(Error::make(Errc::kernel, fmt::format("{} has no eswitch that can be set: {}", physical.to_string(), why))
                  .coded("pf.no_eswitch")
                  .advise("its driver must offer one by devlink, as mlx5_core, ice and bnxt_en do"));
}

Result<void> apply_eswitch(VfPort& port, Bdf physical, const Eswitch& wish) {
  const auto now = TRY(read_eswitch(port, physical));
  for (const auto& change : single_changes(now, wish)) {
    auto set = port.devlink({.command = DEVLINK_CMD_ESWITCH_SET,
                             .device = physical,
                             .mode = change.mode,
                             .inline_mode = change.inline_mode,
                             .encap = change.encap});
    if (set) continue;
    const int error = set.error().sys_errno();
    return fail(std::move(set)
                    .error()
                    .within(fmt::format("set {} of the eswitch of {}", to_string(change), physical.to_string()))
                    .advise(hint_for(error)));
  }
  const auto after = TRY(read_eswitch(port, physical));
  const auto wrong = not_so(after, wish);
  if (wrong.empty()) return {};
  return fail(Errc::kernel, fmt::format("{} was accepted, but the eswitch of {} has {}", wrong.front(),
                                        physical.to_string(), to_string(after)));
}

Result<void> check_eswitch_order(const vfio::Host& host, const PhysicalFunction& pf) {
  const auto address = pf.address.to_string();
  const auto vfs = vfs_of(host.root, pf.address);
  if (pf_driver(pf.driver).eswitch == EswitchOrder::before_vfs) {
    if (vfs.empty()) return {};
    return fail(Error::make(Errc::busy, fmt::format("{} has {} VFs, and its driver {} changes the mode of its eswitch "
                                                    "only without any",
                                                    address, vfs.size(), pf.driver))
                    .coded("vf.exist")
                    .advise(fmt::format("pcivm vf destroy {}; then pcivm vf create --eswitch MODE", address)));
  }
  for (const auto vf : vfs) {
    const auto driver = host.root.link_name(vfio::directory_of(vf) + "/driver");
    if (driver.empty()) continue;
    return fail(
        Error::make(Errc::busy, fmt::format("{} is bound to {}: {} changes the mode of its eswitch only while no "
                                            "driver has a VF",
                                            vf.to_string(), driver, pf.driver))
            .coded("vf.bound")
            .advise("pcivm device release VF --driver none, for each; or pcivm vf create --eswitch MODE"));
  }
  return {};
}

Result<void> await_representors(const vfio::Host& host, VfPort& port, Bdf physical, std::size_t count) {
  using std::chrono::steady_clock;
  const auto end = steady_clock::now() + std::min(host.deadline, std::chrono::milliseconds{10'000});
  const auto of_vf = [&](const DevlinkMessage& each) {
    return each.device == physical && each.flavour == static_cast<std::uint16_t>(PortFlavour::pci_vf);
  };
  for (;;) {
    const auto ports = TRY(port.devlink({.command = DEVLINK_CMD_PORT_GET, .dump = true}));
    const auto found = static_cast<std::size_t>(std::ranges::count_if(ports, of_vf));
    if (found >= count) return {};
    if (steady_clock::now() >= end) {
      return fail(Errc::kernel,
                  fmt::format("{} of {} VFs of {} have a port in its eswitch", found, count, physical.to_string()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  }
}

Result<bool> change_eswitch(const vfio::Host& host, const vfio::HostLock& /*lock*/, VfPort& port, Bdf physical,
                            const Eswitch& wish) {
  const auto plan = TRY(planned(host, port, physical, wish));
  if (plan.changes.empty()) return false;
  vfio::Record record;
  record.set("intent", kIntentEswitch);
  record.set("identity", TRY(vfio::identity_of(host.root, physical)));
  record.set("eswitch", serialize(plan.now));
  auto journal = TRY(vfio::Journal::begin(host.root, physical, record));
  if (auto done = apply_eswitch(port, physical, wish); !done) {
    return fail(vfio::conclude(journal, physical.to_string(), apply_eswitch(port, physical, plan.now),
                               std::move(done).error()));
  }
  TRY(journal.close());
  return true;
}

Result<std::vector<std::string>> preview_eswitch(const vfio::Host& host, VfPort& port, Bdf physical,
                                                 const Eswitch& wish) {
  const auto plan = TRY(planned(host, port, physical, wish));
  std::vector<std::string> lines;
  for (const auto& change : plan.changes) {
    lines.push_back(fmt::format("set {} of the eswitch of {}", to_string(change), physical.to_string()));
  }
  return lines;
}

std::string to_string(const Eswitch& eswitch) {
  std::string text;
  const auto add = [&](std::string_view name, std::string_view value) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, value);
  };
  if (eswitch.mode) add("mode", to_string(*eswitch.mode));
  if (eswitch.inline_mode) add("inline mode", to_string(*eswitch.inline_mode));
  if (eswitch.encap) add("encap", *eswitch.encap ? "on" : "off");
  return text;
}

std::string serialize(const Eswitch& eswitch) {
  std::string text;
  if (eswitch.mode) text += fmt::format("m{}", static_cast<unsigned>(*eswitch.mode));
  if (eswitch.inline_mode) text += fmt::format("i{}", static_cast<unsigned>(*eswitch.inline_mode));
  if (eswitch.encap) text += fmt::format("e{}", *eswitch.encap ? 1 : 0);
  return text;
}

Eswitch parse_eswitch(std::string_view text) {
  Eswitch eswitch;
  for (std::size_t at = 0; at + 1 < text.size(); at += 2) {
    const auto value = static_cast<unsigned>(text[at + 1] - '0');
    if (text[at] == 'm') eswitch.mode = static_cast<EswitchMode>(value);
    if (text[at] == 'i') eswitch.inline_mode = static_cast<InlineMode>(value);
    if (text[at] == 'e') eswitch.encap = value != 0;
  }
  return eswitch;
}

}  // namespace pcivm::sriov
