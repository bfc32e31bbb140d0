// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/bar_registers.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <bit>

namespace pcivm::vmm {

namespace {

constexpr std::uint64_t kSmallestMemory = 16;
constexpr std::uint64_t kSmallestIo = 4;

std::uint32_t type_bits(const BarRequest& request) {
  if (request.io) return PCI_BASE_ADDRESS_SPACE_IO;
  return (request.is_64bit ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0U) |
         (request.prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0U);
}

}  // namespace

BarRegisters::BarRegisters(std::span<const BarRequest> requests) {
  constexpr std::uint64_t kLargest = std::uint64_t{1} << 63U;
  for (auto request : requests) {
    if (request.index >= kCount || request.size == 0 || changeable_[request.index] != 0) continue;
    request.size = std::bit_ceil(std::clamp(request.size, request.io ? kSmallestIo : kSmallestMemory, kLargest));
    request.is_64bit = request.is_64bit && !request.io && request.index + 1 < kCount;
    const auto mask = ~(request.size - 1);
    changeable_[request.index] = static_cast<std::uint32_t>(mask);
    flags_[request.index] = type_bits(request);
    if (request.is_64bit) changeable_[request.index + 1] = static_cast<std::uint32_t>(mask >> 32U);
    requests_.push_back(request);
  }
}

void BarRegisters::place(unsigned index, std::uint64_t address) {
  const auto found = std::ranges::find(requests_, index, &BarRequest::index);
  if (found == requests_.end()) return;
  write(index, static_cast<std::uint32_t>(address), ~0U);
  if (found->is_64bit) write(index + 1, static_cast<std::uint32_t>(address >> 32U), ~0U);
}

void BarRegisters::clear() { stored_.fill(0); }

std::uint32_t BarRegisters::read(unsigned reg) const { return stored_.at(reg) | flags_.at(reg); }

void BarRegisters::write(unsigned reg, std::uint32_t value, std::uint32_t mask) {
  const auto bits = mask & changeable_.at(reg);
  stored_.at(reg) = (stored_.at(reg) & ~bits) | (value & bits);
}

std::uint64_t BarRegisters::address(const BarRequest& request) const {
  const std::uint64_t low = stored_.at(request.index);
  return request.is_64bit ? low | std::uint64_t{stored_.at(request.index + 1)} << 32U : low;
}

}  // namespace pcivm::vmm
