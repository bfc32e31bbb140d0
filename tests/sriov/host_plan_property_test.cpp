// SPDX-License-Identifier: GPL-2.0-or-later
// What holds for every host and every configuration. PCIVM_ROUNDS=N tries more of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>

#include "base/parse.hpp"
#include "sriov/host_plan.hpp"
#include "tests/support/random_host.hpp"

namespace pcivm::sriov {
namespace {

using test::Chance;
using test::RandomHost;
using test::SimulatedHost;

unsigned rounds() {
  const char* wanted = ::getenv("PCIVM_ROUNDS");
  return wanted == nullptr ? 400 : parse_decimal<unsigned>(wanted).value_or(400);
}

std::string lines_of(const Plan& plan) {
  std::string text;
  for (const auto& step : plan.steps) text += fmt::format("  {} ({})\n", step.text, step.reason);
  for (const auto& problem : plan.problems) text += fmt::format("  {}: {} [{}]\n", problem.device, problem.text, problem.code);
  return text;
}

void carry_out(SimulatedHost& host, const Plan& plan) {
  for (const auto& step : plan.steps) {
    try {
      host.apply(step);
    } catch (const test::Refused& refused) {
      FAIL() << step.text << ": " << refused.what();
    }
  }
}

// pcivm's own memory of who had a function is no state of the host: a way back to a function that somebody else had
// bound leaves one where there was none.
HostState without_new_memory(HostState state, const HostState& start) {
  for (std::size_t index = 0; index < state.functions.size(); ++index) {
    auto& function = state.functions[index];
    if (start.functions[index].bound_by_pcivm || function.driver.driver_override.empty()) continue;
    function.bound_by_pcivm = false;
    function.native_driver.clear();
  }
  return state;
}

// For reading a failure.
std::string differences(const HostState& now, const HostState& start) {
  const auto one = to_record(now).fields();
  const auto other = to_record(start).fields();
  std::string text;
  for (const auto& [key, value] : one) {
    const auto found = other.find(key);
    if (found == other.end() || found->second != value) {
      text += fmt::format("  {} is {}, was {}\n", key, value, found == other.end() ? "absent" : found->second);
    }
  }
  for (const auto& [key, value] : other) {
    if (!one.contains(key)) text += fmt::format("  {} is absent, was {}\n", key, value);
  }
  return text;
}

bool has_problem(const Plan& plan, const std::string& device) {
  return std::ranges::find(plan.problems, device, &PlanProblem::device) != plan.problems.end();
}

TEST(HostPlanProperty, APlanThatWasCarriedOutLeavesNothingToDo) {
  unsigned done{};
  for (unsigned seed = 0; seed < rounds(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Chance chance{seed};
    RandomHost random{chance};
    const auto config = random.config();
    auto host = random.host;
    const auto plan = plan_host(config, host.state);
    carry_out(host, plan);
    const auto again = plan_host(config, host.state);
    // What stood in the way of a device may be gone with what was done to another.
    for (const auto& step : again.steps) {
      ASSERT_TRUE(has_problem(plan, step.device)) << "first\n" << lines_of(plan) << "then\n" << lines_of(again);
    }
    ASSERT_TRUE(host.addresses_agree()) << lines_of(plan);
    for (const auto& key : again.keys) {
      ASSERT_TRUE(has_problem(plan, key.device) || has_problem(again, key.device) || key.verdict != KeyStatus::Verdict::drift) << key.device << " " << key.key;
    }
    done += static_cast<unsigned>(plan.steps.size());
  }
  EXPECT_GT(done, rounds());
}

TEST(HostPlanProperty, TheSameHostAndFileGiveTheSamePlan) {
  for (unsigned seed = 0; seed < rounds(); ++seed) {
    Chance chance{seed};
    RandomHost random{chance};
    const auto config = random.config();
    const auto plan = plan_host(config, random.host.state);
    ASSERT_EQ(plan, plan_host(config, HostState{random.host.state})) << seed;
    if (plan.steps.empty()) continue;
    auto host = random.host;
    carry_out(host, plan);
    ASSERT_NE(plan.id, plan_host(config, host.state).id) << seed;
  }
}

TEST(HostPlanProperty, EveryBeginningOfAPlanCanBeTakenBack) {
  for (unsigned seed = 0; seed < rounds(); ++seed) {
    Chance chance{seed};
    RandomHost random{chance};
    const auto start = random.host.state;
    const auto plan = plan_host(random.config(), start);
    const auto way_back = as_config(start, true);
    auto host = random.host;
    for (std::size_t count = 0; count <= plan.steps.size(); ++count) {
      SCOPED_TRACE(fmt::format("seed {}, {} of {} steps", seed, count, plan.steps.size()));
      if (count > 0) host.apply(plan.steps[count - 1]);
      auto returned = host;
      const auto back = plan_host(way_back, returned.state);
      ASSERT_TRUE(back.problems.empty()) << lines_of(back);
      carry_out(returned, back);
      const auto end = without_new_memory(returned.state, start);
      ASSERT_EQ(end, start) << differences(end, start) << "plan\n" << lines_of(plan) << "back\n" << lines_of(back);
    }
  }
}

TEST(HostPlanProperty, AnExportedHostNeedsNothing) {
  for (unsigned seed = 0; seed < rounds(); ++seed) {
    Chance chance{seed};
    RandomHost random{chance};
    const auto plan = plan_host(as_config(random.host.state, false), random.host.state);
    ASSERT_TRUE(plan.steps.empty() && plan.problems.empty()) << seed << "\n" << lines_of(plan);
    const auto exact = plan_host(as_config(random.host.state, true), random.host.state);
    ASSERT_TRUE(exact.steps.empty() && exact.problems.empty()) << seed << "\n" << lines_of(exact);
  }
}

TEST(HostPlanProperty, AnExportMakesAnEmptyHostTheSameAgain) {
  for (unsigned seed = 0; seed < rounds(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Chance chance{seed};
    RandomHost random{chance};
    const auto exported = as_config(random.host.state, false);
    auto host = random.host;
    HostConfig nothing{.allow_recreate = true};
    for (const auto& device : exported.devices) {
      DeviceEntry empty{.name = device.name, .match = device.match};
      if (device.sriov) empty.sriov = SriovEntry{.num_vfs = 0};
      if (device.passthrough) empty.passthrough = PassthroughEntry{.bind = "host"};
      nothing.devices.push_back(std::move(empty));
    }
    carry_out(host, plan_host(nothing, host.state));
    carry_out(host, plan_host(exported, host.state));
    const auto left = plan_host(exported, host.state);
    ASSERT_TRUE(left.steps.empty()) << lines_of(left);
  }
}

}  // namespace
}  // namespace pcivm::sriov
