// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm doctor on a healthy and on an unhealthy tree: what is printed, and the exit code.
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "cli/terminal.hpp"
#include "tests/cli/run_command.hpp"
#include "tests/support/healthy_host.hpp"

namespace pcivm::cli {
namespace {

using test::HealthyHost;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class DoctorCommand : public testing::Test {
 protected:
  test::Outcome run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "doctor");
    arguments.insert(arguments.end(), {"--root", host.temp.path("/").string()});
    return test::run_command(std::move(arguments));
  }
  void switch_remapping_off() { host.temp.file("/proc/interrupts", "  9:  0  IO-APIC   9-fasteoi   acpi\n"); }
  HealthyHost host;
};

TEST_F(DoctorCommand, SaysNothingOfAHealthyHostButCounts) {
  const auto outcome = run({"--exit-code"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_THAT(outcome.err, HasSubstr(" ok (--all shows them too)"));
  EXPECT_THAT(run({"--all"}).out, HasSubstr("ok      iommu  "));
  EXPECT_EQ(run({"-v"}).out, run({"--all"}).out);
}

TEST_F(DoctorCommand, AProblemHasItsCauseAndItsFixBelow) {
  switch_remapping_off();
  const auto outcome = run({});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out,
            "problem interrupt-remapping  interrupts of devices are not remapped\n"
            "        why: a guest could raise any interrupt of the host through its device, so VFIO refuses\n"
            "        fix: enable interrupt remapping or x2APIC in the firmware setup, and remove intremap=off from the "
            "command line\n");
  EXPECT_THAT(outcome.err, HasSubstr("1 problem, "));
  EXPECT_EQ(run({"--exit-code"}).code, 5);
}

TEST_F(DoctorCommand, JsonHasAllFindings) {
  switch_remapping_off();
  const auto report = nlohmann::json::parse(run({"-o", "json"}).out);
  EXPECT_EQ(report["kind"], "DoctorReport");
  EXPECT_EQ(report["items"][0]["id"], "iommu");
  EXPECT_EQ(report["items"][0]["level"], "ok");
  EXPECT_EQ(report["items"][0]["fix"], nullptr);
  EXPECT_EQ(report["items"][2]["documentation"], "docs/doctor.md#interrupt-remapping");
}

TEST_F(DoctorCommand, NamesAndColumnsWorkAsInEveryList) {
  switch_remapping_off();
  EXPECT_EQ(run({"-o", "name"}).out, "interrupt-remapping\n");
  EXPECT_EQ(run({"--columns", "level,check", "--no-headers"}).out, "problem interrupt-remapping\n");
}

TEST_F(DoctorCommand, ExaminesOneFunctionEndToEnd) {
  host.pci.bind("0000:01:10.0", "vfio-pci");
  host.temp.remove("/sys/class/net/eth3");
  const auto good = run({"0000:01:10.0", "--all", "--exit-code"});
  EXPECT_EQ(good.code, 0) << good.out;
  EXPECT_THAT(good.out, AllOf(HasSubstr("group 9: no member blocks it"), HasSubstr("can be reset by: flr"),
                              HasSubstr("/dev/kvm"), Not(HasSubstr("problem"))));
  const auto bad = run({"0000:01:00.0", "--exit-code"});
  EXPECT_EQ(bad.code, 5);
  EXPECT_THAT(bad.out, HasSubstr("problem vfs-enabled"));
  EXPECT_EQ(run({"0000:07:00.0"}).code, 3);
}

TEST(Terminal, BreaksLinesBetweenWordsOnly) {
  EXPECT_THAT(wrapped("to be or not", 5), ElementsAre("to be", "or", "not"));
  EXPECT_THAT(wrapped("incomprehensible words", 5), ElementsAre("incomprehensible", "words"));
  EXPECT_THAT(wrapped("", 5), ElementsAre(""));
  EXPECT_THAT(wrapped("to be or not", kUnbroken), ElementsAre("to be or not"));
  EXPECT_EQ(paragraph("id: ", "abcdefgh ijklmnop qrstuvwxyz", 24), "id: abcdefgh ijklmnop\n    qrstuvwxyz\n");
}

}  // namespace
}  // namespace pcivm::cli
