// SPDX-License-Identifier: GPL-2.0-or-later
// From a function's driver now to the driver it shall have: a pure plan of sysfs writes (drivers/pci/pci-driver.c,
// drivers/base/bus.c). The same planner serves bind, release, their undo and the repair after a crash, because the
// truth is always the pair (driver link, driver_override).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "vfio/binding_host.hpp"

namespace pcivm::vfio {

/// Empty = none, for both.
struct DriverState {
  std::string driver;
  std::string driver_override;
  bool operator==(const DriverState&) const = default;
};

/// Values of files below the function's directory that a bind may change: "reset_method", "d3cold_allowed",
/// "power/control".
using Settings = std::map<std::string, std::string>;

/// What decides the steps.
struct Situation {
  Bdf function;
  DriverState state;
  std::optional<Bdf> physfn;  ///< of a VF
  bool autoprobe{true};       ///< sriov_drivers_autoprobe of the VF's PF: 0 keeps a VF without override from any driver
  Settings settings{};        ///< those that the transaction is about; situation() reads none
};

struct Target {
  std::optional<std::string> driver;  ///< "" = no driver; not set = whichever the kernel finds
  std::string driver_override;
  std::optional<bool> autoprobe{};  ///< of the VF's PF, when it must be put back too
  Settings settings{};              ///< what these files shall hold; others are left alone
  bool operator==(const Target&) const = default;
};

/// One function of a transaction over one or more.
struct Move {
  Situation now;
  Target target;
};

enum class StepKind : std::uint8_t { set_override, unbind, probe, set_autoprobe, set_value };

struct Step {
  StepKind kind{};
  Bdf function;
  std::string path;    ///< the sysfs file
  std::string value;   ///< what is written
  std::string wanted;  ///< of a probe: the driver that must be bound after it; empty = any or none
};

/// "write 'vfio-pci' to '/sys/bus/pci/devices/0000:01:10.0/driver_override'"
[[nodiscard]] std::string describe(const Step& step);

/// Empty when the target is reached already. A target without a driver name always probes anew.
[[nodiscard]] std::vector<Step> plan(const Situation& now, const Target& target);

/// The plans of several functions in phases, because members of an IOMMU group depend on each other: all overrides and
/// settings, then all unbinds in reverse order, then all probes with what follows them.
[[nodiscard]] std::vector<Step> plan_all(std::span<const Move> moves);

/// "/sys/bus/pci/devices/0000:01:10.0"
[[nodiscard]] std::string directory_of(Bdf function);
/// "vfio-pci" and its variants ("mlx5_vfio_pci").
[[nodiscard]] bool is_vfio_driver(std::string_view driver);

/// Reads the truth. Errc::not_found when the function is gone, Errc::timeout when the kernel holds its lock.
[[nodiscard]] Result<Situation> situation(const Host& host, Bdf function);
/// Values now of the files that `wanted` names. Errc::refused when the function has no such file.
[[nodiscard]] Result<Settings> read_settings(const Host& host, Bdf function, const Settings& wanted);
/// "8086:10ca:8086:a04c", and " vf 1 of 0000:01:00.0" for a VF: what must still hold when a record is used later.
[[nodiscard]] Result<std::string> identity_of(const SysRoot& root, Bdf function);

/// Carries out one step with the host's deadline and reads back that it had its effect: success codes of the kernel
/// are not trusted. A timeout is Errc::timeout, and then nothing more may be done to the function.
[[nodiscard]] Result<void> apply(const Host& host, const Step& step);

}  // namespace pcivm::vfio
