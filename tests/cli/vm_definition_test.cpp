// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_definition.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/cli/run_command.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

const VmOptions kWhole{{"kernel", {"/boot/vmlinuz"}},
                       {"cmdline", {"console=ttyS0 a=\"b: c\" # no"}},
                       {"memory", {"512M"}},
                       {"cpus", {"4"}},
                       {"device", {"eth2/vf0", "0000:01:10.0"}},
                       {"console", {"off"}},
                       {"on-reboot", {"exit"}}};

VmOptions read(std::string_view text) {
  ConfigProblems problems;
  auto options = read_definition("web.yaml", text, problems);
  EXPECT_THAT(problems, IsEmpty()) << (problems.empty() ? "" : problems.front().text);
  return options;
}

std::string problem_of(std::string_view text) {
  ConfigProblems problems;
  (void)read_definition("web.yaml", text, problems);
  return problems.empty() ? "" : as_error(problems.front()).text();
}

TEST(Definition, WrittenAndReadIsTheSame) {
  const auto text = write_definition(kWhole);
  EXPECT_EQ(read(text), kWhole) << text;
  EXPECT_EQ(write_definition(read(text)), text);
}

TEST(Definition, HasTheOptionsAsKeys) {
  EXPECT_THAT(write_definition(kWhole),
              AllOf(HasSubstr("apiVersion: pcivm/v1\nkind: Vm\nkernel: \"/boot/vmlinuz\"\n"), HasSubstr("\ncpus: 4\n"),
                    HasSubstr("\nonReboot: exit\n"), HasSubstr("\ndevice:\n")));
}

TEST(Definition, AsksForWhatTheCommandWould) {
  const auto request = request_of("web", kWhole).value();
  EXPECT_EQ(request.name, "web");
  EXPECT_EQ(request.kernel, "/boot/vmlinuz");
  EXPECT_EQ(request.cpus, 4U);
  EXPECT_EQ(request.cmdline, "console=ttyS0 a=\"b: c\" # no");
  EXPECT_THAT(request.devices, testing::ElementsAre("eth2/vf0", "0000:01:10.0"));
  EXPECT_EQ(request.console, "off");
  EXPECT_EQ(request.on_request, "detach");
  EXPECT_EQ(request.on_error, "stop");
  EXPECT_THAT(request_of("web", {{"cpus", {"many"}}}), FailsWith(Errc::invalid, HasSubstr("VM 'web'")));
  EXPECT_THAT(request_of("web", {{"console", {"loud"}}}), FailsWith(Errc::invalid, HasSubstr("loud")));
}

TEST(Definition, GivenOptionsTakeThePlaceOfDefinedOnes) {
  const auto all = merged(kWhole, {{"cpus", {"1"}}, {"device", {"eth3"}}});
  EXPECT_EQ(request_of("web", all)->cpus, 1U);
  EXPECT_THAT(request_of("web", all)->devices, testing::ElementsAre("eth3"));
  EXPECT_EQ(request_of("web", all)->memory, "512M");
}

constexpr std::string_view kHead{"apiVersion: pcivm/v1\nkind: Vm\n"};
std::string body(std::string_view rest) { return std::string{kHead} + std::string{rest}; }

TEST(Definition, IsReadStrictly) {
  EXPECT_THAT(problem_of(body("memory: 1G\n")), HasSubstr("kernel is missing, wanted the file to boot, or firmware"));
  EXPECT_EQ(problem_of(body("firmware: uefi\n")), "");
  EXPECT_THAT(problem_of(body("kernel: /k\ncpuz: 1\n")), HasSubstr("cpuz: there is no such key"));
  EXPECT_THAT(problem_of(body("kernel: /k\nkernel: /l\n")), HasSubstr("web.yaml:4:"));
  EXPECT_THAT(problem_of(body("kernel: [a]\n")), HasSubstr("kernel: no word"));
  EXPECT_THAT(problem_of(body("kernel: /k\ncmdline: |\n  a\n  b\n")), HasSubstr("several lines"));
  EXPECT_THAT(problem_of(body("kernel: /k\ndevice: [{a: b}]\n")), HasSubstr("device: no word"));
  EXPECT_THAT(problem_of(body("kernel: &x /k\n")), HasSubstr("web.yaml:3"));
  EXPECT_THAT(problem_of("apiVersion: pcivm/v1\nkind: HostConfig\nkernel: /k\n"), HasSubstr("wanted pcivm/v1 Vm"));
  EXPECT_THAT(problem_of("apiVersion: pcivm/v2\nkind: Vm\nkernel: /k\n"), HasSubstr("pcivm/v2"));
  EXPECT_THAT(problem_of(""), testing::Not(IsEmpty()));
  EXPECT_THAT(problem_of("- a\n"), HasSubstr("no map"));
  EXPECT_EQ(read(body("kernel: /k\ndevice: eth2\n")), (VmOptions{{"kernel", {"/k"}}, {"device", {"eth2"}}}));
}

TEST(VmNames, AreFileNames) {
  for (const auto* name : {"", "A", "a/b", "..", "a b", "a_b"}) {
    EXPECT_THAT(check_vm_name(name), FailsWith(Errc::invalid)) << name;
  }
  EXPECT_THAT(check_vm_name(std::string(64, 'a')), FailsWith(Errc::invalid));
  EXPECT_THAT(check_vm_name(std::string(63, 'a')), IsOk());
}

// The commands, on a host that is a directory.
class DefinedVms : public testing::Test {
 protected:
  test::Outcome run(std::vector<std::string> words) {
    words.insert(words.begin(), {"--root", tree_.path("/").string()});
    return test::run_command(std::move(words));
  }
  static constexpr const char* kFile = "/etc/pcivm/vm/web.yaml";
  test::TempRoot tree_;
};

TEST_F(DefinedVms, AreCreatedOnce) {
  const std::vector<std::string> words{"vm", "create", "web", "--kernel", "vmlinuz", "--cpus", "2"};
  EXPECT_EQ(run(words).code, 0);
  struct stat status{};
  ASSERT_EQ(::stat(tree_.path(kFile).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(run(words).code, 0);  // already so
  const auto other = run({"vm", "create", "web", "--kernel", "/other"});
  EXPECT_EQ(other.code, 4);
  EXPECT_THAT(other.err, HasSubstr("defined already"));
  const auto options = load_definition(tree_.root(), "web").value();
  EXPECT_THAT(options.front().second.front(), testing::StartsWith("/"));  // wherever it is started
  EXPECT_EQ(run({"vm", "create", "other"}).code, 2);
  EXPECT_EQ(run({"vm", "create", "Web", "--kernel", "/k"}).code, 2);
}

TEST_F(DefinedVms, HaveTheFilesOfTheirOptionsFromEverywhere) {
  const auto here = std::filesystem::current_path().string();
  EXPECT_EQ(run({"vm", "create", "web", "--firmware", "uefi", "--firmware-vars", "vars", "--disk",
                 "format=raw,path=a.img", "--cloud-init", "ssh-key=k.pub,user=ops"})
                .code,
            0);
  EXPECT_EQ(load_definition(tree_.root(), "web").value(),
            (VmOptions{{"firmware", {"uefi"}},
                       {"firmware-vars", {here + "/vars"}},
                       {"disk", {"format=raw,path=" + here + "/a.img"}},
                       {"cloud-init", {"ssh-key=" + here + "/k.pub,user=ops"}}}));
  EXPECT_EQ(run({"vm", "create", "own", "--firmware", "my.fd"}).code, 0);
  EXPECT_EQ(load_definition(tree_.root(), "own").value().front().second.front(), here + "/my.fd");
}

TEST_F(DefinedVms, AreListedAndShown) {
  EXPECT_THAT(run({"vm", "list"}).err, HasSubstr("no virtual machine"));
  (void)run({"vm", "create", "web", "--kernel", "/k", "--memory", "2G", "--cpus", "3", "--device", "eth2"});
  const auto list = run({"vm", "list", "-o", "csv", "--no-headers"});
  EXPECT_EQ(list.out, "web,stopped,3,2G,eth2,,,yes\n");
  EXPECT_EQ(run({"vm", "list", "-o", "name"}).out, "web\n");
  EXPECT_THAT(run({"vm", "show", "web"}).out, AllOf(HasSubstr("stopped"), HasSubstr(kFile), HasSubstr("/k")));
  EXPECT_EQ(run({"vm", "show", "absent"}).code, 3);
}

TEST_F(DefinedVms, OneThatWasKilledIsSeen) {
  tree_.file("/run/pcivm/vm/web/lock", "");
  EXPECT_THAT(run({"vm", "list", "-o", "csv", "--no-headers"}).out, "web,dead,,,,,,no\n");
}

TEST_F(DefinedVms, OneThatHoldsItsNameIsSeen) {
  tree_.file("/run/pcivm/vm/web/lock", "");
  struct stat status{};
  ASSERT_EQ(::stat(tree_.path("/run/pcivm/vm/web/lock").c_str(), &status), 0);
  tree_.file("/proc/locks", fmt::format("1: POSIX  ADVISORY  WRITE 1 00:01:2 0 EOF\n"
                                        "2: FLOCK  ADVISORY  WRITE 4711 {:02x}:{:02x}:{} 0 EOF\n",
                                        status.st_dev >> 8U & 0xfffU, status.st_dev & 0xffU, status.st_ino));
  EXPECT_THAT(run({"vm", "list", "-o", "csv", "--no-headers", "--columns", "name,state,pid"}).out,
              "web,starting,4711\n");
  EXPECT_EQ(run({"vm", "delete", "web", "--yes"}).code, 4);
}

TEST_F(DefinedVms, AreDeleted) {
  (void)run({"vm", "create", "web", "--kernel", "/k"});
  tree_.file("/var/log/pcivm/web.log", "said");
  EXPECT_EQ(run({"vm", "logs", "web"}).out, "said\n");
  EXPECT_EQ(run({"vm", "delete", "web"}).code, 2);  // nobody to ask
  EXPECT_EQ(run({"vm", "delete", "web", "--yes"}).code, 0);
  EXPECT_FALSE(tree_.root().exists(kFile));
  EXPECT_FALSE(tree_.root().exists("/var/log/pcivm/web.log"));
  EXPECT_EQ(run({"vm", "delete", "web", "--yes"}).code, 3);
}

TEST_F(DefinedVms, OnesThatOthersCanChangeAreNotStarted) {
  (void)run({"vm", "create", "web", "--kernel", "/k"});
  ASSERT_EQ(::chmod(tree_.path(kFile).c_str(), 0666), 0);
  const auto outcome = run({"vm", "start", "web"});
  EXPECT_EQ(outcome.code, 5);
  EXPECT_THAT(outcome.err, HasSubstr("lets everybody write it"));
}

TEST_F(DefinedVms, StoppingWhatDoesNotRunIsDone) {
  (void)run({"vm", "create", "web", "--kernel", "/k"});
  EXPECT_EQ(run({"vm", "stop", "web"}).code, 0);
  EXPECT_EQ(run({"vm", "stop", "absent"}).code, 3);
  EXPECT_EQ(run({"vm", "wait", "web"}).code, 3);
  EXPECT_EQ(run({"vm", "console", "web"}).code, 3);
  EXPECT_EQ(run({"vm", "stop", "web", "--force", "--kill"}).code, 2);
}

TEST_F(DefinedVms, RunNeedsAKernelOrADefinition) {
  const auto outcome = run({"vm", "run", "web"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("--kernel FILE"));
}

TEST_F(DefinedVms, AFailedStartSaysWhy) {
  (void)run({"vm", "create", "web", "--kernel", "/nonexistent/vmlinuz"});
  const auto outcome = run({"vm", "start", "web"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("/nonexistent/vmlinuz"));
}

}  // namespace
}  // namespace pcivm::cli
