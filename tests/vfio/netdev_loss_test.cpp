// SPDX-License-Identifier: GPL-2.0-or-later
// An interface has its MTU and is up again, at whichever write the command was killed.
#include "vfio/netdev_loss.hpp"

#include <gtest/gtest.h>

#include "tests/fakes/fake_kernel.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/binding.hpp"

namespace pcivm::vfio {
namespace {

using test::FakeKernel;
using test::Fault;
using test::IsOk;
using test::Killed;

const std::string kNic{"0000:02:00.0"};

class NetdevCrash : public testing::TestWithParam<Fault::Kind> {
 protected:
  NetdevCrash() {
    kernel_.add(kNic, {.native = "e1000e", .driver = "e1000e"}, 3);
    make_interface("0x1003", "9000");
    kernel_.on_bound([this](const std::string&) {
      kernel_.tree().remove(FakeKernel::device_directory(kNic) + "/net");
      if (kernel_.at(kNic).driver == "e1000e") make_interface("0x1002", "1500");
    });
    kernel_.handle_others([this](std::string_view path, std::string_view value) {
      kernel_.tree().file(std::string{path}, std::string{value} + "\n");
      return 0;
    });
  }
  void make_interface(const std::string& flags, const std::string& mtu) {
    kernel_.tree().file(interface_ + "/flags", flags + "\n");
    kernel_.tree().file(interface_ + "/mtu", mtu + "\n");
  }
  // "9000 0x1003"; empty = there is no interface.
  [[nodiscard]] std::string interface() const {
    if (!kernel_.root().exists(interface_)) return {};
    return kernel_.root().read(interface_ + "/mtu").value() + " " + kernel_.root().read(interface_ + "/flags").value();
  }
  template <class Change>
  bool killed_at(int n, Change change) {
    kernel_.inject({.kind = GetParam(), .at = n});
    bool killed{};
    try {
      EXPECT_THAT(change(), IsOk());
    } catch (const Killed&) {
      killed = true;
    }
    kernel_.inject({});
    return killed;
  }
  Result<Change> bind() { return vfio::bind(host_, *lock_, {.function = function_}); }
  Result<Change> release() { return vfio::release(host_, *lock_, {.function = function_}); }
  Result<std::vector<Repair>> recover() { return recover_bindings(host_, *lock_); }

  FakeKernel kernel_;
  const std::string interface_{FakeKernel::device_directory(kNic) + "/net/eth5"};
  const Bdf function_{Bdf::parse(kNic).value()};
  Host host_{.root = kernel_.root(), .users_of = [](const SysRoot&, Bdf) -> Result<std::vector<iommu::InUse>> {
               return std::vector<iommu::InUse>{};
             }};
  Result<HostLock> lock_{HostLock::take(kernel_.root(), std::chrono::milliseconds{0})};
};
INSTANTIATE_TEST_SUITE_P(BeforeAndAfter, NetdevCrash, testing::Values(Fault::Kind::kill, Fault::Kind::kill_late),
                         [](const auto& test) { return test.param == Fault::Kind::kill ? "Before" : "After"; });

TEST_P(NetdevCrash, AnInterruptedBindGivesItsMtuAndUpBack) {
  int kills{};
  while (killed_at(kills + 1, [this] { return bind(); })) {
    ++kills;
    ASSERT_THAT(recover(), IsOk());
    EXPECT_EQ(interface(), "9000 0x1003") << "killed at write " << kills;
  }
  EXPECT_GE(kills, 3);
  EXPECT_EQ(interface(), "");
}

TEST_P(NetdevCrash, AnInterruptedReleaseGivesItsMtuAndUpBack) {
  ASSERT_THAT(bind(), IsOk());
  int kills{};
  while (killed_at(kills + 1, [this] { return release(); })) {
    ++kills;
    ASSERT_THAT(recover(), IsOk());
    EXPECT_EQ(interface(), "9000 0x1003") << "killed at write " << kills;
    ASSERT_THAT(bind(), IsOk());
  }
  EXPECT_GE(kills, 6);  // four of the driver, mtu, flags
  EXPECT_EQ(interface(), "9000 0x1003");
}

TEST_P(NetdevCrash, ARepairThatIsInterruptedGivesThemBackTheNextTime) {
  ASSERT_TRUE(killed_at(3, [this] { return bind(); }));
  for (int n = 1; killed_at(n, [this] { return recover(); }); ++n) ASSERT_LT(n, 10);
  EXPECT_EQ(interface(), "9000 0x1003");
}

}  // namespace
}  // namespace pcivm::vfio
