// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/chipset.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <string>
#include <thread>

#include "tests/support/result_matchers.hpp"
#include "tests/vmm/legacy_fakes.hpp"
#include "vmm/legacy/pic.hpp"
#include "vmm/legacy/serial.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {
namespace {

using pcivm::test::FailsWith;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Board : public testing::Test {
 protected:
  void out(std::uint16_t port, std::uint8_t value) {
    const std::array data{std::byte{value}};
    EXPECT_TRUE(ports.write(port, data)) << "nobody at port " << port;
  }
  std::uint8_t in(std::uint16_t port) {
    std::array data{std::byte{}};
    EXPECT_TRUE(ports.read(port, data)) << "nobody at port " << port;
    return std::to_integer<std::uint8_t>(data[0]);
  }
  void program(unsigned pin, std::uint32_t entry) {
    write_memory(0xfec00000, 0x10 + 2 * pin);
    write_memory(0xfec00010, entry);
  }
  void write_memory(std::uint64_t address, std::uint32_t value) {
    std::array<std::byte, 4> data{};
    store_le(data, value);
    EXPECT_TRUE(memory.write(address, data));
  }
  void initialise_pic() {
    for (const auto base : std::to_array<std::uint16_t>({0x20, 0xa0})) {
      const auto data = static_cast<std::uint16_t>(base + 1);
      out(base, 0x11);
      out(data, base == 0x20 ? 0x30 : 0x38);
      out(data, base == 0x20 ? 0x04 : 0x02);
      out(data, 0x01);
      out(data, 0x00);
    }
  }
  Result<std::unique_ptr<Chipset>> create() {
    return Chipset::create(*loop, routes, ports, memory,
                           {.reset = [this] { ++resets; },
                            .power_off = [this] { ++offs; },
                            .extint = [this] { ++extints; },
                            .serial_output =
                                [this](std::span<const std::byte> data) {
                                  for (const auto byte : data) console.push_back(static_cast<char>(byte));
                                },
                            .serial_ready = {},
                            .report = {}});
  }
  int resets{};
  int offs{};
  int extints{};
  std::string console;
  test::FakeKvm kvm;
  InterruptRoutes routes{kvm, FdRef{-1}};
  IoBus ports;
  IoBus memory;
  std::unique_ptr<EventLoop> loop = EventLoop::create().value();
  std::unique_ptr<Chipset> chipset = create().value();
};

TEST_F(Board, EveryDeviceAnswersAtItsPorts) {
  for (const auto port : std::to_array<std::uint16_t>({0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x43, 0x60, 0x61,
                                                       0x64, 0x70, 0x71, 0x80, 0x92, 0x3f8, 0x3ff, 0x600, 0x60f})) {
    in(port);
  }
}

TEST_F(Board, IsaInterruptReachesPicAndIoapic) {
  initialise_pic();
  program(4, 0x34);
  out(0x3fc, 0x08);
  out(0x3f9, 0x02);  // transmitter empty
  EXPECT_EQ(extints, 1);
  EXPECT_EQ(chipset->pic().acknowledge(), 0x34);
  EXPECT_THAT(kvm.signalled, ElementsAre(MsiMessage{.address = 0xfee00000, .data = 0x34}));
}

TEST_F(Board, TimerIsIrqZeroAtThePicAndPinTwoAtTheIoapic) {
  initialise_pic();
  auto& timer = chipset->connect(platform::gsi::kTimer);
  program(2, 0x32);
  timer.set(true);
  EXPECT_EQ(chipset->pic().acknowledge(), 0x30);
  EXPECT_THAT(kvm.signalled, ElementsAre(MsiMessage{.address = 0xfee00000, .data = 0x32}));
}

TEST_F(Board, IntxReachesTheIoapicAlone) {
  initialise_pic();
  const auto gsi = platform::gsi::intx(3, 0);
  program(gsi, 0x8051);
  auto& line = chipset->connect(gsi);
  line.set(true);
  EXPECT_THAT(kvm.signalled, SizeIs(1));
  EXPECT_FALSE(chipset->pic().pending());
  int eois = 0;
  chipset->on_eoi(gsi, [&] {
    ++eois;
    line.set(false);
  });
  chipset->eoi(0x51);
  EXPECT_EQ(eois, 1);
  EXPECT_THAT(kvm.signalled, SizeIs(1));
}

TEST_F(Board, SourcesOfOneGsiAreOred) {
  program(16, 0x8051);
  auto& first = chipset->connect(16);
  auto& second = chipset->connect(16);
  first.set(true);
  second.set(true);
  second.set(true);
  first.set(false);
  chipset->eoi(0x51);
  EXPECT_THAT(kvm.signalled, SizeIs(2)) << "the second source still asserts";
  second.set(false);
  chipset->eoi(0x51);
  EXPECT_THAT(kvm.signalled, SizeIs(2));
}

TEST_F(Board, SourceAtAnUnknownGsiIsConnectedNowhere) {
  chipset->connect(24).set(true);
  chipset->connect(~0U).set(true);
  EXPECT_THAT(kvm.signalled, IsEmpty());
}

TEST_F(Board, PowerButtonRaisesTheSci) {
  program(9, 0x8049);
  out(0x603, 0x01);
  chipset->press_power_button();
  EXPECT_THAT(kvm.signalled, ElementsAre(MsiMessage{.address = 0xfee00000, .data = 0xc049}));
}

TEST_F(Board, AllWaysToResetAndPowerOffAreHeard) {
  out(0x64, 0xfe);
  out(0x92, 0x01);
  out(0x60c, 0x06);
  EXPECT_EQ(resets, 3);
  out(0x605, 0x34);
  EXPECT_EQ(offs, 1);
}

TEST_F(Board, ConsoleTextComesOut) {
  for (const char letter : std::string{"ok\n"}) out(0x3f8, static_cast<std::uint8_t>(letter));
  EXPECT_EQ(console, "ok\n");
}

TEST_F(Board, WideAccessIsSplitIntoItsPorts) {
  std::array<std::byte, 8> data{};
  store_le(data, 0x5a0f);
  EXPECT_TRUE(ports.write(0x70, std::span{data}.first(2)));  // index and data at once
  out(0x70, 0x0f);
  EXPECT_EQ(in(0x71), 0x5a);
  EXPECT_TRUE(ports.read(0x92, data));
  EXPECT_EQ(load_le(data), 0xffffffffffffff02U) << "bytes beyond the range are all-ones";
}

TEST_F(Board, PitTicksOnTheRealLoop) {
  initialise_pic();
  out(0x43, 0x34);
  out(0x40, 0x54);  // 1108 ticks: 0.93 ms
  out(0x40, 0x04);
  int ticks = 0;
  std::jthread guest{[&] {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{5};
    while (ticks < 5 && std::chrono::steady_clock::now() < deadline) {
      if (chipset->pic().pending()) {
        EXPECT_EQ(chipset->pic().acknowledge(), 0x30);
        out(0x20, 0x20);
        ++ticks;
      }
      std::this_thread::sleep_for(std::chrono::microseconds{100});
    }
    loop->stop();
  }};
  ASSERT_TRUE(loop->run());
  guest.join();
  EXPECT_EQ(ticks, 5);
}

TEST_F(Board, AddressesComeFreeWithTheChipset) {
  EXPECT_THAT(create(), FailsWith(Errc::invalid, HasSubstr("overlaps PIC")));
  chipset.reset();
  EXPECT_THAT(create(), pcivm::test::IsOk());
}

TEST_F(Board, ResetSilencesEverything) {
  initialise_pic();
  program(16, 0x8051);
  out(0x3fc, 0x08);
  out(0x3f9, 0x02);
  chipset->reset();
  EXPECT_FALSE(chipset->pic().pending());
  EXPECT_THAT(kvm.routes, IsEmpty());
  chipset->connect(16).set(true);
  EXPECT_THAT(kvm.signalled, IsEmpty());
}

}  // namespace
}  // namespace pcivm::vmm
