// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/flash.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <array>
#include <string>
#include <vector>

#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::size_t kSize = 4 * Flash::kBlock;

class FlashTest : public testing::Test {
 protected:
  void SetUp() override {
    file_ = make_memfd("variables", kSize).value();
    make();
  }
  void make() {
    flash_ = std::make_unique<Flash>(
        Flash::Wiring{.contents = contents_,
                      .file = file_.dup().value(),
                      .array_mode = [this](bool on) { modes_.push_back(on); },
                      .report = [this](const Error& error) { reports_.push_back(error.text()); }});
  }
  void out(std::uint64_t offset, std::uint8_t value) {
    const std::array data{std::byte{value}};
    flash_->write(offset, data);
  }
  std::uint8_t in(std::uint64_t offset) {
    std::array data{std::byte{}};
    flash_->read(offset, data);
    return std::to_integer<std::uint8_t>(data[0]);
  }
  std::uint8_t saved(std::uint64_t offset) {
    std::array data{std::byte{}};
    EXPECT_THAT(pread_exact(file_.ref(), offset, data), test::IsOk());
    return std::to_integer<std::uint8_t>(data[0]);
  }
  void program(std::uint64_t offset, std::uint8_t value) {
    out(offset, 0x40);
    out(offset, value);
  }

  std::vector<std::byte> contents_ = std::vector<std::byte>(kSize, std::byte{0x11});
  Fd file_;
  std::vector<bool> modes_;
  std::vector<std::string> reports_;
  std::unique_ptr<Flash> flash_;
};

TEST_F(FlashTest, ReadsAsMemoryFirst) {
  EXPECT_EQ(in(0), 0x11);
  EXPECT_EQ(in(kSize - 1), 0x11);
  EXPECT_EQ(in(kSize), 0xff);
  EXPECT_THAT(modes_, IsEmpty());
}

// How OVMF tells it from RAM (a command is read back), and from ROM (contents are).
TEST_F(FlashTest, IsFoundByAProbe) {
  out(5, 0x50);
  EXPECT_EQ(in(5), 0x11);
  out(5, 0x70);
  EXPECT_EQ(in(5), 0x00);
  out(5, 0xff);
  EXPECT_EQ(in(5), 0x11);
  EXPECT_THAT(modes_, ElementsAre(false, true));
}

TEST_F(FlashTest, ProgramsBytesAndSavesThemWithTheWayBack) {
  program(100, 0xab);
  out(101, 0x10);  // the older command
  out(101, 0x70);  // a value, here no command
  EXPECT_EQ(in(100), Flash::kReady);
  EXPECT_EQ(saved(100), 0);
  out(101, 0xff);
  EXPECT_EQ(in(100), 0xab);
  EXPECT_EQ(in(101), 0x70);
  EXPECT_EQ(in(102), 0x11);
  EXPECT_EQ(saved(100), 0xab);
  EXPECT_EQ(saved(101), 0x70);
  EXPECT_EQ(saved(102), 0);
  EXPECT_THAT(modes_, ElementsAre(false, true));
}

TEST_F(FlashTest, ErasesTheBlockAroundAnAddressAndSavesAtOnce) {
  out(Flash::kBlock + 7, 0x20);
  out(Flash::kBlock + 7, 0xd0);
  EXPECT_EQ(in(0), Flash::kReady);
  EXPECT_EQ(saved(Flash::kBlock), 0xff);
  EXPECT_EQ(saved(2 * Flash::kBlock - 1), 0xff);
  out(0, 0xff);
  EXPECT_EQ(in(Flash::kBlock - 1), 0x11);
  EXPECT_EQ(in(Flash::kBlock), 0xff);
  EXPECT_EQ(in(2 * Flash::kBlock), 0x11);
}

TEST_F(FlashTest, ErasesNothingWithoutConfirmation) {
  out(0, 0x20);
  out(0, 0x12);
  out(0, 0xff);
  EXPECT_EQ(in(0), 0x11);
  out(0, 0x20);
  out(0, 0xff);  // gives up
  EXPECT_EQ(in(0), 0x11);
  EXPECT_EQ(modes_.back(), true);
}

TEST_F(FlashTest, SavesInTheOrderOfProgramsAndErases) {
  program(3 * Flash::kBlock, 0x22);
  out(0, 0x20);
  out(0, 0xd0);
  EXPECT_EQ(saved(3 * Flash::kBlock), 0x22);
  EXPECT_EQ(saved(0), 0xff);
}

TEST_F(FlashTest, TakesUnknownCommandsForTheWayBack) {
  out(0, 0x70);
  out(0, 0x98);
  EXPECT_EQ(in(0), 0x11);
  EXPECT_THAT(modes_, ElementsAre(false, true));
}

TEST_F(FlashTest, KeepsWithinItsSize) {
  program(kSize, 0x33);
  program(~0ULL, 0x33);
  out(kSize, 0x20);
  out(kSize, 0xd0);
  out(0, 0xff);
  EXPECT_EQ(contents_, std::vector<std::byte>(kSize, std::byte{0x11}));
  std::array<std::byte, 8> data{};
  flash_->read(kSize - 4, data);
  EXPECT_THAT(data, testing::Each(std::byte{0xff}));
}

TEST_F(FlashTest, TakesSeveralBytesAtOnceAsOneAfterTheOther) {
  const std::array data{std::byte{0x40}, std::byte{0x55}, std::byte{0xff}};
  flash_->write(10, data);
  EXPECT_EQ(in(11), 0x55);
}

TEST_F(FlashTest, ShowsAndReportsWhatTheFileRefused) {
  file_ = Fd::adopt(::open("/dev/full", O_RDWR | O_CLOEXEC));
  make();
  program(0, 1);
  out(0, 0xff);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_THAT(reports_[0], testing::HasSubstr("variables are not saved"));
  out(0, 0x70);
  EXPECT_EQ(in(0), Flash::kReady | Flash::kProgramFailed | Flash::kEraseFailed);
  out(0, 0x50);
  out(0, 0x70);
  EXPECT_EQ(in(0), 0);
}

TEST_F(FlashTest, ResetSavesAndReadsAsMemory) {
  program(9, 0x99);
  flash_->reset();
  EXPECT_EQ(in(9), 0x99);
  EXPECT_EQ(saved(9), 0x99);
}

}  // namespace
}  // namespace pcivm::vmm
