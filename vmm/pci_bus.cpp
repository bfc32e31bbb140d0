// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/pci_bus.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include <fmt/format.h>

#include "base/pci_config.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::size_t kDword = 4;

// A bridge to the host that has nothing to configure: Linux takes the first such function as proof that mechanism 1
// works (arch/x86/pci/direct.c, pci_sanity_check).
class HostBridge final : public PciDevice {
 public:
  HostBridge() {
    config_store(config_, PCI_VENDOR_ID, 2, 0x1b36);  // Red Hat
    config_store(config_, PCI_DEVICE_ID, 2, 0x0008);  // generic PCI Express host bridge
    config_store(config_, PCI_CLASS_DEVICE, 2, 0x0600);
  }
  [[nodiscard]] std::string_view name() const override { return "host bridge"; }
  [[nodiscard]] std::vector<BarRequest> bars() const override { return {}; }
  void place_bar(unsigned /*index*/, std::uint64_t /*address*/) override {}
  void config_read(std::uint16_t offset, std::span<std::byte> data) override {
    std::ranges::fill(data, std::byte{0});
    for (std::size_t index = 0; index < data.size() && offset + index < config_.size(); ++index) {
      data[index] = config_[offset + index];
    }
  }
  void config_write(std::uint16_t /*offset*/, std::span<const std::byte> /*data*/) override {}

 private:
  std::array<std::byte, PCI_CFG_SPACE_SIZE> config_{};
};

bool acceptable(std::size_t offset, std::size_t length) {
  if (length == 2 * kDword) return offset % kDword == 0;
  return (length == 1 || length == 2 || length == kDword) && offset % kDword + length <= kDword;
}

}  // namespace

class PciBus::Ecam final : public IoHandler {
 public:
  explicit Ecam(PciBus& bus) : bus_{bus} {}
  void read(std::uint64_t offset, std::span<std::byte> data) override {
    bus_.config_read(devfn(offset), register_of(offset), data);
  }
  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    bus_.config_write(devfn(offset), register_of(offset), data);
  }

 private:
  static unsigned devfn(std::uint64_t offset) { return static_cast<unsigned>(offset >> 12U & 0xffU); }
  static std::uint16_t register_of(std::uint64_t offset) { return static_cast<std::uint16_t>(offset & 0xfffU); }
  PciBus& bus_;
};

// CONFIG_ADDRESS is written as a dword only; bytes and words there belong to other devices (PCI 3.0, 3.2.2.3.2).
class PciBus::Ports final : public IoHandler {
 public:
  explicit Ports(PciBus& bus) : bus_{bus} {}
  std::function<void()> reset;  // set before the first access

  void read(std::uint64_t offset, std::span<std::byte> data) override {
    std::ranges::fill(data, std::byte{0xff});
    const auto address = address_.load();
    if (offset == 0 && data.size() == kDword) store_le(data, address);
    if (selects(offset, data.size(), address)) bus_.config_read(devfn(address), register_of(address, offset), data);
  }
  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    if (offset == 0 && data.size() == kDword) address_ = static_cast<std::uint32_t>(load_le(data)) & kWritable;
    if (offset == kResetControl && data.size() == 1 && (std::to_integer<unsigned>(data[0]) & kResetCpu) != 0 && reset) {
      reset();
    }
    const auto address = address_.load();
    if (selects(offset, data.size(), address)) bus_.config_write(devfn(address), register_of(address, offset), data);
  }

 private:
  static constexpr std::uint32_t kEnable = 1U << 31U;
  static constexpr std::uint32_t kWritable = 0x80fffffc;
  static constexpr std::uint64_t kResetControl = 1;  // 0xcf9, between the bytes of CONFIG_ADDRESS
  static constexpr unsigned kResetCpu = 1U << 2U;
  static bool selects(std::uint64_t offset, std::size_t length, std::uint32_t address) {
    return offset >= kDword && length <= kDword && (address & kEnable) != 0 && (address >> 16U & 0xffU) == 0;
  }
  static unsigned devfn(std::uint32_t address) { return address >> 8U & 0xffU; }
  static std::uint16_t register_of(std::uint32_t address, std::uint64_t offset) {
    return static_cast<std::uint16_t>((address & 0xfcU) | (offset & 3U));
  }
  PciBus& bus_;
  std::atomic<std::uint32_t> address_{0};
};

PciBus::PciBus()
    : host_bridge_{std::make_unique<HostBridge>()},
      ecam_{std::make_unique<Ecam>(*this)},
      ports_{std::make_unique<Ports>(*this)} {
  slots_[0].device = host_bridge_.get();
}

PciBus::~PciBus() = default;

Result<unsigned> PciBus::add(PciDevice& device) {
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    const bool kept = slot >= platform::kFirstHotplugSlot && slot - platform::kFirstHotplugSlot < kept_;
    if (kept || slots_[slot].device != nullptr) continue;
    slots_[slot].device = &device;
    return slot;
  }
  return fail(Errc::invalid, fmt::format("more than {} PCI devices in one VM{}", kSlots - 1 - kept_,
                                         kept_ == 0 ? "" : fmt::format(", beside {} hot-plug slots", kept_)));
}

Result<void> PciBus::insert(unsigned slot, PciDevice& device) {
  auto& place = slots_.at(slot);
  const std::scoped_lock lock{place.mutex};
  if (place.device != nullptr) return fail(Errc::busy, fmt::format("slot {} has a device", slot));
  place.device = &device;
  return {};
}

void PciBus::remove(unsigned slot) {
  auto& place = slots_.at(slot);
  const std::scoped_lock lock{place.mutex};
  place.device = nullptr;
}

Result<void> PciBus::connect(IoBus& ports, IoBus& memory, std::optional<Gpa> ecam, std::function<void()> reset) {
  ports_bus_ = &ports;
  memory_ = &memory;
  ports_->reset = std::move(reset);
  TRY(move_ecam(ecam));
  TRY(ports.add(platform::port::kPciConfig, 2 * kDword, *ports_, "PCI configuration"));
  return {};
}

Result<void> PciBus::move_ecam(std::optional<Gpa> ecam) {
  const std::scoped_lock lock{ecam_mutex_};
  if (const auto old = std::exchange(ecam_at_, std::nullopt)) memory_->remove(old->value);
  if (!ecam) return {};
  TRY(memory_->add(ecam->value, platform::kEcamLength, *ecam_, "ECAM"));
  ecam_at_ = ecam;
  return {};
}

std::vector<BarRequest> PciBus::bars_in(unsigned slot) {
  const std::scoped_lock lock{slots_[slot].mutex};
  return slots_[slot].device == nullptr ? std::vector<BarRequest>{} : slots_[slot].device->bars();
}

platform::Window PciBus::bars_above_4g() {
  std::uint64_t begin = ~0ULL;
  std::uint64_t end = 0;
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    for (const auto& bar : bars_in(slot)) {
      if (bar.io || !bar.is_64bit) continue;
      std::array<std::byte, 2 * kDword> registers{};
      config_read(slot << 3U, static_cast<std::uint16_t>(PCI_BASE_ADDRESS_0 + kDword * bar.index), registers);
      const auto address = load_le(registers) & PCI_BASE_ADDRESS_MEM_MASK;
      if (address < 4 * kGiB || !fits(address, bar.size, ~0ULL)) continue;
      begin = std::min(begin, address);
      end = std::max(end, address + bar.size);
    }
  }
  return end == 0 ? platform::Window{} : platform::Window{.base = Gpa{begin}, .length = end - begin};
}

PciBus::Slot* PciBus::find(unsigned devfn) {
  const auto slot = devfn >> 3U;
  if (slot >= kSlots || (devfn & 7U) != 0) return nullptr;
  return &slots_[slot];
}

void PciBus::config_read(unsigned devfn, std::uint16_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  auto* slot = find(devfn);
  if (slot == nullptr || !acceptable(offset, data.size()) || offset + data.size() > PCI_CFG_SPACE_EXP_SIZE) return;
  const std::scoped_lock lock{slot->mutex};
  if (slot->device == nullptr) return;
  for (std::size_t done = 0; done < data.size(); done += kDword) {
    const auto part = data.subspan(done, std::min(kDword, data.size() - done));
    slot->device->config_read(static_cast<std::uint16_t>(offset + done), part);
  }
}

void PciBus::config_write(unsigned devfn, std::uint16_t offset, std::span<const std::byte> data) {
  auto* slot = find(devfn);
  if (slot == nullptr || !acceptable(offset, data.size()) || offset + data.size() > PCI_CFG_SPACE_EXP_SIZE) return;
  {
    const std::scoped_lock lock{slot->mutex};
    if (slot->device == nullptr) return;
    for (std::size_t done = 0; done < data.size(); done += kDword) {
      const auto part = data.subspan(done, std::min(kDword, data.size() - done));
      slot->device->config_write(static_cast<std::uint16_t>(offset + done), part);
    }
  }
  follow_freed_room();
}

// Two functions that swap places meet for a moment: the first to move is left out until the other has gone.
void PciBus::follow_freed_room() {
  if (memory_ == nullptr) return;
  const bool memory = memory_->room_made();
  const bool ports = ports_bus_->room_made();
  if (!memory && !ports) return;
  for (auto& slot : slots_) {
    const std::scoped_lock lock{slot.mutex};
    if (slot.device != nullptr) slot.device->decode_again();
  }
}

}  // namespace pcivm::vmm
