// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/boot_linux.hpp"

#include <asm/bootparam.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "tests/support/kernel_files.hpp"
#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

using test::BzImage;
using test::ElfImage;
using test::FailsWith;
using test::IsOk;
using testing::HasSubstr;

const GuestMemory::Range kRam64M[] = {{.gpa = {0}, .length = 64 * kMiB}};

KernelImage bzimage(std::uint64_t init_size = 8 * kMiB) {
  BzImage file;
  file.put(0x260, init_size, 4);
  return parse_bzimage(file.bytes(), file.bytes().size()).value();
}

TEST(BootPlan, TakesThePreferredAddress) {
  const auto plan = plan_boot(bzimage(), 0, 0, kRam64M).value();
  EXPECT_EQ(plan.relocation, 0U);
  EXPECT_EQ(plan.initrd_length, 0U);
}

TEST(BootPlan, MovesAKernelDownWhenTheMemoryIsSmall) {
  const auto plan = plan_boot(bzimage(50 * kMiB), 0, 0, kRam64M).value();
  EXPECT_EQ(plan.image.segments[0].address + plan.relocation, 2 * kMiB);
}

TEST(BootPlan, RefusesAKernelThatNeedsMoreThanThereIs) {
  EXPECT_THAT(plan_boot(bzimage(63 * kMiB), 0, 0, kRam64M), FailsWith(Errc::invalid, HasSubstr("63 MiB of RAM")));
  BzImage fixed;
  fixed.put(0x234, 0, 1);
  fixed.put(0x260, 50 * kMiB, 4);
  EXPECT_THAT(plan_boot(parse_bzimage(fixed.bytes(), fixed.bytes().size()).value(), 0, 0, kRam64M),
              FailsWith(Errc::invalid));
  BzImage absurd;
  absurd.put(0x258, ~0ULL - kMiB, 8);
  absurd.put(0x234, 0, 1);
  EXPECT_THAT(plan_boot(parse_bzimage(absurd.bytes(), absurd.bytes().size()).value(), 0, 0, kRam64M),
              FailsWith(Errc::invalid));
}

TEST(BootPlan, PutsTheInitrdAtTheTop) {
  const auto plan = plan_boot(bzimage(), 5000, 0, kRam64M).value();
  EXPECT_EQ(plan.initrd.value, 64 * kMiB - 8192);
}

TEST(BootPlan, KeepsTheInitrdBelowTheKernelsLimit) {
  BzImage file;
  file.put(0x22c, 0x1ffffff, 4);
  const auto plan = plan_boot(parse_bzimage(file.bytes(), file.bytes().size()).value(), 4096, 0, kRam64M).value();
  EXPECT_EQ(plan.initrd.value, 32 * kMiB - 4096);
}

TEST(BootPlan, RefusesAnInitrdThatMeetsTheKernel) {
  EXPECT_THAT(plan_boot(bzimage(40 * kMiB), 20 * kMiB, 0, kRam64M),
              FailsWith(Errc::invalid, HasSubstr("initrd of 20")));
}

TEST(BootPlan, RefusesACommandLineThatTheKernelWouldCut) {
  EXPECT_THAT(plan_boot(bzimage(), 0, 2047, kRam64M), IsOk());
  EXPECT_THAT(plan_boot(bzimage(), 0, 2048, kRam64M), FailsWith(Errc::invalid, HasSubstr("2048 bytes")));
}

TEST(BootPlan, RefusesAnElfKernelOutsideRam) {
  const auto image = read_kernel_image(ElfImage{}.file().ref()).value();
  const GuestMemory::Range small[] = {{.gpa = {0}, .length = 16 * kMiB}};
  EXPECT_THAT(plan_boot(image, 0, 0, small), FailsWith(Errc::invalid, HasSubstr("0x1000000")));
}

class Loading : public testing::Test {
 protected:
  GuestMemory memory_ = GuestMemory::create(kRam64M).value();
  std::vector<MapEntry> map_{{.base = {0}, .length = 0xa0000}, {.base = {kMiB}, .length = 63 * kMiB}};
  BootFacts facts_{.cmdline = "console=ttyS0", .rsdp = {0xe0000}, .map = map_};
  std::string cmdline_at(std::uint64_t address) {
    const auto text = memory_.window(Gpa{address}, 14).value();
    return {static_cast<const char*>(static_cast<const void*>(text.data()))};
  }
};

TEST_F(Loading, FillsTheZeroPage) {
  const BzImage file;
  const auto kernel = file.file();
  auto initrd = make_memfd("initrd", 4096).value();
  ASSERT_THAT(write_all(initrd.ref(), "070701"), IsOk());
  const auto plan = plan_boot(read_kernel_image(kernel.ref()).value(), 4096, 13, kRam64M).value();
  const auto state = load_linux(memory_, plan, {kernel.ref(), initrd.ref()}, facts_).value();

  EXPECT_EQ(state.mode, CpuState::Mode::long64);
  EXPECT_EQ(state.rip, 0x1000200U);
  const auto params = memory_.read<boot_params>(Gpa{state.rsi}).value();
  EXPECT_EQ(params.hdr.header, 0x53726448U);
  EXPECT_EQ(params.acpi_rsdp_addr, 0xe0000U);
  EXPECT_EQ(params.e820_entries, 2);
  EXPECT_EQ(params.e820_table[1].size, 63 * kMiB);
  EXPECT_EQ(params.hdr.ramdisk_image, plan.initrd.value);
  EXPECT_EQ(cmdline_at(params.hdr.cmd_line_ptr), "console=ttyS0");
  EXPECT_EQ(memory_.read<std::uint8_t>(Gpa{0x1000005}).value(), 5);
  EXPECT_EQ(memory_.read<char>(plan.initrd).value(), '0');
}

TEST_F(Loading, MapsTheFirstFourGibibytesOntoThemselves) {
  CpuState state{.mode = CpuState::Mode::long64};
  ASSERT_THAT(write_cpu_tables(memory_, state), IsOk());
  for (const std::uint64_t address : {0x1000ULL, 0x40000000ULL, 0xfee00000ULL}) {
    const auto top = memory_.read<std::uint64_t>(state.page_tables).value() & ~0xfffULL;
    const auto middle = memory_.read<std::uint64_t>(Gpa{top + (address >> 30U) * 8}).value() & ~0xfffULL;
    const auto leaf = memory_.read<std::uint64_t>(Gpa{middle + (address >> 21U & 511U) * 8}).value();
    EXPECT_EQ(leaf & ~0x1fffffULL, align_down(address, 2 * kMiB));
  }
}

TEST_F(Loading, FillsTheStartInfoAndClearsTheBss) {
  ASSERT_THAT(memory_.write(Gpa{ElfImage::kAddress + 0x2000}, ~0ULL), IsOk());
  const ElfImage elf;
  const auto kernel = elf.file();
  const auto plan = plan_boot(read_kernel_image(kernel.ref()).value(), 0, 13, kRam64M).value();
  const auto state = load_linux(memory_, plan, {kernel.ref(), kernel.ref()}, facts_).value();

  EXPECT_EQ(state.mode, CpuState::Mode::protected32);
  EXPECT_EQ(state.rip, ElfImage::kAddress + 0x10);
  EXPECT_EQ(memory_.read<std::uint32_t>(Gpa{state.rbx}).value(), 0x336ec578U);
  EXPECT_EQ(memory_.read<std::uint64_t>(Gpa{state.rbx + 32}).value(), 0xe0000U);
  EXPECT_EQ(cmdline_at(memory_.read<std::uint64_t>(Gpa{state.rbx + 24}).value()), "console=ttyS0");
  const auto map = memory_.read<std::uint64_t>(Gpa{state.rbx + 40}).value();
  EXPECT_EQ(memory_.read<std::uint64_t>(Gpa{map + 24}).value(), kMiB);
  EXPECT_EQ(memory_.read<std::uint64_t>(Gpa{ElfImage::kAddress + 0x2000}).value(), 0U);
  EXPECT_EQ(memory_.read<std::uint8_t>(Gpa{ElfImage::kAddress}).value(), 0x5a);
}

// 33 MiB of words that differ, at an address that is no multiple of a piece's.
TEST_F(Loading, ReadsALargeInitrdByPiecesThatFitTogether) {
  constexpr std::uint64_t kLength = 33 * kMiB + 4096;
  const auto kernel = BzImage{}.file();
  auto initrd = make_memfd("initrd", kLength).value();
  std::vector<std::uint32_t> words(kLength / sizeof(std::uint32_t));
  std::iota(words.begin(), words.end(), 1U);
  ASSERT_THAT(pwrite_exact(initrd.ref(), 0, std::as_bytes(std::span{words})), IsOk());
  const auto plan = plan_boot(read_kernel_image(kernel.ref()).value(), kLength, 13, kRam64M).value();
  ASSERT_THAT(load_linux(memory_, plan, {kernel.ref(), initrd.ref()}, facts_), IsOk());
  const auto there = memory_.window(plan.initrd, kLength).value();
  EXPECT_TRUE(std::ranges::equal(there, std::as_bytes(std::span{words})));
}

TEST_F(Loading, FailsWhenALargeInitrdShrank) {
  constexpr std::uint64_t kLength = 33 * kMiB;
  const auto kernel = BzImage{}.file();
  auto initrd = make_memfd("initrd", kLength - 1).value();
  const auto plan = plan_boot(read_kernel_image(kernel.ref()).value(), kLength, 13, kRam64M).value();
  EXPECT_THAT(load_linux(memory_, plan, {kernel.ref(), initrd.ref()}, facts_),
              FailsWith(Errc::kernel, HasSubstr("load the initrd")));
}

TEST_F(Loading, FailsWhenTheFileShrankSinceItWasChecked) {
  const BzImage file;
  const auto plan = plan_boot(read_kernel_image(file.file().ref()).value(), 0, 0, kRam64M).value();
  const auto shorter = make_memfd("short", 100).value();
  EXPECT_THAT(load_linux(memory_, plan, {shorter.ref(), shorter.ref()}, facts_),
              FailsWith(Errc::kernel, HasSubstr("load the kernel")));
}

}  // namespace
}  // namespace pcivm::vmm
