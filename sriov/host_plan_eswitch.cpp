// SPDX-License-Identifier: GPL-2.0-or-later
// What of a PF's eswitch is not as wanted.
#include "sriov/host_plan_draft.hpp"

namespace pcivm::sriov {

namespace {

template <class Value>
bool differs(const std::optional<Value>& wish, const std::optional<Value>& now) {
  return wish && wish != now;
}

template <class Value>
std::optional<std::string> text_of(const std::optional<Value>& value) {
  return value ? std::optional<std::string>{to_string(*value)} : std::nullopt;
}

}  // namespace

void compare_eswitch(Draft& draft, const Eswitch& wish, const Eswitch& now, const Place& place) {
  if (wish.mode) draft.compare("sriov.eswitch.mode", *text_of(wish.mode), text_of(now.mode), place);
  if (wish.inline_mode)
    draft.compare("sriov.eswitch.inline", *text_of(wish.inline_mode), text_of(now.inline_mode), place);
  const auto encap = now.encap ? std::optional{on_off(*now.encap)} : std::nullopt;
  if (wish.encap) draft.compare("sriov.eswitch.encap", on_off(*wish.encap), encap, place);
}

Eswitch due_eswitch(const Eswitch& wish, const Eswitch& now) {
  Eswitch due;
  if (differs(wish.mode, now.mode)) due.mode = wish.mode;
  if (wish.inline_mode && (now.inline_mode ? wish.inline_mode != now.inline_mode : due.mode.has_value())) {
    due.inline_mode = wish.inline_mode;
  }
  if (wish.encap && (now.encap ? wish.encap != now.encap : due.mode.has_value())) due.encap = wish.encap;
  return due;
}

}  // namespace pcivm::sriov
