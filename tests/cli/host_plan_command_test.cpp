// SPDX-License-Identifier: GPL-2.0-or-later
// plan, apply, status, rollback and export on a tree: exit codes, what is printed where, which plan is carried out.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "cli/stop_signals.hpp"
#include "tests/cli/run_command.hpp"
#include "tests/support/fake_pci.hpp"

namespace pcivm::cli {
namespace {

using test::FakePci;
using test::run_command;
using test::TempRoot;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class HostPlanCommands : public testing::Test {
 protected:
  HostPlanCommands() {
    temp.file("/proc/interrupts", "  9:  0  IR-IO-APIC   9-fasteoi   acpi\n");
    pci.function({.address = "0000:01:00.0", .driver = "igb", .group = 6, .total_vfs = 7});
    configure("lan0: {match: {bdf: '0000:01:00.0'}, sriov: {autoprobe: false}}");
  }
  void configure(const std::string& device) {
    write("apiVersion: pcivm/v1\nkind: HostConfig\ndevices:\n  " + device + "\n");
  }
  void write(const std::string& text) {
    temp.file("/etc/pcivm/host.yaml", text);
    ::chmod(temp.path("/etc/pcivm/host.yaml").c_str(), 0600);
  }
  test::Outcome run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--root", temp.path("/").string()});
    return run_command(std::move(arguments));
  }
  nlohmann::json json(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-o", "json"});
    return nlohmann::json::parse(run(std::move(arguments)).out);
  }
  std::string autoprobe() {
    return temp.root().read("/sys/bus/pci/devices/0000:01:00.0/sriov_drivers_autoprobe").value();
  }
  TempRoot temp;
  FakePci pci{temp};
};

TEST_F(HostPlanCommands, ThePlanSaysWhatAndWhy) {
  const auto plain = run({"plan"});
  EXPECT_EQ(plain.code, 0) << plain.err;
  EXPECT_THAT(plain.out, HasSubstr("lan0"));
  EXPECT_THAT(plain.out, HasSubstr("host.yaml:4:"));
  EXPECT_EQ(run({"plan", "--detailed-exitcode"}).code, 10);
  EXPECT_EQ(json({"plan"})["steps"][0]["action"], "setLink");
  EXPECT_EQ(autoprobe(), "1");
}

TEST_F(HostPlanCommands, ApplyMakesItSoAndRollbackTakesItBack) {
  EXPECT_EQ(run({"status", "--exit-code"}).code, 10);
  const auto applied = run({"apply", "--yes"});
  EXPECT_EQ(applied.code, 0) << applied.err;
  EXPECT_THAT(applied.err, HasSubstr("[1/1] "));
  EXPECT_EQ(autoprobe(), "0");
  EXPECT_EQ(run({"plan", "--detailed-exitcode"}).code, 0);
  EXPECT_EQ(run({"status", "--exit-code"}).code, 0);
  EXPECT_FALSE(json({"apply", "--yes"})["changed"]);
  const auto back = run({"rollback", "--yes"});
  EXPECT_EQ(back.code, 0) << back.err;
  EXPECT_EQ(autoprobe(), "1");
  EXPECT_EQ(run({"rollback", "--yes"}).code, 3);
}

TEST_F(HostPlanCommands, OnlyThePlanThatWasNamedIsCarriedOut) {
  const std::string id = json({"plan"})["id"];
  const auto other = run({"apply", "--yes", "--plan", id + "0"});
  EXPECT_EQ(other.code, 4);
  EXPECT_THAT(other.err, HasSubstr("stale"));
  EXPECT_EQ(autoprobe(), "1");
  EXPECT_EQ(run({"apply", "--yes", "--plan", id}).code, 0);
  EXPECT_EQ(autoprobe(), "0");
}

TEST_F(HostPlanCommands, ADryRunTouchesNothingWhateverElseIsSaid) {
  for (const auto* option : {"--dry-run", "--yes", "--boot"}) {
    EXPECT_EQ(run({"apply", "--dry-run", option}).code, 0) << option;
    EXPECT_EQ(autoprobe(), "1") << option;
  }
  EXPECT_FALSE(temp.root().exists("/var/lib/pcivm"));
}

TEST_F(HostPlanCommands, ADeviceWithAProblemKeepsAllFromBeingChangedButNotAtBoot) {
  write(
      "apiVersion: pcivm/v1\nkind: HostConfig\ndevices:\n"
      "  lan0: {match: {bdf: '0000:01:00.0'}, sriov: {autoprobe: false}}\n"
      "  lan1: {match: {bdf: '0000:09:00.0'}, sriov: {numVfs: 2}}\n");
  const auto refused = run({"apply", "--yes"});
  EXPECT_EQ(refused.code, 3);
  EXPECT_THAT(refused.err, HasSubstr("device 'lan1'"));
  EXPECT_EQ(autoprobe(), "1");
  EXPECT_EQ(run({"apply", "--boot"}).code, 3);
  EXPECT_EQ(autoprobe(), "0");
}

TEST_F(HostPlanCommands, BootIsSilentWhenThereIsNothingToDo) {
  const auto expect_silence = [](const test::Outcome& outcome) {
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.out + outcome.err, IsEmpty());
  };
  expect_silence(run({"apply", "--boot", "--only", "0000:03:00.0"}));
  EXPECT_EQ(run({"apply", "--boot", "--only", "0000:01:00.0"}).code, 0);
  EXPECT_EQ(autoprobe(), "0");
  expect_silence(run({"apply", "--boot", "--only", "0000:01:00.0"}));
  EXPECT_EQ(run({"rollback", "--yes"}).code, 3);  // boot leaves nothing to roll back
  temp.remove("/etc/pcivm");
  expect_silence(run({"apply", "--boot"}));
  const auto none = run({"apply", "--yes"});
  EXPECT_EQ(none.code, 3);
  EXPECT_THAT(none.err, HasSubstr("pcivm export >/etc/pcivm/host.yaml"));
}

TEST_F(HostPlanCommands, AnUnknownNameIsAnsweredWithTheNearest) {
  const auto outcome = run({"plan", "--only", "lan1"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("did you mean 'lan0'"));
}

TEST_F(HostPlanCommands, TheExportLeavesNothingToPlan) {
  EXPECT_EQ(run({"apply", "--yes"}).code, 0);
  const auto exported = run({"export"});
  EXPECT_EQ(exported.code, 0) << exported.err;
  EXPECT_THAT(exported.out, HasSubstr("autoprobe: false"));
  write(exported.out);
  EXPECT_EQ(run({"plan", "--detailed-exitcode"}).code, 0);
  EXPECT_EQ(json({"export"})["kind"], "HostConfig");
  EXPECT_EQ(run({"export", "-o", "csv"}).code, 2);
}

TEST(StopSignals, WaitUntilTheyAreAskedFor) {
  StopSignals signals;
  EXPECT_FALSE(signals.arrived());
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(signals.arrived(), SIGTERM);
  ::kill(::getpid(), SIGINT);
  EXPECT_EQ(signals.arrived(), SIGTERM);
}

}  // namespace
}  // namespace pcivm::cli
