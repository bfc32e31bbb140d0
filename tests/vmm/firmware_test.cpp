// SPDX-License-Identifier: GPL-2.0-or-later
// A machine that starts with a firmware of a few instructions, on the real KVM: it begins 16 bytes below 4 GiB.
#include "vmm/firmware.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <array>
#include <initializer_list>
#include <string>

#include "tests/support/result_matchers.hpp"
#include "vmm/machine.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using test::IsOk;
using test::IsOkAnd;

constexpr std::size_t kImage = 128 * kKiB;
constexpr std::size_t kVariables = 16 * kKiB;

// mov dx, port; mov al, value; out dx, al
#define OUT8(port, value) 0xba, (port) & 0xff, (port) >> 8, 0xb0, value, 0xee
// mov dx, port; in al, dx
#define IN8(port) 0xba, (port) & 0xff, (port) >> 8, 0xec
// mov dx, port; mov ax, value; out dx, ax
#define OUT16(port, value) 0xba, (port) & 0xff, (port) >> 8, 0xb8, (value) & 0xff, (value) >> 8, 0xef
#define SAY_AL 0xba, 0x02, 0x04, 0xee  // mov dx, 0x402; out dx, al
#define SPIN 0xeb, 0xfe
#define POWER_OFF OUT16(0x604, 0x2000)  // S5 as firmware writes it, without our tables: sleep type 0

class TinyFirmware : public testing::Test {
 protected:
  void SetUp() override {
    auto device = open_path("/dev/kvm", O_RDWR);
    if (!device) GTEST_SKIP() << "needs /dev/kvm: " << device.error().text();
    config_.kvm = std::move(*device);
    config_.layout = lay_out_memory({.memory = 64 * kMiB, .firmware = true}).value();
    loop_ = EventLoop::create().value();
    int ends[2]{};
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    config_.control = Fd::adopt(ends[0]);
    control_ = Fd::adopt(ends[1]);
    variables_ = make_memfd("variables", kVariables).value();
    log_ = make_memfd("log", 0).value();
  }
  // The code at the start of the image's last 64 KiB, reached by the jump where a CPU starts.
  void firmware(std::initializer_list<unsigned> code) {
    std::vector<std::byte> image(kImage, std::byte{0xff});
    auto at = image.end() - 0x10000;
    for (const auto byte : code) *at++ = static_cast<std::byte>(byte);
    const std::array jump{0xe9U, 0x0dU, 0x00U};  // jmp to 0 of the segment: 0xfff3 + 0x0d
    at = image.end() - 16;
    for (const auto byte : jump) *at++ = static_cast<std::byte>(byte);
    auto file = make_memfd("firmware", kImage).value();
    ASSERT_THAT(pwrite_exact(file.ref(), 0, image), IsOk());
    config_.firmware =
        FirmwareConfig{.image = std::move(file), .variables = variables_.dup().value(), .log = log_.dup().value()};
  }
  Result<VmEnd> run() {
    machine_ = TRY(Machine::create(std::move(config_), *loop_, port_, timeline_));
    return machine_->run();
  }
  std::string log() {
    std::string text(file_size(log_.ref()).value(), '\0');
    EXPECT_THAT(pread_exact(log_.ref(), 0, std::as_writable_bytes(std::span{text})), IsOk());
    return text;
  }

  VmConfig config_;
  CountingIoctl port_{system_ioctl()};
  Timeline timeline_;
  std::unique_ptr<EventLoop> loop_;
  Fd control_;
  Fd variables_;
  Fd log_;
  std::unique_ptr<Machine> machine_;
};

TEST_F(TinyFirmware, StartsAtTheResetVectorAndPowersOff) {
  firmware({POWER_OFF, SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
  EXPECT_EQ(machine_->report().boots, 1U);
}

TEST_F(TinyFirmware, IsHeardOnItsDebugPort) {
  firmware({IN8(0x402), 0xee,  // what it reads, it writes
            OUT8(0x402, 'o'), OUT8(0x402, 'k'), POWER_OFF, SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
  EXPECT_EQ(log(), "\xe9ok");
}

TEST_F(TinyFirmware, FindsFwCfg) {
  firmware({OUT16(0x510, 0x0000), IN8(0x511), SAY_AL, IN8(0x511), SAY_AL, POWER_OFF, SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
  EXPECT_EQ(log(), "QE");
}

TEST_F(TinyFirmware, FindsItsLastPartBelow1M) {
  // mov ax, 0xf000; mov ds, ax; mov al, [0xfff0]; mov dx, 0x402; out dx, al
  firmware({0xb8, 0x00, 0xf0, 0x8e, 0xd8, 0xa0, 0xf0, 0xff, SAY_AL, POWER_OFF, SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
  EXPECT_EQ(log(), "\xe9");  // the jump's first byte
}

TEST_F(TinyFirmware, StartsAgainAtAResetByThePortOfThePciBus) {
  // Counts its starts in RAM at 0x1000, where data segments begin after a reset; powers off in the second.
  firmware({0xfe, 0x06, 0x00, 0x10,        // inc byte [0x1000]
            0x80, 0x3e, 0x00, 0x10, 0x02,  // cmp byte [0x1000], 2
            0x74, 0x08,                    // je power off
            OUT8(0xcf9, 0x06), SPIN, POWER_OFF, SPIN});
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
  EXPECT_EQ(machine_->report().boots, 2U);
}

TEST_F(TinyFirmware, MayKeepNothing) {
  firmware({POWER_OFF, SPIN});
  config_.firmware->variables.close();
  config_.firmware->log.close();
  EXPECT_THAT(run(), IsOkAnd(VmEnd::power_off));
}

TEST(FirmwareSize, IsWholePagesThatFitBelow4G) {
  EXPECT_THAT(check_firmware_size("x", 3653632, 540672), IsOk());
  EXPECT_THAT(check_firmware_size("x", 256 * kKiB, 0), IsOk());
  EXPECT_THAT(check_firmware_size("x", 16 * kMiB, 0), IsOk());
  for (const auto& [image, variables] : std::initializer_list<std::pair<std::uint64_t, std::uint64_t>>{
           {0, 0}, {4095, 0}, {4096, 1}, {16 * kMiB, 4096}, {16 * kMiB + 4096, 0}, {~4095ULL, 4096}}) {
    EXPECT_THAT(check_firmware_size("x", image, variables), FailsWith(Errc::invalid, testing::HasSubstr("x: ")));
  }
}

}  // namespace
}  // namespace pcivm::vmm
