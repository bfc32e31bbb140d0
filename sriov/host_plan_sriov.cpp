// SPDX-License-Identifier: GPL-2.0-or-later
// The PF: how many VFs, its eswitch, its interface.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sriov/host_plan_draft.hpp"

namespace pcivm::sriov {

namespace {

/// What is decided on the way.
struct Course {
  Draft& draft;
  const SriovEntry& wish;
  const PfState& now;
  unsigned present{};            ///< VFs that are there
  unsigned wanted{};             ///< VFs that shall be there
  bool ends_native{true};        ///< the PF has its own driver in the end
  Eswitch eswitch{};             ///< what of it is to be set
  std::vector<VfWanted> vfs{};   ///< `wanted` of them
  std::vector<std::string> recreate{};  ///< why the present VFs cannot stay
  bool makes{};
};

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

bool ends_native(const Draft& draft) {
  const auto& passthrough = draft.device.passthrough;
  if (!passthrough || !passthrough->former) return true;
  const auto& driver = passthrough->former->state.driver;
  return !driver.empty() && !given_away(driver);
}

// ---- checks ----

void refuse_pf_keys(Draft& draft) {
  const auto& wish = *draft.device.sriov;
  const bool named = wish.num_vfs || wish.autoprobe || wish.mtu || wish.up || wish.eswitch != Eswitch{} ||
                     !wish.settings.empty();
  if (!draft.device.externally_managed || !named) return;
  draft.refuse(wish.place, "externally-managed",
               fmt::format("{} is externallyManaged: somebody else decides about the PF, but the file does too",
                           draft.device.name),
               "take numVfs, autoprobe, eswitch and pf out, or externallyManaged");
}

void check_count(Course& course) {
  auto& draft = course.draft;
  // The number changes with the driver: without the native one it is what the hardware has.
  if (course.wanted > course.now.total_vfs) {
    draft.refuse(course.wish.place, "too-many-vfs",
                 fmt::format("numVfs {} is wanted, {} offers at most {}", course.wanted, draft.name(),
                             course.now.total_vfs),
                 fmt::format("lower it; some cards keep the number in their firmware; pcivm device show {}",
                             draft.name()));
  }
  if (course.wanted > course.present && draft.function.driver.driver.empty() && !draft.driver_moves) {
    draft.refuse(course.wish.place, "no-driver",
                 fmt::format("{} has no driver, and only its driver can make VFs", draft.name()),
                 fmt::format("load the driver's module; pcivm device release {}", draft.name()));
  }
}

// ---- eswitch ----

template <class Value>
bool differs(const std::optional<Value>& wish, const std::optional<Value>& now) {
  return wish && wish != now;
}

template <class Value>
std::optional<std::string> text_of(const std::optional<Value>& value) {
  if (!value) return std::nullopt;
  if constexpr (std::is_same_v<Value, bool>) {
    return on_off(*value);
  } else {
    return std::string{to_string(*value)};
  }
}

void compare_eswitch(Draft& draft, const Eswitch& wish, const Eswitch& now, const Place& place) {
  if (wish.mode) draft.compare("sriov.eswitch.mode", *text_of(wish.mode), text_of(now.mode), place);
  if (wish.inline_mode) draft.compare("sriov.eswitch.inline", *text_of(wish.inline_mode), text_of(now.inline_mode), place);
  if (wish.encap) draft.compare("sriov.eswitch.encap", *text_of(wish.encap), text_of(now.encap), place);
}

// Some drivers tell inline mode and encap in switchdev mode only: then they go with the mode.
Eswitch due_eswitch(const Eswitch& wish, const Eswitch& now) {
  Eswitch due;
  if (differs(wish.mode, now.mode)) due.mode = wish.mode;
  if (wish.inline_mode && (now.inline_mode ? wish.inline_mode != now.inline_mode : due.mode.has_value())) {
    due.inline_mode = wish.inline_mode;
  }
  if (wish.encap && (now.encap ? wish.encap != now.encap : due.mode.has_value())) due.encap = wish.encap;
  return due;
}

void decide_eswitch(Course& course) {
  auto& draft = course.draft;
  const auto& wish = course.wish.eswitch;
  if (wish == Eswitch{} || !course.ends_native) return;
  compare_eswitch(draft, wish, course.now.eswitch, course.wish.place);
  if (draft.driver_moves) {
    course.eswitch = wish;
    return;
  }
  if (!course.now.eswitch.mode) {
    draft.refuse(course.wish.place, "no-eswitch",
                 fmt::format("{} has no eswitch that can be set (driver {})", draft.name(),
                             shown(draft.function.driver.driver)),
                 "its driver must offer one by devlink, as mlx5_core, ice and bnxt_en do");
    return;
  }
  course.eswitch = due_eswitch(wish, course.now.eswitch);
  if (!course.eswitch.mode || course.present == 0 || course.wanted == 0) return;
  const auto& driver = draft.function.driver.driver;
  const bool bound = std::ranges::any_of(course.now.vfs, [](const auto& vf) { return !vf.driver.driver.empty(); });
  if (pf_driver(driver).eswitch == EswitchOrder::before_vfs) {
    course.recreate.push_back(fmt::format("{} changes the mode of its eswitch only without VFs", driver));
  } else if (bound) {
    course.recreate.push_back(fmt::format("{} changes the mode of its eswitch only while no driver has a VF", driver));
  }
}

bool ends_in_switchdev(const Course& course) {
  const auto mode = course.eswitch.mode ? course.eswitch.mode : course.now.eswitch.mode;
  return mode == EswitchMode::switchdev;
}

void check_switchdev(Course& course) {
  if (ends_in_switchdev(course)) return;
  for (unsigned index = 0; index < course.vfs.size(); ++index) {
    const auto& wanted = course.vfs[index];
    if (!wanted.wish.roce && !wanted.wish.migratable && !wanted.wish.rate_parent) continue;
    course.draft.refuse(wanted.entry != nullptr ? wanted.entry->place : course.wish.place, "not-switchdev",
                        fmt::format("VF {} shall have RoCE, migratable or a rate parent, and {} is not in switchdev mode",
                                    index, course.draft.name()),
                        "sriov.eswitch.mode: switchdev");
    return;
  }
}

// ---- VFs ----

void decide_settings(Course& course) {
  const auto& wish = course.wish;
  // Settings are those that VFs are made with: without VFs there is nothing that has them.
  if (course.wanted == 0 || (wish.settings.empty() && !wish.without_settings)) return;
  for (const auto& [key, value] : wish.settings) {
    const auto found = course.now.settings.find(key);
    course.draft.compare("sriov.settings." + key, value, found == course.now.settings.end() ? "" : found->second,
                         wish.place);
  }
  if (course.present == 0 || wish.settings == course.now.settings) return;
  course.recreate.push_back(fmt::format("settings '{}' are wanted, the VFs were made with '{}'",
                                        to_string(wish.settings), to_string(course.now.settings)));
}

std::string number_reason(const Course& course) {
  return reason_text(course.wish.place, "numVfs", fmt::to_string(course.wanted),
                     fmt::to_string(course.now.vfs.size()));
}

std::string making_text(const Course& course) {
  const auto name = course.draft.name();
  if (course.present == 0) return fmt::format("make {} VFs of {}", course.wanted, name);
  if (course.present == course.wanted) return fmt::format("make the {} VFs of {} anew", course.wanted, name);
  return fmt::format("make {} VFs of {} in place of {}", course.wanted, name, course.present);
}

void add_making(Course& course) {
  auto& draft = course.draft;
  const bool sets = !course.wish.settings.empty() || course.wish.without_settings;
  MakeVfs making{.former = course.present,
                 .targets = targets_of(draft, course.vfs, ends_in_switchdev(course)),
                 .autoprobe_after = course.wish.autoprobe.value_or(course.now.autoprobe),
                 .eswitch = course.eswitch,
                 .settings = sets ? course.wish.settings : course.now.settings};
  auto reason = course.recreate.empty() ? number_reason(course)
                                        : fmt::format("{}: {}", where(course.wish.place), fmt::join(course.recreate, "; "));
  auto& step = draft.add(Phase::making, std::move(making), making_text(course), std::move(reason));
  if (course.present == 0) return;
  step.risks.push_back({"recreate", fmt::format("{} VFs are removed first: who uses one loses it", course.present)});
}

void refuse_recreate(Course& course) {
  auto& draft = course.draft;
  draft.refuse(course.wish.place, "needs-recreate",
               fmt::format("the {} VFs of {} would have to be made anew: {}", course.present, draft.name(),
                           fmt::join(course.recreate, "; ")),
               fmt::format("defaults.allowRecreate: true does that when none is used; or pcivm vf destroy {}",
                           draft.name()));
}

void decide_vfs(Course& course) {
  auto& draft = course.draft;
  if (course.present != 0 && course.wanted != 0 && course.present != course.wanted) {
    course.recreate.insert(course.recreate.begin(),
                           fmt::format("numVfs {} is wanted, the host has {}", course.wanted, course.present));
  }
  if (!course.recreate.empty() && !draft.config.allow_recreate) {
    refuse_recreate(course);
  } else if (course.wanted == 0) {
    if (course.present != 0) add_removal(draft, number_reason(course));
  } else if (course.present == 0 || !course.recreate.empty()) {
    course.makes = true;
    add_making(course);
  } else {
    plan_vfs(draft, course.vfs, course.eswitch.mode == EswitchMode::switchdev);
  }
  if (course.makes || course.eswitch == Eswitch{}) return;
  const auto text = to_string(course.eswitch);
  draft.add(Phase::eswitch, SetEswitch{.wish = course.eswitch},
            fmt::format("set {} of the eswitch of {}", text, draft.name()),
            reason_text(course.wish.place, "eswitch", text, shown(to_string(course.now.eswitch))));
}

// ---- the interface ----

void check_interface(Course& course) {
  if (!course.wish.mtu && !course.wish.up) return;
  if (course.draft.driver_moves || course.now.mtu) return;
  course.draft.refuse(course.wish.place, "no-interface",
                      fmt::format("{} has no network interface here whose mtu or state could be set",
                                  course.draft.name()),
                      "is its driver loaded, and is the interface in this network namespace?");
}

void set_up(Course& course, bool up, const std::string& reason) {
  auto& draft = course.draft;
  auto& step = draft.add(up ? Phase::up : Phase::link, SetLink{.up = up},
                         fmt::format("set the interface of {} {}", draft.name(), up ? "up" : "down"), reason);
  if (!up && course.now.up == true) step.risks.push_back({"link-drops", "the host's own connections over it end"});
}

void plan_up(Course& course) {
  auto& draft = course.draft;
  const auto& wish = course.wish.up;
  std::optional<bool> found{};
  if (!draft.driver_moves) found = course.now.up;
  const bool drifts =
      wish && (draft.compare("sriov.pf.up", on_off(*wish), text_of(found), course.wish.place) || draft.driver_moves);
  if (drifts && *wish) set_up(course, true, reason_text(course.wish.place, "pf.up", "true", "false"));
  const auto why = why_up(draft);
  const bool must = course.makes && !why.empty() && found != true;
  if (must && wish != true) set_up(course, true, why);
  if (wish == false && (drifts || must)) set_up(course, false, reason_text(course.wish.place, "pf.up", "false", "true"));
}

void plan_mtu(Course& course) {
  auto& draft = course.draft;
  const auto& wish = course.wish.mtu;
  if (!wish) return;
  std::optional<std::string> told{};
  if (!draft.driver_moves && course.now.mtu) told = fmt::to_string(*course.now.mtu);
  if (!draft.compare("sriov.pf.mtu", fmt::to_string(*wish), told, course.wish.place) && !draft.driver_moves) return;
  auto& step = draft.add(Phase::link, SetLink{.mtu = wish},
                         fmt::format("set the mtu of the interface of {} to {}", draft.name(), *wish),
                         reason_text(course.wish.place, "pf.mtu", fmt::to_string(*wish), told.value_or("another one")));
  if (course.now.up == true) step.risks.push_back({"link-drops", "many drivers reset the link for it"});
}

void plan_autoprobe(Course& course) {
  const auto& wish = course.wish.autoprobe;
  if (!wish) return;
  auto& draft = course.draft;
  const auto found = on_off(course.now.autoprobe);
  const bool drifts = draft.compare("sriov.autoprobe", on_off(*wish), found, course.wish.place);
  if (!drifts || course.makes) return;
  draft.add(Phase::link, SetLink{.autoprobe = wish},
            fmt::format("switch the probing of new VFs of {} {}", draft.name(), *wish ? "on" : "off"),
            reason_text(course.wish.place, "autoprobe", on_off(*wish), found));
}

void plan_without_sriov(Draft& draft) {
  const auto& wish = *draft.device.sriov;
  if (wish.num_vfs) draft.compare("sriov.numVfs", fmt::to_string(*wish.num_vfs), "0", wish.place);
  if (wish.num_vfs == 0U) return;
  draft.refuse(wish.place, "no-sriov", fmt::format("{} has no SR-IOV: it cannot make VFs", draft.name()),
               "pcivm vf list shows who can; it may have to be switched on in the firmware of card or machine");
}

void decide_number(Course& course) {
  auto& draft = course.draft;
  const auto& wish = course.wish;
  const auto there = static_cast<unsigned>(course.now.vfs.size());
  const bool decides = wish.num_vfs && !draft.device.externally_managed;
  course.wanted = decides ? *wish.num_vfs : there;
  if (decides) draft.compare("sriov.numVfs", fmt::to_string(course.wanted), fmt::to_string(there), wish.place);
  if (course.wanted > 0 && there == 0 && course.ends_native) plan_return(draft);
  course.present = there;
  if (!draft.driver_moves || there == 0) return;
  add_removal(draft, fmt::format("{} gets another driver", draft.name()));
  course.present = 0;
}

}  // namespace

void add_removal(Draft& draft, std::string reason) {
  const auto count = draft.function.pf->vfs.size();
  auto& step = draft.add(Phase::removal, RemoveVfs{}, fmt::format("remove the {} VFs of {}", count, draft.name()),
                         std::move(reason));
  const auto bound = std::ranges::count_if(draft.function.pf->vfs, [](const auto& vf) { return !vf.driver.driver.empty(); });
  step.risks.push_back({"vfs-vanish", fmt::format("{} VFs vanish, {} of them with a driver", count, bound)});
}

void plan_sriov(Draft& draft) {
  if (!draft.function.pf) return plan_without_sriov(draft);
  refuse_pf_keys(draft);
  Course course{.draft = draft, .wish = *draft.device.sriov, .now = *draft.function.pf};
  course.ends_native = ends_native(draft);
  decide_number(course);
  check_count(course);
  course.vfs = wanted_vfs(draft, course.wanted);
  compare_vfs(draft, course.vfs);
  decide_eswitch(course);
  check_switchdev(course);
  decide_settings(course);
  decide_vfs(course);
  if (course.ends_native) {
    check_interface(course);
    plan_up(course);
    plan_mtu(course);
  }
  plan_autoprobe(course);
}

}  // namespace pcivm::sriov
