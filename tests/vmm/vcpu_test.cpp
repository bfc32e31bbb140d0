// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/vcpu.hpp"

#include <gmock/gmock.h>

#include <chrono>
#include <functional>
#include <thread>

#include "tests/support/result_matchers.hpp"
#include "tests/support/tiny_guest.hpp"

namespace pcivm::vmm {
namespace {

using test::IsOkAnd;
using test::TinyGuest;

// Notes what is written, answers reads with a constant, and stops the CPU when told to.
class Register final : public IoHandler {
 public:
  void read(std::uint64_t /*offset*/, std::span<std::byte> data) override { store_le(data, answer); }
  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    written.emplace_back(offset, load_le(data));
    if (on_write) on_write();
  }
  std::uint64_t answer{};
  std::vector<std::pair<std::uint64_t, std::uint64_t>> written;
  std::function<void()> on_write;
};

TEST_F(TinyGuest, WritesAndReadsAPort) {
  Register port;
  port.answer = 0x41;
  ASSERT_THAT(ports_.add(0x10, 2, port, "port"), test::IsOk());
  port.on_write = [&] {
    if (port.written.size() == 2) vcpu_->stop();
  };
  load({0xb0, 0x5a,    // mov al, 0x5a
        0xe6, 0x10,    // out 0x10, al
        0xe4, 0x10,    // in al, 0x10
        0xe6, 0x11,    // out 0x11, al
        0xeb, 0xfe});  // jmp $
  start_at(0x1000);
  EXPECT_THAT(run(no_interrupts_), IsOkAnd(Vcpu::End::stopped));
  EXPECT_THAT(port.written, testing::ElementsAre(testing::Pair(0, 0x5a), testing::Pair(1, 0x41)));
  EXPECT_EQ(vcpu_->counts().port_out, 2U);
  EXPECT_EQ(vcpu_->counts().port_in, 1U);
}

TEST_F(TinyGuest, ReachesDevicesOutsideItsMemory) {
  Register device;
  device.answer = 0x1234;
  ASSERT_THAT(mmio_.add(0xa0000, 0x1000, device, "device"), test::IsOk());
  device.on_write = [&] { vcpu_->stop(); };
  load({0xb8, 0x00, 0xa0,  // mov ax, 0xa000
        0x8e, 0xd8,        // mov ds, ax
        0xa1, 0x10, 0x00,  // mov ax, [0x10]
        0xa3, 0x20, 0x00,  // mov [0x20], ax
        0xeb, 0xfe});
  start_at(0x1000);
  EXPECT_THAT(run(no_interrupts_), IsOkAnd(Vcpu::End::stopped));
  EXPECT_THAT(device.written, testing::ElementsAre(testing::Pair(0x20, 0x1234)));
  EXPECT_EQ(vcpu_->counts().mmio_read, 1U);
  EXPECT_EQ(vcpu_->counts().mmio_write, 1U);
}

TEST_F(TinyGuest, ReadsAllOnesWhereNobodyIs) {
  Register port;
  ASSERT_THAT(ports_.add(0x10, 1, port, "port"), test::IsOk());
  port.on_write = [&] { vcpu_->stop(); };
  load({0xe4, 0x99,  // in al, 0x99
        0xe6, 0x10,  // out 0x10, al
        0xeb, 0xfe});
  start_at(0x1000);
  EXPECT_THAT(run(no_interrupts_), IsOkAnd(Vcpu::End::stopped));
  EXPECT_THAT(port.written, testing::ElementsAre(testing::Pair(0, 0xff)));
}

TEST_F(TinyGuest, StopsWhileTheGuestSpins) {
  load({0xeb, 0xfe});
  start_at(0x1000);
  std::jthread stopper{[this] {
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
    vcpu_->stop();
  }};
  EXPECT_THAT(run(no_interrupts_), IsOkAnd(Vcpu::End::stopped));
}

TEST_F(TinyGuest, StopsWhileTheGuestHalts) {
  load({0xf4, 0xeb, 0xfd});  // hlt; jmp back
  start_at(0x1000);
  std::jthread stopper{[this] {
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
    vcpu_->stop();
  }};
  EXPECT_THAT(run(no_interrupts_), IsOkAnd(Vcpu::End::stopped));
}

// One request of the PIC, which a kick announces.
class OneVector final : public InterruptAcknowledge {
 public:
  void end_of_interrupt(std::uint8_t /*vector*/) override {}
  bool pic_pending() override { return pending; }
  std::optional<std::uint8_t> pic_acknowledge() override {
    pending = false;
    return std::uint8_t{0x20};
  }
  std::atomic<bool> pending{false};
};

TEST_F(TinyGuest, TakesAnInterruptOfThePicOutOfHalt) {
  Register port;
  ASSERT_THAT(ports_.add(0x10, 1, port, "port"), test::IsOk());
  port.on_write = [&] { vcpu_->stop(); };
  ASSERT_THAT(memory_->write<std::uint32_t>(Gpa{0x20 * 4}, 0x2000), test::IsOk());  // vector 0x20: 0000:2000
  load({0xbc, 0x00, 0x80,                                                           // mov sp, 0x8000
        0xfb,                                                                       // sti
        0xf4,                                                                       // hlt
        0xeb, 0xfd});
  load({0xb0, 0x77,  // mov al, 0x77
        0xe6, 0x10,  // out 0x10, al
        0xcf},
       0x2000);
  start_at(0x1000);
  OneVector pic;
  std::jthread device{[&] {
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
    pic.pending = true;
    vcpu_->kick();
  }};
  EXPECT_THAT(run(pic), IsOkAnd(Vcpu::End::stopped));
  EXPECT_THAT(port.written, testing::ElementsAre(testing::Pair(0, 0x77)));
}

TEST_F(TinyGuest, WaitsForTheInterruptWindow) {
  Register port;
  ASSERT_THAT(ports_.add(0x10, 2, port, "port"), test::IsOk());
  ASSERT_THAT(memory_->write<std::uint32_t>(Gpa{0x20 * 4}, 0x2000), test::IsOk());
  load({0xbc, 0x00, 0x80,  // mov sp, 0x8000
        0xfa,              // cli
        0xe6, 0x11,        // out 0x11, al
        0xe6, 0x11,        // out 0x11, al: still not interrupted
        0xfb,              // sti
        0x90, 0x90, 0xeb, 0xfe});
  load({0xe6, 0x10,  // out 0x10, al
        0xcf},
       0x2000);
  start_at(0x1000);
  OneVector pic;
  port.on_write = [&] {
    if (port.written.size() == 1) pic.pending = true;
    if (port.written.back().first == 0) vcpu_->stop();
  };
  EXPECT_THAT(run(pic), IsOkAnd(Vcpu::End::stopped));
  EXPECT_THAT(port.written, testing::ElementsAre(testing::Pair(1, 0), testing::Pair(1, 0), testing::Pair(0, 0)));
}

}  // namespace
}  // namespace pcivm::vmm
