// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/q35.hpp"

#include <gmock/gmock.h>

#include <optional>
#include <vector>

#include "vmm/io_bus.hpp"

namespace pcivm::vmm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::uint64_t read(ChipsetFunction& function, std::uint16_t offset, std::size_t width) {
  std::vector<std::byte> data(width);
  function.config_read(offset, data);
  return load_le(data);
}
void write(ChipsetFunction& function, std::uint16_t offset, std::size_t width, std::uint64_t value) {
  std::vector<std::byte> data(width);
  store_le(data, value);
  function.config_write(offset, data);
}

class Q35 : public testing::Test {
 protected:
  std::vector<std::optional<Gpa>> places_;
  Q35HostBridge bridge_{[this](std::optional<Gpa> place) { places_.push_back(place); }};
  Ich9LpcBridge lpc_;
};

TEST_F(Q35, IsWhatFirmwareLooksFor) {
  EXPECT_EQ(read(bridge_, 0, 4), 0x29c08086U);
  EXPECT_EQ(read(bridge_, 0x0a, 2), 0x0600U);
  EXPECT_EQ(read(lpc_, 0, 4), 0x29188086U);
  EXPECT_EQ(read(lpc_, 0x0a, 2), 0x0601U);
  EXPECT_EQ(read(bridge_, 0x100, 4), 0U);
}

// As OVMF does it: off, upper half, lower half with the enable bit.
TEST_F(Q35, PlacesConfigurationSpace) {
  write(bridge_, 0x60, 4, 0);
  write(bridge_, 0x64, 4, 0);
  EXPECT_THAT(places_, IsEmpty());
  write(bridge_, 0x60, 4, 0xb0000001);
  EXPECT_THAT(places_, ElementsAre(Gpa{0xb0000000}));
  EXPECT_EQ(bridge_.ecam(), Gpa{0xb0000000});
  write(bridge_, 0x60, 4, 0xb0000001);
  EXPECT_EQ(places_.size(), 1U);
  write(bridge_, 0x60, 1, 0);
  EXPECT_THAT(places_, ElementsAre(Gpa{0xb0000000}, std::nullopt));
}

TEST_F(Q35, RoundsItsAddressToItsSize) {
  write(bridge_, 0x60, 4, 0xbc000001);
  EXPECT_EQ(bridge_.ecam(), Gpa{0xb0000000});
  write(bridge_, 0x60, 4, 0xbc000003);
  EXPECT_EQ(bridge_.ecam(), Gpa{0xb8000000});
  write(bridge_, 0x60, 4, 0xbc000005);
  EXPECT_EQ(bridge_.ecam(), Gpa{0xbc000000});
  write(bridge_, 0x60, 4, 0xbc000007);
  EXPECT_EQ(bridge_.ecam(), std::nullopt);
  write(bridge_, 0x64, 4, 0xffffffff);
  write(bridge_, 0x60, 4, 0xf0000001);
  EXPECT_EQ(bridge_.ecam(), Gpa{0xff0000000});
}

TEST_F(Q35, KeepsWhatIsWrittenButItsIdentity) {
  write(bridge_, 0, 4, 0);
  EXPECT_EQ(read(bridge_, 0, 4), 0x29c08086U);
  write(bridge_, 0x90, 1, 0x30);  // PAM0
  EXPECT_EQ(read(bridge_, 0x90, 1), 0x30U);
  write(bridge_, 0xfe, 4, ~0ULL);
  EXPECT_EQ(read(bridge_, 0xfc, 4), 0U);
}

TEST_F(Q35, ResetTakesConfigurationSpaceAway) {
  write(bridge_, 0x60, 4, 0xb0000001);
  bridge_.reset();
  bridge_.reset();
  EXPECT_THAT(places_, ElementsAre(Gpa{0xb0000000}, std::nullopt));
  EXPECT_EQ(read(bridge_, 0x60, 4), 0U);
}

TEST_F(Q35, AcpiRegistersAreOnAndStay) {
  EXPECT_EQ(read(lpc_, 0x40, 4), 0x601U);
  EXPECT_EQ(read(lpc_, 0x44, 1), 0x80U);
  write(lpc_, 0x40, 4, 0xb001);
  write(lpc_, 0x44, 1, 0);
  EXPECT_EQ(read(lpc_, 0x40, 4), 0x601U);
  EXPECT_EQ(read(lpc_, 0x44, 1), 0x80U);
  write(lpc_, 0x60, 1, 0x0a);
  EXPECT_EQ(read(lpc_, 0x60, 1), 0x0aU);
}

}  // namespace
}  // namespace pcivm::vmm
