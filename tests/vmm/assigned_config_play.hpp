// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile guest and the configuration space of its function: reads and writes of any size and offset. Registers that
// are not the guest's never change in the device, whatever a write spans.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tests/vmm/play.hpp"

namespace pcivm::test {

class AssignedConfigPlay final {
 public:
  explicit AssignedConfigPlay(std::span<const std::uint8_t> input) : input_{input} {
    const auto choice = input_.byte();
    dma_fails_ = choice % 4 == 0;
    make_device(static_cast<std::uint16_t>(choice & (PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_QMASK)), (choice & 1U) != 0);
    rig_.make();
    rig_.dma.set(dma_fails_ ? fail(Errc::denied, "no memory to lock") : Result<void>{});
    (void)rig_.deliver();
    (void)rig_.fake.take_log();
    at_start_ = hardware();
    seen_at_start_ = guest_view();
  }

  /// Plays all input; what does not hold, empty when all does.
  [[nodiscard]] std::string_view run() {
    while (!input_.empty()) {
      if (const auto wrong = step(); !wrong.empty()) return wrong;
      if (const auto wrong = check(); !wrong.empty()) return wrong;
    }
    return left_behind(rig_);
  }

 private:
  static constexpr unsigned kSize = 4096;
  static constexpr unsigned kMsi = 0x50;
  static constexpr unsigned kFeatures = 0x88;
  static constexpr unsigned kEnhancedAllocation = 0xe0;
  static constexpr unsigned kSriov = 0x140;
  static constexpr unsigned kAts = 0x180;
  static constexpr unsigned kResizable = 0x190;
  static constexpr unsigned kAccessControl = 0x1c8;

  void standard(unsigned at, std::uint8_t id, unsigned next) {
    rig_.fake.config(at, 2, id | next << 8U);
    fence(at + 1, 1);
  }
  void extended(unsigned at, std::uint16_t id, unsigned next) {
    rig_.fake.config(at, 4, id | 1U << 16U | next << 20U);
    fence(at + 2, 2);
  }
  /// Registers that no write of the guest reaches.
  void fence(unsigned at, unsigned length) {
    for (unsigned index = 0; index < length; ++index) fenced_.set(at + index);
  }
  void hide(unsigned at, unsigned length) {
    for (unsigned index = 4; index < length; index += 4) rig_.fake.config(at + index, 4, 0x5a5a5a00U | index);
    fence(at, length);
    hidden_.push_back({.offset = at, .length = length});
  }
  void make_device(std::uint16_t msi_flags, bool maskable) {
    auto& fake = rig_.fake;
    fake.config(FakeVfio::kPm, 2, PCI_CAP_ID_PM);
    standard(FakeVfio::kPm, PCI_CAP_ID_PM, kMsi);
    standard(kMsi, PCI_CAP_ID_MSI, FakeVfio::kMsix);
    fake.config(kMsi + PCI_MSI_FLAGS, 2, msi_flags | (maskable ? PCI_MSI_FLAGS_MASKBIT : 0U));
    fake.irq_counts[VFIO_PCI_MSI_IRQ_INDEX] = 8;
    capable_ = std::min((unsigned{msi_flags} & PCI_MSI_FLAGS_QMASK) >> 1U, 3U);
    const bool wide = (msi_flags & PCI_MSI_FLAGS_64BIT) != 0;
    fence(kMsi, (maskable ? 0x14U : 0x0cU) + (wide ? 4U : 0U));
    standard(FakeVfio::kMsix, PCI_CAP_ID_MSIX, kFeatures);
    fence(FakeVfio::kMsix, PCI_CAP_MSIX_SIZEOF);
    standard(kFeatures, PCI_CAP_ID_AF, FakeVfio::kExpress);
    fake.config(kFeatures + PCI_AF_CAP, 1, PCI_AF_CAP_TP | PCI_AF_CAP_FLR);
    standard(FakeVfio::kExpress, PCI_CAP_ID_EXP, kEnhancedAllocation);
    standard(kEnhancedAllocation, 0x14, 0);
    hide(kEnhancedAllocation, 0x20);
    extended(0x100, PCI_EXT_CAP_ID_ERR, kSriov);
    extended(kSriov, PCI_EXT_CAP_ID_SRIOV, kAts);
    hide(kSriov, 0x40);
    extended(kAts, PCI_EXT_CAP_ID_ATS, kResizable);
    hide(kAts, 8);
    extended(kResizable, PCI_EXT_CAP_ID_REBAR, kAccessControl);
    hide(kResizable, 0x34);
    extended(kAccessControl, PCI_EXT_CAP_ID_ACS, 0);
    fake.config(PCI_INTERRUPT_PIN, 1, 1);
    fake.config(PCI_ROM_ADDRESS, 4, 0xfff00001);
    fence(PCI_HEADER_TYPE, 1);
    fence(PCI_BASE_ADDRESS_0, 24);
    fence(PCI_ROM_ADDRESS, 5);  // with the pointer to the list behind it
    fence(PCI_INTERRUPT_PIN, 1);
  }

  [[nodiscard]] std::vector<std::byte> hardware() const {
    std::vector<std::byte> image(kSize);
    (void)pread_exact(node_.ref(), 7 * FakeVfio::kStride, image);
    return image;
  }
  std::vector<std::byte> guest_view() {
    std::vector<std::byte> image(kSize);
    for (unsigned at = 0; at < kSize; at += 4) {
      rig_.device->config_read(static_cast<std::uint16_t>(at), std::span{image}.subspan(at, 4));
    }
    return image;
  }

  unsigned offset() {
    constexpr unsigned kTelling[] = {PCI_COMMAND, FakeVfio::kPm + PCI_PM_CTRL, FakeVfio::kExpress + PCI_EXP_DEVCTL,
                                     kFeatures + PCI_AF_CTRL};
    const auto choice = input_.byte();
    switch (choice % 4) {
      case 0: return kTelling[choice / 4U % 4] + choice / 64U;
      case 1: return choice / 4U;  // the header
      case 2: return FakeVfio::kPm + input_.byte() % 0xc0U;
      default: return input_.word() % (kSize + 16U);
    }
  }
  std::string_view step() {
    constexpr std::array<std::size_t, 16> kWidths{1, 2, 4, 4, 1, 2, 4, 3, 8, 0, 5, 6, 7, 16, 2, 4};
    const auto action = input_.byte();
    const auto width = kWidths[action / 16U];
    const auto at = static_cast<std::uint16_t>(offset());
    std::array<std::byte, 16> bytes{};
    const auto data = std::span{bytes}.first(width);
    if (action % 8 == 7) {
      rig_.fake.fire(action % 16 < 8 ? VFIO_PCI_MSI_IRQ_INDEX : VFIO_PCI_MSIX_IRQ_INDEX, action / 16U % 3);
      return {};
    }
    if (action % 8 < 5) {
      vmm::store_le(data, input_.wide());
      rig_.device->config_write(at, data);
      return {};
    }
    rig_.device->config_read(at, data);
    const bool possible = width != 0 && at % 4U + width <= 4 && at < kSize;
    if (!possible) return all_ones(data) ? std::string_view{} : "a read that cannot be does not give ones";
    for (std::size_t index = 0; index < width; ++index) {
      std::array<std::byte, 1> byte{};
      rig_.device->config_read(static_cast<std::uint16_t>(at + index), byte);
      if (byte[0] != data[index]) return "a byte differs from the word that it is in";
    }
    return {};
  }

  [[nodiscard]] std::string_view check() {
    if (const auto wrong = broken(rig_); !wrong.empty()) return wrong;
    if (rig_.fake.irqfds() > 4) return "more irqfds than vectors";
    const auto now = hardware();
    for (unsigned at = 0; at < kSize; ++at) {
      if (fenced_.test(at) && now[at] != at_start_[at]) return "a register that is not the guest's was written";
    }
    if (dma_fails_ && (rig_.fake.config(PCI_COMMAND, 2) & PCI_COMMAND_MASTER) != 0) return "bus master without DMA";
    return check_view();
  }
  std::string_view check_view() {
    for (const auto& [at, length] : hidden_) {
      for (auto dword = at + 4; dword < at + length; dword += 4) {
        if (rig_.read(static_cast<unsigned>(dword), 4) != 0) return "a hidden capability shows";
      }
    }
    if ((rig_.read(PCI_HEADER_TYPE, 1) & 0x80U) != 0) return "the multi-function bit shows";
    if (rig_.read(PCI_ROM_ADDRESS, 4) != 0) return "the ROM's BAR shows";
    if (rig_.read(PCI_INTERRUPT_PIN, 1) != 0) return "an interrupt pin shows";
    const auto msi = rig_.read(kMsi + PCI_MSI_FLAGS, 2);
    const auto capable = (msi & PCI_MSI_FLAGS_QMASK) >> 1U;
    if (capable != capable_) return "the number of MSI vectors changed";
    if ((msi & PCI_MSI_FLAGS_QSIZE) >> 4U > capable) return "more MSI vectors than there are";
    if (rig_.fake.host_vectors_of(VFIO_PCI_MSI_IRQ_INDEX) > 1U << capable) return "the host gives more MSI vectors";
    for (const unsigned at : {unsigned{PCI_CAPABILITY_LIST}, FakeVfio::kPm + 1U, kMsi + 1U, FakeVfio::kMsix + 1U,
                              kFeatures + 1U, FakeVfio::kExpress + 1U}) {
      if (std::byte(rig_.read(at, 1)) != seen_at_start_[at]) return "a link of the list moved";
    }
    for (const unsigned at : {FakeVfio::kMsix + unsigned{PCI_MSIX_TABLE}, FakeVfio::kMsix + unsigned{PCI_MSIX_PBA}}) {
      if (rig_.read(at, 4) != rig_.fake.config(at, 4)) return "the MSI-X structures moved";
    }
    for (unsigned reg = 0; reg < 6; ++reg) {
      constexpr std::uint32_t kFlags[] = {0xc, 0, 0, 0xc, 0, 0};
      const auto value = rig_.read(PCI_BASE_ADDRESS_0 + reg * 4, 4);
      const bool upper = reg == 1 || reg == 4;
      if (!upper && (value & 0x3fffU) != kFlags[reg]) return "the low bits of a BAR changed";
    }
    return {};
  }

  AssignedRig rig_;
  Fd node_ = rig_.fake.node();
  PlayInput input_;
  bool dma_fails_{};
  unsigned capable_{};  // log2 of the MSI vectors
  std::bitset<kSize> fenced_;
  std::vector<vfio::Area> hidden_;
  std::vector<std::byte> at_start_;
  std::vector<std::byte> seen_at_start_;
};

}  // namespace pcivm::test
