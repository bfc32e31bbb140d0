// SPDX-License-Identifier: GPL-2.0-or-later
// An assigned function whose device is open: what its configuration registers do to mappings, interrupts and power.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "base/result.hpp"
#include "vfio/device.hpp"
#include "vmm/assigned_wiring.hpp"
#include "vmm/bar_decoder.hpp"
#include "vmm/bar_registers.hpp"
#include "vmm/config_patch.hpp"
#include "vmm/intx.hpp"
#include "vmm/msi_capability.hpp"
#include "vmm/msi_vectors.hpp"
#include "vmm/msix.hpp"
#include "vmm/option_rom.hpp"

namespace pcivm::vmm {

/// Message interrupts of a function, MSI or MSI-X.
struct VectorUse {
  unsigned used{};  ///< those that hold an interrupt of the host now
  unsigned most{};  ///< that the function has
};

/// `mutex` is the owner's: it is held by the caller of every public function except the BAR accesses, which take it
/// where they reach emulated state. Registers that VFIO virtualises (COMMAND of a VF, power, resets) are written to and
/// read from VFIO; BARs, MSI and MSI-X are ours alone.
class AssignedFunction final : public BarAccess {
 public:
  struct Parts {
    std::unique_ptr<vfio::Device> device;
    BarRegisters& registers;
    std::optional<unsigned> msix_bar;  // one of `registers` that is not the device's; MSI-X is there
    const AssignedWiring& wiring;
    FdRef intx_event;
    const IntxLines& intx_lines;
    std::span<const std::byte> rom;  // that the guest finds; empty: none
    std::mutex& mutex;
    const std::string& name;
  };
  /// Errc::kernel when the device's BARs are not the others of `registers`, on which the guest's address space was
  /// built.
  [[nodiscard]] static Result<std::unique_ptr<AssignedFunction>> create(Parts parts);
  AssignedFunction(const AssignedFunction&) = delete;
  AssignedFunction& operator=(const AssignedFunction&) = delete;
  ~AssignedFunction() override;

  [[nodiscard]] const vfio::Device& device() const { return *device_; }

  void config_read(std::uint16_t offset, std::span<std::byte> data);
  /// Inside one dword. A write that would set Bus Master Enable is made after DMA is ready.
  void config_write(std::uint16_t offset, std::span<const std::byte> data);

  void bar_read(unsigned bar, std::uint64_t offset, std::span<std::byte> data) override;
  void bar_write(unsigned bar, std::uint64_t offset, std::span<const std::byte> data) override;

  [[nodiscard]] VectorUse vectors() const;
  /// Its INTx, if it has one: the event is readable; the guest finished an interrupt of that pin.
  void intx_fired();
  void end_of_interrupt(unsigned pin);
  /// After the guest began to listen to it.
  void follow_command();

  /// irqfds, host interrupts, then guest mappings.
  void release();
  /// release(), bus mastering off, VFIO_DEVICE_RESET where the device has one. BARs are the caller's to place.
  [[nodiscard]] Result<void> reset();
  /// Mappings as the registers say, after the caller changed them or made room.
  void follow_registers();

 private:
  enum class Structure : std::uint8_t { device, table, pending, none };
  explicit AssignedFunction(Parts& parts);
  [[nodiscard]] Result<void> build(const Parts& parts);
  [[nodiscard]] Result<std::optional<MsixLayout>> find_structures() const;
  void build_interrupts(const std::optional<MsixLayout>& layout, const Parts& parts);
  void find_resets();
  [[nodiscard]] Result<void> check_bars() const;
  [[nodiscard]] bool reaches(std::uint16_t offset);
  [[nodiscard]] std::uint32_t read_register(std::uint16_t offset, unsigned width) const;
  void write_register(std::uint16_t offset, unsigned width, std::uint32_t value);
  void forward(std::uint16_t offset, std::span<const std::byte> data);
  void write_command(std::uint16_t offset, std::span<const std::byte> data);
  void write_power(std::uint16_t offset, std::span<const std::byte> data);
  void write_msix(std::uint16_t offset, std::span<const std::byte> data);
  void write_msi(std::uint16_t offset, std::span<const std::byte> data);
  void set_command(std::uint16_t wanted);
  [[nodiscard]] bool sends_messages() const;
  void end_messages();
  void decode(unsigned command);
  void function_level_reset(std::uint16_t offset, std::span<const std::byte> data);
  [[nodiscard]] bool in_d0() const;
  [[nodiscard]] bool starts_reset(std::uint16_t offset, std::span<const std::byte> data) const;
  [[nodiscard]] Structure structure_at(unsigned bar, std::uint64_t offset, std::size_t length,
                                       std::uint64_t& relative) const;
  void report(Result<void> outcome) const;

  std::unique_ptr<vfio::Device> device_;
  BarRegisters& registers_;
  std::optional<unsigned> msix_bar_;
  const AssignedWiring& wiring_;
  std::mutex& mutex_;
  const std::string& name_;
  ConfigPatches patches_;
  bool extended_{false};                 // they are those of all 4096 bytes
  std::uint16_t power_capability_{};     // 0 = none
  std::uint16_t express_capability_{};   // 0 = none, or its device has no FLR
  std::uint16_t features_capability_{};  // Advanced Features; 0 = none, or its device has no FLR
  // What the guest finds: what VFIO took of it when the guest last wrote, but for INTX_DISABLE, which is what the guest
  // wrote. VFIO shows a VF with memory decode on; a guest finds every function off, as after power-on.
  std::uint16_t command_{};
  bool powered_{true};  // in D0
  std::optional<BarDecoder> decoder_;
  std::unique_ptr<OptionRom> rom_;  // none: the guest finds no ROM
  std::optional<Intx> intx_;
  std::optional<MsiCapability> msi_;
  std::optional<MsiVectors> msix_vectors_;
  std::optional<Msix> msix_;  // goes first: interrupts before mappings
};

}  // namespace pcivm::vmm
