// SPDX-License-Identifier: GPL-2.0-or-later
// The sockets of a VM's named ports, with a VMM that is played here.
#include "cli/vm_ports.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "base/socket.hpp"
#include "cli/http_client.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"
#include "vmm/virtio/console_port.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::HasSubstr;

TEST(PortOptions, AreReadStrictly) {
  const auto wishes = parse_ports({"name=org.qemu.guest_agent.0", "name=a_b-1,socket=/run/a"});
  ASSERT_THAT(wishes, IsOk());
  EXPECT_EQ(wishes->at(0).name, "org.qemu.guest_agent.0");
  EXPECT_EQ(wishes->at(0).socket, "");
  EXPECT_EQ(wishes->at(1).socket, "/run/a");
  for (const auto* name : {"", "a/b", "..", ".hidden", "a b", "\xc3\xa4"}) {
    EXPECT_THAT(parse_ports({std::string{"name="} + name}), FailsWith(Errc::invalid)) << name;
  }
  EXPECT_THAT(parse_ports({"name=" + std::string(64, 'a')}), FailsWith(Errc::invalid, HasSubstr("1 to 63")));
  EXPECT_THAT(parse_ports({"socket=/run/a"}), FailsWith(Errc::invalid, HasSubstr("name")));
  EXPECT_THAT(parse_ports({"name=a", "name=a"}), FailsWith(Errc::invalid, HasSubstr("twice")));
  std::vector<std::string> many;
  for (int count = 0; count < 32; ++count) many.push_back("name=p" + std::to_string(count));
  EXPECT_THAT(parse_ports(many), FailsWith(Errc::invalid, HasSubstr("32 ports found, up to 31 wanted")));
}

class Ports : public testing::Test {
 protected:
  std::string path(const std::string& name) { return tree_.path("/" + name).string(); }
  Result<std::unique_ptr<VmPorts>> listen(const std::string& name) {
    return VmPorts::listen(tree_.root(), "web", {{.name = "agent", .socket = path(name)}});
  }
  void serve() {
    ports_ = listen("agent.sock").value();
    vmm_ = std::move(ports_->take_vmm_ends().at(0).channel);
    ASSERT_THAT(ports_->serve(*loop_), IsOk());
  }
  void turns() {
    for (int round = 0; round < 4; ++round) {
      loop_->post([this] { loop_->post([this] { loop_->stop(); }); });
      ASSERT_THAT(loop_->run(), IsOk());
    }
  }
  // What the VMM is handed.
  std::vector<Fd> handed() {
    auto packet = receive_packet(vmm_.ref());
    if (!packet || !*packet) return {};
    EXPECT_EQ((*packet)->text, vmm::kPortClient);
    return std::move((*packet)->files);
  }
  Fd connect() {
    auto client = cli::connect_to(path("agent.sock")).value();
    turns();
    return client;
  }

  test::TempRoot tree_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  std::unique_ptr<VmPorts> ports_;
  Fd vmm_;
};

TEST_F(Ports, AreSocketsOfTheirOwnerAlone) {
  const auto ports = listen("agent.sock").value();
  struct stat status{};
  ASSERT_EQ(::lstat(path("agent.sock").c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(ports->view().at(0).socket, path("agent.sock"));
}

TEST_F(Ports, AClientIsHandedToTheVmm) {
  serve();
  const auto client = connect();
  const auto files = handed();
  ASSERT_EQ(files.size(), 1U);
  EXPECT_TRUE(ports_->view().at(0).client);
  ASSERT_THAT(write_all(client.ref(), "hello"), IsOk());
  std::array<std::byte, 8> bytes{};
  EXPECT_THAT(read_some(files[0].ref(), bytes), test::IsOkAnd(5U));
  EXPECT_THAT(read_some(files[0].ref(), bytes), FailsWith(Errc::kernel)) << "the VMM is never to wait for it";
}

TEST_F(Ports, TheNextClientWaitsUntilTheVmmIsFree) {
  serve();
  const auto first = connect();
  EXPECT_EQ(handed().size(), 1U);
  const auto second = connect();
  EXPECT_EQ(handed().size(), 0U);
  ASSERT_THAT(send_packet(vmm_.ref(), "nonsense"), IsOk());
  turns();
  EXPECT_EQ(handed().size(), 0U);
  ASSERT_THAT(send_packet(vmm_.ref(), vmm::kPortFree), IsOk());
  ASSERT_THAT(send_packet(vmm_.ref(), vmm::kPortFree), IsOk());
  turns();
  EXPECT_EQ(handed().size(), 1U);
  EXPECT_TRUE(ports_->view().at(0).client);
}

TEST_F(Ports, AVmmThatEndsEndsTheService) {
  serve();
  vmm_.close();
  turns();
  const auto client = connect();
  EXPECT_FALSE(ports_->view().at(0).client);
}

TEST_F(Ports, TakeThePlaceOfASocketThatNobodyListensTo) {
  (void)listen_at(path("agent.sock")).value();
  EXPECT_THAT(listen("agent.sock"), IsOk());
}

TEST_F(Ports, TakeNothingFromOthers) {
  const auto other = listen_at(path("other")).value();
  EXPECT_THAT(listen("other"), FailsWith(Errc::busy, HasSubstr("somebody listens")));
  std::ofstream{path("file")} << "precious";
  EXPECT_THAT(listen("file"), FailsWith(Errc::refused, HasSubstr("no socket")));
  std::filesystem::create_symlink(path("file"), path("link"));
  EXPECT_THAT(listen("link"), FailsWith(Errc::refused));
  EXPECT_THAT(listen("no/such/folder"), FailsWith(Errc::not_found));
  EXPECT_TRUE(std::filesystem::exists(path("file")));
  EXPECT_THAT(cli::connect_to(path("other")), IsOk());
}

TEST_F(Ports, RemoveAtTheEndWhatIsStillTheirs) {
  listen("agent.sock").value().reset();
  EXPECT_FALSE(std::filesystem::exists(path("agent.sock")));
  auto ports = listen("agent.sock").value();
  std::filesystem::remove(path("agent.sock"));
  std::ofstream{path("agent.sock")} << "of another";
  ports.reset();
  EXPECT_TRUE(std::filesystem::exists(path("agent.sock")));
}

TEST_F(Ports, TheVmmsProcessLeavesTheSocketsAlone) {
  auto ports = listen("agent.sock").value();
  ports->leave();
  ports.reset();
  EXPECT_TRUE(std::filesystem::exists(path("agent.sock")));
}

}  // namespace
}  // namespace pcivm::cli
