// SPDX-License-Identifier: GPL-2.0-or-later
// What commands say of calls that do not return, and of what is lost.
#include "vfio/blocker.hpp"

#include <gtest/gtest.h>

#include "tests/fakes/fake_kernel.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/binding.hpp"
#include "vfio/netdev_loss.hpp"

namespace pcivm::vfio {
namespace {

using test::FailsWith;
using test::FakeKernel;
using test::IsOk;
using testing::AllOf;
using testing::HasSubstr;

const std::string kVf{"0000:01:10.0"};

class Blocked : public testing::Test {
 protected:
  Blocked() {
    kernel_.add(kVf, {.native = "igbvf", .driver = "vfio-pci", .override_name = "vfio-pci"}, 9);
    process("812", "pcivm", std::string{"pcivm\0vm\0run\0web\0--memory\0", 26});
    kernel_.tree().link("/proc/812/fd/7", "/dev/vfio/9");
    process("900", "sh", "sh");
    kernel_.tree().link("/proc/900/fd/1", "/sys/bus/pci/drivers/vfio-pci/unbind");
    kernel_.tree().link("/proc/900/fd/2", "/sys/class/net/eth0/mtu");
  }
  void process(const std::string& pid, const std::string& command, const std::string& line) {
    kernel_.tree().file("/proc/" + pid + "/comm", command + "\n");
    kernel_.tree().file("/proc/" + pid + "/cmdline", line);
  }
  FakeKernel kernel_;
  Bdf vf_{Bdf::parse(kVf).value()};
};

TEST_F(Blocked, HoldersComeBeforeThoseWhoWait) {
  EXPECT_EQ(blockers_of(kernel_.root(), vf_),
            "pid 812 (pcivm vm run web) holds 0000:01:10.0 open; pid 900 (sh) waits in a call on "
            "'/sys/bus/pci/drivers/vfio-pci/unbind'");
  kernel_.tree().remove("/proc/812");
  kernel_.tree().remove("/proc/900");
  EXPECT_EQ(blockers_of(kernel_.root(), vf_), "");
}

TEST_F(Blocked, AnUnbindThatDoesNotReturnNamesThem) {
  Host host{.root = kernel_.root(), .users_of = [](const SysRoot&, Bdf) -> Result<std::vector<iommu::InUse>> {
              return std::vector<iommu::InUse>{};
            }};
  kernel_.at(kVf).open = true;
  const auto lock = HostLock::take(kernel_.root(), std::chrono::milliseconds{0});
  ASSERT_THAT(lock, IsOk());
  EXPECT_THAT(release(host, *lock, {.function = vf_}),
              FailsWith(Errc::timeout, AllOf(HasSubstr("0000:01:10.0 is blocked in the kernel"),
                                             HasSubstr("pid 812 (pcivm vm run web) holds"))));
}

TEST_F(Blocked, WhatAnInterfaceLosesIsTold) {
  const auto directory = FakeKernel::device_directory(kVf) + "/net/eth2";
  kernel_.tree().file(directory + "/flags", "0x1002\n");
  kernel_.tree().file(directory + "/mtu", "1500\n");
  EXPECT_EQ(netdev_loss(kernel_.root(), vf_), std::nullopt);
  kernel_.tree().file(directory + "/flags", "0x1003\n");
  kernel_.tree().file(directory + "/mtu", "9000\n");
  kernel_.tree().link(directory + "/master", "../br0");
  kernel_.tree().file("/proc/net/if_inet6", "20010db8000000000000000000000007 02 40 00 80     eth2\n");
  EXPECT_EQ(
      netdev_loss(kernel_.root(), vf_).value_or(""),
      "eth2 goes with what it has: up, mtu 9000, its place in br0, 2001:db8::7; release puts back up, mtu 9000 only");
}

TEST_F(Blocked, AnInterfaceIsBackWithItsMtuAndUp) {
  const std::string nic{"0000:02:00.0"};
  const auto directory = FakeKernel::device_directory(nic) + "/net/eth5";
  kernel_.add(nic, {.native = "e1000e", .driver = "e1000e"}, 3);
  const auto interface = [&](const char* flags, const char* mtu) {
    kernel_.tree().file(directory + "/flags", flags);
    kernel_.tree().file(directory + "/mtu", mtu);
  };
  interface("0x1003\n", "9000\n");
  kernel_.on_bound([&](const std::string& bdf) {
    kernel_.tree().remove(FakeKernel::device_directory(nic) + "/net");
    if (bdf == nic && kernel_.at(nic).driver == "e1000e") interface("0x1002\n", "1500\n");
  });
  std::string writes;
  kernel_.handle_others([&](std::string_view path, std::string_view value) {
    writes += fmt::format("{}={} ", path.substr(path.rfind('/') + 1), value);
    return 0;
  });
  std::string told;
  Host host{.root = kernel_.root(),
            .users_of = [](const SysRoot&, Bdf) -> Result<std::vector<iommu::InUse>> {
              return std::vector<iommu::InUse>{};
            },
            .note = [&](std::string_view text) { told = text; }};
  const auto function = Bdf::parse(nic).value();
  const auto lock = HostLock::take(kernel_.root(), std::chrono::milliseconds{0});
  ASSERT_THAT(bind(host, *lock, {.function = function}), IsOk());
  EXPECT_EQ(writes, "");
  ASSERT_THAT(release(host, *lock, {.function = function}), IsOk());
  EXPECT_EQ(writes, "mtu=9000 flags=0x1003 ");
  EXPECT_EQ(told, "eth5 is back with what it had: up, mtu 9000");

  interface("0x1003\n", "9000\n");
  writes.clear();
  kernel_.fail_probe("vfio-pci", nic, EIO);
  EXPECT_THAT(bind(host, *lock, {.function = function}), FailsWith(Errc::rolled_back, HasSubstr("put back")));
  EXPECT_EQ(writes, "mtu=9000 flags=0x1003 ");
}

TEST_F(Blocked, ALossIsToldBeforeTheFirstWrite) {
  kernel_.add("0000:02:00.0", {.native = "e1000e", .driver = "e1000e"}, 3);
  kernel_.tree().file(FakeKernel::device_directory("0000:02:00.0") + "/net/eth5/mtu", "9000\n");
  kernel_.inject({});
  std::string told;
  int writes{-1};
  Host host{.root = kernel_.root(), .users_of = [](const SysRoot&, Bdf) -> Result<std::vector<iommu::InUse>> {
              return std::vector<iommu::InUse>{};
            }};
  host.note = [&](std::string_view text) {
    told = text;
    writes = kernel_.count();
  };
  const auto lock = HostLock::take(kernel_.root(), std::chrono::milliseconds{0});
  ASSERT_THAT(bind(host, *lock, {.function = Bdf::parse("0000:02:00.0").value()}), IsOk());
  EXPECT_THAT(told, HasSubstr("eth5 goes with what it has: mtu 9000"));
  EXPECT_EQ(writes, 0);
}

TEST_F(Blocked, AFunctionThatDoesNotGetToD0IsPutBack) {
  kernel_.add("0000:02:00.0", {.native = "nvme", .driver = "nvme"}, 3);
  const auto directory = FakeKernel::device_directory("0000:02:00.0");
  kernel_.tree().file(directory + "/power/control", "auto\n");
  kernel_.tree().file(directory + "/power_state", "D3cold\n");
  Host host{.root = kernel_.root(), .users_of = [](const SysRoot&, Bdf) -> Result<std::vector<iommu::InUse>> {
              return std::vector<iommu::InUse>{};
            }};
  const auto lock = HostLock::take(kernel_.root(), std::chrono::milliseconds{0});
  const BindRequest request{.function = Bdf::parse("0000:02:00.0").value(), .settings = {{"power/control", "on"}}};
  EXPECT_THAT(bind(host, *lock, request), FailsWith(Errc::rolled_back, HasSubstr("is in D3cold, wanted D0")));
  EXPECT_EQ(kernel_.root().read(directory + "/power/control").value(), "auto");
  EXPECT_EQ(kernel_.at("0000:02:00.0").driver, "nvme");
}

}  // namespace
}  // namespace pcivm::vfio
