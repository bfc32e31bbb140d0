// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/guest_memory.hpp"

#include <gmock/gmock.h>

#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using testing::HasSubstr;

constexpr std::uint64_t kLength = 2 * kMiB;
constexpr Gpa kFile{4 * kGiB};

class FileInMemory : public testing::Test {
 protected:
  void add(bool read_only) {
    ASSERT_THAT(pwrite_exact(file_.ref(), 100, std::as_bytes(std::span{"hello"})), test::IsOk());
    ASSERT_THAT(memory_.add_file({.gpa = kFile, .length = kLength}, file_.ref(), read_only), test::IsOk());
  }
  char on_disk(std::uint64_t offset) {
    char value = 0;
    (void)pread_exact(file_.ref(), offset, std::as_writable_bytes(std::span{&value, 1}));
    return value;
  }
  Fd file_ = make_memfd("file", kLength).value();
  GuestMemory memory_ =
      GuestMemory::create(std::array{GuestMemory::Range{.gpa = Gpa{0}, .length = kLength}}).value();
};

TEST_F(FileInMemory, IsReachedAtItsAddress) {
  add(false);
  EXPECT_EQ(memory_.read<char>(kFile + 100).value(), 'h');
  ASSERT_THAT(memory_.write(kFile + 100, 'j'), test::IsOk());
  EXPECT_EQ(on_disk(100), 'j');
  EXPECT_THAT(memory_.window(kFile + (kLength - 1), 2), FailsWith(Errc::invalid, HasSubstr("outside")));
  EXPECT_THAT(memory_.window(Gpa{kLength - 1}, 2), FailsWith(Errc::invalid, HasSubstr("outside")));
}

TEST_F(FileInMemory, IsNotRam) {
  add(false);
  EXPECT_EQ(memory_.size(), kLength);
  ASSERT_EQ(memory_.regions().size(), 2U);
  EXPECT_EQ(memory_.regions()[0].kind, MemoryKind::ram);
  EXPECT_EQ(memory_.regions()[1].kind, MemoryKind::file);
  EXPECT_EQ(memory_.regions()[1].hva.value % kLength, kFile.value % kLength) << "huge pages are possible";
  EXPECT_THAT(memory_.populate(2), test::IsOk());
}

TEST_F(FileInMemory, IsNeverWrittenWhenReadOnly) {
  add(true);
  EXPECT_EQ(memory_.regions()[1].kind, MemoryKind::read_only_file);
  ASSERT_THAT(memory_.write(kFile + 100, 'j'), test::IsOk());
  EXPECT_EQ(memory_.read<char>(kFile + 100).value(), 'j') << "a copy of this process";
  EXPECT_EQ(on_disk(100), 'h');
}

TEST_F(FileInMemory, TellsWhatCannotBeMapped) {
  EXPECT_THAT(memory_.add_file({.gpa = kFile, .length = kLength}, FdRef{-1}, false), FailsWith(Errc::kernel, HasSubstr("mmap")));
  EXPECT_EQ(memory_.regions().size(), 1U);
}

}  // namespace
}  // namespace pcivm::vmm
