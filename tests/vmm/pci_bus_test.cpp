// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/pci_bus.hpp"

#include <gmock/gmock.h>
#include <linux/pci_regs.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "tests/support/result_matchers.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {
namespace {

struct Access {
  std::uint16_t offset;
  std::size_t length;
  bool operator==(const Access&) const = default;
};

// Byte at offset N reads as N; writes are noted.
class Counting final : public PciDevice {
 public:
  std::string_view name() const override { return "counting"; }
  std::vector<BarRequest> bars() const override { return {}; }
  void place_bar(unsigned /*index*/, std::uint64_t /*address*/) override {}
  void config_read(std::uint16_t offset, std::span<std::byte> data) override {
    reads.push_back({offset, data.size()});
    for (auto& byte : data) byte = static_cast<std::byte>(offset++);
  }
  void config_write(std::uint16_t offset, std::span<const std::byte> data) override {
    writes.push_back({offset, data.size()});
  }
  std::vector<Access> reads;
  std::vector<Access> writes;
};

class PciBusTest : public testing::Test {
 protected:
  PciBusTest() {
    slot_ = bus_.add(device_).value();
    EXPECT_THAT(bus_.connect(ports_, memory_), test::IsOk());
  }
  std::uint64_t port_in(std::uint16_t port, std::size_t length) {
    std::vector<std::byte> data(length);
    ports_.read(port, data);
    return load_le(data);
  }
  void port_out(std::uint16_t port, std::size_t length, std::uint64_t value) {
    std::vector<std::byte> data(length);
    store_le(data, value);
    ports_.write(port, data);
  }
  std::uint64_t ecam(unsigned slot, std::uint64_t offset, std::size_t length) {
    std::vector<std::byte> data(length);
    memory_.read(platform::kEcam.value + slot * 0x8000 + offset, data);
    return load_le(data);
  }
  PciBus bus_;
  IoBus ports_;
  IoBus memory_;
  Counting device_;
  unsigned slot_{};
};

TEST_F(PciBusTest, HasAHostBridgeAtSlotZero) {
  EXPECT_EQ(ecam(0, 0x0a, 2), 0x0600U);
  EXPECT_EQ(ecam(0, 0x100, 4), 0U);
  EXPECT_EQ(slot_, 1U);
}

TEST_F(PciBusTest, ReadsAbsentFunctionsAsAllOnes) {
  EXPECT_EQ(ecam(2, 0, 4), 0xffffffffU);
  std::vector<std::byte> data(4);
  memory_.read(platform::kEcam.value + (8 + 1) * 0x1000, data);
  EXPECT_EQ(load_le(data), 0xffffffffU);
}

TEST_F(PciBusTest, SplitsEightBytesIntoTwoDwords) {
  EXPECT_EQ(ecam(1, 0x10, 8), 0x1716151413121110U);
  EXPECT_THAT(device_.reads, testing::ElementsAre(Access{0x10, 4}, Access{0x14, 4}));
}

TEST_F(PciBusTest, RefusesAccessesThatCrossADword) {
  EXPECT_EQ(ecam(1, 3, 2), 0xffffU);
  EXPECT_EQ(ecam(1, 2, 4), 0xffffffffU);
  EXPECT_EQ(ecam(1, 0, 3), 0xffffffU);
  EXPECT_EQ(ecam(1, 4, 5), 0xffffffffffU);
  EXPECT_THAT(device_.reads, testing::IsEmpty());
  const std::byte three[3]{};
  memory_.write(platform::kEcam.value + 0x8000, three);
  EXPECT_THAT(device_.writes, testing::IsEmpty());
}

TEST_F(PciBusTest, ReachesExtendedSpaceThroughEcamOnly) {
  EXPECT_EQ(ecam(1, 0xffc, 4), 0xfffefdfcU);
  port_out(0xcf8, 4, 0x80000800 | 0x0f000000);
  EXPECT_EQ(port_in(0xcf8, 4), 0x80000800U);
}

TEST_F(PciBusTest, AnswersMechanismOneInAnyWidth) {
  port_out(0xcf8, 4, 0x80000800 | 0x40);
  EXPECT_EQ(port_in(0xcfc, 4), 0x43424140U);
  EXPECT_EQ(port_in(0xcfe, 2), 0x4342U);
  EXPECT_EQ(port_in(0xcff, 1), 0x43U);
  port_out(0xcfd, 1, 7);
  EXPECT_THAT(device_.writes, testing::ElementsAre(Access{0x41, 1}));
}

TEST_F(PciBusTest, IgnoresMechanismOneWithoutItsEnableBitOrOnOtherBuses) {
  port_out(0xcf8, 4, 0x00000800);
  EXPECT_EQ(port_in(0xcfc, 4), 0xffffffffU);
  port_out(0xcf8, 4, 0x80010800);
  EXPECT_EQ(port_in(0xcfc, 4), 0xffffffffU);
  EXPECT_THAT(device_.reads, testing::IsEmpty());
}

TEST_F(PciBusTest, TakesTheAddressAsADwordOnly) {
  port_out(0xcf8, 4, 0x80000800);
  port_out(0xcf8, 1, 0x40);
  port_out(0xcf9, 1, 0x06);
  port_out(0xcfa, 2, 0xffff);
  EXPECT_EQ(port_in(0xcf8, 4), 0x80000800U);
  EXPECT_EQ(port_in(0xcf8, 2), 0xffffU);
}

TEST_F(PciBusTest, HoldsThirtyOneDevices) {
  for (unsigned slot = 2; slot < 32; ++slot) EXPECT_THAT(bus_.add(device_), test::IsOkAnd(slot));
  EXPECT_THAT(bus_.add(device_), test::FailsWith(Errc::invalid));
}

// One 64-bit memory BAR that reads as programmed, and one for I/O.
class WithBars final : public PciDevice {
 public:
  std::string_view name() const override { return "with BARs"; }
  std::vector<BarRequest> bars() const override {
    return {{.index = 2, .size = kMiB, .is_64bit = true}, {.index = 4, .size = 16, .io = true}};
  }
  void place_bar(unsigned /*index*/, std::uint64_t address) override { placed = address; }
  void config_read(std::uint16_t offset, std::span<std::byte> data) override {
    store_le(data, offset == 0x18 ? (placed & 0xffffffffU) | 4U : offset == 0x1c ? placed >> 32U : 0U);
  }
  void config_write(std::uint16_t /*offset*/, std::span<const std::byte> /*data*/) override {}
  std::uint64_t placed{};
};

TEST_F(PciBusTest, FindsTheBarsAbove4G) {
  EXPECT_EQ(bus_.bars_above_4g().length, 0U);
  WithBars low;
  WithBars high;
  WithBars higher;
  for (auto* device : {&low, &high, &higher}) ASSERT_THAT(bus_.add(*device), test::IsOk());
  low.placed = 0xc0000000;
  EXPECT_EQ(bus_.bars_above_4g().length, 0U);
  high.placed = 0x800000000;
  higher.placed = 0x900000000;
  EXPECT_EQ(bus_.bars_above_4g().base, Gpa{0x800000000});
  EXPECT_EQ(bus_.bars_above_4g().length, 0x100000000 + kMiB);
  higher.placed = ~0ULL;
  EXPECT_EQ(bus_.bars_above_4g().length, kMiB);
}

// Decoded where its one register says, as soon as nothing is there.
class Movable final : public PciDevice, public IoHandler {
 public:
  explicit Movable(IoBus& bus) : bus_{bus} {}
  std::string_view name() const override { return "movable"; }
  std::vector<BarRequest> bars() const override { return {}; }
  void place_bar(unsigned /*index*/, std::uint64_t /*address*/) override {}
  void config_read(std::uint16_t /*offset*/, std::span<std::byte> /*data*/) override {}
  void config_write(std::uint16_t /*offset*/, std::span<const std::byte> data) override {
    wanted_ = load_le(data);
    decode_again();
  }
  void decode_again() override {
    ++decoded;
    if (at && at != wanted_) bus_.remove(*std::exchange(at, std::nullopt));
    if (!at && bus_.add(wanted_, kMiB, *this, "movable")) at = wanted_;
  }
  void read(std::uint64_t /*offset*/, std::span<std::byte> /*data*/) override {}
  void write(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) override {}
  std::optional<std::uint64_t> at;
  int decoded{};

 private:
  IoBus& bus_;
  std::uint64_t wanted_{};
};

TEST_F(PciBusTest, LetsTwoFunctionsSwapPlaces) {
  Movable first{memory_};
  Movable second{memory_};
  const auto one = bus_.add(first).value() << 3U;
  const auto two = bus_.add(second).value() << 3U;
  const auto move = [this](unsigned devfn, std::uint32_t address) {
    std::array<std::byte, 4> data{};
    store_le(data, address);
    bus_.config_write(devfn, PCI_BASE_ADDRESS_0, data);
  };
  move(one, 0xc0000000);
  move(two, 0xc0100000);
  move(one, 0xc0100000);
  EXPECT_EQ(first.at, std::nullopt) << "the other one is still there";
  move(two, 0xc0000000);
  EXPECT_EQ(first.at, 0xc0100000U);
  EXPECT_EQ(second.at, 0xc0000000U);
  first.decoded = 0;
  move(two, 0xc0200000);
  EXPECT_EQ(first.decoded, 0) << "nobody was waiting";
}

TEST_F(PciBusTest, MovesItsMemoryMappedSpace) {
  ASSERT_THAT(bus_.move_ecam(Gpa{0xb0000000}), test::IsOk());
  EXPECT_EQ(ecam(1, 0x10, 4), 0xffffffffU);
  std::vector<std::byte> data(4);
  memory_.read(0xb0000000 + 0x8010, data);
  EXPECT_EQ(load_le(data), 0x13121110U);
  ASSERT_THAT(bus_.move_ecam(std::nullopt), test::IsOk());
  EXPECT_FALSE(memory_.read(0xb0000000, data));
}

TEST(PciBusReset, ComesWithTheResetControlRegisterOnly) {
  int resets = 0;
  for (const bool wired : {false, true}) {
    PciBus bus;
    IoBus ports;
    IoBus memory;
    ASSERT_THAT(bus.connect(ports, memory, std::nullopt, wired ? std::function<void()>{[&] { ++resets; }} : nullptr),
                test::IsOk());
    for (const unsigned value : {0x02U, 0x06U}) {
      const std::byte data[] = {static_cast<std::byte>(value)};
      ports.write(0xcf9, data);
    }
    const std::byte address[] = {std::byte{0}, std::byte{6}, std::byte{0}, std::byte{0x80}};
    ports.write(0xcf8, address);
    EXPECT_EQ(resets, wired ? 1 : 0);
  }
}

}  // namespace
}  // namespace pcivm::vmm
