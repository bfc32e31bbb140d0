// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/args.hpp"

#include <unistd.h>

#include <csignal>

#include <gmock/gmock.h>

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
using testing::Not;
using testing::StartsWith;

class Command : public testing::Test {
 protected:
  Command() { pci.function({.address = "0000:01:00.0", .driver = "igb", .group = 6}); }
  test::Outcome run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--root", temp.path("/").string()});
    return run_command(std::move(arguments));
  }
  TempRoot temp;
  FakePci pci{temp};
};

TEST_F(Command, AloneItPrintsItsHelp) {
  const auto outcome = run_command({});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("device"), HasSubstr("group"), HasSubstr("--output")));
  EXPECT_THAT(outcome.err, IsEmpty());
}

TEST_F(Command, AGroupWithoutCommandIsAUsageError) {
  const auto outcome = run_command({"device"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.err, "pcivm: 'pcivm device' needs a command\nhint: pcivm device --help\n");
}

TEST_F(Command, PrintsHelpOfTheInnermostCommandAndTheVersion) {
  EXPECT_THAT(run_command({"device", "show", "--help"}).out, HasSubstr("DEVICE"));
  EXPECT_EQ(run_command({"--help"}).code, 0);
  EXPECT_THAT(run_command({"--version"}).out, StartsWith("pcivm "));
}

TEST_F(Command, SuggestsTheNearestCommandAndOption) {
  EXPECT_THAT(run_command({"devcie", "list"}).err, HasSubstr("did you mean 'pcivm device'"));
  EXPECT_THAT(run_command({"device", "lst"}).err, HasSubstr("did you mean 'pcivm device list'"));
  EXPECT_THAT(run_command({"device", "list", "--colmuns=A"}).err, HasSubstr("did you mean --columns"));
  EXPECT_THAT(run_command({"frobnicate"}).err, Not(HasSubstr("did you mean")));
}

TEST_F(Command, UsageErrorsExitWithTwoAndLeaveStdoutEmpty) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"nonsense"},
                                                                     {"group", "list", "extra"},
                                                                     {"device", "show"},
                                                                     {"device", "show", "a", "b"},
                                                                     {"-o", "toml", "device", "list"},
                                                                     {"device", "list", "--timeout", "0"},
                                                                     {"device", "list", "--timeout", "soon"},
                                                                     {"device", "list", "--root"},
                                                                     {"device", "list", "--columns", "nope"},
                                                                     {"device", "show", "0000:01:00"}}) {
    const auto outcome = run_command(arguments);
    EXPECT_EQ(outcome.code, 2) << testing::PrintToString(arguments);
    EXPECT_THAT(outcome.out, IsEmpty()) << testing::PrintToString(arguments);
    EXPECT_THAT(outcome.err, AllOf(StartsWith("pcivm: "), HasSubstr("hint: "))) << testing::PrintToString(arguments);
  }
}

TEST_F(Command, GlobalOptionsStandBeforeAndAfterTheCommand) {
  const auto root = temp.path("/").string();
  const auto before = run_command({"-o", "name", "--root", root, "device", "list"});
  const auto after = run_command({"device", "list", "--output=name", "--root", root});
  EXPECT_EQ(before.out, "0000:01:00.0\n");
  EXPECT_EQ(after.out, before.out);
}

TEST_F(Command, TheLastOfRepeatedOptionsCounts) {
  EXPECT_EQ(run({"-o", "json", "device", "list", "-o", "name"}).out, "0000:01:00.0\n");
}

TEST_F(Command, ErrorsAreJsonWhenTheDataWouldBe) {
  const auto outcome = run({"device", "show", "0000:09:00.0", "-o", "json"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_THAT(outcome.err, AllOf(HasSubstr(R"("code": "device.not_found")"), HasSubstr(R"("exit": 3)"),
                                 HasSubstr(R"("hint": "pcivm device list")")));
  EXPECT_THAT(run_command({"device", "lst", "--json"}).err, StartsWith("{"));
}

TEST_F(Command, AnAbsentRootIsNotFound) {
  const auto outcome = run_command({"device", "list", "--root", "/nonexistent"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("/nonexistent"));
}

TEST_F(Command, AWriteToAFullDeviceFails) {
  std::string program{"pcivm"};
  std::string option{"--version"};
  char* arguments[] = {program.data(), option.data()};
  auto* full = std::fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  test::Capture err;
  EXPECT_EQ(cli::run(arguments, full, err.stream()), 7);
  std::fclose(full);
  EXPECT_THAT(err.take(), HasSubstr("ENOSPC"));
}

TEST_F(Command, AClosedPipeEndsQuietlyWith141) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  auto* closed = ::fdopen(ends[1], "w");
  const auto old = std::signal(SIGPIPE, SIG_IGN);
  std::string program{"pcivm"};
  std::string option{"--help"};
  char* arguments[] = {program.data(), option.data()};
  test::Capture err;
  EXPECT_EQ(cli::run(arguments, closed, err.stream()), 141);
  std::fclose(closed);
  std::signal(SIGPIPE, old);
  EXPECT_THAT(err.take(), IsEmpty());
}

}  // namespace
}  // namespace pcivm::cli
