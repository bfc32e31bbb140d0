// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <utility>

#include "tests/support/result_matchers.hpp"
#include "tests/vmm/assigned_rig.hpp"
#include "vmm/intx_slots.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {
namespace {

using test::AssignedRig;
using test::FakeVfio;
using test::IsOk;
using testing::ElementsAre;
using testing::IsEmpty;

class Line final : public InterruptLine {
 public:
  void set(bool asserted) override { up = asserted; }
  bool up{};
};

// A function with INTB in slot 3.
class IntxTest : public testing::Test {
 protected:
  static constexpr unsigned kSlot = 3;
  static constexpr unsigned kPin = 1;
  IntxTest() {
    rig_.fake.config(PCI_INTERRUPT_PIN, 1, kPin + 1);
    rig_.fake.irq_counts[VFIO_PCI_INTX_IRQ_INDEX] = 1;
  }
  void ready() {
    rig_.ready();
    slots_.add(kSlot, *rig_.device);
  }
  void enable() {
    ready();
    unmask();
    rig_.decode();
  }
  void unmask() { unmasked_[kGsi](); }
  void fire() {
    rig_.fake.fire(VFIO_PCI_INTX_IRQ_INDEX, 0);
    rig_.device->interrupt();
  }
  bool up() { return lines_.contains(kGsi) && lines_[kGsi].up; }

  static constexpr Gsi kGsi = platform::gsi::intx(kSlot, kPin);
  std::map<Gsi, Line> lines_;
  std::map<Gsi, std::function<void()>> listeners_;
  std::map<Gsi, std::function<void()>> unmasked_;
  IntxSlots slots_{
      {.connect = [this](Gsi gsi) -> InterruptLine& { return lines_[gsi]; },
       .on_eoi = [this](Gsi gsi, std::function<void()> listener) { listeners_[gsi] = std::move(listener); },
       .on_unmask = [this](Gsi gsi, std::function<void()> listener) { unmasked_[gsi] = std::move(listener); }}};
  AssignedRig rig_;  // lowers its line as it goes
};

TEST_F(IntxTest, StartsWhenTheGuestEnablesTheFunction) {
  ready();
  EXPECT_EQ(rig_.read(PCI_INTERRUPT_PIN, 1), kPin + 1);
  unmask();
  EXPECT_EQ(rig_.fake.trigger(VFIO_PCI_INTX_IRQ_INDEX, 0), -1);
  rig_.write(PCI_COMMAND, 2, PCI_COMMAND_IO);
  EXPECT_THAT(rig_.fake.take_log(), ElementsAre("irq 0 0: own"));
  rig_.write(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_INTX_DISABLE);
  rig_.write(PCI_COMMAND, 2, 0);
  EXPECT_THAT(rig_.fake.take_log(), IsEmpty()) << "the kernel follows INTX_DISABLE";
}

TEST_F(IntxTest, IsSilentUntilTheGuestListens) {
  ready();
  for (const unsigned width : {1U, 2U}) {
    rig_.write(PCI_COMMAND, width, PCI_COMMAND_MEMORY);
    EXPECT_EQ(rig_.read(PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
    EXPECT_EQ(rig_.fake.config(PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
  }
  (void)rig_.fake.take_log();
  unmask();
  unmask();
  EXPECT_THAT(rig_.fake.take_log(), ElementsAre("irq 0 0: own"));
  EXPECT_EQ(rig_.fake.config(PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
}

TEST_F(IntxTest, WaitsForTheGuestToEnableIt) {
  enable();
  rig_.msix_control(PCI_MSIX_FLAGS_ENABLE);
  rig_.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
  (void)rig_.fake.take_log();
  rig_.msix_control(0);
  EXPECT_THAT(rig_.fake.take_log(), ElementsAre("irq 2 off"));
  rig_.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_THAT(rig_.fake.take_log(), ElementsAre("irq 0 0: own"));
  EXPECT_EQ(rig_.fake.config(PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
}

TEST_F(IntxTest, IsSilentAfterMessagesThatADriverHadAllTheTime) {
  ready();
  rig_.decode();
  rig_.msix_control(PCI_MSIX_FLAGS_ENABLE);
  rig_.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  EXPECT_EQ(rig_.fake.config(PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
  rig_.msix_control(0);
  EXPECT_EQ(rig_.fake.config(PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
  EXPECT_EQ(rig_.read(PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
  EXPECT_THAT(rig_.fake.take_log(), ElementsAre("irq 2 0: own own own", "irq 2 off"));
}

TEST_F(IntxTest, ADeviceThatComesLaterFindsWhoListens) {
  ready();
  slots_.remove(kSlot);
  unmask();
  slots_.add(kSlot, *rig_.device);
  rig_.decode();
  EXPECT_NE(rig_.fake.trigger(VFIO_PCI_INTX_IRQ_INDEX, 0), -1);
}

TEST_F(IntxTest, HoldsTheLineUntilTheEndOfInterrupt) {
  enable();
  fire();
  EXPECT_TRUE(up());
  listeners_[kGsi]();
  EXPECT_FALSE(up());
  EXPECT_THAT(rig_.fake.take_log(), ElementsAre("irq 0 unmask"));
  listeners_[kGsi]();
  EXPECT_THAT(rig_.fake.take_log(), IsEmpty()) << "the interrupt was another's on the same line";
}

TEST_F(IntxTest, TheEndOfAnotherPinDoesNotConcernIt) {
  enable();
  fire();
  for (auto& [gsi, listener] : listeners_) {
    if (gsi != kGsi) listener();
  }
  EXPECT_TRUE(up());
  EXPECT_THAT(rig_.fake.take_log(), IsEmpty());
}

TEST_F(IntxTest, GoesBeforeMsixAndComesBackAfterIt) {
  enable();
  fire();
  rig_.msix_control(PCI_MSIX_FLAGS_ENABLE);
  EXPECT_FALSE(up());
  EXPECT_THAT(rig_.fake.take_log(), ElementsAre("irq 0 off", "irq 2 0: own own own"));
  rig_.msix_control(0);
  EXPECT_THAT(rig_.fake.take_log(), ElementsAre("irq 2 off", "irq 0 0: own"));
}

TEST_F(IntxTest, AnEventThatComesTooLateRaisesNothing) {
  enable();
  rig_.fake.fire(VFIO_PCI_INTX_IRQ_INDEX, 0);
  rig_.msix_control(PCI_MSIX_FLAGS_ENABLE);
  rig_.device->interrupt();
  EXPECT_FALSE(up());
}

TEST_F(IntxTest, IsLoweredByRebootAndRelease) {
  enable();
  fire();
  EXPECT_THAT(rig_.device->reset_for_reboot(), IsOk());
  EXPECT_FALSE(up());
  rig_.decode();
  fire();
  EXPECT_TRUE(up());
  slots_.remove(kSlot);
  rig_.device->close();
  EXPECT_FALSE(up());
  rig_.device->interrupt();
  listeners_[kGsi]();
}

TEST_F(IntxTest, APinThatVfioDoesNotServeIsHidden) {
  rig_.fake.irq_counts[VFIO_PCI_INTX_IRQ_INDEX] = 0;
  enable();
  EXPECT_EQ(rig_.read(PCI_INTERRUPT_PIN, 1), 0U);
  EXPECT_EQ(rig_.fake.trigger(VFIO_PCI_INTX_IRQ_INDEX, 0), -1);
}

}  // namespace
}  // namespace pcivm::vmm
