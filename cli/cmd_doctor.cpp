// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm doctor [DEVICE]
#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.hpp"
#include "cli/config_files.hpp"
#include "cli/device_facts.hpp"
#include "cli/exit_code.hpp"
#include "cli/render.hpp"
#include "cli/selector.hpp"
#include "cli/terminal.hpp"
#include "cli/udev_facts.hpp"
#include "iommu/readiness.hpp"

namespace pcivm::cli {

namespace {

using iommu::Finding;
using iommu::Level;

struct DoctorArguments {
  std::string device;
  bool all{false};
  bool exit_code{false};
};

constexpr std::array kLevels{Level::problem, Level::warning, Level::unknown, Level::note, Level::ok};

Mark mark_of(Level level) {
  switch (level) {
    case Level::ok: return Mark::good;
    case Level::note: return Mark::none;
    case Level::unknown: return Mark::dim;
    case Level::warning: return Mark::notice;
    case Level::problem: return Mark::bad;
  }
  return Mark::none;
}

constexpr std::string_view kRulesCheck{"generated-rules"};

/// The section that explains the check; questions about one function share one.
std::string documentation(const Finding& finding) {
  const auto ids = iommu::host_check_ids();
  const bool of_host = std::ranges::count(ids, finding.id) != 0 || finding.id == kRulesCheck;
  return fmt::format("docs/doctor.md#{}", of_host ? finding.id : "questions-about-one-function");
}

Json to_json(const Finding& finding) {
  return {{"id", finding.id},
          {"level", std::string{to_string(finding.level)}},
          {"found", finding.found},
          {"cause", or_null(finding.cause)},
          {"fix", or_null(finding.fix)},
          {"documentation", documentation(finding)}};
}

/// The first column is what `-o name` prints.
Listing listing_of(const std::vector<Finding>& shown) {
  Listing listing{.kind = "DoctorReport",
                  .columns = {{.title = "CHECK"},
                              {.title = "LEVEL"},
                              {.title = "FOUND", .may_cut = true},
                              {.title = "CAUSE", .wide_only = true},
                              {.title = "FIX", .may_cut = true}}};
  for (const auto& finding : shown) {
    listing.rows.push_back({{finding.id},
                            {std::string{to_string(finding.level)}, mark_of(finding.level)},
                            {finding.found},
                            {finding.cause},
                            {finding.fix}});
    listing.items.push_back(to_json(finding));
  }
  return listing;
}

/// Level, id and finding on one line; cause and fix below, indented.
void put_finding(Context& context, const Finding& finding, std::size_t id_width) {
  constexpr std::size_t kLevelWidth = 8;
  const auto width = text_width(context);
  const auto level = to_string(finding.level);
  const auto lead = fmt::format("{:<{}} {:<{}}  ", "", kLevelWidth - 1, finding.id, id_width);
  auto block = paragraph(lead, finding.found, width);
  block.replace(0, level.size(), painted(context, mark_of(finding.level), level));
  const auto below = fmt::format("{:{}}", "", kLevelWidth);
  if (!finding.cause.empty()) block += paragraph(below + "why: ", finding.cause, width);
  if (!finding.fix.empty()) block += paragraph(below + "fix: ", finding.fix, width);
  context.put(block);
}

void put_summary(Context& context, const std::vector<Finding>& findings, bool all) {
  std::vector<std::string> counts;
  for (const auto level : kLevels) {
    const auto count = std::ranges::count(findings, level, &Finding::level);
    if (count == 0) continue;
    const bool counted = level != Level::ok && level != Level::unknown && count != 1;
    counts.push_back(fmt::format("{} {}{}", count, to_string(level), counted ? "s" : ""));
  }
  const bool hidden = !all && std::ranges::count(findings, Level::ok, &Finding::level) != 0;
  context.note(fmt::format("{}{}", fmt::join(counts, ", "), hidden ? " (--all shows them too)" : ""));
}

/// Do the rules of udev say what the configuration says? Not asked without a configuration.
std::optional<Finding> check_rules(Context& context) {
  Finding finding{.id = std::string{kRulesCheck}};
  const auto files = rule_files(context);
  if (!files) {
    finding.level = Level::unknown;
    finding.found = files.error().text();
    finding.fix = files.error().hint();
    return finding;
  }
  std::vector<std::string_view> stale;
  for (const auto& file : *files) {
    if (file.stale()) stale.push_back(file.path);
  }
  if (!stale.empty()) {
    finding.level = Level::warning;
    finding.found = fmt::format("not what /etc/pcivm asks for: {}", fmt::join(stale, ", "));
    finding.cause = "functions are bound early, and interfaces named, as the configuration was before";
    finding.fix = "pcivm udev install";
  } else if (context.root().exists(kConfigFile) || context.root().exists(kConfigFragments)) {
    finding.found = "udev's rules are those of the configuration";
  } else {
    return std::nullopt;
  }
  return finding;
}

/// Questions about the host that a VM with a device raises besides those that `assignable` asks.
constexpr std::string_view kForDevices[] = {"unsafe-interrupts", "noiommu", "acs-override", "kvm", "memlock", "memory"};

Result<std::vector<Finding>> examine(Context& context, const std::string& device) {
  const auto& root = context.root();
  auto host = iommu::check_host(root, root.live() ? &system_ioctl() : nullptr);
  if (device.empty()) {
    if (const auto finding = check_rules(context)) host.push_back(*finding);
    return host;
  }
  const auto address = TRY(select_function(root, device));
  const auto facts = TRY(device_facts(root, address));
  auto findings = iommu::check_device(facts.function, facts.assignable);
  std::ranges::copy_if(host, std::back_inserter(findings),
                       [](const Finding& finding) { return std::ranges::count(kForDevices, finding.id) != 0; });
  return findings;
}

Result<int> doctor(Context& context, const DoctorArguments& args) {
  const auto findings = TRY(examine(context, args.device));
  const bool all = args.all || context.options.verbosity > 0;
  auto shown = findings;
  const auto output = context.options.output;
  const bool whole = all || output == Output::json || output == Output::yaml;
  if (!whole) std::erase_if(shown, [](const Finding& finding) { return finding.level == Level::ok; });
  if (output == Output::table && context.options.columns.empty()) {
    std::size_t id_width = 0;
    for (const auto& finding : shown) id_width = std::max(id_width, finding.id.size());
    for (const auto& finding : shown) put_finding(context, finding, id_width);
    context.flush();
    put_summary(context, findings, all);
  } else {
    TRY(print(context, listing_of(shown)));
  }
  const bool bad = std::ranges::count(findings, Level::problem, &Finding::level) != 0;
  return args.exit_code && bad ? exit_code(Errc::refused) : kExitDone;
}

}  // namespace

void add_doctor(CLI::App& root, Context& context) {
  auto& args = context.keep<DoctorArguments>();
  auto& command = add_command(root, context, "doctor", "is this host ready to give devices to VMs, and what to do",
                              [&args](Context& here) { return doctor(here, args); });
  command.add_option("device", args.device, "only: can this function be given to a VM")->type_name("DEVICE");
  command.add_flag("--all", args.all, "show also what is in order (as -v does)");
  command.add_flag("--exit-code", args.exit_code, "exit with 5 when there is a problem");
}

}  // namespace pcivm::cli
