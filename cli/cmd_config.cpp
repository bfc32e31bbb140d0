// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm config validate [FILE...]
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.hpp"
#include "cli/config_files.hpp"
#include "cli/config_reader.hpp"
#include "cli/exit_code.hpp"
#include "cli/host_plan_view.hpp"
#include "cli/render.hpp"
#include "cli/report.hpp"

namespace pcivm::cli {

namespace {

struct ValidateArguments {
  std::vector<std::string> files;
};

std::string_view use_of(const sriov::DeviceEntry& device) {
  if (device.sriov) return "sriov";
  return device.passthrough ? "passthrough" : "none";
}

/// "4 VFs, 2 entries for them", "whole, bind vfio-pci"
std::string use_text(const sriov::DeviceEntry& device) {
  if (device.passthrough) return fmt::format("whole, bind {}", device.passthrough->bind);
  if (!device.sriov) return "only checked";
  const auto& sriov = *device.sriov;
  const auto count = sriov.num_vfs ? fmt::format("{} VFs", *sriov.num_vfs) : std::string{"the VFs that there are"};
  return fmt::format("{}, {} {} for them", count, sriov.vfs.size(), sriov.vfs.size() == 1 ? "entry" : "entries");
}

Json to_json(const sriov::DeviceEntry& device) {
  const bool has_count = device.sriov && device.sriov->num_vfs;
  return {{"name", device.name},
          {"place", place_json(device.place)},
          {"match", to_string(device.match)},
          {"use", use_of(device)},
          {"numVfs", has_count ? Json(*device.sriov->num_vfs) : Json(nullptr)}};
}

Json to_json(const ConfigProblem& problem) {
  auto json = place_json(problem.place);
  json["message"] = problem.text;
  json["hint"] = or_null(problem.hint);
  return json;
}

Record report_of(const sriov::HostConfig& config, const ConfigProblems& problems,
                 const std::vector<std::string>& notes) {
  Record record;
  record.kind = "ConfigReport";
  record.name = problems.empty() ? "valid" : "invalid";
  auto devices = Json::array();
  auto pools = Json::array();
  auto listed = Json::array();
  record.fields.emplace_back("Files", config.files);
  if (problems.empty()) {
    std::vector<std::string> lines;
    for (const auto& device : config.devices) {
      devices.push_back(to_json(device));
      lines.push_back(fmt::format("{}: {}; {}", device.name, to_string(device.match), use_text(device)));
    }
    record.fields.emplace_back("Devices", lines);
    std::vector<std::string> names;
    for (const auto& [name, place] : config.pools) names.push_back(name);
    pools = names;
    if (!names.empty()) record.add("Pools", fmt::format("{}", fmt::join(names, ", ")));
  }
  for (const auto& problem : problems) listed.push_back(to_json(problem));
  record.object = {{"valid", problems.empty()}, {"files", config.files}, {"problems", listed}, {"notes", notes},
                   {"devices", devices},        {"pools", pools}};
  return record;
}

Result<std::vector<ConfigFile>> files_of(Context& context, const std::vector<std::string>& names) {
  if (names.empty()) return host_config_files(context.root());
  std::vector<ConfigFile> files;
  for (const auto& name : names) files.push_back(TRY(named_config_file(name)));
  return files;
}

Result<int> validate(Context& context, const ValidateArguments& args) {
  std::vector<ConfigText> texts;
  std::vector<std::string> notes;
  for (auto& file : TRY(files_of(context, args.files))) {
    if (!file.distrust.empty()) {
      notes.push_back(fmt::format("{}: {}; plan and apply refuse it", file.content.file, file.distrust));
    }
    texts.push_back(std::move(file.content));
  }
  ConfigProblems problems;
  const auto config = read_config(texts, problems);
  if (!context.structured() && !problems.empty()) {
    for (const auto& problem : problems) report(context, as_error(problem));
    return kExitUsage;
  }
  TRY(print(context, report_of(config, problems, notes)));
  if (!context.structured()) {
    for (const auto& note : notes) context.note(note);
  }
  return problems.empty() ? kExitDone : kExitUsage;
}

}  // namespace

void add_config_validate(CLI::App& group, Context& context) {
  auto& args = context.keep<ValidateArguments>();
  auto& command = add_command(group, context, "validate", "check the file that describes the host; touches nothing",
                              [&args](Context& here) { return validate(here, args); });
  command.add_option("file", args.files, "- for standard input; none: /etc/pcivm/host.yaml and host.d")
      ->type_name("FILE");
}

}  // namespace pcivm::cli
