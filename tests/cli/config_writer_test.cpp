// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_writer.hpp"

#include <gmock/gmock.h>

#include "tests/support/config_text.hpp"
#include "tests/support/random_config.hpp"

namespace pcivm::cli {
namespace {

using sriov::HostConfig;
using testing::IsEmpty;

TEST(ConfigWriter, WritesWhatIsSetInAStableOrder) {
  HostConfig config{.allow_recreate = true, .pools = {{"vm-lan", {}}}};
  config.devices.push_back({.name = "lan0", .match = {.address = Bdf{0, 1, 0, 0}}});
  auto& entry = config.devices[0].sriov.emplace();
  entry.num_vfs = 4;
  entry.vf_defaults.trust = false;
  auto& range = entry.vfs.emplace_back();
  range.last = 2;
  range.bind = "vfio-pci";
  range.mac = "02:11:22:33:44:%02x";
  auto& last = entry.vfs.emplace_back();
  last.first = last.last = 3;
  last.wish.vlan = 100;
  last.wish.rate_parent = "";
  last.pool = "vm-lan";
  EXPECT_EQ(write_config(config), R"(apiVersion: pcivm/v1
kind: HostConfig
defaults:
  allowRecreate: true
devices:
  lan0:
    match:
      bdf: "0000:01:00.0"
    sriov:
      numVfs: 4
      vfDefaults:
        trust: false
      vfs:
        - index: "0-2"
          bind: vfio-pci
          mac: "02:11:22:33:44:%02x"
        - index: 3
          vlan:
            id: 100
          rateParent: none
          pool: vm-lan
pools:
  vm-lan: {}
)");
}

TEST(ConfigWriter, WritesAnEmptyConfiguration) {
  EXPECT_EQ(write_config({}), "apiVersion: pcivm/v1\nkind: HostConfig\n");
}

TEST(ConfigWriter, WritesWhatIsReadBackEqual) {
  for (unsigned seed = 0; seed < 1'000; ++seed) {
    const auto config = test::RandomConfig{seed}.make();
    const auto text = write_config(config);
    ConfigProblems problems;
    const auto back = test::config_of(text, problems);
    ASSERT_THAT(problems, IsEmpty()) << "seed " << seed << ": " << as_error(problems).text() << "\n" << text;
    ASSERT_TRUE(without_places(back) == config) << "seed " << seed << "\n" << text << "\n" << write_config(back);
    ASSERT_EQ(write_config(back), text) << "seed " << seed;
  }
}

}  // namespace
}  // namespace pcivm::cli
