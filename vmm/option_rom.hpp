// SPDX-License-Identifier: GPL-2.0-or-later
// The expansion ROM of an assigned function (PCI 3.0, 6.2.5.2 and 6.3): its base address register, and the image where
// that says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/mapping.hpp"
#include "base/result.hpp"
#include "vmm/assigned_wiring.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/trapped_bar.hpp"

namespace pcivm::vmm {

/// The guest reads it without an exit; what it writes goes nowhere. Not synchronised, but for the bus.
class OptionRom final : public IoHandler {
 public:
  /// Copies the image, of 1 byte to vfio::kLargestRom; `wiring` outlives the ROM. Fails when there is no memory for it.
  [[nodiscard]] static Result<std::unique_ptr<OptionRom>> create(std::span<const std::byte> image,
                                                                 const AssignedWiring& wiring, std::string name);
  OptionRom(const OptionRom&) = delete;
  OptionRom& operator=(const OptionRom&) = delete;
  ~OptionRom() override { reset(); }

  [[nodiscard]] std::uint32_t read_register() const { return register_; }
  /// make_room() and decode() afterwards.
  void write_register(const DwordWrite& write);
  /// Brings the guest's address space in line with the register; `memory`: the function decodes memory. First it leaves
  /// where it shall not be any more, so that a BAR can have the place, then it comes where it shall be. Where something
  /// else is the ROM is not, until the next call.
  void make_room(bool memory);
  void decode(bool memory);
  /// As after power-on: no address, nothing decoded.
  void reset();

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  OptionRom(Mapping image, const AssignedWiring& wiring, std::string name)
      : image_{std::move(image)}, wiring_{wiring}, name_{std::move(name)} {}
  [[nodiscard]] std::optional<std::uint64_t> wanted(bool memory) const;
  void put_in(std::uint64_t address);
  void take_out();
  void report(Error error) const { wiring_.report(std::move(error).within(name_)); }

  Mapping image_;
  const AssignedWiring& wiring_;
  std::string name_;
  std::uint32_t register_{};
  std::optional<std::uint64_t> at_;
  std::optional<SlotId> slot_;
};

}  // namespace pcivm::vmm
