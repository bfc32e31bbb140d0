// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "cli/config_files.hpp"
#include "tests/cli/run_command.hpp"
#include "tests/support/config_text.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::kConfigHead;
using testing::ElementsAre;
using testing::HasSubstr;

class ConfigFilesTest : public testing::Test {
 protected:
  ConfigFilesTest() { put("/etc/pcivm/host.yaml", "devices: {a: {match: {slot: 1}}}\n"); }

  void put(std::string_view path, const std::string& body) {
    host_.file(path, std::string{kConfigHead} + body);
    mode(path, 0644);
    for (auto folder = host_.path(path).parent_path(); folder != host_.path("/").parent_path();
         folder = folder.parent_path()) {
      ::chmod(folder.c_str(), 0755);
    }
  }
  void mode(std::string_view path, mode_t mode) { ASSERT_EQ(::chmod(host_.path(path).c_str(), mode), 0); }
  Result<sriov::HostConfig> load(const std::vector<std::string>& files = {}) {
    return load_host_config(host_.root(), files);
  }
  std::string named(std::string_view path) { return host_.path(path).string(); }

  test::TempRoot host_;
};

TEST_F(ConfigFilesTest, ReadsTheFileAndThenFragmentsInTheOrderOfBytes) {
  put("/etc/pcivm/host.d/b.yaml", "");
  put("/etc/pcivm/host.d/B.yaml", "");
  put("/etc/pcivm/host.d/10-z.yaml", "");
  put("/etc/pcivm/host.d/.hidden.yaml", "no: file\n");
  put("/etc/pcivm/host.d/c.yaml.dpkg-old", "no: file\n");
  put("/etc/pcivm/host.d/README", "no: file\n");
  const auto config = load();
  ASSERT_THAT(config, test::IsOk());
  EXPECT_THAT(config->files, ElementsAre("/etc/pcivm/host.yaml", "/etc/pcivm/host.d/10-z.yaml",
                                         "/etc/pcivm/host.d/B.yaml", "/etc/pcivm/host.d/b.yaml"));
  EXPECT_EQ(config->devices.at(0).place, (sriov::Place{"/etc/pcivm/host.yaml", 3, 11}));
}

TEST_F(ConfigFilesTest, NeedsNoHostYaml) {
  host_.remove("/etc/pcivm/host.yaml");
  put("/etc/pcivm/host.d/a.yaml", "pools: {a: {}}\n");
  const auto config = load();
  ASSERT_THAT(config, test::IsOk());
  EXPECT_EQ(config->pools.count("a"), 1U);
}

TEST_F(ConfigFilesTest, SaysWhenThereIsNone) {
  host_.remove("/etc/pcivm/host.yaml");
  auto config = load();
  ASSERT_THAT(config, FailsWith(Errc::not_found));
  EXPECT_EQ(config.error().code(), "config.none");
  host_.remove("/etc/pcivm");
  config = load();
  ASSERT_THAT(config, FailsWith(Errc::not_found));
  EXPECT_EQ(config.error().code(), "config.none");
}

TEST_F(ConfigFilesTest, RefusesAFragmentThatWouldNotCount) {
  put("/etc/pcivm/host.d/a.yml", "");
  const auto config = load();
  ASSERT_THAT(config, FailsWith(Errc::invalid, HasSubstr("host.d/a.yml' is not read because of its name")));
  EXPECT_THAT(config.error().hint(), HasSubstr("/etc/pcivm/host.d/a.yaml"));
}

TEST_F(ConfigFilesTest, RefusesWhatOthersCanChange) {
  mode("/etc/pcivm/host.yaml", 0664);
  auto config = load();
  ASSERT_THAT(config, FailsWith(Errc::refused, HasSubstr("mode 0664 lets its group write it")));
  EXPECT_EQ(config.error().code(), "config.untrusted");
  mode("/etc/pcivm/host.yaml", 0646);
  EXPECT_THAT(load(), FailsWith(Errc::refused, HasSubstr("lets everybody write it")));
  mode("/etc/pcivm/host.yaml", 0600);
  EXPECT_THAT(load(), test::IsOk());
  mode("/etc/pcivm", 0775);
  EXPECT_THAT(load(), FailsWith(Errc::refused, HasSubstr("its folder /etc/pcivm: mode 0775")));
  mode("/etc/pcivm", 0755);
  put("/etc/pcivm/host.d/a.yaml", "");
  EXPECT_THAT(load(), test::IsOk());
  mode("/etc/pcivm/host.d", 01777);
  EXPECT_THAT(load(),
              FailsWith(Errc::refused, HasSubstr("its folder /etc/pcivm/host.d: mode 1777 lets everybody write it")));
}

TEST_F(ConfigFilesTest, RefusesWhatSomebodyElseOwns) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  ASSERT_EQ(::chown(host_.path("/etc/pcivm/host.yaml").c_str(), 65'534, 0), 0);
  EXPECT_THAT(load(), FailsWith(Errc::refused, HasSubstr("owned by user 65534, wanted root")));
}

TEST_F(ConfigFilesTest, FollowsNoLinkAndWaitsForNoPipe) {
  put("/etc/real.yaml", "");
  host_.link("/etc/pcivm/host.yaml", "../real.yaml");
  auto config = load();
  ASSERT_THAT(config, FailsWith(Errc::refused, HasSubstr("'/etc/pcivm/host.yaml' is a symbolic link")));
  EXPECT_THAT(load({named("/etc/pcivm/host.yaml")}), FailsWith(Errc::refused, HasSubstr("is a symbolic link")));
  host_.link("/etc/pcivm/host.yaml", "/nowhere");
  EXPECT_THAT(load(), FailsWith(Errc::refused, HasSubstr("is a symbolic link")));
  host_.remove("/etc/pcivm/host.yaml");
  ASSERT_EQ(::mkfifo(host_.path("/etc/pcivm/host.yaml").c_str(), 0600), 0);
  EXPECT_THAT(load(), FailsWith(Errc::invalid, HasSubstr("is no file")));
  EXPECT_THAT(load({named("/etc")}), FailsWith(Errc::invalid, HasSubstr("is no file")));
}

TEST_F(ConfigFilesTest, ReadsOnlyNamedFilesWhenThereAreAny) {
  put("/b.yaml", "pools: {b: {}}\n");
  const auto config = load({named("/b.yaml")});
  ASSERT_THAT(config, test::IsOk());
  EXPECT_THAT(config->files, ElementsAre(named("/b.yaml")));
  EXPECT_TRUE(config->devices.empty());
  EXPECT_THAT(load({named("/absent.yaml")}), FailsWith(Errc::not_found));
  mode("/b.yaml", 0666);
  EXPECT_THAT(load({named("/b.yaml")}), FailsWith(Errc::refused));
}

TEST_F(ConfigFilesTest, RefusesMoreThanAMebibyte) {
  put("/etc/pcivm/host.yaml", std::string(1U << 20U, '#'));
  EXPECT_THAT(load(), FailsWith(Errc::invalid, HasSubstr("more than 1048576 bytes")));
}

TEST_F(ConfigFilesTest, TellsTheFirstProblemAndHowManyMore) {
  put("/etc/pcivm/host.yaml", "devices: {a: {}, b: {}, c: {}}\n");
  const auto config = load();
  ASSERT_THAT(config, FailsWith(Errc::invalid, HasSubstr("/etc/pcivm/host.yaml:3:11: devices.a.match is missing")));
  EXPECT_EQ(config.error().code(), "config.invalid");
  EXPECT_THAT(config.error().hint(), HasSubstr("tells 2 more"));
}

// ---- pcivm config validate ----

TEST_F(ConfigFilesTest, ValidateTellsWhatItRead) {
  put("/etc/pcivm/host.d/a.yaml",
      "devices: {lan0: {match: {bdf: 01:00.0}, sriov: {numVfs: 4, vfs: [{index: 0-3}]}}}\npools: {p: {}}\n");
  const auto outcome = test::run_command({"config", "validate", "--root", named("/")});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("lan0: bdf 0000:01:00.0; 4 VFs, 1 entry for them"));
  EXPECT_THAT(outcome.out, HasSubstr("a: slot 1; only checked"));
  EXPECT_EQ(outcome.err, "");
}

TEST_F(ConfigFilesTest, ValidateTellsEveryProblem) {
  put("/a.yaml", "devices: {a: {match: {slot: 012}}, B: {}}\npools: {c: {d: e}}\n");
  const auto outcome = test::run_command({"config", "validate", named("/a.yaml")});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err,
              testing::AllOf(HasSubstr("a.yaml:3:29: devices.a.match.slot: '012'"), HasSubstr("hint: write \"012\""),
                             HasSubstr("'B' cannot name a device"), HasSubstr("pools.c.d: there is no such key")));
}

TEST_F(ConfigFilesTest, ValidateOnlyNotesWhatApplyWouldNotTrust) {
  put("/a.yaml", "");
  mode("/a.yaml", 0664);
  const auto outcome = test::run_command({"config", "validate", named("/a.yaml")});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("mode 0664 lets its group write it; plan and apply refuse it"));
}

}  // namespace
}  // namespace pcivm::cli
