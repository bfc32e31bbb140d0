// SPDX-License-Identifier: GPL-2.0-or-later
// The PF: how many VFs, and its eswitch.
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
  unsigned present{};                   ///< VFs that are there
  unsigned wanted{};                    ///< VFs that shall be there
  bool ends_native{true};               ///< the PF has its own driver in the end
  Eswitch eswitch{};                    ///< what of it is to be set
  std::vector<VfWanted> vfs{};          ///< `wanted` of them
  std::vector<std::string> recreate{};  ///< why the present VFs cannot stay
  bool makes{};
};

bool ends_native(const Draft& draft) {
  const auto& passthrough = draft.device.passthrough;
  if (!passthrough || !passthrough->former) return true;
  const auto& driver = passthrough->former->state.driver;
  return !driver.empty() && !given_away(driver);
}

// ---- checks ----

void refuse_pf_keys(Draft& draft) {
  const auto& wish = *draft.device.sriov;
  const bool named =
      wish.num_vfs || wish.autoprobe || wish.mtu || wish.up || wish.eswitch != Eswitch{} || !wish.settings.empty();
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
    draft.refuse(
        course.wish.place, "too-many-vfs",
        fmt::format("numVfs {} is wanted, {} offers at most {}", course.wanted, draft.name(), course.now.total_vfs),
        fmt::format("lower it; some cards keep the number in their firmware; pcivm device show {}", draft.name()));
  }
  if (course.wanted > course.present && draft.function.driver.driver.empty() && !draft.driver_moves) {
    draft.refuse(course.wish.place, "no-driver",
                 fmt::format("{} has no driver, and only its driver can make VFs", draft.name()),
                 fmt::format("load the driver's module; pcivm device release {}", draft.name()));
  }
}

// ---- eswitch ----

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
    draft.refuse(
        course.wish.place, "no-eswitch",
        fmt::format("{} has no eswitch that can be set (driver {})", draft.name(), shown(draft.function.driver.driver)),
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
    course.draft.refuse(
        wanted.entry != nullptr ? wanted.entry->place : course.wish.place, "not-switchdev",
        fmt::format("VF {} shall have RoCE, migratable or a rate parent, and {} is not in switchdev mode", index,
                    course.draft.name()),
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
  return reason_text(course.wish.place, "numVfs", fmt::to_string(course.wanted), fmt::to_string(course.now.vfs.size()));
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
  auto reason = course.recreate.empty()
                    ? number_reason(course)
                    : fmt::format("{}: {}", where(course.wish.place), fmt::join(course.recreate, "; "));
  auto& step = draft.add(Phase::making, std::move(making), making_text(course), std::move(reason));
  if (course.present == 0) return;
  step.risks.push_back({"recreate", fmt::format("{} VFs are removed first: who uses one loses it", course.present)});
}

void refuse_recreate(Course& course) {
  auto& draft = course.draft;
  draft.refuse(
      course.wish.place, "needs-recreate",
      fmt::format("the {} VFs of {} would have to be made anew: {}", course.present, draft.name(),
                  fmt::join(course.recreate, "; ")),
      fmt::format("defaults.allowRecreate: true does that when none is used; or pcivm vf destroy {}", draft.name()));
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
  const auto bound =
      std::ranges::count_if(draft.function.pf->vfs, [](const auto& vf) { return !vf.driver.driver.empty(); });
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
  if (course.ends_native) plan_interface(draft, course.makes);
  plan_autoprobe(draft, course.makes);
}

}  // namespace pcivm::sriov
