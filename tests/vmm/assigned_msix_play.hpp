// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile guest and MSI-X table, pending bits and control word, of any layout, while the host fails now and then.
#pragma once

#include <dirent.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tests/vmm/play.hpp"

namespace pcivm::test {

class AssignedMsixPlay final {
 public:
  explicit AssignedMsixPlay(std::span<const std::uint8_t> input) : files_{open_files()}, input_{input} {
    constexpr unsigned kEntries[] = {1, 3, 4, 64, 65, 100};
    auto& rig = rig_.emplace();
    const unsigned choice = input_.byte();
    entries_ = kEntries[choice % 6];
    vectors_ = choice / 8U % 4 == 0 ? 1 + input_.byte() % 128U : entries_;
    rig.fake.fixed_count = (choice & 0x20U) != 0;
    rig.fake.irq_counts[VFIO_PCI_MSIX_IRQ_INDEX] = vectors_;
    rig.fake.config(FakeVfio::kMsix + PCI_MSIX_FLAGS, 2, entries_ - 1);
    // The pending bits right behind the table, on a page of their own, or in the other BAR.
    table_ = input_.byte() % 16U * 0x80;
    const bool elsewhere = (choice & 0x40U) != 0;
    const auto pending = (choice & 0x80U) != 0 ? table_ + entries_ * 16 : 0x2000U + table_;
    pending_ = (elsewhere ? AssignedRig::kHigh : AssignedRig::kTable) + pending;
    rig.fake.config(FakeVfio::kMsix + PCI_MSIX_TABLE, 4, table_ | 3U);
    rig.fake.config(FakeVfio::kMsix + PCI_MSIX_PBA, 4, pending | (elsewhere ? 0U : 3U));
    place_ = AssignedRig::kTable + table_;
    // Or both in a BAR of ours.
    const bool moved = (choice & 0x18U) == 0x18U;
    if (moved) {
      rig.facts.msix_bar = iommu::Bar{.index = 5, .size = kPageSize};
      place_ = AssignedRig::kLow;
      pending_ = place_ + vfio::msix_pending_offset(entries_);
    }
    rig.ready();
    if (moved) rig.device->place_bar(5, place_);
    rig.decode();
    model_.resize(entries_, {0, 0, 0, 1});
    hardware_ = hardware();
  }

  /// Plays all input; what does not hold, empty when all does.
  [[nodiscard]] std::string_view run() {
    while (!input_.empty()) {
      if (const auto wrong = step(); !wrong.empty()) return wrong;
      if (const auto wrong = check(); !wrong.empty()) return wrong;
    }
    if (hardware() != hardware_) return "a write reached the device's own table";
    // An eventfd for each vector and one more for each that was masked; twenty for the device and the library.
    if (open_files() > files_ + 2 * vectors_ + 20) return "more descriptors than vectors can need";
    allow();
    // On once more: routes that KVM refused to take away go with the next change.
    rig_->msix_control(PCI_MSIX_FLAGS_ENABLE);
    rig_->msix_control(0);
    if (rig_->fake.host_vectors_of(VFIO_PCI_MSIX_IRQ_INDEX) != 0) return "off, and not off";
    const auto wrong = left_behind(*rig_);
    rig_.reset();
    if (wrong.empty() && open_files() != files_) return "a descriptor is left";
    return wrong;
  }

 private:
  static std::size_t open_files() {
    std::size_t count = 0;
    auto* const folder = ::opendir("/proc/self/fd");
    while (::readdir(folder) != nullptr) ++count;
    ::closedir(folder);
    return count;
  }
  [[nodiscard]] std::vector<std::byte> hardware() const {
    std::vector<std::byte> table(std::size_t{entries_} * 16);
    (void)pread_exact(rig_->fake.node().ref(), 3 * FakeVfio::kStride + table_, table);
    return table;
  }

  std::string_view step() {
    constexpr std::array<unsigned, 16> kWidths{4, 4, 8, 4, 8, 1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16};
    auto& rig = *rig_;
    const auto action = input_.byte();
    const auto width = kWidths[action / 16U];
    switch (action % 8) {
      case 0: rig.msix_control(std::uint32_t{input_.byte()} << 8U | input_.byte()); return {};
      case 1: {
        const auto vector = input_.byte() % entries_;
        write(vector * 16, 4, 0xfee00000U | std::uint32_t{input_.byte()} << 12U);
        write(vector * 16 + 12, 4, input_.byte() & 1U);
        return {};
      }
      case 2: write(input_.byte() % entries_ * 16 + 12, 4, input_.byte() & 1U); return {};
      case 3: write(offset(), width, input_.wide()); return {};
      case 4: return read(offset(), width);
      case 5: return read_pending(width);
      case 6: rig.fake.fire(VFIO_PCI_MSIX_IRQ_INDEX, input_.byte()); return {};
      default: refuse(); return {};
    }
  }
  /// The kernel refuses one kind of call from now on, or none.
  void refuse() {
    auto& fake = rig_->fake;
    allow();
    switch (input_.byte() % 8) {
      case 0: fake.no_vectors = ENOSPC; break;
      case 1: fake.no_irqfds = EBUSY; break;
      case 2: fake.fail[vmm::kvm::set_gsi_routing.number] = EINVAL; break;
      default: break;
    }
  }
  void allow() {
    rig_->fake.no_vectors = 0;
    rig_->fake.no_irqfds = 0;
    rig_->fake.fail.clear();
  }
  /// In the table, around it, and behind it.
  unsigned offset() { return input_.word() % (entries_ * 16 + 32); }

  [[nodiscard]] bool in_table(unsigned at, unsigned width) const {
    return (width == 4 || width == 8) && at % width == 0 && at + width <= entries_ * 16;
  }
  // Beside the structures is the device, which may have anything there.
  void write(unsigned at, unsigned width, std::uint64_t value) {
    if (at >= entries_ * 16) return;
    rig_->store(place_ + at, width, value);
    if (!in_table(at, width)) return;
    for (unsigned done = 0; done < width; done += 4) {
      model_[(at + done) / 16][(at + done) % 16 / 4] = static_cast<std::uint32_t>(value >> 8 * done);
    }
  }
  std::string_view read(unsigned at, unsigned width) {
    if (at >= entries_ * 16) return {};
    std::array<std::byte, 16> bytes{};
    const auto data = std::span{bytes}.first(width);
    (void)rig_->memory.read(place_ + at, data);
    if (!in_table(at, width)) return all_ones(data) ? std::string_view{} : "an odd read does not give ones";
    for (unsigned done = 0; done < width; done += 4) {
      if (config_u32(data, done) != model_[(at + done) / 16][(at + done) % 16 / 4]) return "the table forgot";
    }
    return {};
  }
  std::string_view read_pending(unsigned width) {
    const auto length = (entries_ + 63) / 64 * 8;
    const auto at = input_.byte() % length;
    std::array<std::byte, 16> bytes{};
    const auto data = std::span{bytes}.first(width);
    (void)rig_->memory.read(pending_ + at, data);
    std::array<std::byte, 16> ones{};
    ones.fill(std::byte{0xff});
    rig_->memory.write(pending_ + at, std::span{ones}.first(width));
    const bool possible = (width == 4 || width == 8) && at % width == 0 && at + width <= length;
    if (!possible) return all_ones(data) ? std::string_view{} : "an odd read of pending bits does not give ones";
    for (unsigned bit = 0; bit < width * 8; ++bit) {
      const bool set = (data[bit / 8] >> (bit % 8) & std::byte{1}) != std::byte{0};
      if (set && at * 8 + bit >= vectors_) return "a vector that is not there is pending";
    }
    return {};
  }

  [[nodiscard]] std::string_view check() {
    if (const auto wrong = broken(*rig_); !wrong.empty()) return wrong;
    if (rig_->fake.irqfds() > std::min(entries_, vectors_)) return "more irqfds than vectors";
    if ((rig_->read(FakeVfio::kMsix + PCI_MSIX_FLAGS, 2) & 0x3fffU) != entries_ - 1) return "the table's size changed";
    return {};
  }

  std::size_t files_;
  std::optional<AssignedRig> rig_;
  PlayInput input_;
  unsigned entries_{};
  unsigned vectors_{};
  unsigned table_{};       // in the device
  std::uint64_t place_{};  // in the guest
  std::uint64_t pending_{};
  std::vector<std::array<std::uint32_t, 4>> model_;
  std::vector<std::byte> hardware_;
};

}  // namespace pcivm::test
