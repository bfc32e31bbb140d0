// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "sriov/host_plan_draft.hpp"

namespace pcivm::sriov {

namespace {

std::string text_of(const vfio::Settings& settings) {
  std::string text;
  for (const auto& [file, value] : settings) text += fmt::format(" {}={}", file, value);
  return text;
}

std::string text_of(const VfWish& wish) {
  std::string text;
  for (const auto& change : changes({}, wish)) text += fmt::format(" [{}]", to_string(change));
  return text;
}

template <class Value>
std::string text_of(const std::optional<Value>& value) {
  return value ? fmt::format("{}", *value) : std::string{"-"};
}

struct Canonical {
  std::string operator()(const MakeVfs& making) const {
    auto text = fmt::format("make {} from {} autoprobe {} eswitch {} settings {}", making.targets.size(), making.former,
                            making.autoprobe_after, serialize(making.eswitch), to_string(making.settings));
    for (const auto& [wish, driver, keep] : making.targets) {
      text += fmt::format("\n{} {}{}", text_of(driver.driver), driver.driver_override, text_of(wish));
    }
    return text;
  }
  std::string operator()(const RemoveVfs& /*removal*/) const { return "remove"; }
  std::string operator()(const SetVf& set) const {
    std::string text = fmt::format("vf {}", set.index);
    for (const auto& change : set.changes) text += fmt::format(" [{}]", to_string(change));
    return text;
  }
  std::string operator()(const SetDriver& set) const {
    std::string text = "driver";
    for (const auto function : set.functions) text += " " + function.to_string();
    return fmt::format("{} {} {}{}", text, text_of(set.driver), set.lasting, text_of(set.settings));
  }
  std::string operator()(const SetEswitch& set) const { return "eswitch " + serialize(set.wish); }
  std::string operator()(const SetLink& set) const {
    return fmt::format("link {} {} {}", text_of(set.autoprobe), text_of(set.mtu), text_of(set.up));
  }
};

}  // namespace

std::string canonical(const PlanStep& step) {
  return fmt::format("{} {} {}\n", step.device, step.function.to_string(), std::visit(Canonical{}, step.action));
}

}  // namespace pcivm::sriov
