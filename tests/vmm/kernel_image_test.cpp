// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/kernel_image.hpp"

#include <gtest/gtest.h>

#include "tests/support/kernel_files.hpp"
#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

using test::BzImage;
using test::ElfImage;
using test::FailsWith;
using test::IsOk;
using testing::HasSubstr;

auto parse(const BzImage& file) { return parse_bzimage(file.bytes(), file.bytes().size()); }

TEST(BzImage, TellsWhereItWantsToBe) {
  const auto image = parse(BzImage{}).value();
  ASSERT_EQ(image.segments.size(), 1U);
  EXPECT_EQ(image.segments[0].address, 0x1000000U);
  EXPECT_EQ(image.segments[0].memory_length, 8 * 1024 * 1024U);
  EXPECT_EQ(image.segments[0].file_offset, 1024U);
  EXPECT_EQ(image.entry, 0x200U);
  EXPECT_EQ(image.relocation_step, 0x200000U);
  EXPECT_EQ(image.cmdline_most, 2047U);
}

TEST(BzImage, CountsNoSetupSectorsAsFour) {
  BzImage file;
  file.put(0x1f1, 0, 1);
  file.put(0x1f4, 1, 4);
  EXPECT_EQ(parse(file).value().segments[0].file_offset, 5 * 512U);
}

TEST(BzImage, RefusesAFileThatIsTooShort) {
  EXPECT_THAT(parse_bzimage({}, 0), FailsWith(Errc::invalid, HasSubstr("0 bytes")));
  EXPECT_THAT(parse_bzimage(BzImage{}.bytes().first(0x280), 0x280), FailsWith(Errc::invalid));
}

TEST(BzImage, RefusesWhatIsNoKernel) {
  BzImage no_flag;
  no_flag.put(0x1fe, 0, 2);
  EXPECT_THAT(parse(no_flag), FailsWith(Errc::invalid, HasSubstr("neither")));
  BzImage no_magic;
  no_magic.put(0x202, 0, 4);
  EXPECT_THAT(parse(no_magic), FailsWith(Errc::invalid, HasSubstr("neither")));
}

TEST(BzImage, RefusesAnOldProtocol) {
  BzImage file;
  file.put(0x206, 0x020b, 2);
  EXPECT_THAT(parse(file), FailsWith(Errc::invalid, HasSubstr("2.11 found")));
}

TEST(BzImage, RefusesAKernelFor32Bit) {
  BzImage file;
  file.put(0x236, 0, 2);
  EXPECT_THAT(parse(file), FailsWith(Errc::invalid, HasSubstr("64-bit")));
}

TEST(BzImage, RefusesATruncatedPayload) {
  const BzImage file;
  EXPECT_THAT(parse_bzimage(file.bytes(), 4096),
              FailsWith(Errc::invalid, HasSubstr("truncated bzImage of 4096 bytes")));
}

TEST(BzImage, RefusesAnAlignmentThatIsNoPowerOfTwo) {
  BzImage file;
  file.put(0x230, 0x300000, 4);
  EXPECT_THAT(parse(file), FailsWith(Errc::invalid, HasSubstr("power of two")));
}

TEST(BzImage, KeepsTheSetupHeaderWithinTheZeroPage) {
  BzImage file;
  file.put(0x201, 0xff, 1);
  EXPECT_EQ(parse(file).value().setup_header.size(), 0x290U - 0x1f1U);
}

TEST(ElfKernel, FindsThePvhEntry) {
  const ElfImage file;
  const auto image = read_kernel_image(file.file().ref()).value();
  EXPECT_EQ(image.format, KernelImage::Format::pvh);
  EXPECT_EQ(image.entry, ElfImage::kAddress + 0x10);
  ASSERT_EQ(image.segments.size(), 1U);
  EXPECT_EQ(image.segments[0].memory_length, 0x3000U);
}

TEST(ElfKernel, RefusesOtherMachinesAndClasses) {
  ElfImage arm;
  arm.header().e_machine = EM_AARCH64;
  EXPECT_THAT(read_kernel_image(arm.file().ref()), FailsWith(Errc::invalid, HasSubstr("x86-64")));
  ElfImage narrow;
  narrow.header().e_ident[EI_CLASS] = ELFCLASS32;
  EXPECT_THAT(read_kernel_image(narrow.file().ref()), FailsWith(Errc::invalid));
}

TEST(ElfKernel, RefusesProgramHeadersOutOfReach) {
  ElfImage far;
  far.header().e_phoff = ~0ULL;
  EXPECT_THAT(read_kernel_image(far.file().ref()), FailsWith(Errc::invalid, HasSubstr("program headers at")));
  ElfImage many;
  many.header().e_phnum = 65;
  EXPECT_THAT(read_kernel_image(many.file().ref()), FailsWith(Errc::invalid, HasSubstr("65 program headers")));
  ElfImage odd;
  odd.header().e_phentsize = 32;
  EXPECT_THAT(read_kernel_image(odd.file().ref()), FailsWith(Errc::invalid));
}

TEST(ElfKernel, RefusesSegmentsOutsideFileOrMemory) {
  ElfImage truncated;
  truncated.load().p_filesz = 1ULL << 40U;
  truncated.load().p_memsz = 1ULL << 40U;
  EXPECT_THAT(read_kernel_image(truncated.file().ref()), FailsWith(Errc::invalid, HasSubstr("truncated ELF")));
  ElfImage wrapping;
  wrapping.load().p_offset = ~0ULL - 16;
  EXPECT_THAT(read_kernel_image(wrapping.file().ref()), FailsWith(Errc::invalid));
  ElfImage low;
  low.load().p_paddr = 0x1000;
  EXPECT_THAT(read_kernel_image(low.file().ref()), FailsWith(Errc::invalid, HasSubstr("physical address 0x1000")));
  ElfImage shrunk;
  shrunk.load().p_memsz = 1;
  EXPECT_THAT(read_kernel_image(shrunk.file().ref()), FailsWith(Errc::invalid, HasSubstr("room of 1")));
}

TEST(ElfKernel, RefusesAnEntryOutsideItsSegments) {
  ElfImage file;
  file.entry() = 0x500000;
  EXPECT_THAT(read_kernel_image(file.file().ref()), FailsWith(Errc::invalid, HasSubstr("0x500000")));
}

TEST(ElfKernel, RefusesAnElfWithoutPvhNote) {
  ElfImage file;
  file.note().n_type = 17;
  EXPECT_THAT(read_kernel_image(file.file().ref()), FailsWith(Errc::invalid, HasSubstr("without a PVH entry note")));
}

TEST(PvhNotes, EndAtATruncatedNote) {
  std::vector<std::byte> notes(20);
  notes[0] = std::byte{0xff};  // a name longer than the notes
  notes[1] = std::byte{0xff};
  notes[2] = std::byte{0xff};
  notes[3] = std::byte{0xff};
  EXPECT_THAT(parse_pvh_entry(notes), FailsWith(Errc::not_found));
  notes.assign(20, std::byte{0});
  notes[4] = std::byte{0xf0};  // a value longer than the notes
  EXPECT_THAT(parse_pvh_entry(notes), FailsWith(Errc::not_found));
  EXPECT_THAT(parse_pvh_entry({}), FailsWith(Errc::not_found));
}

TEST(KernelFile, MayBeEmpty) {
  const auto empty = make_memfd("empty", 0).value();
  EXPECT_THAT(read_kernel_image(empty.ref()), FailsWith(Errc::invalid));
}

}  // namespace
}  // namespace pcivm::vmm
