// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_passt.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <fstream>

#include "cli/vm_virtio.hpp"
#include "tests/fakes/fake_ioctls.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOkAnd;
using testing::ElementsAre;
using testing::HasSubstr;

Result<std::vector<std::string>> arguments(std::string_view text) {
  const auto list =
      OptionList::parse("--net", text, {.valued = {"mac", "ring", "tcp", "udp"}, .flags = {"passt", "loopback"}});
  return passt_arguments("--net", list.value());
}

TEST(VmPasst, HidesTheHostsLoopbackUnlessAskedFor) {
  EXPECT_THAT(arguments("passt"), IsOkAnd(ElementsAre("--no-map-gw")));
  EXPECT_THAT(arguments("passt,loopback"), IsOkAnd(ElementsAre()));
}

TEST(VmPasst, ForwardsPorts) {
  EXPECT_THAT(arguments("passt,loopback,tcp=8022:22+127.0.0.1/80+::1/8080:80,udp=53"),
              IsOkAnd(ElementsAre("--tcp-ports", "8022:22", "--tcp-ports", "127.0.0.1/80", "--tcp-ports", "::1/8080:80",
                                  "--udp-ports", "53")));
}

TEST(VmPasst, RefusesWhatIsNoPort) {
  for (const auto* wrong :
       {"0",          "65536", "22:", ":22",      "22:0", "1-9",          "~22",      "all",
        "none",       "22+",   "+22", "22:22:22", "/22",  "localhost/22", "1.2.3/22", "127.0.0.1%lo/22",
        "127.0.0.1/", "22 ",   "-1",  "22/22"}) {
    EXPECT_THAT(arguments(std::string{"passt,tcp="} + wrong), FailsWith(Errc::invalid, HasSubstr("--net: tcp=")))
        << wrong;
    EXPECT_THAT(arguments(std::string{"passt,udp="} + wrong), FailsWith(Errc::invalid, HasSubstr("--net: udp=")))
        << wrong;
  }
}

/// A program of that name, which is the only one that PATH has.
class StartPasst : public testing::Test {
 protected:
  StartPasst() { use(tree_.root().host_path("/bin")); }
  ~StartPasst() override { use(former_); }
  static void use(const std::string& path) { ::setenv("PATH", path.c_str(), 1); }
  void script(const std::string& text) {
    tree_.file("/bin/passt", "#!/bin/sh\nPATH=/usr/bin:/bin\n" + text);
    ASSERT_EQ(::chmod(tree_.root().host_path("/bin/passt").c_str(), 0700), 0);
  }
  Result<vmm::VirtioConfig> open(const std::string& net) {
    return open_virtio(tree_.root(), kernel_, {.name = "web", .nets = {net}});
  }

  std::string former_ = std::getenv("PATH");
  test::TempRoot tree_;
  test::FakeIoctls kernel_;
};

TEST_F(StartPasst, GivesItTheOtherEnd) {
  const auto said = tree_.root().host_path("/said");
  // As passt does: what stays has the socket, its parent ends.
  script("echo \"$@\" >" + said + "\n(eval \"cat <&$3 >&$3\" </dev/null >/dev/null 2>&1) & exit 0\n");
  auto config = open("passt,tcp=8022:22,mac=02:00:00:00:00:07,ring=packed");
  ASSERT_THAT(config, test::IsOk());
  const auto& net = config->nets.at(0);
  EXPECT_TRUE(net.taps.empty());
  EXPECT_TRUE(net.packed);
  EXPECT_EQ(net.mac.to_string(), "02:00:00:00:00:07");
  std::string line;
  std::getline(std::ifstream{said} >> std::ws, line);
  EXPECT_THAT(line, testing::MatchesRegex("--quiet --fd [0-9]+ --no-map-gw --tcp-ports 8022:22"));
  EXPECT_NE(::fcntl(net.stream.ref().number(), F_GETFL) & O_NONBLOCK, 0);
  ASSERT_THAT(write_all(net.stream.ref(), "frame"), test::IsOk());
  std::array<std::byte, 10> answer{};
  Result<std::size_t> count = 0U;
  for (int attempt = 0; attempt < 500 && !(count = read_some(net.stream.ref(), answer)); ++attempt) ::usleep(10'000);
  EXPECT_THAT(count, IsOkAnd(5U));
}

TEST_F(StartPasst, NamesThePackage) {
  const auto opened = open("passt");
  EXPECT_THAT(opened, FailsWith(Errc::refused, HasSubstr("'passt' cannot be started")));
  EXPECT_THAT(opened.error().hint(), HasSubstr("install passt"));
}

TEST_F(StartPasst, TellsWhatItSays) {
  script("echo 'Failed to bind any port' >&2\nexit 1\n");
  EXPECT_THAT(open("passt,tcp=80"), FailsWith(Errc::kernel, HasSubstr("Failed to bind any port")));
  script("exit 3\n");
  EXPECT_THAT(open("passt"), FailsWith(Errc::kernel, HasSubstr("exit code 3")));
}

TEST_F(StartPasst, MakesUpAnAddressForEach) {
  script("exit 0\n");
  const auto config = open_virtio(tree_.root(), kernel_, {.name = "web", .nets = {"passt", "passt"}});
  ASSERT_THAT(config, test::IsOk());
  EXPECT_NE(config->nets[0].mac, config->nets[1].mac);
  EXPECT_EQ(config->nets[0].mac, open("passt")->nets[0].mac);
}

TEST_F(StartPasst, IsNotStartedByWhatMakesNoSense) {
  script("touch " + tree_.root().host_path("/started") + "\n");
  for (const auto* wrong : {"passt,tap=lab0", "passt,vhost=on", "passt,queues=2", "passt,tcp=0", "passt,mac=x",
                            "passt=yes", "passt,ring=round", "mac=02:00:00:00:00:07", "tap=lab0,tcp=22", "loopback"}) {
    EXPECT_THAT(open(wrong), FailsWith(Errc::invalid, HasSubstr("--net"))) << wrong;
  }
  EXPECT_FALSE(tree_.root().exists("/started"));
}

}  // namespace
}  // namespace pcivm::cli
