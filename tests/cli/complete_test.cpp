// SPDX-License-Identifier: GPL-2.0-or-later
// What `pcivm __complete WORDS...` answers. The shells themselves are tested by completion_test.py.
#include "cli/complete.hpp"

#include <gmock/gmock.h>

#include "tests/cli/run_command.hpp"
#include "tests/support/fake_pci.hpp"

namespace pcivm::cli {
namespace {

using test::FakePci;
using test::TempRoot;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;
using testing::StartsWith;

class Completing : public testing::Test {
 protected:
  Completing() {
    pci.function({.address = "0000:01:00.0", .driver = "igb", .group = 6, .total_vfs = 7});
    pci.function({.address = "0000:02:00.0", .driver = "e1000e", .group = 7});
    pci.vf("0000:01:00.0", 0, "0000:01:10.0", 9);
    temp.file("/run/pcivm/vm/web/lock", "");
  }
  /// Whole lines; the host's root is named as a user would.
  std::vector<std::string> lines(std::vector<std::string> words) {
    words.insert(words.begin(), {"__complete", "--root", temp.path("/").string()});
    const auto outcome = test::run_command(std::move(words));
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.err, IsEmpty());
    std::vector<std::string> found;
    std::string_view rest = outcome.out;
    for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      found.emplace_back(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
    return found;
  }
  std::vector<std::string> texts(std::vector<std::string> words) {
    auto found = lines(std::move(words));
    for (auto& line : found) line.resize(std::min(line.find('\t'), line.size()));
    return found;
  }
  TempRoot temp;
  FakePci pci{temp};
};

TEST_F(Completing, MediatedDevices) {
  temp.file("/sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001/mdev_type/name", "Dual port serial\n");
  EXPECT_THAT(lines({"vm", "run", "web", "--mdev", "83"}),
              ElementsAre("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001\tmediated device, Dual port serial"));
}

TEST_F(Completing, Commands) {
  EXPECT_THAT(texts({""}), AllOf(IsSupersetOf({"device", "group", "vf", "reconcile"}), Each(Not(StartsWith("_")))));
  EXPECT_THAT(texts({"dev"}), ElementsAre("device"));
  EXPECT_THAT(texts({"-v", "device", "re"}), Contains("release"));
  EXPECT_THAT(texts({"nonsense", ""}), IsEmpty());
}

TEST_F(Completing, OptionsOfTheCommandAndOfAll) {
  EXPECT_THAT(texts({"vf", "create", "--"}), IsSupersetOf({"--bind", "--output", "--dry-run", "--help"}));
  EXPECT_THAT(texts({"vf", "create", "--bi"}), ElementsAre("--bind"));
  EXPECT_THAT(texts({"device", "bind", "--", "--bi"}), IsEmpty());
}

TEST_F(Completing, ValuesOfOptions) {
  EXPECT_THAT(texts({"-o", ""}), ElementsAre("table", "wide", "json", "yaml", "csv", "name"));
  EXPECT_THAT(texts({"device", "list", "--output=y"}), ElementsAre("--output=yaml"));
  EXPECT_THAT(texts({"vf", "create", "x", "2", "--bind", ""}), IsSupersetOf({"igb", "vfio-pci", "host", "none"}));
  EXPECT_THAT(texts({"device", "bind", "--force", "ro"}), ElementsAre("route"));
  EXPECT_THAT(texts({"device", "bind", "--force", ""}),
              IsSupersetOf({"boot", "console", "driver", "hibernate", "kdump", "no-reset", "quarantined", "rdma"}));
  EXPECT_THAT(texts({"vm", "run", "--console", ""}), ElementsAre("serial", "virtio", "both", "off"));
  EXPECT_THAT(texts({"vm", "run", "--kernel", ""}), ElementsAre(":files"));
  EXPECT_THAT(texts({"device", "list", "--timeout", ""}), IsEmpty());
  EXPECT_THAT(texts({"completion", ""}), ElementsAre("bash", "zsh", "fish"));
}

TEST_F(Completing, DevicesWithWhatTheyAre) {
  EXPECT_THAT(lines({"device", "show", "0000:01:0"}),
              ElementsAre(AllOf(StartsWith("0000:01:00.0\tigb, "), HasSubstr("group 6"))));
  EXPECT_THAT(texts({"device", "show", "02:"}), ElementsAre("02:00.0"));
  EXPECT_THAT(texts({"device", "show", "0000:02:00.0", ""}), IsEmpty());
}

TEST_F(Completing, ADeviceThatWasNamedIsNotOfferedAgain) {
  EXPECT_THAT(texts({"device", "bind", "0000:02:00.0", "0000:"}), ElementsAre("0000:01:00.0", "0000:01:10.0"));
}

TEST_F(Completing, PhysicalAndVirtualFunctionsWhereTheyAreWanted) {
  EXPECT_THAT(texts({"vf", "create", ""}), ElementsAre("0000:01:00.0"));
  EXPECT_THAT(texts({"vf", "set", ""}), ElementsAre("0000:01:10.0"));
  EXPECT_THAT(texts({"group", "show", ""}), ElementsAre("6", "7", "9"));
}

TEST_F(Completing, RubbishGivesNothing) {
  EXPECT_THAT(texts({std::string(10'000, 'x')}), IsEmpty());
  EXPECT_THAT(texts({"--nonsense=", "\xff\xfe", "-Z", ""}), IsEmpty());
  EXPECT_THAT(test::run_command({"__complete"}).code, 0);
  EXPECT_THAT(test::run_command({"__complete", "--root", "/nonexistent", "device", "show", ""}).out, IsEmpty());
}

}  // namespace
}  // namespace pcivm::cli
