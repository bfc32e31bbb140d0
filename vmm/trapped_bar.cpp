// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/trapped_bar.hpp"

#include <linux/pci_regs.h>

#include <string>

namespace pcivm::vmm {

DwordWrite DwordWrite::of(std::uint16_t offset, std::span<const std::byte> data) {
  const auto dword = static_cast<std::uint16_t>(offset & ~3U);
  const auto shift = 8U * (offset - dword);
  return {.dword = dword,
          .value = static_cast<std::uint32_t>(load_le(data) << shift),
          .mask = static_cast<std::uint32_t>(((1ULL << 8 * data.size()) - 1) << shift)};
}

std::byte byte_of(std::uint32_t value, unsigned offset, unsigned start) {
  return static_cast<std::byte>(value >> 8U * (offset - start) & 0xffU);
}

TrappedBar::TrappedBar(const BarRequest& request, Wiring wiring)
    : wiring_{wiring}, registers_{std::span{&request, 1}} {}

void TrappedBar::place(unsigned index, std::uint64_t address) {
  if (index == registers_.requests().front().index) placed_ = address;
  registers_.place(index, address);
}

bool TrappedBar::covers(unsigned offset) { return offset >= PCI_BASE_ADDRESS_0 && offset < PCI_CARDBUS_CIS; }

std::byte TrappedBar::read(unsigned offset) const {
  const auto reg = (offset - PCI_BASE_ADDRESS_0) / 4;
  return byte_of(registers_.read(reg), offset, PCI_BASE_ADDRESS_0 + 4 * reg);
}

void TrappedBar::write(const DwordWrite& write) {
  registers_.write((write.dword - unsigned{PCI_BASE_ADDRESS_0}) / 4, write.value, write.mask);
}

void TrappedBar::decode(bool on, std::string_view name) {
  const auto& request = registers_.requests().front();
  const auto address = registers_.address(request);
  const bool answers = on && address != 0 && wiring_.may_decode(address, request.size);
  const auto wanted = answers ? std::optional{address} : std::nullopt;
  if (decoded_ == wanted) return;
  if (decoded_) (void)wiring_.memory.remove(*decoded_);
  decoded_.reset();
  if (!wanted) return;
  if (auto added = wiring_.memory.add(*wanted, request.size, wiring_.handler, std::string{name}); added) {
    decoded_ = wanted;
  } else {
    wiring_.report(added.error());
  }
}

void TrappedBar::reset() {
  registers_.clear();
  registers_.place(registers_.requests().front().index, placed_);
}

}  // namespace pcivm::vmm
