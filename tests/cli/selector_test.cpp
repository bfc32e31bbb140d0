// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/selector.hpp"

#include <gmock/gmock.h>

#include "tests/support/fake_pci.hpp"
#include "tests/support/result_matchers.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::FakePci;
using test::IsOkAnd;
using test::TempRoot;
using testing::AllOf;
using testing::HasSubstr;

class Selector : public testing::Test {
 protected:
  Selector() {
    pci.function({.address = "0000:01:00.0", .driver = "igb", .group = 6, .total_vfs = 7});
    pci.netdev("0000:01:00.0", "eth2", "02:11:22:33:44:55");
    pci.vf("0000:01:00.0", 0, "0000:01:10.0", 9);
    pci.vf("0000:01:00.0", 1, "0000:01:10.2", 10);
    pci.function({.address = "0000:03:00.0", .class_code = 0x010802, .driver = "nvme", .group = 7});
    temp.file(FakePci::device("0000:03:00.0") + "/nvme/nvme0/serial", "S4EVNX0        \n");
  }
  Result<Bdf> select(std::string_view text) { return select_function(root, text); }
  static Bdf bdf(std::string_view text) { return Bdf::parse(text).value(); }
  TempRoot temp;
  FakePci pci{temp};
  SysRoot root{temp.root()};
};

TEST_F(Selector, TakesAddressesWithAndWithoutDomain) {
  EXPECT_THAT(select("0000:01:00.0"), IsOkAnd(bdf("0000:01:00.0")));
  EXPECT_THAT(select("01:10.2"), IsOkAnd(bdf("0000:01:10.2")));
}

TEST_F(Selector, TakesInterfacesAndVirtualFunctionsByNumber) {
  EXPECT_THAT(select("eth2"), IsOkAnd(bdf("0000:01:00.0")));
  EXPECT_THAT(select("eth2/vf1"), IsOkAnd(bdf("0000:01:10.2")));
  EXPECT_THAT(select("0000:01:00.0/vf0"), IsOkAnd(bdf("0000:01:10.0")));
}

TEST_F(Selector, TakesMacSerialAndId) {
  EXPECT_THAT(select("mac=02:11:22:33:44:55"), IsOkAnd(bdf("0000:01:00.0")));
  EXPECT_THAT(select("serial=S4EVNX0"), IsOkAnd(bdf("0000:03:00.0")));
}

TEST_F(Selector, ListsTheMatchesOfAnAmbiguousOne) {
  EXPECT_THAT(select("id=8086:10ca"),
              FailsWith(Errc::invalid, AllOf(HasSubstr("0000:01:10.0"), HasSubstr("0000:01:10.2"))));
}

TEST_F(Selector, TellsMalformedFromAbsent) {
  EXPECT_THAT(select("0000:01:00.9"), FailsWith(Errc::invalid));
  EXPECT_THAT(select("0000:01:00"), FailsWith(Errc::invalid));
  EXPECT_THAT(select("id=8086"), FailsWith(Errc::invalid));
  EXPECT_THAT(select("mac=01:00:00:00:00:00"), FailsWith(Errc::invalid));
  EXPECT_THAT(select("vendor=8086"), FailsWith(Errc::invalid));
  EXPECT_THAT(select("eth2/vfx"), FailsWith(Errc::invalid));
  EXPECT_THAT(select("0000:09:00.0"), FailsWith(Errc::not_found));
  EXPECT_THAT(select("eth9"), FailsWith(Errc::not_found));
  EXPECT_THAT(select("eth2/vf2"), FailsWith(Errc::not_found, HasSubstr("vf0 to vf1")));
  EXPECT_THAT(select("0000:03:00.0/vf0"), FailsWith(Errc::not_found, HasSubstr("none")));
  EXPECT_THAT(select("serial=x"), FailsWith(Errc::not_found));
  EXPECT_THAT(select(""), FailsWith(Errc::not_found));
  EXPECT_THAT(select("../../etc"), FailsWith(Errc::not_found));
}

TEST_F(Selector, SaysThatAnInterfaceIsNoPciFunction) {
  temp.link("/sys/class/net/br0", "../../devices/virtual/net/br0");
  temp.directory("/sys/devices/virtual/net/br0");
  EXPECT_THAT(select("br0"), FailsWith(Errc::not_found, HasSubstr("belongs to no PCI function")));
}

}  // namespace
}  // namespace pcivm::cli
