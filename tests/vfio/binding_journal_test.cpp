// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"
#include "vfio/host_lock.hpp"
#include "vfio/journal.hpp"
#include "vfio/journal_record.hpp"

namespace pcivm::vfio {
namespace {

using std::chrono::milliseconds;
using test::FailsWith;
using test::IsOk;
using test::IsOkAnd;
using test::TempRoot;
using testing::Eq;
using testing::HasSubstr;

Record sample() {
  Record record;
  record.set("intent", "bind");
  record.set("empty", "");
  record.set("odd", "a=b%0a\n%25 %");
  return record;
}

TEST(Record, KeepsEveryByteOfAValue) { EXPECT_THAT(Record::parse(sample().serialize()), IsOkAnd(Eq(sample()))); }

TEST(Record, IsRefusedWhenCutAtAnyByte) {
  const auto text = sample().serialize();
  for (std::size_t length = 0; length < text.size(); ++length) {
    EXPECT_THAT(Record::parse(text.substr(0, length)), FailsWith(Errc::invalid)) << length;
  }
}

TEST(Record, IsRefusedWhenAnyByteIsChanged) {
  const auto text = sample().serialize();
  for (std::size_t at = 0; at < text.size(); ++at) {
    auto changed = text;
    changed[at] = static_cast<char>(changed[at] ^ 0x08);
    EXPECT_THAT(Record::parse(changed), FailsWith(Errc::invalid)) << at;
  }
}

TEST(Record, IsReplacedAsAWhole) {
  const TempRoot tree;
  const auto root = tree.root();
  ASSERT_THAT(store(root, "/run/pcivm/journal/x", sample()), IsOk());
  auto next = sample();
  next.set("intent", "release");
  ASSERT_THAT(store(root, "/run/pcivm/journal/x", next), IsOk());
  EXPECT_THAT(load(root, "/run/pcivm/journal/x"), IsOkAnd(Eq(next)));
  EXPECT_THAT(root.list("/run/pcivm/journal"), IsOkAnd(Eq(std::vector<std::string>{"x"})));
}

TEST(Record, ErasingNoneIsSuccess) {
  const TempRoot tree;
  EXPECT_THAT(erase(tree.root(), "/run/pcivm/journal/x"), IsOk());
}

TEST(Record, CannotBeStoredWhereAFileIsInTheWay) {
  const TempRoot tree;
  tree.file("/run/pcivm/journal", "");
  EXPECT_FALSE(store(tree.root(), "/run/pcivm/journal/x", sample()).has_value());
}

TEST(Journal, ATemporaryFileOfACrashIsNoEntry) {
  const TempRoot tree;
  tree.file("/run/pcivm/journal/.0000:01:00.0.new", "pcivm-rec");
  EXPECT_TRUE(left_over(tree.root())->empty());
}

TEST(Journal, ListsDamagedEntriesAsSuch) {
  const TempRoot tree;
  tree.file("/run/pcivm/journal/0000:01:00.0", "pcivm-rec");
  const auto entries = left_over(tree.root());
  ASSERT_EQ(entries->size(), 1U);
  EXPECT_THAT(entries->front().record, FailsWith(Errc::invalid, HasSubstr("damaged record")));
}

TEST(Owner, IsAliveOnlyWithTheSameStartTime) {
  const TempRoot tree;
  const std::string tail{" S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 "};
  tree.file("/proc/42/stat", "42 (a ) b)" + tail + "777 99\n");
  const auto owner = Owner::of(tree.root(), 42);
  ASSERT_THAT(owner, IsOk());
  EXPECT_EQ(owner->start, "777");
  EXPECT_TRUE(owner->alive(tree.root()));
  tree.file("/proc/42/stat", "42 (other)" + tail + "888 99\n");
  EXPECT_FALSE(owner->alive(tree.root()));
  EXPECT_FALSE((Owner{.pid = 43, .start = "777"}).alive(tree.root()));
}

TEST(HostLock, IsFreeAgainAfterItsHolder) {
  const TempRoot tree;
  {
    ASSERT_THAT(HostLock::take(tree.root(), milliseconds{0}), IsOk());
  }
  EXPECT_THAT(HostLock::take(tree.root(), milliseconds{0}), IsOk());
}

TEST(HostLock, FollowsNoLink) {
  const TempRoot tree;
  tree.file("/run/pcivm/other", "kept");
  std::filesystem::create_symlink("other", tree.root().host_path("/run/pcivm/lock"));
  EXPECT_THAT(HostLock::take(tree.root(), milliseconds{0}), FailsWith(Errc::kernel, HasSubstr("lock")));
  EXPECT_THAT(tree.root().read("/run/pcivm/other"), test::IsOkAnd(testing::Eq("kept")));
}

TEST(HostLock, NamesItsHolderWhenItStaysTaken) {
  const TempRoot tree;
  tree.file("/proc/" + std::to_string(::getpid()) + "/comm", "pcivm\n");
  const auto held = HostLock::take(tree.root(), milliseconds{0});
  std::string told;
  const auto second =
      HostLock::take(tree.root(), milliseconds{30}, [&](std::string_view text) { told = std::string{text}; });
  EXPECT_THAT(second, FailsWith(Errc::busy, HasSubstr("pid " + std::to_string(::getpid()) + " (pcivm) for 0 s")));
  EXPECT_THAT(told, HasSubstr("waiting for the host lock"));
}

TEST(HostLock, IsTakenAsSoonAsItsHolderEnds) {
  const TempRoot tree;
  auto held = std::optional{HostLock::take(tree.root(), milliseconds{0}).value()};
  std::jthread holder{[&] {
    std::this_thread::sleep_for(milliseconds{50});
    held.reset();
  }};
  EXPECT_THAT(HostLock::take(tree.root(), milliseconds{5'000}), IsOk());
}

TEST(HostLock, IsReleasedByItsOwnerAlthoughAChildStillHasIt) {
  const TempRoot tree;
  pid_t child{};
  {
    const auto held = HostLock::take(tree.root(), milliseconds{0});
    child = ::fork();
    if (child == 0) {
      ::pause();
      ::_exit(0);
    }
  }
  EXPECT_THAT(HostLock::take(tree.root(), milliseconds{0}), IsOk());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace pcivm::vfio
