// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/guest_memory.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

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
  GuestMemory memory_ = GuestMemory::create(std::array{GuestMemory::Range{.gpa = Gpa{0}, .length = kLength}}).value();
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
  EXPECT_THAT(memory_.add_file({.gpa = kFile, .length = kLength}, FdRef{-1}, false),
              FailsWith(Errc::kernel, HasSubstr("mmap")));
  EXPECT_EQ(memory_.regions().size(), 1U);
}

/// What smaps says of the mapping that `address` is in.
std::string flags_at(Hva address) {
  std::ifstream maps{"/proc/self/smaps"};
  std::string line;
  bool inside = false;
  while (std::getline(maps, line)) {
    std::uint64_t begin{};
    std::uint64_t end{};
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2)
      inside = address.value >= begin && address.value < end;
    if (inside && line.starts_with("VmFlags:")) return line + " ";
  }
  return {};
}

TEST(GuestMemory, StartsWithSmallPagesUnlessDevicesReachIt) {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage")) GTEST_SKIP() << "a kernel without huge pages";
  const std::array ranges{GuestMemory::Range{.gpa = Gpa{0}, .length = 8 * kMiB}};
  const auto plain = GuestMemory::create(ranges).value();
  const auto begin = plain.regions().front().hva;
  EXPECT_THAT(flags_at(begin), HasSubstr(" nh "));
  EXPECT_THAT(flags_at(begin + 2 * kMiB), HasSubstr(" hg "));
  const auto reached = GuestMemory::create(ranges, {.devices = true}).value();
  EXPECT_THAT(flags_at(reached.regions().front().hva), HasSubstr(" hg "));
}

}  // namespace
}  // namespace pcivm::vmm
