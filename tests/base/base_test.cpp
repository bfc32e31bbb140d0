// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "base/bdf.hpp"
#include "base/child.hpp"
#include "base/event_loop.hpp"
#include "base/ioctl.hpp"
#include "base/mapping.hpp"
#include "base/nearest.hpp"
#include "base/parse.hpp"
#include "base/pci_config.hpp"
#include "base/replace_file.hpp"
#include "base/sysroot.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm {
namespace {

using test::FailsWith;
using test::IsOk;
using test::IsOkAnd;
using test::TempRoot;
using testing::Eq;
using testing::HasSubstr;

TEST(Nearest, FindsTheWordOfATypoAndNothingForAnotherWord) {
  const std::vector<std::string> known{"numVfs", "autoprobe", "bind"};
  EXPECT_EQ(nearest("numVf", known), "numVfs");
  EXPECT_EQ(nearest("autoporbe", known), "autoprobe");
  EXPECT_EQ(nearest("x", known), "");
  EXPECT_EQ(nearest("firmware", known), "");
  EXPECT_EQ(nearest("bind", {}), "");
}

TEST(Error, NamesErrnoAfterFramesFromOuterToInner) {
  const auto error = Error::from_errno(EBUSY, "open '/dev/vfio/7'").within("attach 0000:01:00.0");
  EXPECT_EQ(error.text(), "attach 0000:01:00.0: open '/dev/vfio/7': Device or resource busy (EBUSY)");
  EXPECT_EQ(error.kind(), Errc::busy);
}

TEST(Error, KeepsTheInnermostHint) {
  const auto error = Error::make(Errc::busy, "x").advise("inner").advise("outer");
  EXPECT_EQ(error.hint(), "inner");
}

TEST(Try, ReturnsTheErrorOfTheInnerCall) {
  const auto outer = []() -> Result<int> {
    const int value = TRY_IN(Result<int>{fail(Errc::denied, "inner")}, std::string{"outer"});
    return value + 1;
  };
  EXPECT_THAT(outer(), FailsWith(Errc::denied, HasSubstr("outer: inner")));
}

TEST(Bdf, ReadsBothSpellings) {
  EXPECT_THAT(Bdf::parse("0000:3b:1f.7"), IsOkAnd(Eq(Bdf{0, 0x3b, 0x1f, 7})));
  EXPECT_THAT(Bdf::parse("3B:00.0"), IsOkAnd(Eq(Bdf{0, 0x3b, 0, 0})));
}

TEST(Bdf, IsWrittenAsTheKernelDoes) {
  for (const auto* text : {"0000:00:00.0", "0000:3b:1f.7", "0fed:ff:0a.3", "10000:e1:00.0", "ffffffff:01:10.2"}) {
    EXPECT_EQ(Bdf::parse(text)->to_string(), text);
  }
}

TEST(Text, IsTrimmedAtBothEnds) {
  EXPECT_EQ(trimmed(" \ta b \n"), "a b");
  EXPECT_EQ(trimmed("\n "), "");
  EXPECT_EQ(trimmed(""), "");
}

TEST(Text, HashesAreFnv1aAndGoOn) {
  EXPECT_EQ(hash_of("foobar"), 0x85944171f73967e8U);  // of the authors' test suite
  EXPECT_EQ(hash_of("bar", hash_of("foo")), hash_of("foobar"));
}

TEST(Bdf, RejectsEverythingElse) {
  for (const auto* text : {"", "0", "00:00", "00:20.0", "00:00.8", "00:00.0 ", " 00:00.0", "0000:00:00:00.0", "zz:00.0",
                           "00:0.-1", "0000:000:00.0", ":00:00.0", "00:00.", "123456789:00:00.0", "+1:00.0"}) {
    EXPECT_THAT(Bdf::parse(text), FailsWith(Errc::invalid)) << text;
  }
}

TEST(Parse, RefusesSignsBlanksAndOverflow) {
  EXPECT_THAT(parse_decimal<std::uint8_t>("255"), IsOkAnd(Eq(255)));
  for (const auto* text : {"", "256", "-1", "+1", " 1", "1 ", "0x1", "1e2"}) {
    EXPECT_THAT(parse_decimal<std::uint8_t>(text), FailsWith(Errc::invalid)) << text;
  }
}

TEST(Parse, SizesUseBinarySuffixes) {
  EXPECT_THAT(parse_size("1G"), IsOkAnd(Eq(kGiB)));
  EXPECT_THAT(parse_size("4096"), IsOkAnd(Eq(4096U)));
  for (const auto* text : {"", "G", "1.5G", "1GB", "16777216T", "-1M"}) {
    EXPECT_THAT(parse_size(text), FailsWith(Errc::invalid)) << text;
  }
}

TEST(Parse, MacAddressMustBeUnicastAndNotZero) {
  EXPECT_EQ(MacAddress::parse("02:11:22:aa:BB:cc")->to_string(), "02:11:22:aa:bb:cc");
  for (const auto* text : {"", "02:11:22:33:44", "02-11-22-33-44-55", "01:00:5e:00:00:01", "00:00:00:00:00:00",
                           "02:11:22:33:44:5g", "02:11:22:33:44:55:66"}) {
    EXPECT_THAT(MacAddress::parse(text), FailsWith(Errc::invalid)) << text;
  }
}

TEST(Units, FitsNeverOverflows) {
  EXPECT_TRUE(fits(0, 0, 0));
  EXPECT_TRUE(fits(4, 4, 8));
  EXPECT_FALSE(fits(4, 5, 8));
  EXPECT_FALSE(fits(8, UINT64_MAX, 16));
  EXPECT_FALSE(fits(UINT64_MAX, 2, 16));
}

TEST(SysRoot, StaysInsideItsRoot) {
  const TempRoot temp;
  temp.file("/sys/secret", "inside\n");
  temp.link("/sys/absolute", "/sys/secret");
  temp.link("/sys/climbing", "../../../../../../etc/passwd");
  const auto root = temp.root();
  EXPECT_THAT(root.read("/sys/absolute"), IsOkAnd(Eq("inside")));
  EXPECT_THAT(root.read("/sys/climbing"), FailsWith(Errc::not_found));
}

TEST(SysRoot, ListsSortedAndNamesLinks) {
  const TempRoot temp;
  temp.file("/d/b", "");
  temp.file("/d/a", "");
  temp.link("/d/driver", "../../bus/pci/drivers/igb");
  const auto root = temp.root();
  EXPECT_THAT(root.list("/d"), IsOkAnd(testing::ElementsAre("a", "b", "driver")));
  EXPECT_EQ(root.link_name("/d/driver"), "igb");
  EXPECT_EQ(root.link_name("/d/none"), "");
  EXPECT_THAT(root.list("/none"), FailsWith(Errc::not_found));
}

TEST(SysRoot, WriteErrorNamesValueAndPath) {
  const TempRoot temp;
  auto root = temp.root();
  root.on_write([](auto, auto) { return EBUSY; });
  EXPECT_THAT(root.write("/sys/x/unbind", "0000:01:00.0\n"),
              FailsWith(Errc::busy, HasSubstr("write '0000:01:00.0' to '/sys/x/unbind'")));
}

TEST(SysRoot, WriteWithinReportsTheKernelsErrno) {
  const TempRoot temp;
  temp.file("/f", "old");
  const auto root = temp.root();
  EXPECT_THAT(root.write_within("/f", "new", std::chrono::seconds{5}), IsOk());
  EXPECT_THAT(root.read("/f"), IsOkAnd(Eq("new")));
  EXPECT_EQ(root.write_within("/none", "x", std::chrono::seconds{5}).error().sys_errno(), ENOENT);
}

// /run and /var/lib are root's, so this is the second lock on the door.
TEST(ReplaceFile, WritesThroughNoLinkThatIsInItsWay) {
  for (const bool symbolic : {true, false}) {
    const TempRoot temp;
    temp.file("/etc/shadow", "secret");
    temp.file("/run/pcivm/journal/other", "");
    const auto root = temp.root();
    const auto planted = root.host_path("/run/pcivm/journal/.entry.new");
    if (symbolic) {
      std::filesystem::create_symlink(root.host_path("/etc/shadow"), planted);
    } else {
      std::filesystem::create_hard_link(root.host_path("/etc/shadow"), planted);
    }
    EXPECT_THAT(replace_file(root, "/run/pcivm/journal/entry", "new", 0600, 0700), IsOk()) << symbolic;
    EXPECT_THAT(root.read("/etc/shadow"), IsOkAnd(Eq("secret"))) << symbolic;
    EXPECT_THAT(root.read("/run/pcivm/journal/entry"), IsOkAnd(Eq("new"))) << symbolic;
    EXPECT_FALSE(std::filesystem::is_symlink(root.host_path("/run/pcivm/journal/entry"))) << symbolic;
  }
}

TEST(Child, TimesOutOnWorkThatBlocks) {
  EXPECT_THAT(run_child([] { return 7; }, std::chrono::seconds{5}), IsOkAnd(Eq(7)));
  EXPECT_THAT(run_child(
                  [] {
                    ::pause();
                    return 0;
                  },
                  std::chrono::milliseconds{50}),
              FailsWith(Errc::timeout));
}

TEST(Child, IsObservedWhileItIsWaitedFor) {
  const auto nap = [] { return ::usleep(350'000); };
  int ticks = 0;
  {
    const ChildWaitObserver observer{[&ticks] { ++ticks; }};
    EXPECT_THAT(run_child(nap, std::chrono::seconds{5}), IsOkAnd(Eq(0)));
    EXPECT_THAT(run_child([] { return ::pause(); }, std::chrono::milliseconds{150}), FailsWith(Errc::timeout));
  }
  const int seen = ticks;
  EXPECT_GE(seen, 4);
  EXPECT_THAT(run_child(nap, std::chrono::seconds{5}), IsOkAnd(Eq(0)));
  EXPECT_EQ(ticks, seen);
}

TEST(Fd, ShortPreadIsAnError) {
  const auto memfd = make_memfd("t", 8).value();
  std::array<std::byte, 4> buffer{};
  EXPECT_THAT(pread_exact(memfd.ref(), 4, buffer), IsOk());
  EXPECT_EQ(pread_exact(memfd.ref(), 6, buffer).error().sys_errno(), EIO);
}

TEST(Fd, MoveLeavesNothingBehind) {
  auto first = make_eventfd().value();
  const auto second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): the empty state is the contract
  EXPECT_TRUE(second);
}

TEST(Ioctl, ErrorStartsWithTheRequestName) {
  struct Refusing final : IoctlPort {
    int call(FdRef, unsigned long, void*) override { return -ENOTTY; }
  } port;
  const Ioctl<int> request{"VFIO_TEST", 1};
  int argument = 0;
  EXPECT_THAT(request(port, FdRef{0}, argument), FailsWith(Errc::kernel, HasSubstr("VFIO_TEST: ")));
}

TEST(Mapping, AlignsAddressWithOffset) {
  constexpr auto kAlign = 2 * kMiB;
  const auto memfd = make_memfd("t", 8 * kMiB).value();
  const auto mapping = Mapping::shared(memfd.ref(), kPageSize, 4 * kMiB, Access::read_write, kAlign).value();
  EXPECT_EQ(mapping.hva().value % kAlign, kPageSize);
  EXPECT_EQ(Mapping::anonymous(3 * kPageSize, kGiB)->hva().value % kGiB, 0U);
  mapping.bytes().back() = std::byte{1};
}

TEST(Mapping, RefusesEmptyAndHugeLengths) {
  EXPECT_FALSE(Mapping::anonymous(0));
  EXPECT_FALSE(Mapping::anonymous(UINT64_MAX - 5, kGiB));
}

TEST(EventLoop, CallbackMayDropItsOwnWatch) {
  const auto loop = EventLoop::create().value();
  const auto event = make_eventfd().value();
  int calls = 0;
  Watch watch;
  watch = loop->watch(event.ref(), Interest::read,
                      [&] {
                        ++calls;
                        watch = Watch{};
                        loop->post([&] { loop->stop(); });
                      })
              .value();
  signal_eventfd(event.ref());
  EXPECT_THAT(loop->run(), IsOk());
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, RunsPostedWorkFromAnotherThreadInOrder) {
  const auto loop = EventLoop::create().value();
  std::vector<int> order;
  std::jthread poster{[&] {
    for (int i = 0; i < 3; ++i) loop->post([&order, i] { order.push_back(i); });
    loop->post([&] { loop->stop(); });
  }};
  EXPECT_THAT(loop->run(), IsOk());
  EXPECT_EQ(order, (std::vector{0, 1, 2}));
}

class CapabilityWalk : public testing::Test {
 protected:
  void link(std::size_t at, std::uint8_t id, std::uint8_t next) {
    config_store(image, at, 2, static_cast<std::uint32_t>(id | next << 8U));
  }
  void SetUp() override {
    config_store(image, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
    config_store(image, PCI_CAPABILITY_LIST, 1, 0x40);
  }
  std::array<std::byte, 4096> image{};
};

TEST_F(CapabilityWalk, MasksReservedPointerBits) {
  config_store(image, PCI_CAPABILITY_LIST, 1, 0x43);
  link(0x40, PCI_CAP_ID_MSIX, 0x53);
  link(0x50, PCI_CAP_ID_EXP, 0);
  EXPECT_EQ(find_capability(image, PCI_CAP_ID_EXP), 0x50);
  EXPECT_EQ(capabilities(image).size(), 2U);
}

TEST_F(CapabilityWalk, TerminatesOnACycle) {
  link(0x40, 1, 0x50);
  link(0x50, 5, 0x40);
  EXPECT_EQ(capabilities(image).size(), 2U);
}

TEST_F(CapabilityWalk, StopsAtAPointerIntoTheHeader) {
  link(0x40, 1, 0x10);
  EXPECT_EQ(capabilities(image).size(), 1U);
}

TEST_F(CapabilityWalk, IsEmptyWithoutTheStatusBit) {
  link(0x40, 1, 0);
  config_store(image, PCI_STATUS, 2, 0);
  EXPECT_TRUE(capabilities(image).empty());
}

TEST_F(CapabilityWalk, FollowsTheExtendedListAndStopsOnACycle) {
  config_store(image, 0x100, 4, 0x14010001U | 0x140U << 20U);
  config_store(image, 0x140, 4, PCI_EXT_CAP_ID_SRIOV | 0x100U << 20U);
  EXPECT_EQ(find_extended_capability(image, PCI_EXT_CAP_ID_SRIOV), 0x140);
  EXPECT_EQ(extended_capabilities(image).size(), 2U);
}

TEST_F(CapabilityWalk, SeesNothingInADeadDevice) {
  image.fill(std::byte{0xff});
  EXPECT_TRUE(extended_capabilities(image).empty());
  EXPECT_LE(capabilities(image).size(), 48U);
  EXPECT_EQ(config_u32(std::span{image}.first(2), 0), 0xffffffffU);
}

}  // namespace
}  // namespace pcivm
