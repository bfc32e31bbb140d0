// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/host_plan_draft.hpp"

#include <vector>

#include <fmt/format.h>

#include "base/nearest.hpp"
#include "iommu/group.hpp"

namespace pcivm::sriov {

PlanStep& Draft::add(Phase phase, PlanAction action, std::string text, std::string reason) {
  steps.emplace_back(phase, PlanStep{.device = device.name,
                                     .function = function.address,
                                     .action = std::move(action),
                                     .text = std::move(text),
                                     .reason = std::move(reason)});
  return steps.back().second;
}

void Draft::refuse(const Place& place, std::string code, std::string text, std::string fix) {
  problems.push_back(
      {.device = device.name, .place = place, .code = std::move(code), .text = std::move(text), .fix = std::move(fix)});
}

bool Draft::compare(std::string key, std::string wanted, std::optional<std::string> found, const Place& place) {
  using Verdict = KeyStatus::Verdict;
  const auto verdict = !found ? Verdict::unknown : *found == wanted ? Verdict::same : Verdict::drift;
  keys.push_back({.device = device.name,
                  .key = std::move(key),
                  .wanted = std::move(wanted),
                  .found = std::move(found),
                  .place = place,
                  .verdict = verdict});
  return verdict == Verdict::drift;
}

bool given_away(std::string_view driver) { return iommu::leaves_dma_to_user(driver); }

DriverWish driver_wish(std::string_view bind) {
  if (bind == "host") return {};
  if (bind == "none") return {.driver = ""};
  return {.driver = std::string{bind}};
}

DriverWish driver_wish(const vfio::DriverState& former) {
  return {.driver = former.driver, .lasting = !former.driver_override.empty(), .exact = true};
}

bool is_at(const vfio::DriverState& now, const DriverWish& wish) {
  if (!wish.driver) return !now.driver.empty() && now.driver_override.empty() && !given_away(now.driver);
  if (*wish.driver != now.driver) return false;
  return !wish.exact || wish.lasting == !now.driver_override.empty();
}

std::string shown(std::string_view driver) { return driver.empty() ? "none" : std::string{driver}; }

std::string bind_text(const vfio::DriverState& state) {
  return is_at(state, DriverWish{}) ? "host" : shown(state.driver);
}

std::string on_off(bool value) { return value ? "true" : "false"; }

std::string where(const Place& place) {
  const auto text = to_string(place);
  return text.empty() ? "the way back" : text;
}

std::string reason_text(const Place& place, std::string_view key, std::string_view wanted, std::string_view found) {
  return fmt::format("{} wants {} {}, the host has {}", where(place), key, wanted, found);
}

Risk driver_risk(std::string_view netdev, std::string_view driver) {
  return {.code = "driver-changes",
          .text = netdev.empty() ? fmt::format("the host loses what {} gives it", driver)
                                 : fmt::format("the host loses interface {} with its addresses", netdev)};
}

void check_pool(Draft& draft, const std::optional<std::string>& pool, const Place& place) {
  if (!pool || draft.config.pools.contains(*pool)) return;
  std::vector<std::string> known;
  for (const auto& [name, where] : draft.config.pools) known.push_back(name);
  const auto meant = nearest(*pool, known);
  draft.refuse(place, "no-pool", fmt::format("there is no pool {}", *pool),
               meant.empty() ? "name it below pools" : fmt::format("did you mean {}?", meant));
}

}  // namespace pcivm::sriov
