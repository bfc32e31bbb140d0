// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/fw_cfg.hpp"

#include <gmock/gmock.h>

#include <array>
#include <string>

#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

using pcivm::test::FailsWith;
using pcivm::test::IsOk;

constexpr std::uint64_t kRequest = 0x1000;
constexpr std::uint64_t kTarget = 0x2000;
constexpr std::uint32_t kError = 1;
constexpr std::uint32_t kRead = 2;
constexpr std::uint32_t kSkip = 4;
constexpr std::uint32_t kSelect = 8;
constexpr std::uint32_t kWrite = 16;

FwCfg::Bytes bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span{text});
  return {bytes.begin(), bytes.end()};
}

class FwCfgTest : public testing::Test {
 protected:
  FwCfgTest() { EXPECT_THAT(device_.add_file("etc/greeting", bytes_of("hello")), IsOk()); }
  void out(std::uint64_t offset, std::size_t size, std::uint64_t value) {
    std::vector<std::byte> data(size);
    store_le(data, value);
    device_.write(offset, data);
  }
  std::uint64_t in(std::uint64_t offset, std::size_t size) {
    std::vector<std::byte> data(size);
    device_.read(offset, data);
    return load_le(data);
  }
  std::string read(std::size_t count) {
    std::string text;
    while (text.size() < count) text += static_cast<char>(in(1, 1));
    return text;
  }
  std::string item(std::uint16_t key, std::size_t count) {
    out(0, 2, key);
    return read(count);
  }
  void big(std::uint64_t address, std::uint64_t value, unsigned width) {
    std::array<std::byte, 8> data{};
    for (unsigned index = 0; index < width; ++index) {
      data.at(index) = static_cast<std::byte>(value >> 8 * (width - 1 - index));
    }
    const auto room = memory_.window(Gpa{address}, width).value();
    std::copy_n(data.begin(), width, room.begin());
  }
  std::uint32_t transfer(std::uint32_t control, std::uint32_t length, std::uint64_t target,
                         std::uint64_t request = kRequest) {
    big(request, control, 4);
    big(request + 4, length, 4);
    big(request + 8, target, 8);
    start(request);
    return std::byteswap(memory_.read<std::uint32_t>(Gpa{request}).value());
  }
  void start(std::uint64_t request) {
    out(4, 4, std::byteswap(static_cast<std::uint32_t>(request >> 32U)));
    out(8, 4, std::byteswap(static_cast<std::uint32_t>(request)));
  }
  std::string memory_text(std::uint64_t address, std::size_t length) {
    const auto room = memory_.window(Gpa{address}, length).value();
    std::string text;
    for (const auto byte : room) text += static_cast<char>(byte);
    return text;
  }

  GuestMemory memory_ = GuestMemory::create(std::array{GuestMemory::Range{.gpa = {0}, .length = 64 * kKiB}}).value();
  FwCfg device_{memory_};
};

TEST_F(FwCfgTest, SaysWhatItIsAndThatItHasDma) {
  EXPECT_EQ(item(0x00, 4), "QEMU");
  EXPECT_EQ(item(0x01, 4), std::string("\3\0\0\0", 4));
  EXPECT_EQ(in(4, 4), 0x554d4551U);  // "QEMU CFG", big-endian
  EXPECT_EQ(in(8, 4), 0x47464320U);
  EXPECT_EQ(in(4, 8), 0x4746432055'4d4551U);
}

TEST_F(FwCfgTest, ReadsOfItemsEndInZeros) {
  EXPECT_EQ(item(0x20, 8), std::string("hello\0\0\0", 8));
  EXPECT_EQ(item(0x7777, 3), std::string(3, '\0'));
  device_.add(FwCfg::kCpuCount, {std::byte{4}, std::byte{0}});
  EXPECT_EQ(item(FwCfg::kCpuCount, 2), std::string("\4\0", 2));
}

TEST_F(FwCfgTest, SelectingAgainStartsAtTheBeginning) {
  EXPECT_EQ(item(0x20, 2), "he");
  EXPECT_EQ(read(2), "ll");
  EXPECT_EQ(item(0x20, 2), "he");
  device_.reset();
  EXPECT_EQ(read(4), "QEMU");
}

TEST_F(FwCfgTest, ListsItsFilesInADirectory) {
  EXPECT_THAT(device_.add_file("second", bytes_of("2")), IsOk());
  const auto directory = item(FwCfg::kDirectory, 4 + 2 * 64);
  EXPECT_EQ(directory.substr(0, 4), std::string("\0\0\0\2", 4));
  EXPECT_EQ(directory.substr(4, 8), std::string("\0\0\0\5\0\x20\0\0", 8));
  EXPECT_STREQ(directory.substr(12, 56).c_str(), "etc/greeting");
  EXPECT_EQ(directory.substr(68, 8), std::string("\0\0\0\1\0\x21\0\0", 8));
  EXPECT_STREQ(directory.substr(76).c_str(), "second");
  EXPECT_EQ(item(0x21, 1), "2");
}

TEST_F(FwCfgTest, RefusesNamesThatDoNotFit) {
  EXPECT_THAT(device_.add_file("etc/greeting", {}), FailsWith(Errc::internal));
  EXPECT_THAT(device_.add_file(std::string(56, 'x'), {}), FailsWith(Errc::internal));
  EXPECT_THAT(device_.add_file(std::string(55, 'x'), {}), IsOk());
}

TEST_F(FwCfgTest, AnswersNoOtherSizesAndPorts) {
  out(0, 2, 0x20);
  for (const std::size_t size : {2U, 4U, 8U}) EXPECT_EQ(in(1, size), ~0ULL >> (64 - 8 * size)) << size;
  EXPECT_EQ(in(0, 1), 0xffU);
  EXPECT_EQ(in(3, 1), 0xffU);
  EXPECT_EQ(in(9, 4), 0xffffffffU);
  out(0, 1, 0);
  out(0, 4, 0);
  out(1, 2, 0);
  EXPECT_EQ(read(5), "hello");
}

TEST_F(FwCfgTest, ReadsByDma) {
  EXPECT_EQ(transfer(0x20U << 16U | kSelect | kRead, 4, kTarget), 0U);
  EXPECT_EQ(memory_text(kTarget, 4), "hell");
  EXPECT_EQ(transfer(kRead, 3, kTarget), 0U);
  EXPECT_EQ(memory_text(kTarget, 4), std::string("o\0\0l", 4));
}

TEST_F(FwCfgTest, SkipsByDma) {
  EXPECT_EQ(transfer(0x20U << 16U | kSelect | kSkip, 3, 0), 0U);
  EXPECT_EQ(read(2), "lo");
  EXPECT_EQ(transfer(kSkip, 0xffffffff, 0), 0U);
  EXPECT_EQ(read(1), std::string(1, '\0'));
}

TEST_F(FwCfgTest, WritesNothing) {
  EXPECT_EQ(transfer(0x20U << 16U | kSelect | kWrite, 4, kTarget), kError);
  EXPECT_EQ(item(0x20, 5), "hello");
}

TEST_F(FwCfgTest, ReportsDmaOutsideOfRam) {
  for (const auto target :
       std::initializer_list<std::uint64_t>{64 * kKiB, 64 * kKiB - 1, ~0ULL, ~0ULL - 1, 1ULL << 32U}) {
    EXPECT_EQ(transfer(0x20U << 16U | kSelect | kRead, 2, target), kError) << target;
  }
  EXPECT_EQ(transfer(kRead, 0xffffffff, kTarget), kError);
}

TEST_F(FwCfgTest, IgnoresRequestsThatDoNotLieInRam) {
  out(0, 2, 0x20);
  for (const auto request : std::initializer_list<std::uint64_t>{64 * kKiB, 64 * kKiB - 15, ~0ULL - 3, 1ULL << 40U}) {
    start(request);
  }
  EXPECT_EQ(read(5), "hello");
  EXPECT_EQ(transfer(kRead, 1, kTarget, 64 * kKiB - 16), 0U);  // and forgets the upper half of the address
}

TEST_F(FwCfgTest, AsksForContentsWhenTheyAreSelected) {
  std::string now = "one";
  EXPECT_THAT(device_.add_file("made", bytes_of(now), [&now] { return bytes_of(now); }), IsOk());
  EXPECT_EQ(item(0x21, 3), "one");
  now = "two";
  EXPECT_EQ(item(0x21, 3), "two");
  now = "longer";
  EXPECT_EQ(item(0x21, 6), std::string("two\0\0\0", 6));
  now = "six";
  EXPECT_EQ(transfer(0x21U << 16U | kSelect | kRead, 3, kTarget), 0U);
  EXPECT_EQ(memory_text(kTarget, 3), "six");
}

}  // namespace
}  // namespace pcivm::vmm
