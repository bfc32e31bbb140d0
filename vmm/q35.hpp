// SPDX-License-Identifier: GPL-2.0-or-later
// What firmware looks for to know the machine: the host bridge of Intel's Q35 chipset at 00:00.0, which places the
// memory-mapped configuration space, and the LPC bridge of its ICH9 at 00:1f.0, which places the ACPI registers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string_view>

#include "base/units.hpp"
#include "vmm/pci_device.hpp"

namespace pcivm::vmm {

/// A function of the chipset: an identity, and registers above 0x40 that keep what is written to them.
class ChipsetFunction : public PciDevice {
 public:
  [[nodiscard]] std::vector<BarRequest> bars() const override { return {}; }
  void place_bar(unsigned /*index*/, std::uint64_t /*address*/) override {}
  void config_read(std::uint16_t offset, std::span<std::byte> data) override;
  void config_write(std::uint16_t offset, std::span<const std::byte> data) override;

 protected:
  ChipsetFunction(std::uint16_t device, std::uint32_t pci_class);
  std::array<std::byte, 256> config_{};
};

/// Shadow RAM and the like are as firmware would leave them, so most of its registers mean nothing here.
class Q35HostBridge final : public ChipsetFunction {
 public:
  /// `place_ecam` is called when the guest moves that space, with none when it is switched off. On vCPU threads.
  explicit Q35HostBridge(std::function<void(std::optional<Gpa>)> place_ecam);
  [[nodiscard]] std::string_view name() const override { return "host bridge"; }
  void config_write(std::uint16_t offset, std::span<const std::byte> data) override;
  /// To power-on state: without memory-mapped configuration space.
  void reset();
  [[nodiscard]] std::optional<Gpa> ecam() const;

 private:
  [[nodiscard]] std::optional<Gpa> programmed() const;
  std::function<void(std::optional<Gpa>)> place_ecam_;
  mutable std::mutex mutex_;
  std::optional<Gpa> ecam_;  // guarded by mutex_
};

/// Says that the ACPI registers are at port::kAcpiPm, switched on; they cannot be moved.
class Ich9LpcBridge final : public ChipsetFunction {
 public:
  Ich9LpcBridge();
  [[nodiscard]] std::string_view name() const override { return "LPC bridge"; }
  void config_write(std::uint16_t offset, std::span<const std::byte> data) override;
  static constexpr unsigned kSlot = 31;
};

}  // namespace pcivm::vmm
