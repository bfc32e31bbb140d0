// SPDX-License-Identifier: GPL-2.0-or-later
// A device whose configuration space is anything at all: it is refused, or the guest finds lists that end, without what
// is hidden, and works with what it finds.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "iommu/config_facts.hpp"
#include "tests/vmm/play.hpp"

namespace pcivm::test {

class AssignedCapabilityPlay final {
 public:
  explicit AssignedCapabilityPlay(std::span<const std::uint8_t> input) : input_{input} {
    constexpr unsigned kVectors[] = {0, 1, 3, 2048};
    const auto choice = input_.byte();
    large_ = choice % 8 != 0;
    if (!large_) rig_.fake.regions[7].size = 256;
    rig_.fake.irq_counts[VFIO_PCI_MSIX_IRQ_INDEX] = kVectors[choice / 8U % 4];
    rig_.fake.irq_counts[VFIO_PCI_MSI_IRQ_INDEX] = kVectors[choice / 32U % 4];
    for (auto edits = input_.byte() % 64U; edits != 0; --edits) edit();
    rig_.fake.config(PCI_HEADER_TYPE, 1, input_.byte() % 16 == 0 ? 1 : 0x80);
  }

  /// Plays all input; what does not hold, empty when all does.
  [[nodiscard]] std::string_view run() {
    look_as_host();
    rig_.make();
    rig_.dma.set({});
    const bool taken = rig_.deliver().has_value();
    (void)rig_.fake.take_log();
    if (!taken) return rig_.read(PCI_VENDOR_ID, 4) == 0xffffffff ? std::string_view{} : "a refused device answers";
    if (const auto wrong = walk(); !wrong.empty()) return wrong;
    while (!input_.empty()) {
      use();
      if (rig_.fake.refused_slots() != 0) return "a slot over another one";
      for (const auto& [start, length] : rig_.fake.slot_ranges()) {
        if (!rig_.wiring.may_decode(start, length)) return "a slot lies outside the PCI windows";
      }
      for (const auto& entry : rig_.fake.take_log()) {
        if (entry.ends_with("unrouted")) return "an irqfd without a route";
      }
    }
    // The fake lets the guest change identities; links stay.
    if (const auto wrong = walk_links(guest_view()); !wrong.empty()) return wrong;
    return left_behind(rig_);
  }

 private:
  void edit() {
    constexpr std::uint8_t kStandard[] = {PCI_CAP_ID_PM, PCI_CAP_ID_MSI, PCI_CAP_ID_MSIX, PCI_CAP_ID_EXP,
                                          PCI_CAP_ID_AF, 0x14,           PCI_CAP_ID_VPD,  PCI_CAP_ID_VNDR};
    constexpr std::uint16_t kExtended[] = {
        PCI_EXT_CAP_ID_ERR, PCI_EXT_CAP_ID_SRIOV, PCI_EXT_CAP_ID_ARI, PCI_EXT_CAP_ID_REBAR, 0x24,
        PCI_EXT_CAP_ID_ATS, PCI_EXT_CAP_ID_PASID, PCI_EXT_CAP_ID_DSN};
    const auto choice = input_.byte();
    const auto id = choice / 8U % 8;
    switch (choice % 4) {
      case 0: rig_.fake.config(input_.byte(), 2, kStandard[id] | std::uint32_t{input_.byte()} << 8U); break;
      case 1: {
        const auto at = 0x100U + input_.byte() * 4U;
        const auto next = choice / 64U == 0 ? input_.word() % 0x1000U : 0x100U + input_.byte() * 4U;
        rig_.fake.config(at, 4, kExtended[id] | 1U << 16U | next << 20U);
        break;
      }
      case 2: rig_.fake.config(input_.word() % 4096U / 4 * 4, 4, input_.value()); break;
      default: rig_.fake.config(PCI_CAPABILITY_LIST, 1, input_.byte());
    }
  }

  // What the host's side makes of the same image.
  void look_as_host() {
    std::vector<std::byte> image(large_ ? 4096 : 256);
    (void)pread_exact(rig_.fake.node().ref(), 7 * FakeVfio::kStride, image);
    iommu::FunctionDetail function;
    iommu::apply_config(image, function);
  }

  std::vector<std::byte> guest_view() {
    std::vector<std::byte> image(4096);
    for (unsigned at = 0; at < image.size(); at += 4) {
      rig_.device->config_read(static_cast<std::uint16_t>(at), std::span{image}.subspan(at, 4));
    }
    return image;
  }

  /// As a guest would that trusts its hardware.
  std::string_view walk_links(const std::vector<std::byte>& image) {
    standard_.clear();
    extended_.clear();
    std::set<unsigned> seen;
    if ((config_u16(image, PCI_STATUS) & PCI_STATUS_CAP_LIST) != 0) {
      for (unsigned at = config_u8(image, PCI_CAPABILITY_LIST); at != 0; at = config_u8(image, at + 1)) {
        if (at < 0x40 || at % 4 != 0) return "a link points nowhere";
        if (!seen.insert(at).second) return "the list has no end";
        standard_.push_back(config_u8(image, at));
      }
    }
    for (unsigned at = 0x100; at != 0; at = config_u32(image, at) >> 20U) {
      const auto header = config_u32(image, at);
      if (at == 0x100 && (header == 0 || header == 0xffffffff)) break;
      if (at < 0x100 || at % 4 != 0) return "a link of the extended list points nowhere";
      if (!seen.insert(at).second) return "the extended list has no end";
      extended_.push_back(static_cast<std::uint16_t>(header));
    }
    return {};
  }
  std::string_view walk() {
    if (const auto wrong = walk_links(guest_view()); !wrong.empty()) return wrong;
    const auto has = [&](std::uint8_t id) { return std::ranges::count(standard_, id); };
    if (has(0x14) != 0) return "Enhanced Allocation shows";
    if (has(PCI_CAP_ID_MSI) != 0 && rig_.fake.irq_counts[VFIO_PCI_MSI_IRQ_INDEX] == 0) return "MSI without vectors";
    if (has(PCI_CAP_ID_MSIX) != 0 && rig_.fake.irq_counts[VFIO_PCI_MSIX_IRQ_INDEX] == 0) return "MSI-X without vectors";
    for (const auto id : {PCI_CAP_ID_PM, PCI_CAP_ID_MSI, PCI_CAP_ID_MSIX, PCI_CAP_ID_EXP, PCI_CAP_ID_AF}) {
      if (has(static_cast<std::uint8_t>(id)) > 1) return "a second capability of a kind that is emulated";
    }
    for (const auto id : {PCI_EXT_CAP_ID_SRIOV, PCI_EXT_CAP_ID_ARI, PCI_EXT_CAP_ID_REBAR, 0x24, PCI_EXT_CAP_ID_ATS,
                          PCI_EXT_CAP_ID_PRI, PCI_EXT_CAP_ID_PASID}) {
      if (std::ranges::count(extended_, static_cast<std::uint16_t>(id)) != 0)
        return "a hidden extended capability shows";
    }
    return {};
  }

  void use() {
    const auto action = input_.byte();
    const auto at = action % 8 < 4 ? 0x34U + input_.byte() % 0xccU : input_.word() % 4096U;
    const auto width = 1U << (action / 64U % 3);
    switch (action % 4) {
      case 0:
      case 1: rig_.write(at / width * width, width, input_.value()); break;
      case 2: rig_.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY); break;
      default: rig_.store(AssignedRig::kHigh + input_.word() % 0x8000U / 4 * 4, 4, input_.value());
    }
  }

  AssignedRig rig_;
  PlayInput input_;
  bool large_{};
  std::vector<std::uint8_t> standard_;
  std::vector<std::uint16_t> extended_;
};

}  // namespace pcivm::test
