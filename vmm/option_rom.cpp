// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/option_rom.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/units.hpp"

namespace pcivm::vmm {

Result<std::unique_ptr<OptionRom>> OptionRom::create(std::span<const std::byte> image, const AssignedWiring& wiring,
                                                     std::string name) {
  auto memory = TRY(Mapping::anonymous(std::bit_ceil(std::max<std::uint64_t>(image.size(), kPageSize))));
  const auto rest = std::ranges::copy(image, memory.bytes().begin()).out;
  std::fill(rest, memory.bytes().end(), std::byte{0xff});
  return std::unique_ptr<OptionRom>{new OptionRom{std::move(memory), wiring, std::move(name)}};
}

void OptionRom::write_register(const DwordWrite& write) {
  const auto size = static_cast<std::uint32_t>(image_.length());
  register_ = write.merged(register_) & (~(size - 1) | PCI_ROM_ADDRESS_ENABLE);
}

std::optional<std::uint64_t> OptionRom::wanted(bool memory) const {
  const std::uint64_t address = register_ & ~std::uint32_t{PCI_ROM_ADDRESS_ENABLE};
  const bool enabled = memory && (register_ & PCI_ROM_ADDRESS_ENABLE) != 0 && address != 0;
  return enabled && wiring_.may_decode(address, image_.length()) ? std::optional{address} : std::nullopt;
}

void OptionRom::make_room(bool memory) {
  if (at_ && at_ != wanted(memory)) take_out();
}

void OptionRom::decode(bool memory) {
  const auto address = wanted(memory);
  if (!at_ && address) put_in(*address);
}

// As a BAR (bar_decoder.cpp): the bus tells whether the place is free, and has what the slot has not.
void OptionRom::put_in(std::uint64_t address) {
  if (auto added = wiring_.memory.add(address, image_.length(), *this, name_); !added) {
    report(std::move(added).error());
    return;
  }
  at_ = address;
  auto slot = wiring_.slots.add(Gpa{address}, image_.hva(), image_.length(), MemorySlots::Kind::read_only);
  if (slot) {
    slot_ = *slot;
  } else {
    report(std::move(slot).error());
  }
}

void OptionRom::take_out() {
  if (const auto slot = std::exchange(slot_, std::nullopt)) {
    if (auto removed = wiring_.slots.remove(*slot); !removed) report(std::move(removed).error());
  }
  wiring_.memory.remove(*at_);
  at_.reset();
}

void OptionRom::reset() {
  register_ = 0;
  make_room(false);
}

void OptionRom::read(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  if (fits(offset, data.size(), image_.length()))
    std::ranges::copy(image_.bytes().subspan(offset, data.size()), data.begin());
}

void OptionRom::write(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) {}

}  // namespace pcivm::vmm
