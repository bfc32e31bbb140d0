// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_violation.hpp"

#include <gmock/gmock.h>

namespace pcivm::cli {
namespace {

constexpr auto kRecord =
    "5,812,94718271,-;audit: type=1326 audit(1793000000.120:7): auid=4294967295 uid=2000000417 gid=2000000417 "
    "ses=4294967295 subj=kernel pid=417 comm=\"vcpu\" exe=\"/usr/bin/pcivm\" sig=31 arch=c000003e syscall=41 compat=0 "
    "ip=0x7f0000000000 code=0x80000000\n";

TEST(Violation, SaysCallAndThreadOfTheProcess) {
  const auto found = violation_in(kRecord, 417);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->call, "socket");
  EXPECT_EQ(found->thread, "vcpu");
}

TEST(Violation, IsNotTakenFromOthersOrOtherRecords) {
  EXPECT_FALSE(violation_in(kRecord, 41));
  EXPECT_FALSE(violation_in("6,1,1,-;pcivm: pid=417 syscall=41", 417));
  EXPECT_FALSE(violation_in("5,1,1,-;audit: type=1326 audit(1.1:1): pid=417 sig=31 syscall=x", 417));
  EXPECT_FALSE(violation_in("", 417));
}

TEST(Violation, HasANumberForACallWithoutName) {
  const auto found = violation_in("5,1,1,-;audit: type=1326 audit(1.1:1): pid=417 sig=31 syscall=99999", 417);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->call, "99999");
}

}  // namespace
}  // namespace pcivm::cli
