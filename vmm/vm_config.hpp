// SPDX-License-Identifier: GPL-2.0-or-later
// All that a VM is made of, as the privileged side prepared it: open descriptors and plans, no paths. What starts from
// here needs neither /dev nor /sys.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vfio/opened.hpp"
#include "vmm/bar_plan.hpp"
#include "vmm/boot_linux.hpp"
#include "vmm/cpu_set.hpp"
#include "vmm/firmware_config.hpp"
#include "vmm/memory_layout.hpp"
#include "vmm/virtio/virtio_config.hpp"

namespace pcivm::vmm {

enum class OnReboot : std::uint8_t { restart, exit };

/// When the host wants an assigned function back (its driver is unbound, the function removed), which waits in the
/// kernel until the VM lets go.
enum class OnRequest : std::uint8_t {
  detach,  ///< the guest is asked to let go of it, and then as with `stop` when it does not
  stop,    ///< the power button; the VM ends when the guest powered off, or soon after
  ignore   ///< the host waits until the VM ends
};

/// When an assigned device reports an uncorrectable error (PCIe AER). Where devices do not come and go, or the device
/// is not open yet, each is as `stop`.
enum class OnError : std::uint8_t {
  stop,    ///< the VM ends
  detach,  ///< it is taken from the guest at once, as if it were pulled, and given back to the host
  reset    ///< it is taken from the guest, reset, and shown to it anew; detached when that fails, or does not help
};
[[nodiscard]] std::string_view to_string(OnError how);
/// Errc::invalid: none of their names.
[[nodiscard]] Result<OnError> on_error_named(std::string_view name);

/// When the guest's watchdog runs out.
enum class WatchdogAction : std::uint8_t { reset, power_off, none };

/// What the supervisor asks for, one byte each on VmConfig::control.
enum class ControlByte : char { power_button = 'p', kill = 'k', report = 'r' };

/// What the VMM tells the supervisor on VmConfig::control, one line each, which starts with one of these words.
inline constexpr std::string_view kWantedBack{"wanted"};  ///< then the function's address
inline constexpr std::string_view kFailed{
    "failed"};  ///< an uncorrectable error of: the address, and what is done (OnError)
inline constexpr std::string_view kRunning{"running"};  ///< the guest's first instruction
/// The answer to ControlByte::report: many lines `figure NAME VALUE` (figures_of), then one `figures`.
inline constexpr std::string_view kFigure{"figure"};
inline constexpr std::string_view kFigures{"figures"};

struct ConsoleFiles {
  bool serial{true};  ///< false: the serial port is connected to nothing
  Fd in;              ///< none: the guest gets no input
  Fd out;             ///< none: what the guest says is dropped
};

/// Devices that come and go while the guest runs.
struct HotplugConfig {
  unsigned slots{};      ///< that are kept for them; 0: none, and those of the start stay
  std::uint64_t room{};  ///< bytes of addresses for their 64-bit BARs
  Fd socket;             ///< the VMM's end of a socket to the supervisor (plug_message.hpp)
};

struct VmConfig {
  std::string name;
  std::array<std::uint8_t, 16> uuid{};  ///< of the system, in the guest's SMBIOS tables
  CpuWish cpus{};
  OnReboot on_reboot{OnReboot::restart};
  OnRequest on_request{OnRequest::detach};
  OnError on_error{OnError::stop};
  bool debug_exit{};    ///< the guest may end the VM with a number (legacy/debug_exit.hpp)
  bool peer_to_peer{};  ///< devices reach each other's BARs by DMA
  MemoryLayout layout;
  RamBacking ram{};                        ///< but for `shared` and `devices`, which the machine decides
  unsigned address_bits{36};               ///< of the guest's CPUs
  Fd kvm;                                  ///< /dev/kvm
  std::optional<FirmwareConfig> firmware;  ///< in place of kernel, initrd, boot and cmdline
  Fd kernel;                               ///< a regular file; read at every boot
  Fd initrd;                               ///< none when the plan has none
  BootPlan boot;
  std::string cmdline;
  vfio::OpenedVfio vfio;  ///< no groups: no container either, but there may be devices that processes serve
  BarPlan bars;           ///< sites of vfio.devices, then of the virtio devices, then of the watchdog, by index
  VirtioConfig virtio;
  HotplugConfig hotplug;
  std::optional<WatchdogAction> watchdog;  ///< none: there is no watchdog; the last device of all
  ConsoleFiles console;
  Fd control;  ///< the VMM's end of a socket to the supervisor
};

}  // namespace pcivm::vmm
