// SPDX-License-Identifier: GPL-2.0-or-later
// An assigned device on buses, slots and routes of its own, over FakeVfio.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/fake_vfio.hpp"
#include "vfio/device.hpp"
#include "vfio/msix_bar.hpp"
#include "vmm/assigned_device.hpp"

namespace pcivm::test {

struct AssignedRig {
  static constexpr std::uint64_t kLow = 0xc0000000;    // the 32-bit PCI window
  static constexpr std::uint64_t kHigh = 0x800000000;  // the 64-bit one
  static constexpr std::uint64_t kWindow = 0x10000000;

  AssignedRig() {
    facts.address = {.domain = 0, .bus = 1, .device = 0x10, .function = 0};
    facts.bars = {{.index = 0, .address = 0, .size = 16 * kKiB, .io = false, .wide = true, .prefetchable = true},
                  {.index = 3, .address = 0, .size = 16 * kKiB, .io = false, .wide = true, .prefetchable = true}};
  }
  void make() {
    device = vmm::AssignedDevice::create(facts, wiring).value();
    device->place_bar(0, kHigh);
    device->place_bar(3, kHigh + 0x4000);
  }
  Result<void> deliver() { return device->deliver(vfio::Device::open(fake, group.ref(), facts.address.to_string())); }
  /// Made, delivered, DMA ready, the log empty.
  void ready() {
    make();
    dma.set({});
    (void)deliver();
    (void)fake.take_log();
  }

  /// Guest RAM, as far as slots go.
  void add_ram(std::uint64_t start, std::uint64_t length) {
    (void)slots.add(Gpa{start}, Hva{0x10000000000}, length);
    ram.push_back(start);
  }

  std::uint32_t read(unsigned offset, unsigned width) {
    std::array<std::byte, 4> bytes{};
    device->config_read(static_cast<std::uint16_t>(offset), std::span{bytes}.first(width));
    return static_cast<std::uint32_t>(vmm::load_le(std::span{bytes}.first(width)));
  }
  void write(unsigned offset, unsigned width, std::uint32_t value) {
    std::array<std::byte, 4> bytes{};
    vmm::store_le(bytes, value);
    device->config_write(static_cast<std::uint16_t>(offset), std::span{bytes}.first(width));
  }
  std::uint64_t load(std::uint64_t address, unsigned width) {
    std::array<std::byte, 16> bytes{};
    memory.read(address, std::span{bytes}.first(width));
    return vmm::load_le(std::span{bytes}.first(width));
  }
  void store(std::uint64_t address, unsigned width, std::uint64_t value) {
    std::array<std::byte, 16> bytes{};
    vmm::store_le(bytes, value);
    memory.write(address, std::span{bytes}.first(width));
  }

  // MSI-X as a Linux guest drives it; the table is at the start of BAR 3.
  static constexpr std::uint64_t kTable = kHigh + 0x4000;
  static constexpr std::uint64_t kPending = kTable + 0x2000;
  void msix_control(std::uint32_t bits) { write(FakeVfio::kMsix + PCI_MSIX_FLAGS, 2, bits); }
  void set_message(unsigned vector, std::uint32_t data) {
    store(kTable + vector * 16, 4, 0xfee00000);
    store(kTable + vector * 16 + 4, 4, 0);
    store(kTable + vector * 16 + 8, 4, data);
  }
  void mask(unsigned vector, bool masked) { store(kTable + vector * 16 + 12, 4, masked ? 1 : 0); }
  void decode() {
    write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    (void)fake.take_log();
  }

  FakeVfio fake;
  Fd group = make_eventfd().value();
  Fd vm = make_eventfd().value();
  vfio::OpenedDevice facts;
  vmm::IoBus memory;
  vmm::IoBus ports;
  vmm::MemorySlots slots{fake, vm.ref()};
  vmm::InterruptRoutes routes{fake, vm.ref()};
  vmm::DmaReady dma;
  std::vector<std::string> reports;
  std::vector<std::uint64_t> ram;  // where it starts
  vmm::AssignedWiring wiring{.memory = memory,
                             .ports = ports,
                             .slots = slots,
                             .routes = routes,
                             .dma = dma,
                             .may_decode =
                                 [](std::uint64_t address, std::uint64_t length) {
                                   return (address >= kLow && fits(address - kLow, length, kWindow)) ||
                                          (address >= kHigh && fits(address - kHigh, length, kWindow));
                                 },
                             .report = [this](const Error& error) { reports.push_back(error.text()); }};
  std::unique_ptr<vmm::AssignedDevice> device;  // goes first
};

}  // namespace pcivm::test
