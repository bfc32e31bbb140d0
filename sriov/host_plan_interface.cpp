// SPDX-License-Identifier: GPL-2.0-or-later
// The PF's interface, and whether its new VFs are probed.
#include <fmt/format.h>

#include "sriov/host_plan_draft.hpp"

namespace pcivm::sriov {

namespace {

/// The driver that makes the VFs; empty when only the kernel knows which it will find.
std::string host_driver(const Draft& draft) {
  if (!draft.driver_moves) return draft.function.driver.driver;
  const auto& passthrough = draft.device.passthrough;
  if (passthrough && passthrough->former) return passthrough->former->state.driver;
  if (!draft.function.native_driver.empty()) return draft.function.native_driver;
  return draft.device.expect.driver.value_or("");
}

/// Why its interface must be up before VFs are made; empty when it need not.
std::string why_up(const Draft& draft) {
  constexpr std::uint32_t kEthernet{0x0200};
  const auto driver = host_driver(draft);
  // It reports success and makes none (bnxt_sriov.c).
  if (pf_driver(driver).makes_none_while_down) return driver + " makes no VFs while its interface is down";
  if (!driver.empty() || draft.function.class_code >> 8U != kEthernet) return {};
  return "some drivers make no VFs while their interface is down, and which one it will get is not known yet";
}

void check_interface(Draft& draft) {
  const auto& wish = *draft.device.sriov;
  if ((!wish.mtu && !wish.up) || draft.driver_moves || draft.function.pf->mtu) return;
  draft.refuse(wish.place, "no-interface",
               fmt::format("{} has no network interface here whose mtu or state could be set", draft.name()),
               "is its driver loaded, and is the interface in this network namespace?");
}

void set_up(Draft& draft, bool up, const std::string& reason) {
  auto& step = draft.add(up ? Phase::up : Phase::link, SetLink{.up = up},
                         fmt::format("set the interface of {} {}", draft.name(), up ? "up" : "down"), reason);
  const bool drops = !up && draft.function.pf->up == true;
  if (drops) step.risks.push_back({"link-drops", "the host's own connections over it end"});
}

void plan_up(Draft& draft, bool makes) {
  const auto& place = draft.device.sriov->place;
  const auto& wish = draft.device.sriov->up;
  std::optional<bool> found{};
  if (!draft.driver_moves) found = draft.function.pf->up;
  const auto told = found ? std::optional{on_off(*found)} : std::nullopt;
  const bool drifts = wish && (draft.compare("sriov.pf.up", on_off(*wish), told, place) || draft.driver_moves);
  if (drifts && *wish) set_up(draft, true, reason_text(place, "pf.up", "true", "false"));
  const auto why = why_up(draft);
  const bool must = makes && !why.empty() && found != true;
  if (must && wish != true) set_up(draft, true, why);
  if (wish == false && (drifts || must)) set_up(draft, false, reason_text(place, "pf.up", "false", "true"));
}

void plan_mtu(Draft& draft) {
  const auto& place = draft.device.sriov->place;
  const auto& wish = draft.device.sriov->mtu;
  const auto& now = *draft.function.pf;
  if (!wish) return;
  std::optional<std::string> told{};
  if (!draft.driver_moves && now.mtu) told = fmt::to_string(*now.mtu);
  if (!draft.compare("sriov.pf.mtu", fmt::to_string(*wish), told, place) && !draft.driver_moves) return;
  auto& step = draft.add(Phase::link, SetLink{.mtu = wish},
                         fmt::format("set the mtu of the interface of {} to {}", draft.name(), *wish),
                         reason_text(place, "pf.mtu", fmt::to_string(*wish), told.value_or("another one")));
  if (now.up == true) step.risks.push_back({"link-drops", "many drivers reset the link for it"});
}

}  // namespace

void plan_interface(Draft& draft, bool makes) {
  check_interface(draft);
  plan_up(draft, makes);
  plan_mtu(draft);
}

void plan_autoprobe(Draft& draft, bool makes) {
  const auto& place = draft.device.sriov->place;
  const auto& wish = draft.device.sriov->autoprobe;
  if (!wish) return;
  const auto found = on_off(draft.function.pf->autoprobe);
  const bool drifts = draft.compare("sriov.autoprobe", on_off(*wish), found, place);
  if (!drifts || makes) return;
  draft.add(Phase::link, SetLink{.autoprobe = wish},
            fmt::format("switch the probing of new VFs of {} {}", draft.name(), *wish ? "on" : "off"),
            reason_text(place, "autoprobe", on_off(*wish), found));
}

}  // namespace pcivm::sriov
