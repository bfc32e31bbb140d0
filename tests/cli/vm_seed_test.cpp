// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_seed.hpp"

#include <gmock/gmock.h>

#include <string>

#include <fmt/format.h>

#include "cli/json.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::HasSubstr;

class Seed : public testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& content) {
    tree_.file(name, content);
    return tree_.path(name).string();
  }
  // The whole image as text: each file lies in it in one piece.
  std::string image(const std::string& options) {
    auto disk = make_seed("web", options);
    EXPECT_THAT(disk, IsOk());
    if (!disk) return {};
    EXPECT_TRUE(disk->read_only);
    std::string text(disk->disk.geometry.sectors * vmm::kSector, '\0');
    EXPECT_EQ(file_size(disk->disk.file.ref()).value(), text.size());
    EXPECT_THAT(pread_exact(disk->disk.file.ref(), 0, std::as_writable_bytes(std::span{text})), IsOk());
    return text;
  }
  static Json json_after(const std::string& image, const std::string& mark) {
    const auto begin = image.find(mark);
    if (begin == std::string::npos) return {};
    const auto text = image.substr(begin + mark.size());
    return Json::parse(text.substr(0, text.find('\0')));
  }
  test::TempRoot tree_;
};

TEST_F(Seed, TakesFilesAsTheyAre) {
  const auto user = file("/user", "#cloud-config\nruncmd: [touch, /x]\n");
  const auto meta = file("/meta", "instance-id: mine\n");
  const auto network = file("/net", "version: 2\n");
  const auto text = image(fmt::format("user-data={},meta-data={},network-config={}", user, meta, network));
  EXPECT_THAT(text, HasSubstr("CIDATA"));
  EXPECT_THAT(text, HasSubstr("#cloud-config\nruncmd: [touch, /x]\n"));
  EXPECT_THAT(text, HasSubstr("instance-id: mine\n"));
  EXPECT_THAT(text, HasSubstr("version: 2\n"));
}

TEST_F(Seed, MakesAUserWithKeys) {
  const auto key = file("/key.pub", "# mine\nssh-ed25519 AAAAC3 me@here\n\nssh-rsa AAAAB3 \"quoted\": name\n");
  const auto data = json_after(image("user=ops,ssh-key=" + key + ",hostname=db-1"), "#cloud-config\n");
  EXPECT_EQ(data["hostname"], "db-1");
  EXPECT_EQ(data["users"][0]["name"], "ops");
  EXPECT_EQ(data["users"][0]["ssh_authorized_keys"],
            Json::array({"ssh-ed25519 AAAAC3 me@here", "ssh-rsa AAAAB3 \"quoted\": name"}));
}

TEST_F(Seed, GivesKeysToTheUserOfTheImage) {
  const auto data = json_after(image("ssh-key=" + file("/key.pub", "ssh-ed25519 AAAAC3\n")), "#cloud-config\n");
  EXPECT_FALSE(data.contains("users"));
  EXPECT_EQ(data["ssh_authorized_keys"][0], "ssh-ed25519 AAAAC3");
  EXPECT_EQ(data["hostname"], "web");
}

TEST_F(Seed, IsAnotherInstanceWhenItSaysSomethingElse) {
  const auto id = [this](const std::string& options) {
    const auto text = image(options);
    const auto at = text.find("\"instance-id\"");
    return text.substr(at, 45);
  };
  EXPECT_THAT(id("hostname=a"), HasSubstr("web-"));
  EXPECT_EQ(id("hostname=a"), id("hostname=a"));
  EXPECT_NE(id("hostname=a"), id("hostname=b"));
}

TEST_F(Seed, RefusesWhatCannotBe) {
  const auto text = file("/text", "no key\n");
  for (const auto& [options, message] : std::initializer_list<std::pair<std::string, std::string>>{
           {"password=x", "'password' found"},
           {"user=Root", "user=Root found"},
           {"user=a b", "user=a b found"},
           {"hostname=-x", "hostname=-x found"},
           {"hostname=" + std::string(64, 'h'), "1 to 63"},
           {"user-data=" + text + ",user=ops", "beside user="},
           {"user-data=" + text + ",meta-data=" + text + ",hostname=x", "beside both files"},
           {"ssh-key=" + file("/empty", "# nothing\n"), "no key in that file"},
           {"ssh-key=" + file("/private", "-----BEGIN OPENSSH PRIVATE KEY-----\n"), "no public key"},
           {"ssh-key=" + file("/word", "word\n"), "no public key"}}) {
    EXPECT_THAT(make_seed("web", options), FailsWith(Errc::invalid, HasSubstr(message))) << options;
  }
  EXPECT_THAT(make_seed("web", "user-data=/nowhere"), FailsWith(Errc::not_found, HasSubstr("user-data")));
  EXPECT_THAT(make_seed("web", "user-data=" + file("/big", std::string(2U << 20U, 'x'))), FailsWith(Errc::invalid));
}

}  // namespace
}  // namespace pcivm::cli
