// SPDX-License-Identifier: GPL-2.0-or-later
// The whole machine on the real KVM, with kernels of a dozen instructions: bzImages whose 64-bit entry powers off,
// resets or talks.
#include "vmm/machine.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <initializer_list>
#include <string>
#include <thread>

#include "tests/support/kernel_files.hpp"
#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using test::IsOkAnd;

// mov dx, port; mov ax, value; out dx, ax
#define OUT16(port, value) 0x66, 0xba, (port) & 0xff, (port) >> 8, 0x66, 0xb8, (value) & 0xff, (value) >> 8, 0x66, 0xef
// mov dx, port; mov al, value; out dx, al
#define OUT8(port, value) 0x66, 0xba, (port) & 0xff, (port) >> 8, 0xb0, value, 0xee
#define SPIN 0xeb, 0xfe                 // jmp $
#define POWER_OFF OUT16(0x604, 0x3400)  // PM1a control: S5, sleep enable
#define RESET OUT8(0x60c, 0x06)         // the FADT's reset register

class TinyMachine : public testing::Test {
 protected:
  void SetUp() override {
    auto device = open_path("/dev/kvm", O_RDWR);
    if (!device) GTEST_SKIP() << "needs /dev/kvm: " << device.error().text();
    config_.kvm = std::move(*device);
    loop_ = EventLoop::create().value();
    int ends[2]{};
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    config_.control = Fd::adopt(ends[0]);
    control_ = Fd::adopt(ends[1]);
  }
  void kernel(std::initializer_list<unsigned> code) {
    test::BzImage image;
    std::size_t at = 1024 + 0x200;
    for (const auto byte : code) image.put(at++, byte, 1);
    config_.kernel = image.file();
    config_.layout = lay_out_memory({.memory = 64 * kMiB}).value();
    config_.boot = plan_boot(read_kernel_image(config_.kernel.ref()).value(), 0, 0, config_.layout.ram).value();
  }
  Result<VmEnd> run() {
    machine_ = TRY(Machine::create(std::move(config_), *loop_, port_, timeline_));
    return machine_->run();
  }

  VmConfig config_;
  CountingIoctl port_{system_ioctl()};
  Timeline timeline_;
  std::unique_ptr<EventLoop> loop_;
  Fd control_;
  std::unique_ptr<Machine> machine_;
};

TEST_F(TinyMachine, EndsWhenTheGuestPowersOff) {
  kernel({POWER_OFF, SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
  EXPECT_EQ(machine_->report().boots, 1U);
}

TEST_F(TinyMachine, BootsSeveralCpus) {
  config_.cpus.topology = {.cores = 4};
  kernel({POWER_OFF, SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
}

TEST_F(TinyMachine, EndsAtAResetWhenToldSo) {
  config_.on_reboot = OnReboot::exit;
  kernel({RESET, SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::reboot));
}

TEST_F(TinyMachine, StartsAgainAtAResetOnTheSameMemory) {
  // Counts boots in RAM at 0x90000; powers off in the third.
  kernel({0xfe,  0x04, 0x25,      0x00, 0x00, 0x09, 0x00,        // inc byte [0x90000]
          0x80,  0x3c, 0x25,      0x00, 0x00, 0x09, 0x00, 0x03,  // cmp byte [0x90000], 3
          0x74,  0x09,                                           // je power off
          RESET, SPIN, POWER_OFF, SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
  EXPECT_EQ(machine_->report().boots, 3U);
}

TEST_F(TinyMachine, SaysWhatTheGuestWritesToItsSerialPort) {
  int ends[2]{};
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  config_.console.out = Fd::adopt(ends[1]);
  const auto reader = Fd::adopt(ends[0]);
  kernel({OUT8(0x3f8, 'h'), OUT8(0x3f8, 'i'), POWER_OFF, SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
  char text[8]{};
  EXPECT_EQ(::read(reader.ref().number(), text, sizeof text), 2);
  EXPECT_STREQ(text, "hi");
}

TEST_F(TinyMachine, NotesThatTheGuestsInitRuns) {
  kernel({OUT8(0x3f0, 123), POWER_OFF, SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
  std::vector<std::string_view> names;
  for (const auto& [phase, stamp] : machine_->report().phases) names.push_back(phase);
  EXPECT_THAT(names, testing::ElementsAre("vmCreated", "kernelLoaded", "firstInstruction", "guestInit", "ended"));
}

TEST_F(TinyMachine, EndsWithTheNumberOfATestWhenToldSo) {
  config_.debug_exit = true;
  kernel({OUT8(0xf4, 0), SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
}

TEST_F(TinyMachine, FailsWithTheNumberOfATestThatFailed) {
  config_.debug_exit = true;
  kernel({OUT8(0xf4, 3), SPIN});
  EXPECT_THAT(run(), FailsWith(Errc::kernel, testing::HasSubstr("with 3 (debug exit)")));
}

TEST_F(TinyMachine, HasNoDebugExitUnlessToldSo) {
  kernel({OUT8(0xf4, 3), POWER_OFF, SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
}

TEST_F(TinyMachine, IsKilledThroughItsControlPipe) {
  kernel({SPIN});
  ASSERT_THAT(write_all(control_.ref(), "k"), test::IsOk());
  EXPECT_THAT(run(), IsOkAnd(VmEnd::killed));
}

TEST_F(TinyMachine, EndsWhenItsSupervisorIsGone) {
  kernel({SPIN});
  control_.close();
  EXPECT_THAT(run(), IsOkAnd(VmEnd::killed));
}

TEST_F(TinyMachine, PassesThePowerButtonOn) {
  // Polls PM1a status until the power button bit (8) is set, then powers off.
  kernel({0x66, 0xba, 0x00, 0x06,  // mov dx, 0x600
          0x66, 0xed,              // in ax, dx
          0xf6, 0xc4, 0x01,        // test ah, 1
          0x74, 0xf9,              // jz back to the in
          POWER_OFF, SPIN});
  ASSERT_THAT(write_all(control_.ref(), "p"), test::IsOk());
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
}

TEST_F(TinyMachine, ReportsAKernelThatVanishedSinceItWasChecked) {
  kernel({SPIN});
  config_.kernel = make_memfd("empty", 0).value();
  EXPECT_THAT(run(), FailsWith(Errc::kernel, testing::HasSubstr("load the kernel")));
}

TEST_F(TinyMachine, LeavesNoDescriptorBehind) {
  const auto lowest = [] { return Fd::adopt(::fcntl(0, F_DUPFD_CLOEXEC, 3)).ref().number(); };
  kernel({RESET, SPIN});
  config_.on_reboot = OnReboot::exit;
  loop_.reset();
  const int before = lowest();
  loop_ = EventLoop::create().value();
  EXPECT_THAT(run(), IsOkAnd(VmEnd::reboot));
  machine_.reset();
  loop_.reset();
  EXPECT_LE(lowest(), before);
}

}  // namespace
}  // namespace pcivm::vmm
