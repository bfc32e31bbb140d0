// SPDX-License-Identifier: GPL-2.0-or-later
// A guest of a dozen instructions on the machine's real KVM: one vCPU in real mode, its code at 0x1000.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "base/fd.hpp"
#include "vmm/guest_memory.hpp"
#include "vmm/interrupts.hpp"
#include "vmm/io_bus.hpp"
#include "vmm/kvm.hpp"
#include "vmm/memory_slots.hpp"
#include "vmm/vcpu.hpp"

namespace pcivm::test {

class NoInterrupts final : public vmm::InterruptAcknowledge {
 public:
  void end_of_interrupt(std::uint8_t /*vector*/) override {}
  bool pic_pending() override { return false; }
  std::optional<std::uint8_t> pic_acknowledge() override { return std::nullopt; }
};

/// The value, or an exception with the error's text, which fails the test.
template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error{result.error().text()};
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class TinyGuest : public testing::Test {
 protected:
  void SetUp() override {
    auto device = open_path("/dev/kvm", O_RDWR);
    if (!device) GTEST_SKIP() << "needs /dev/kvm: " << device.error().text();
    auto kvm = vmm::Kvm::adopt(system_ioctl(), std::move(*device));
    if (!kvm) GTEST_SKIP() << kvm.error().text();
    kvm_.emplace(std::move(*kvm));
    vm_.emplace(must(vmm::Vm::create(system_ioctl(), *kvm_)));
    const vmm::GuestMemory::Range range[] = {{.gpa = {0}, .length = 512 * kKiB}};
    memory_.emplace(must(vmm::GuestMemory::create(range)));
    slots_.emplace(system_ioctl(), vm_->ref());
    for (const auto& region : memory_->regions()) (void)must(slots_->add(region.gpa, region.hva, region.length));
    vcpu_ = must(vmm::Vcpu::create(system_ioctl(), *kvm_, *vm_, 0));
    must(vcpu_->set_cpuid(must(kvm_->supported_cpuid())));
    vmm::Vcpu::install_kick_handler();
  }
  void load(std::initializer_list<unsigned> code, std::uint64_t address = 0x1000) {
    auto room = memory_->window(Gpa{address}, code.size()).value();
    std::ranges::transform(code, room.begin(), [](unsigned byte) { return static_cast<std::byte>(byte); });
  }
  void start_at(std::uint64_t rip) {
    vmm::CpuState state;
    state.rip = rip;
    ASSERT_TRUE(vcpu_->set_state(state).has_value());
  }
  Result<vmm::Vcpu::End> run(vmm::InterruptAcknowledge& interrupts) {
    return vcpu_->run({.ports = ports_, .memory = mmio_, .interrupts = interrupts});
  }

  std::optional<vmm::Kvm> kvm_;
  std::optional<vmm::Vm> vm_;
  std::optional<vmm::GuestMemory> memory_;
  std::optional<vmm::MemorySlots> slots_;
  std::unique_ptr<vmm::Vcpu> vcpu_;
  vmm::IoBus ports_;
  vmm::IoBus mmio_;
  NoInterrupts no_interrupts_;
};

}  // namespace pcivm::test
