// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/host_plan_view.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/nearest.hpp"
#include "cli/config_files.hpp"
#include "cli/exit_code.hpp"
#include "cli/render.hpp"
#include "cli/report.hpp"

namespace pcivm::cli {

namespace {

std::string_view action_name(const sriov::PlanAction& action) {
  constexpr std::string_view kNames[] = {"makeVfs", "removeVfs", "setVf", "setDriver", "setEswitch", "setLink"};
  static_assert(std::size(kNames) == std::variant_size_v<sriov::PlanAction>);
  return kNames[action.index()];
}

Json to_json(const sriov::PlanStep& step) {
  auto risks = Json::array();
  for (const auto& risk : step.risks) risks.push_back({{"code", risk.code}, {"text", risk.text}});
  return {{"device", step.device}, {"function", step.function.to_string()}, {"action", action_name(step.action)},
          {"text", step.text},     {"reason", or_null(step.reason)},        {"risks", risks}};
}

Json to_json(const sriov::PlanProblem& problem) {
  return {{"device", problem.device},
          {"place", place_json(problem.place)},
          {"code", problem.code},
          {"text", problem.text},
          {"fix", or_null(problem.fix)}};
}

Json to_json(const sriov::Plan& plan) {
  auto devices = Json::array();
  for (const auto& [name, function] : plan.devices) {
    devices.push_back({{"name", name}, {"function", function ? Json(function->to_string()) : Json(nullptr)}});
  }
  auto steps = Json::array();
  for (const auto& step : plan.steps) steps.push_back(to_json(step));
  auto problems = Json::array();
  for (const auto& problem : plan.problems) problems.push_back(to_json(problem));
  return {{"id", plan.id}, {"devices", devices}, {"steps", steps}, {"problems", problems}};
}

Listing listing_of(const sriov::Plan& plan) {
  Listing listing{.kind = "Plan",
                  .columns = {{.title = "STEP", .right = true},
                              {.title = "DEVICE"},
                              {.title = "WHAT", .may_cut = true},
                              {.title = "RISK"},
                              {.title = "WHY", .may_cut = true}},
                  .empty_note = plan.problems.empty() ? "nothing to do: the host is as configured" : ""};
  for (const auto& step : plan.steps) {
    std::vector<std::string> risks;
    for (const auto& risk : step.risks) risks.push_back(risk.code);
    listing.rows.push_back({{fmt::to_string(listing.rows.size() + 1)},
                            {step.device},
                            {step.text},
                            {fmt::format("{}", fmt::join(risks, ", ")), Mark::notice},
                            {step.reason}});
  }
  return listing;
}

Error unknown_device(const sriov::HostConfig& config, const std::string& name) {
  std::vector<std::string> known;
  for (const auto& device : config.devices) known.push_back(device.name);
  const auto near = nearest(name, known);
  return Error::make(Errc::not_found, fmt::format("the configuration has no device '{}'", name))
      .coded("config.no_device")
      .advise(!near.empty()   ? fmt::format("did you mean '{}'", near)
              : known.empty() ? "it has none"
                              : fmt::format("it has {}", fmt::join(known, ", ")));
}

Errc kind_of(const sriov::PlanProblem& problem) {
  return problem.code == "no-match" || problem.code == "no-device" ? Errc::not_found : Errc::refused;
}

}  // namespace

void add_plan_options(CLI::App& command, PlanArguments& args) {
  command.add_option("-f,--file", args.files, "instead of /etc/pcivm/host.yaml and host.d; - for stdin; repeatable")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command.add_option("--only", args.only, "just this device of the configuration: its name, or a function's address")
      ->type_name("NAME|ADDRESS");
}

Result<std::optional<Planned>> planned(const vfio::Host& host, sriov::VfPort* port, const sriov::HostConfig& config,
                                       const std::string& only) {
  const auto address = Bdf::parse(only);
  if (!only.empty() && !address &&
      std::ranges::find(config.devices, only, &sriov::DeviceEntry::name) == config.devices.end()) {
    return fail(unknown_device(config, only));
  }
  Planned result{.state = TRY(sriov::read_host(host, port))};
  result.plan = sriov::plan_host(config, result.state, address ? "" : only);
  if (!address) return std::optional{std::move(result)};
  const auto device = std::ranges::find(result.plan.devices, std::optional{*address}, &sriov::Resolved::function);
  if (device == result.plan.devices.end()) return std::optional<Planned>{};
  result.plan = sriov::plan_host(config, result.state, std::string{device->device});
  return std::optional{std::move(result)};
}

Result<Planned> planned_for(const vfio::Host& host, sriov::VfPort* port, const sriov::HostConfig& config,
                            const std::string& only) {
  auto result = TRY(planned(host, port, config, only));
  if (result) return std::move(*result);
  return fail(Error::make(Errc::not_found, fmt::format("no device of the configuration is {}", only))
                  .coded("config.no_device")
                  .advise("pcivm plan shows what each device is"));
}

Json place_json(const sriov::Place& place) {
  return {{"file", place.file}, {"line", place.line}, {"column", place.column}};
}

Result<int> print_plan(Context& context, const sriov::Plan& plan) {
  if (context.structured()) return print(context, Record{.kind = "Plan", .name = plan.id, .object = to_json(plan)});
  const int code = TRY(print(context, listing_of(plan)));
  context.flush();
  for (std::size_t index = 0; index < plan.steps.size(); ++index) {
    for (const auto& risk : plan.steps[index].risks) {
      context.note(fmt::format("risk of step {} ({}): {}", index + 1, risk.code, risk.text));
    }
  }
  if (!plan.steps.empty()) context.note(fmt::format("plan {}", plan.id));
  return code;
}

int tell_problems(Context& context, const sriov::Plan& plan) {
  if (plan.problems.empty()) return kExitDone;
  for (const auto& problem : plan.problems) {
    if (context.structured()) break;
    const auto place = to_string(problem.place);
    report(context, Error::make(kind_of(problem), fmt::format("{}{}device '{}': {}", place, place.empty() ? "" : ": ",
                                                              problem.device, problem.text))
                        .advise(problem.fix));
  }
  return exit_code(kind_of(plan.problems.front()));
}

}  // namespace pcivm::cli
