// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding_plan.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <ranges>
#include <thread>

#include <fmt/format.h>

namespace pcivm::vfio {

namespace {

std::string override_file(Bdf function) { return directory_of(function) + "/driver_override"; }
std::string autoprobe_file(Bdf physfn) { return directory_of(physfn) + "/sriov_drivers_autoprobe"; }

Step set_override(Bdf function, const std::string& driver) {
  return {StepKind::set_override, function, override_file(function), driver, {}};
}
Step set_autoprobe(const Situation& now, bool on) {
  return {StepKind::set_autoprobe, now.function, autoprobe_file(now.physfn.value_or(now.function)), on ? "1" : "0", {}};
}
Step unbind(Bdf function, const std::string& driver) {
  return {StepKind::unbind, function, fmt::format("/sys/bus/pci/drivers/{}/unbind", driver), function.to_string(), {}};
}
Step probe(Bdf function, const std::string& wanted) {
  return {StepKind::probe, function, "/sys/bus/pci/drivers_probe", function.to_string(), wanted};
}

Step set_value(Bdf function, const std::string& file, const std::string& value) {
  return {StepKind::set_value, function, fmt::format("{}/{}", directory_of(function), file), value, {}};
}

// VFs follow each other at the same distance (SR-IOV 1.1, 2.1.2): the first two tell where the link of the others is.
// Of hundreds each would have to be looked for.
std::optional<unsigned> index_of_vf(const SysRoot& root, Bdf function) {
  const auto at = [&](unsigned index) {
    return Bdf::parse(root.link_name(fmt::format("{}/physfn/virtfn{}", directory_of(function), index)));
  };
  const auto first = at(0);
  if (first == function) return 0;
  const auto second = at(1);
  if (second == function) return 1;
  if (!first || !second) return std::nullopt;
  const int stride = second->routing_id() - first->routing_id();
  const int distance = function.routing_id() - first->routing_id();
  if (stride > 0 && distance > 0) {
    const auto index = static_cast<unsigned>(distance / stride);
    if (at(index) == function) return index;
  }
  for (unsigned index = 2;; ++index) {
    const auto vf = at(index);
    if (!vf) return std::nullopt;
    if (vf == function) return index;
  }
}

// vfio-pci allows runtime suspend when it binds and forbids it when it unbinds (vfio_pci_core.c), and native drivers do
// as they like: what is to hold must be written after the probe.
bool set_by_probing(std::string_view file) { return file == "power/control"; }

bool touches_driver(const Step& step) { return step.kind == StepKind::unbind || step.kind == StepKind::probe; }

void set_values(const Situation& now, const Target& target, std::vector<Step>& steps, bool after_probing) {
  const bool probed = std::ranges::any_of(steps, touches_driver);
  for (const auto& [file, value] : target.settings) {
    if (set_by_probing(file) != after_probing) continue;
    const auto found = now.settings.find(file);
    const bool holds = found != now.settings.end() && found->second == value;
    if (!holds || (after_probing && probed)) steps.push_back(set_value(now.function, file, value));
  }
}

// Probing whatever matches: a VF whose PF has autoprobe off is only probed while it is on, or by override
// (pci-driver.c, pci_device_can_probe).
void probe_any(const Situation& now, const Target& target, std::vector<Step>& steps) {
  const bool window = now.physfn && !now.autoprobe && target.driver_override.empty();
  if (window) steps.push_back(set_autoprobe(now, true));
  steps.push_back(probe(now.function, {}));
  if (window) steps.push_back(set_autoprobe(now, false));
}

Result<std::string> read_override(const Host& host, Bdf function) {
  auto text = TRY(read_within(host, override_file(function)));
  if (text == "(null)") text.clear();
  return text;
}

Result<void> write(const Host& host, const Step& step) {
  // A zero-length write never reaches the kernel's store function.
  return write_within(host, step.path, step.value.empty() ? "\n" : step.value);
}

std::string shown(std::string_view driver) { return driver.empty() ? "no driver" : fmt::format("driver {}", driver); }

Result<void> expect_driver(const Host& host, const Step& step, std::string_view wanted) {
  const auto found = host.root.link_name(directory_of(step.function) + "/driver");
  if (found == wanted) return {};
  return fail(Errc::kernel, fmt::format("{} was accepted, but {} has {}, wanted {}", describe(step),
                                        step.function.to_string(), shown(found), shown(wanted)));
}

Result<void> expect_value(const Host& host, const Step& step) {
  auto found = TRY(read_within(host, step.path));
  if (found == "(null)") found.clear();
  if (found == step.value) return {};
  return fail(Errc::kernel, fmt::format("{} was accepted, but '{}' reads '{}'", describe(step), step.path, found));
}

// A driver that is being loaded has its functions before it has its file 'unbind' (drivers/base/bus.c, bus_add_driver):
// that one is waited for.
Result<void> write_unbind(const Host& host, const Step& step) {
  using std::chrono::steady_clock;
  const auto end = steady_clock::now() + std::min(host.deadline, std::chrono::milliseconds{5'000});
  const auto driver = directory_of(step.function) + "/driver";
  while (!host.root.exists(step.path) && host.root.exists(driver) && steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  return write(host, step);
}

// ENODEV also when somebody else took it from its driver since the plan was made: that is what was wanted.
Result<void> apply_unbind(const Host& host, const Step& step) {
  const auto written = write_unbind(host, step);
  if (!written && written.error().sys_errno() != ENODEV) return written;
  auto unbound = expect_driver(host, step, "");
  return written || unbound ? unbound : written;
}

Result<void> apply_probe(const Host& host, const Step& step) {
  TRY(write(host, step));
  if (step.wanted.empty()) return {};
  const auto bound = host.root.link_name(directory_of(step.function) + "/driver");
  if (bound == step.wanted) return {};
  if (bound.empty()) {
    // drivers_probe reports success when every driver refused; the driver's own bind file tells the errno.
    const auto bind = fmt::format("/sys/bus/pci/drivers/{}/bind", step.wanted);
    TRY(write_within(host, bind, step.value));
  }
  return expect_driver(host, step, step.wanted);
}

}  // namespace

std::string directory_of(Bdf function) { return "/sys/bus/pci/devices/" + function.to_string(); }

bool is_vfio_driver(std::string_view driver) { return driver.find("vfio") != std::string_view::npos; }

std::string describe(const Step& step) { return fmt::format("write '{}' to '{}'", step.value, step.path); }

std::vector<Step> plan(const Situation& now, const Target& target) {
  std::vector<Step> steps;
  set_values(now, target, steps, false);
  const auto& function = now.function;
  const bool native = !now.state.driver.empty() && !is_vfio_driver(now.state.driver);
  const bool stays = target.driver ? *target.driver == now.state.driver : native;
  const bool named = target.driver && !target.driver->empty();
  // A named driver is probed under its own override: only then is it certain that no other driver takes the function.
  const auto& first = named && !stays ? *target.driver : target.driver_override;
  if (first != now.state.driver_override) steps.push_back(set_override(function, first));
  if (!stays && !now.state.driver.empty()) steps.push_back(unbind(function, now.state.driver));
  if (!target.driver) {
    if (!stays) probe_any(now, target, steps);
  } else if (named && !stays) {
    steps.push_back(probe(function, *target.driver));
  }
  if (first != target.driver_override) steps.push_back(set_override(function, target.driver_override));
  if (target.autoprobe && now.physfn && *target.autoprobe != now.autoprobe) {
    steps.push_back(set_autoprobe(now, *target.autoprobe));
  }
  set_values(now, target, steps, true);
  return steps;
}

std::vector<Step> plan_all(std::span<const Move> moves) {
  std::array<std::vector<Step>, 3> phases;
  for (const auto& move : moves) {
    auto steps = plan(move.now, move.target);
    const auto driver = std::ranges::find_if(steps, touches_driver);
    const bool unbinds = driver != steps.end() && driver->kind == StepKind::unbind;
    std::move(steps.begin(), driver, std::back_inserter(phases[0]));
    if (unbinds) phases[1].push_back(*driver);
    std::move(driver + (unbinds ? 1 : 0), steps.end(), std::back_inserter(phases[2]));
  }
  std::ranges::reverse(phases[1]);
  std::vector<Step> all;
  for (auto& phase : phases) std::ranges::move(phase, std::back_inserter(all));
  return all;
}

Result<Situation> situation(const Host& host, Bdf function) {
  const auto directory = directory_of(function);
  if (!host.root.exists(directory)) {
    return fail(Error::make(Errc::not_found, fmt::format("there is no PCI function {}", function.to_string()))
                    .coded("device.not_found")
                    .advise("pcivm device list"));
  }
  Situation now{.function = function, .state = {}, .physfn = {}};
  now.state.driver_override = TRY(read_override(host, function));
  now.state.driver = host.root.link_name(directory + "/driver");
  const auto physfn = host.root.link_name(directory + "/physfn");
  if (!physfn.empty()) {
    now.physfn = TRY(Bdf::parse(physfn));
    const auto autoprobe = host.root.read(autoprobe_file(*now.physfn));
    now.autoprobe = !autoprobe || *autoprobe != "0";
  }
  return now;
}

Result<Settings> read_settings(const Host& host, Bdf function, const Settings& wanted) {
  Settings found;
  for (const auto& [file, value] : wanted) {
    const auto path = fmt::format("{}/{}", directory_of(function), file);
    if (!host.root.exists(path)) {
      return fail(
          Error::make(Errc::refused, fmt::format("{} has no '{}' to set to '{}'", function.to_string(), file, value))
              .coded("device.no_setting"));
    }
    found[file] = TRY(read_within(host, path));
  }
  return found;
}

Result<std::string> identity_of(const SysRoot& root, Bdf function) {
  const auto directory = directory_of(function);
  std::string identity;
  for (const auto* file : {"vendor", "device", "subsystem_vendor", "subsystem_device"}) {
    const auto value = TRY(root.read(fmt::format("{}/{}", directory, file)));
    identity += fmt::format("{}{}", identity.empty() ? "" : ":", value.starts_with("0x") ? value.substr(2) : value);
  }
  const auto physfn = root.link_name(directory + "/physfn");
  if (physfn.empty()) return identity;
  const auto index = index_of_vf(root, function);
  return index ? fmt::format("{} vf {} of {}", identity, *index, physfn) : fmt::format("{} vf of {}", identity, physfn);
}

Result<void> apply(const Host& host, const Step& step) {
  switch (step.kind) {
    case StepKind::set_override:
    case StepKind::set_value:
    case StepKind::set_autoprobe: TRY(write(host, step)); return expect_value(host, step);
    case StepKind::unbind: return apply_unbind(host, step);
    case StepKind::probe: return apply_probe(host, step);
  }
  return fail(Errc::internal, "unknown step");
}

}  // namespace pcivm::vfio
