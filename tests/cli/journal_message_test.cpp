// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/journal_message.hpp"

#include <gtest/gtest.h>

namespace pcivm::cli {
namespace {

TEST(JournalMessage, NamesTheFirstFunctionOfItsText) {
  const Bdf pf{.bus = 1};
  EXPECT_EQ(function_named_in("0000:01:00.0: 7 VFs"), pf);
  EXPECT_EQ(function_named_in("unfinished change of 0000:01:00.0: undone, not 0000:02:00.0"), pf);
  EXPECT_EQ(function_named_in("made VFs of '0000:01:00.0'."), pf);
  EXPECT_EQ(function_named_in("write '4' to '/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs'"), pf);
  EXPECT_EQ(function_named_in("/etc/pcivm/host.yaml:12:7: 0000:01:00.0 has no VFs"), pf);
}

TEST(JournalMessage, OtherThingsWithColonsAreNoFunction) {
  for (const auto* text :
       {"", ":", "host.yaml:12:7: no", "at 12:00:00.1", "02:11:22:33:44:55", "01:00.0", "....::::"}) {
    EXPECT_EQ(function_named_in(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace pcivm::cli
