// SPDX-License-Identifier: GPL-2.0-or-later
// When each phase of a VM's start was reached, and what it cost.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bdf.hpp"
#include "vmm/assigned_function.hpp"
#include "vmm/counting_ioctl.hpp"
#include "vmm/vcpu.hpp"
#include "vmm/virtio/console_port.hpp"

namespace pcivm::vmm {

enum class Phase : std::uint8_t {
  exec,               ///< the command started
  prepared,           ///< everything is checked, bound and opened
  vm_created,         ///< KVM has the VM
  kernel_loaded,      ///< kernel and initrd are in guest memory
  first_instruction,  ///< CPU 0 enters the guest
  device_ready,       ///< every assigned device is open and reset
  memory_mapped,      ///< guest RAM is populated and mapped for DMA
  guest_init,         ///< the guest wrote kGuestInitValue to port kGuestInitPort
  ended,              ///< the VM has ended, its devices are closed
};
inline constexpr std::size_t kPhases = 9;
[[nodiscard]] std::string_view to_string(Phase phase);

inline constexpr std::uint16_t kGuestInitPort = 0x3f0;
inline constexpr std::uint8_t kGuestInitValue = 123;

/// Any thread. The first stamp of a phase counts, so a guest reboot changes nothing.
class Timeline final {
 public:
  void stamp(Phase phase);
  /// As at() had it elsewhere.
  void stamp(Phase phase, std::int64_t at);
  /// CLOCK_MONOTONIC in nanoseconds.
  [[nodiscard]] std::optional<std::int64_t> at(Phase phase) const;

 private:
  std::array<std::atomic<std::int64_t>, kPhases> stamps_{};
};

/// All figures of one VM, from exec to its end.
struct TimelineReport {
  std::vector<std::pair<std::string_view, std::int64_t>> phases{};  ///< those that were reached, by time
  ExitCounts exits{};
  std::vector<std::pair<std::string, std::uint64_t>> ioctls{};  ///< by name
  std::uint64_t mapped_bytes{};                                 ///< of guest RAM for DMA
  std::uint64_t dma_runs{};
  std::uint64_t huge_run_bytes{};  ///< of mapped_bytes, in runs of at least 2 MiB
  std::uint64_t populate_ns{};     ///< for all of the memory to be there
  std::uint64_t map_ns{};          ///< and then to be mapped for DMA
  std::uint64_t peer_bytes{};      ///< of BARs that other devices of the VM reach
  std::uint64_t routes{};          ///< of KVM that are taken, of InterruptRoutes::kMost
  std::vector<std::pair<Bdf, VectorUse>> vectors{};
  std::uint64_t boots{};             ///< 1 + guest reboots
  std::uint64_t device_resets{};     ///< VFIO_DEVICE_RESET; the kernel's own at open and close are not in it
  std::uint64_t console_dropped{};   ///< bytes of the serial port that nobody took in time
  std::vector<PortFigures> ports{};  ///< of the console device, in order
};

/// All of it as names and numbers: "exits.portIn", "ioctls.KVM_IRQFD", "phases.guestInit", "dma.mappedBytes", "boots",
/// "vectorsUsed.0000:01:10.0".
[[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> figures_of(const TimelineReport& report);
/// The kinds of exits by their names in all outputs.
[[nodiscard]] std::vector<std::pair<std::string_view, std::uint64_t>> named_exits(const ExitCounts& exits);
[[nodiscard]] std::vector<std::pair<std::string_view, std::int64_t>> phases_of(const Timeline& timeline);
/// "KVM_CREATE_VM" for the requests of this program, else the number.
[[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> named_counts(const CountingIoctl& port);
[[nodiscard]] std::uint64_t count_of(const CountingIoctl& port, unsigned long request);

}  // namespace pcivm::vmm
