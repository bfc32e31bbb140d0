// SPDX-License-Identifier: GPL-2.0-or-later
// device list|show and group list|show on a tree: what is printed where.
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "tests/cli/run_command.hpp"
#include "tests/support/fake_pci.hpp"

namespace pcivm::cli {
namespace {

using test::FakePci;
using test::run_command;
using test::TempRoot;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

class InventoryCommands : public testing::Test {
 protected:
  InventoryCommands() {
    temp.directory("/sys/class/iommu/dmar0");
    temp.file("/proc/interrupts", "  9:  0  IR-IO-APIC   9-fasteoi   acpi\n");
    temp.directory("/sys/bus/pci/drivers/vfio-pci");
    temp.directory("/sys/module/vfio_iommu_type1");
    pci.function({.address = "0000:01:00.0", .driver = "igb", .group = 6, .total_vfs = 7});
    pci.netdev("0000:01:00.0", "eth2");
    pci.vf("0000:01:00.0", 0, "0000:01:10.0", 9);
    pci.bind("0000:01:10.0", "vfio-pci");
    pci.function({.address = "0000:02:01.0", .vendor = 0x1234, .device = 0x0001, .driver = "e1000", .group = 5});
    pci.function({.address = "0000:02:02.0", .vendor = 0x1234, .device = 0x0001, .group = 5});
  }
  test::Outcome run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--root", temp.path("/").string()});
    return run_command(std::move(arguments));
  }
  nlohmann::json json(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-o", "json"});
    const auto outcome = run(std::move(arguments));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out);
  }
  TempRoot temp;
  FakePci pci{temp};
};

TEST_F(InventoryCommands, TheListHasALineForEachFunction) {
  temp.directory("/sys/class/net/eth2/upper_eth2.5");
  const auto outcome = run({"device", "list", "--columns", "address,driver,group,in-use"});
  EXPECT_EQ(outcome.out,
            "ADDRESS      DRIVER   GROUP IN USE\n"
            "0000:01:00.0 igb          6 upper\n"
            "0000:01:10.0 vfio-pci     9 -\n"
            "0000:02:01.0 e1000        5 netns\n"
            "0000:02:02.0 -            5 -\n");
}

TEST_F(InventoryCommands, FiltersMustAllHold) {
  const auto names = [this](std::vector<std::string> filter) {
    filter.insert(filter.begin(), {"device", "list", "-o", "name"});
    return run(std::move(filter)).out;
  };
  EXPECT_EQ(names({"--vfs"}), "0000:01:10.0\n");
  EXPECT_EQ(names({"--pfs"}), "0000:01:00.0\n");
  EXPECT_EQ(names({"--sriov"}), "0000:01:00.0\n");
  EXPECT_EQ(names({"--driver", "none"}), "0000:02:02.0\n");
  EXPECT_EQ(names({"--driver", "igb,e1000"}), "0000:01:00.0\n0000:02:01.0\n");
  EXPECT_EQ(names({"--in-use"}), "0000:02:01.0\n");
  EXPECT_EQ(names({"--assignable"}), "0000:01:10.0\n");
  EXPECT_EQ(names({"--class", "nvme"}), "");
  EXPECT_EQ(names({"--class", "02", "--driver", "igb"}), "0000:01:00.0\n");
  EXPECT_EQ(names({"eth2/vf0", "0000:02:01.0"}), "0000:01:10.0\n0000:02:01.0\n");
  EXPECT_EQ(json({"device", "list", "--vfs"})["items"].size(), 1U);
  EXPECT_EQ(run({"device", "list", "--class", "toaster"}).code, 2);
  EXPECT_EQ(run({"device", "list", "0000:07:00.0"}).code, 3);
}

TEST_F(InventoryCommands, SortsByAColumnAndNumbersByValue) {
  pci.function({.address = "0000:03:00.0", .group = 10});
  EXPECT_EQ(run({"device", "list", "--sort", "group", "--columns", "group", "--no-headers"}).out,
            "    5\n    5\n    6\n    9\n   10\n");
  EXPECT_EQ(json({"device", "list", "--sort", "driver"})["items"][0]["driver"], "e1000");
  EXPECT_EQ(run({"device", "list", "--sort", "colour"}).code, 2);
}

TEST_F(InventoryCommands, SortsByNamesThatAreNotShown) {
  pci.function({.address = "0000:00:01.0", .vendor = 0xfffd, .group = 10});  // the first by address, the last by name
  const auto last = [this](const std::string& columns) {
    auto text = run({"device", "list", "--sort", "Name", "--columns", columns, "--no-headers"}).out;
    text.pop_back();
    return text.substr(text.rfind('\n') + 1);
  };
  EXPECT_THAT(last("Name,address"), testing::EndsWith(" 0000:00:01.0"));
  EXPECT_EQ(last("address"), "0000:00:01.0");
}

TEST_F(InventoryCommands, ColumnsTellMoreWhenNamed) {
  EXPECT_EQ(run({"device", "list", "eth2", "--columns", "vfs,reset,power,slot", "--no-headers"}).out,
            "1/7 flr   D0    -\n");
}

TEST_F(InventoryCommands, CsvQuotesWhatHoldsASeparator) {
  temp.file("/etc/driverctl.d/0000:01:00.0", "x\n");
  temp.directory("/sys/class/net/eth2/upper_eth2.5");
  EXPECT_EQ(run({"device", "list", "-o", "csv", "--columns", "ADDRESS,IN USE", "--no-headers"}).out,
            "0000:01:00.0,\"upper, driverctl\"\n0000:01:10.0,\n0000:02:01.0,netns\n0000:02:02.0,\n");
}

TEST_F(InventoryCommands, ListAndShowAgreeInJson) {
  const auto list = json({"device", "list"});
  EXPECT_EQ(list["kind"], "DeviceList");
  ASSERT_EQ(list["items"].size(), 4U);
  auto show = json({"device", "show", "eth2/vf0"});
  EXPECT_EQ(show["kind"], "Device");
  show.erase("kind");
  show.erase("apiVersion");
  EXPECT_TRUE(show.contains("details"));
  show.erase("details");  // what takes longer to find out
  EXPECT_EQ(show, list["items"][1]);
  EXPECT_EQ(show["physfn"], "0000:01:00.0");
  EXPECT_EQ(show["vfIndex"], 0);
  EXPECT_EQ(show["driverOverride"], nullptr);
  EXPECT_EQ(show["assignable"]["ok"], true);
}

TEST_F(InventoryCommands, ShowTellsReasonsAndFixes) {
  const auto outcome = run({"device", "show", "0000:02:02.0"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("Assignable:  no\n"), HasSubstr("group-not-viable: "),
                                 HasSubstr("0000:02:01.0 (e1000)"), HasSubstr("fix: bind them")));
}

TEST_F(InventoryCommands, GroupsNameTheirBlockers) {
  const auto list = json({"group", "list"});
  ASSERT_EQ(list["items"].size(), 3U);
  EXPECT_EQ(list["items"][0]["number"], 5);
  EXPECT_EQ(list["items"][0]["viable"], false);
  EXPECT_EQ(list["items"][0]["members"][0]["role"], "blocks");
  EXPECT_EQ(list["items"][2]["viable"], true);
  EXPECT_THAT(run({"group", "show", "5"}).out, AllOf(HasSubstr("0000:02:01.0 (e1000)"), HasSubstr("fix: ")));
  EXPECT_EQ(json({"group", "show", "0000:02:02.0"})["number"], 5);
}

TEST_F(InventoryCommands, AbsentThingsExitWithThree) {
  EXPECT_EQ(run({"device", "show", "0000:07:00.0"}).code, 3);
  EXPECT_EQ(run({"group", "show", "99"}).code, 3);
  pci.function({.address = "0000:08:00.0", .group = {}});
  EXPECT_EQ(run({"group", "show", "0000:08:00.0"}).code, 3);
}

TEST_F(InventoryCommands, AHostWithoutIommuHasAnEmptyListAndSaysWhy) {
  const TempRoot bare;
  const auto outcome = run_command({"group", "list", "--root", bare.path("/").string()});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_THAT(outcome.err, HasSubstr("no IOMMU"));
  const auto quiet = run_command({"group", "list", "-o", "json", "--root", bare.path("/").string()});
  EXPECT_EQ(nlohmann::json::parse(quiet.out)["items"].size(), 0U);
}

}  // namespace
}  // namespace pcivm::cli
