// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_slots.hpp"

#include <gtest/gtest.h>

#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::cli {
namespace {

TEST(VmSlotsFile, KeepsWhereFunctionsWere) {
  const test::TempRoot tree;
  tree.directory("/var/lib");
  EXPECT_TRUE(load_slots(tree.root(), "web").empty());
  const VmSlots slots{{{.bus = 1, .device = 16}, 16}, {{.bus = 1, .device = 17}, 2}};
  ASSERT_THAT(save_slots(tree.root(), "web", slots), test::IsOk());
  EXPECT_EQ(load_slots(tree.root(), "web"), slots);
}

TEST(VmSlotsFile, TakesOnlyWhatMakesSense) {
  const test::TempRoot tree;
  tree.file(vm_slots_file("web"), "0000:01:10.0 16\nx 3\n0000:01:10.2 32\n0000:01:10.4 -1\n0000:01:10.6");
  EXPECT_EQ(load_slots(tree.root(), "web"), (VmSlots{{{.bus = 1, .device = 16}, 16}}));
}

}  // namespace
}  // namespace pcivm::cli
