// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/msix.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/pci_config.hpp"
#include "base/units.hpp"
#include "vfio/msix_bar.hpp"
#include "vmm/io_bus.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::size_t kWord = 4;
constexpr unsigned kControlWord = 3;
constexpr unsigned kWordBits = 32;

/// 4 or 8 bytes, aligned, inside.
bool acceptable(std::uint64_t offset, std::size_t length, std::uint64_t size) {
  return (length == 4 || length == 8) && is_aligned(offset, length) && fits(offset, length, size);
}

Result<void> check(const vfio::Device& device, const BarHole& hole, std::string_view what) {
  if (hole.bar < vfio::Device::kBars && fits(hole.area.offset, hole.area.length, device.region(hole.bar).size)) {
    return {};
  }
  return fail(Errc::kernel, fmt::format("MSI-X {} at BAR {} offset {:#x}+{:#x} is outside of the device's BARs", what,
                                        hole.bar, hole.area.offset, hole.area.length));
}

}  // namespace

Result<std::optional<MsixLayout>> find_msix(const vfio::Device& device) {
  const auto config = device.config();
  const auto capability = find_capability(config, PCI_CAP_ID_MSIX);
  if (capability == 0 || device.irq(vfio::Irq::msix).count == 0) return std::nullopt;
  const unsigned entries = (config_u16(config, capability + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1U;
  const auto table = config_u32(config, capability + PCI_MSIX_TABLE);
  const auto pending = config_u32(config, capability + PCI_MSIX_PBA);
  const MsixLayout layout{
      .capability = capability,
      .entries = entries,
      .table = {.bar = table & PCI_MSIX_TABLE_BIR,
                .area = {.offset = table & PCI_MSIX_TABLE_OFFSET, .length = vfio::msix_table_length(entries)}},
      .pending = {.bar = pending & PCI_MSIX_PBA_BIR,
                  .area = {.offset = pending & PCI_MSIX_PBA_OFFSET, .length = vfio::msix_pending_length(entries)}}};
  TRY(check(device, layout.table, "table"));
  TRY(check(device, layout.pending, "pending bits"));
  const bool apart = layout.table.bar != layout.pending.bar || layout.table.area.end() <= layout.pending.area.offset ||
                     layout.pending.area.end() <= layout.table.area.offset;
  if (!apart) return fail(Errc::kernel, "MSI-X table and pending bits overlap");
  return layout;
}

MsixLayout MsixLayout::moved_to(unsigned bar) const {
  auto moved = *this;
  moved.table = {.bar = bar, .area = {.offset = 0, .length = table.area.length}};
  moved.pending = {.bar = bar, .area = {.offset = vfio::msix_pending_offset(entries), .length = pending.area.length}};
  return moved;
}

// Offsets are multiples of 8 where the BAR's number is.
MsixRegisters msix_place(const MsixLayout& layout) {
  const auto of = [](const BarHole& hole) { return static_cast<std::uint32_t>(hole.area.offset) | hole.bar; };
  return {.table = of(layout.table), .pending = of(layout.pending)};
}

Msix::Msix(const MsixLayout& layout, MessageVectors& vectors)
    : layout_{layout},
      control_{static_cast<std::uint16_t>(layout.entries - 1)},
      entries_(layout.entries),
      vectors_{vectors} {}

MessageVectors::Wanted Msix::wanted(const Entry& entry) const {
  if ((control_ & PCI_MSIX_FLAGS_MASKALL) != 0 || (entry.words[kControlWord] & PCI_MSIX_ENTRY_CTRL_MASKBIT) != 0) {
    return std::nullopt;
  }
  const MsiMessage message{.address = entry.words[0] | std::uint64_t{entry.words[1]} << 32U, .data = entry.words[2]};
  return deliverable(message) ? MessageVectors::Wanted{message} : std::nullopt;
}

void Msix::settle(unsigned first, unsigned count) {
  std::vector<MessageVectors::Wanted> list;
  list.reserve(count);
  for (auto index = first; index < first + count; ++index) list.push_back(wanted(entries_[index]));
  if (vectors_.enabled()) {
    vectors_.update(first, list);
  } else {
    vectors_.enable(list);
  }
}

void Msix::write_control(std::uint16_t value) {
  constexpr std::uint16_t kWritable = PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL;
  const auto next = static_cast<std::uint16_t>((control_ & ~kWritable) | (value & kWritable));
  if (next == control_) return;
  control_ = next;
  if ((control_ & PCI_MSIX_FLAGS_ENABLE) == 0) {
    vectors_.disable();
  } else {
    settle(0, layout_.entries);
  }
}

void Msix::read_table(std::uint64_t offset, std::span<std::byte> data) const {
  std::ranges::fill(data, std::byte{0xff});
  if (!acceptable(offset, data.size(), layout_.table.area.length)) return;
  const auto& entry = entries_[offset / PCI_MSIX_ENTRY_SIZE];
  for (std::size_t at = 0; at < data.size(); at += kWord) {
    store_le(data.subspan(at, kWord), entry.words[(offset + at) % PCI_MSIX_ENTRY_SIZE / kWord]);
  }
}

void Msix::write_table(std::uint64_t offset, std::span<const std::byte> data) {
  if (!acceptable(offset, data.size(), layout_.table.area.length)) return;
  const auto index = static_cast<unsigned>(offset / PCI_MSIX_ENTRY_SIZE);
  auto& entry = entries_[index];
  bool changed = false;
  for (std::size_t at = 0; at < data.size(); at += kWord) {
    auto& word = entry.words[(offset + at) % PCI_MSIX_ENTRY_SIZE / kWord];
    const auto value = static_cast<std::uint32_t>(load_le(data.subspan(at, kWord)));
    changed = changed || word != value;
    word = value;
  }
  if (changed && (control_ & PCI_MSIX_FLAGS_ENABLE) != 0) settle(index, 1);
}

std::uint32_t Msix::pending_word(unsigned first) {
  std::uint32_t word = 0;
  for (unsigned bit = 0; bit < kWordBits; ++bit) word |= (vectors_.pending(first + bit) ? 1U : 0U) << bit;
  return word;
}

void Msix::read_pending(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  if (!acceptable(offset, data.size(), layout_.pending.area.length)) return;
  for (std::size_t at = 0; at < data.size(); at += kWord) {
    store_le(data.subspan(at, kWord), pending_word(static_cast<unsigned>((offset + at) * 8)));
  }
}

void Msix::reset() {
  vectors_.release();
  control_ = static_cast<std::uint16_t>(layout_.entries - 1);
  std::ranges::fill(entries_, Entry{});
}

}  // namespace pcivm::vmm
