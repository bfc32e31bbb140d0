// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/assigned_function.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "base/pci_config.hpp"
#include "base/units.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/trapped_bar.hpp"

namespace pcivm::vmm {

namespace {

constexpr unsigned kConfig = vfio::Device::kConfigRegion;
constexpr std::uint16_t kFirstBar = PCI_BASE_ADDRESS_0;
constexpr std::uint16_t kLastBar = PCI_BASE_ADDRESS_5;
constexpr std::uint16_t kDwordMask = 3;
constexpr std::uint16_t kExtended = 0x100;
constexpr unsigned kIntxOff = PCI_COMMAND_INTX_DISABLE;

/// True when a write of `data` at `offset` covers the byte at `wanted`.
bool covers(std::uint16_t offset, std::span<const std::byte> data, std::uint16_t wanted) {
  return wanted >= offset && wanted - offset < static_cast<int>(data.size());
}

/// `old` (16 bits at `base`) with the bytes that the write covers replaced.
std::uint16_t merged(std::uint16_t base, std::uint32_t old, std::uint16_t offset, std::span<const std::byte> data) {
  for (unsigned index = 0; index < 2; ++index) {
    const auto at = static_cast<std::uint16_t>(base + index);
    if (!covers(offset, data, at)) continue;
    old &= ~(0xffU << (8 * index));
    old |= std::to_integer<std::uint32_t>(data[static_cast<std::size_t>(at - offset)]) << (8 * index);
  }
  return static_cast<std::uint16_t>(old);
}

}  // namespace

AssignedFunction::~AssignedFunction() { release(); }

void AssignedFunction::report(Result<void> outcome) const {
  if (!outcome) wiring_.report(std::move(outcome).error().within(name_));
}

std::uint32_t AssignedFunction::read_register(std::uint16_t offset, unsigned width) const {
  std::array<std::byte, 4> bytes{};
  const auto data = std::span{bytes}.first(width);
  if (!device_->read(kConfig, offset, data)) std::ranges::fill(data, std::byte{0xff});
  return static_cast<std::uint32_t>(load_le(data));
}

void AssignedFunction::write_register(std::uint16_t offset, unsigned width, std::uint32_t value) {
  std::array<std::byte, 4> bytes{};
  const auto data = std::span{bytes}.first(width);
  store_le(data, value);
  report(device_->write(kConfig, offset, data));
}

// What is hidden beyond the first 256 bytes is known when the guest first comes there: most of a start is over then.
bool AssignedFunction::reaches(std::uint16_t offset) {
  if (offset < kExtended || extended_) return true;
  auto outcome = device_->read_extended();
  extended_ = outcome.has_value();
  if (extended_) patches_.extend(device_->config());
  report(std::move(outcome));
  return extended_;
}

void AssignedFunction::config_read(std::uint16_t offset, std::span<std::byte> data) {
  if (!reaches(offset) || !device_->read(kConfig, offset, data)) {
    // Beyond a short configuration space, or the device is gone.
    std::ranges::fill(data, std::byte{0xff});
    return;
  }
  patches_.apply(offset, data);
  for (std::size_t index = 0; index < data.size(); ++index) {
    const auto at = static_cast<std::uint16_t>(offset + index);
    const auto shift = 8U * (at & kDwordMask);
    if (at == PCI_COMMAND || at == PCI_COMMAND + 1) {
      data[index] = static_cast<std::byte>(unsigned{command_} >> shift & 0xffU);
    } else if (at >= kFirstBar && at < kLastBar + 4) {
      data[index] = static_cast<std::byte>(registers_.read((at - kFirstBar) / 4U) >> shift & 0xffU);
    } else if (rom_ && at >= PCI_ROM_ADDRESS && at < PCI_ROM_ADDRESS + 4) {
      data[index] = static_cast<std::byte>(rom_->read_register() >> shift & 0xffU);
    } else if (msix_ && static_cast<std::uint16_t>(at & 0xfffeU) == msix_->layout().capability + PCI_MSIX_FLAGS) {
      data[index] = static_cast<std::byte>(unsigned{msix_->control()} >> (8U * (at & 1U)) & 0xffU);
    } else if (msi_ && msi_->covers(at)) {
      data[index] = msi_->read(at);
    }
  }
}

void AssignedFunction::config_write(std::uint16_t offset, std::span<const std::byte> data) {
  if (!reaches(offset)) return;
  const auto dword = static_cast<std::uint16_t>(offset & ~kDwordMask);
  if (dword >= kFirstBar && dword <= kLastBar) {
    const auto write = DwordWrite::of(offset, data);
    registers_.write((dword - kFirstBar) / 4U, write.value, write.mask);
    follow_registers();
  } else if (rom_ && dword == PCI_ROM_ADDRESS) {
    rom_->write_register(DwordWrite::of(offset, data));
    follow_registers();
  } else if (dword == PCI_COMMAND) {
    write_command(offset, data);
  } else if (msix_ && dword >= msix_->layout().capability && dword < msix_->layout().capability + PCI_CAP_MSIX_SIZEOF) {
    write_msix(offset, data);
  } else if (msi_ && msi_->covers(static_cast<std::uint16_t>(dword + kDwordMask))) {
    write_msi(offset, data);
  } else if (power_capability_ != 0 && dword == power_capability_ + PCI_PM_CTRL) {
    write_power(offset, data);
  } else if (starts_reset(offset, data)) {
    function_level_reset(offset, data);
  } else {
    forward(offset, data);
  }
}

// Whole when nothing in it is patched, because VFIO sees what the guest wrote then; otherwise the bytes that are free.
void AssignedFunction::forward(std::uint16_t offset, std::span<const std::byte> data) {
  if (!fits(offset, data.size(), device_->region(kConfig).size)) return;
  const auto free = [&](std::size_t index) { return patches_.writable(static_cast<std::uint16_t>(offset + index)); };
  std::size_t open = 0;
  for (std::size_t index = 0; index < data.size(); ++index) open += free(index) ? 1U : 0U;
  if (open == data.size()) {
    report(device_->write(kConfig, offset, data));
    return;
  }
  for (std::size_t index = 0; index < data.size(); ++index) {
    if (free(index)) report(device_->write(kConfig, offset + index, data.subspan(index, 1)));
  }
}

void AssignedFunction::write_command(std::uint16_t offset, std::span<const std::byte> data) {
  if (offset < PCI_STATUS) {
    const auto wanted = merged(PCI_COMMAND, command_, offset, data);
    // Decoding ends before the device stops answering, and begins after it does.
    decode(command_ & wanted);
    set_command(wanted);
    follow_registers();
    follow_command();
  }
  const auto status = std::max<std::uint16_t>(offset, PCI_STATUS);
  const auto before = static_cast<std::size_t>(status - offset);
  if (before < data.size()) forward(status, data.subspan(before));
}

// While the kernel has not been asked for INTx nobody on the host listens: the function is told to be silent, or it
// could hold a line that it shares until the kernel gives that line up.
void AssignedFunction::set_command(std::uint16_t wanted) {
  const bool silent = intx_ && !intx_->started() && !sends_messages();
  write_register(PCI_COMMAND, 2, silent ? wanted | kIntxOff : wanted);
  const auto taken = read_register(PCI_COMMAND, 2);
  command_ = static_cast<std::uint16_t>((taken & ~kIntxOff) | (wanted & kIntxOff));
  if (taken == 0xffff) command_ = 0;  // the device is gone
}

bool AssignedFunction::sends_messages() const {
  return (msi_ && msi_->enabled()) || (msix_vectors_ && msix_vectors_->enabled());
}

// A function that was never enabled does not interrupt. One that decodes no more may: that is left to INTX_DISABLE, of
// which the kernel takes care once it has been asked for the interrupt.
void AssignedFunction::follow_command() {
  const bool enabled = (command_ & (PCI_COMMAND_MEMORY | PCI_COMMAND_IO)) != 0;
  const bool disabled = (command_ & kIntxOff) != 0;
  if (!intx_ || intx_->started() || !intx_->wanted() || !enabled || disabled || sends_messages()) return;
  intx_->start();
  if (intx_->started()) write_register(PCI_COMMAND, 2, command_);
}

// The kernel clears INTX_DISABLE in the device with the last message (pci_intx_for_msi), and sets it again only when
// what it was told changes (vfio_basic_config_write).
void AssignedFunction::end_messages() {
  follow_command();
  if (!intx_ || intx_->started()) return;
  write_register(PCI_COMMAND, 2, command_ & ~kIntxOff);
  write_register(PCI_COMMAND, 2, command_ | kIntxOff);
}

void AssignedFunction::write_msix(std::uint16_t offset, std::span<const std::byte> data) {
  const auto control = static_cast<std::uint16_t>(msix_->layout().capability + PCI_MSIX_FLAGS);
  const auto value = merged(control, msix_->control(), offset, data);
  const bool before = sends_messages();
  if (intx_ && (value & PCI_MSIX_FLAGS_ENABLE) != 0) intx_->stop();
  msix_->write_control(value);
  if (before && !sends_messages()) end_messages();
}

void AssignedFunction::write_msi(std::uint16_t offset, std::span<const std::byte> data) {
  const auto flags = static_cast<std::uint16_t>(msi_->offset() + PCI_MSI_FLAGS);
  const bool before = sends_messages();
  if (intx_ && (merged(flags, 0, offset, data) & PCI_MSI_FLAGS_ENABLE) != 0) intx_->stop();
  msi_->write(offset, data);
  if (before && !sends_messages()) end_messages();
}

void AssignedFunction::intx_fired() {
  if (intx_) intx_->fired();
}

void AssignedFunction::end_of_interrupt(unsigned pin) {
  if (intx_ && intx_->pin() == pin) intx_->end_of_interrupt();
}

void AssignedFunction::write_power(std::uint16_t offset, std::span<const std::byte> data) {
  const auto control = static_cast<std::uint16_t>(power_capability_ + PCI_PM_CTRL);
  const auto wanted = merged(control, read_register(control, 2), offset, data);
  // In D3 the kernel has taken the mapping away: the guest must trap, not fault us.
  if ((wanted & PCI_PM_CTRL_STATE_MASK) != 0) {
    powered_ = false;
    follow_registers();
  }
  forward(offset, data);
  powered_ = in_d0();
  follow_registers();
}

bool AssignedFunction::in_d0() const {
  if (power_capability_ == 0) return true;
  const auto control = static_cast<std::uint16_t>(power_capability_ + PCI_PM_CTRL);
  return (read_register(control, 2) & PCI_PM_CTRL_STATE_MASK) == 0;
}

bool AssignedFunction::starts_reset(std::uint16_t offset, std::span<const std::byte> data) const {
  if (express_capability_ != 0) {
    const auto control = static_cast<std::uint16_t>(express_capability_ + PCI_EXP_DEVCTL);
    if ((merged(control, 0, offset, data) & PCI_EXP_DEVCTL_BCR_FLR) != 0) return true;
  }
  if (features_capability_ == 0) return false;
  const auto control = static_cast<std::uint16_t>(features_capability_ + PCI_AF_CTRL);
  return (merged(control, 0, offset, data) & PCI_AF_CTRL_FLR) != 0;
}

// VFIO does the reset when it sees the bit (vfio_exp_config_write, vfio_af_config_write), and puts the registers that
// it saved back; to the guest they are as after power-on.
void AssignedFunction::function_level_reset(std::uint16_t offset, std::span<const std::byte> data) {
  release();
  forward(offset, data);
  write_register(PCI_COMMAND, 2, 0);
  command_ = 0;
  powered_ = in_d0();
  registers_.clear();
}

void AssignedFunction::decode(unsigned command) {
  const bool memory = powered_ && (command & PCI_COMMAND_MEMORY) != 0;
  if (rom_) rom_->make_room(memory);
  decoder_->decode(registers_, memory, powered_ && (command & PCI_COMMAND_IO) != 0);
  if (rom_) rom_->decode(memory);
}

void AssignedFunction::follow_registers() { decode(command_); }

VectorUse AssignedFunction::vectors() const {
  VectorUse use;
  const auto add = [&use](const MsiVectors& kind) {
    use.used += kind.used();
    use.most = std::max(use.most, kind.count());
  };
  if (msix_vectors_) add(*msix_vectors_);
  if (msi_) add(msi_->vectors());
  return use;
}

void AssignedFunction::release() {
  if (msix_) msix_->reset();
  if (msi_) msi_->reset();
  if (intx_) intx_->stop();
  if (decoder_) decoder_->clear();
  if (rom_) rom_->reset();
}

Result<void> AssignedFunction::reset() {
  release();
  write_register(PCI_COMMAND, 2, 0);
  command_ = 0;
  if (device_->resettable()) TRY(device_->reset());
  powered_ = in_d0();
  return {};
}

AssignedFunction::Structure AssignedFunction::structure_at(unsigned bar, std::uint64_t offset, std::size_t length,
                                                           std::uint64_t& relative) const {
  const bool ours = bar == msix_bar_;
  if (!ours && !fits(offset, length, device_->region(bar).size)) return Structure::none;
  if (!msix_) return ours ? Structure::none : Structure::device;
  for (const auto kind : {Structure::table, Structure::pending}) {
    const auto& hole = kind == Structure::table ? msix_->layout().table : msix_->layout().pending;
    if (hole.bar != bar || offset >= hole.area.end() || offset + length <= hole.area.offset) continue;
    // An access that is partly in a structure reaches neither it nor the device.
    if (offset < hole.area.offset || offset + length > hole.area.end()) return Structure::none;
    relative = offset - hole.area.offset;
    return kind;
  }
  return ours ? Structure::none : Structure::device;
}

void AssignedFunction::bar_read(unsigned bar, std::uint64_t offset, std::span<std::byte> data) {
  std::uint64_t relative = 0;
  const auto structure = structure_at(bar, offset, data.size(), relative);
  // The device's own registers need no lock of ours; EIO says that decode went off on another CPU.
  if (structure == Structure::device && device_->read(bar, offset, data)) return;
  std::ranges::fill(data, std::byte{0xff});
  const std::scoped_lock lock{mutex_};
  if (structure == Structure::table) msix_->read_table(relative, data);
  if (structure == Structure::pending) msix_->read_pending(relative, data);
}

void AssignedFunction::bar_write(unsigned bar, std::uint64_t offset, std::span<const std::byte> data) {
  std::uint64_t relative = 0;
  const auto structure = structure_at(bar, offset, data.size(), relative);
  if (structure == Structure::device) {
    // EIO while decode is off: hardware drops such a write as well.
    (void)device_->write(bar, offset, data);
  } else if (structure == Structure::table) {
    const std::scoped_lock lock{mutex_};
    msix_->write_table(relative, data);
  }
}

}  // namespace pcivm::vmm
