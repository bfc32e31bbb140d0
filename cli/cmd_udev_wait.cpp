// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm udev wait
#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.hpp"
#include "cli/config_files.hpp"
#include "cli/exit_code.hpp"
#include "cli/host_change.hpp"
#include "sriov/host_match.hpp"

namespace pcivm::cli {

namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{30};
// With nothing left to do, udev has seen all there is; but a driver may still be at work on what it found.
constexpr std::chrono::seconds kIdle{3};
constexpr std::chrono::milliseconds kShortest{100};
constexpr std::chrono::milliseconds kLongest{1000};

/// A controller that is still starting cannot make VFs, nor tell its serial number.
bool drive_is_live(const SysRoot& root, Bdf function) {
  const auto folder = fmt::format("/sys/bus/pci/devices/{}/nvme", function.to_string());
  const auto drives = root.list(folder);
  if (!drives) return true;  // no NVMe drive, or not the host's
  return std::ranges::all_of(*drives, [&](const std::string& drive) {
    return root.read(fmt::format("{}/{}/state", folder, drive)).value_or("live") == "live";
  });
}

/// A PF makes no VFs without its driver; what is given away whole may have any, or none.
bool ready(const SysRoot& root, const sriov::DeviceEntry& device, const sriov::FunctionState& function) {
  return device.passthrough || (!function.driver.driver.empty() && drive_is_live(root, function.address));
}

/// Names of the devices that are not ready for pcivm apply.
Result<std::vector<std::string>> missing(Context& context, const sriov::HostConfig& config) {
  const auto host = host_of(context);
  const auto port = vf_port(context);
  const auto state = TRY(sriov::read_host(host, port.get()));
  std::vector<std::string> names;
  for (const auto& resolved : sriov::match_devices(config, state).devices) {
    const auto device = std::ranges::find(config.devices, resolved.device, &sriov::DeviceEntry::name);
    const auto function = std::ranges::find_if(state.functions, [&](const sriov::FunctionState& each) {
      return resolved.function && each.address == *resolved.function;
    });
    const bool there = function != state.functions.end() && ready(context.root(), *device, *function);
    if (!there) names.push_back(resolved.device);
  }
  return names;
}

Result<int> wait(Context& context) {
  const auto config = load_host_config(context.root());
  if (!config && config.error().code() == "config.none") return kExitDone;
  if (!config) return std::unexpected(config.error());
  const auto start = steady_clock::now();
  const auto patience = context.options.timeout.value_or(kPatience);
  auto busy = start;
  auto pause = kShortest;
  context.doing("waiting for the functions of the configuration");
  for (;;) {
    const auto names = TRY(missing(context, *config));
    if (names.empty()) return kExitDone;
    const auto now = steady_clock::now();
    if (context.root().exists("/run/udev/queue")) busy = now;
    if (now - start >= patience || now - busy >= kIdle) {
      context.note(fmt::format("not there, or without driver: {}; going on without", fmt::join(names, ", ")));
      return kExitDone;
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongest);
  }
}

}  // namespace

void add_udev_wait(CLI::App& group, Context& context) {
  add_command(group, context, "wait", "wait at boot until the functions of the configuration have their drivers", wait);
}

}  // namespace pcivm::cli
