// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/reset.hpp"

#include <gtest/gtest.h>

#include "iommu/quarantine.hpp"
#include "iommu/reset_policy.hpp"
#include "tests/fakes/fake_kernel.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/binding.hpp"
#include "vfio/journal.hpp"
#include "vfio/quarantine.hpp"

namespace pcivm::vfio {
namespace {

using test::FailsWith;
using test::FakeKernel;
using test::Fault;
using test::IsOk;
using test::IsOkAnd;
using test::Killed;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kNic{"0000:02:00.0"};

class Reset : public testing::Test {
 protected:
  Reset() {
    kernel_.add(kNic, {.native = "e1000e", .driver = "vfio-pci", .override_name = "vfio-pci"}, 3);
    file("reset_method", "flr pm bus");
    file("reset", "");
    config('\x86');
    host_.users_of = [this](const SysRoot&, Bdf) -> Result<std::vector<iommu::InUse>> { return users_; };
    kernel_.on_reset([this] { return on_reset_ ? on_reset_() : 0; });
  }
  static Bdf bdf(const std::string& text) { return Bdf::parse(text).value(); }
  void file(const std::string& name, const std::string& text) {
    kernel_.tree().file(FakeKernel::device_directory(kNic) + "/" + name, text + "\n");
  }
  void config(char byte) {
    std::string image(64, byte);
    image[0x0e] = byte == '\xff' ? byte : '\0';
    kernel_.tree().file(FakeKernel::device_directory(kNic) + "/config", image);
  }
  std::string methods() { return kernel_.root().read(FakeKernel::device_directory(kNic) + "/reset_method").value(); }
  HostLock lock() { return HostLock::take(kernel_.root(), std::chrono::milliseconds{0}).value(); }
  Result<ResetOutcome> reset(const std::string& method = {}, std::vector<std::string> force = {}) {
    return reset_function(host_, lock(), {.function = bdf(kNic), .method = method, .force = std::move(force)});
  }
  bool quarantined() { return iommu::quarantine_of(kernel_.root(), bdf(kNic)).has_value(); }
  bool journal_empty() { return left_over(kernel_.root())->empty(); }

  FakeKernel kernel_;
  std::vector<iommu::InUse> users_;
  std::function<int()> on_reset_;
  Host host_{.root = kernel_.root(), .users_of = {}, .deadline = std::chrono::milliseconds{300}};
};

TEST_F(Reset, UsesTheFirstMethodOfTheKernel) {
  kernel_.inject({});
  const auto done = reset();
  ASSERT_THAT(done, IsOk());
  EXPECT_EQ(done->method, "flr");
  EXPECT_EQ(methods(), "flr pm bus");
  EXPECT_THAT(kernel_.writes().at(1), HasSubstr("0000:02:00.0/reset 1"));
  EXPECT_TRUE(journal_empty());
  EXPECT_FALSE(quarantined());
}

TEST_F(Reset, ANamedMethodIsChosenForThisResetOnly) {
  std::string during;
  on_reset_ = [&] {
    during = methods();
    return 0;
  };
  EXPECT_EQ(reset("pm")->method, "pm");
  EXPECT_EQ(during, "pm");
  EXPECT_EQ(methods(), "flr pm bus");
}

TEST_F(Reset, AnUnprovenMethodNeedsForce) {
  kernel_.inject({});
  EXPECT_THAT(reset("bus"), FailsWith(Errc::refused, HasSubstr("no proven reset")));
  EXPECT_EQ(kernel_.count(), 0);
  EXPECT_THAT(reset("bus", {"no-reset"}), IsOk());
}

TEST_F(Reset, ABusThatIsSharedIsNeverReset) {
  kernel_.add("0000:02:00.1", {.native = "snd", .driver = "snd"}, 4);
  kernel_.inject({});
  EXPECT_THAT(reset("bus", {"no-reset"}), FailsWith(Errc::refused, HasSubstr("also hits 0000:02:00.1 (snd)")));
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(Reset, IsRefusedInUseUnderANativeDriverOrWithoutAnyMethod) {
  kernel_.inject({});
  users_ = {{.kind = "vfio", .detail = "pid 812 (pcivm vm run web)"}};
  EXPECT_THAT(reset(), FailsWith(Errc::busy, HasSubstr("pid 812 (pcivm vm run web)")));
  users_.clear();
  kernel_.at(kNic).driver = "e1000e";
  kernel_.refresh(kNic);
  EXPECT_THAT(reset(), FailsWith(Errc::refused, HasSubstr("has driver e1000e")));
  kernel_.at(kNic).driver = "";
  kernel_.refresh(kNic);
  kernel_.tree().remove(FakeKernel::device_directory(kNic) + "/reset_method");
  EXPECT_THAT(reset({}, {"no-reset"}), FailsWith(Errc::refused, HasSubstr("has no reset")));
  EXPECT_EQ(kernel_.count(), 0);
}

TEST_F(Reset, ADeviceThatDoesNotAnswerGoesToQuarantineAndAGoodResetTakesItOut) {
  on_reset_ = [this] {
    config('\xff');
    return 0;
  };
  EXPECT_THAT(reset(), FailsWith(Errc::kernel, HasSubstr("put into quarantine")));
  ASSERT_TRUE(quarantined());
  EXPECT_THAT(iommu::quarantine_of(kernel_.root(), bdf(kNic))->reason, HasSubstr("does not answer"));
  EXPECT_TRUE(journal_empty());

  ASSERT_THAT(release(host_, lock(), {.function = bdf(kNic)}), IsOk());
  EXPECT_THAT(bind(host_, lock(), {.function = bdf(kNic)}),
              FailsWith(Errc::refused, HasSubstr("in quarantine since 20")));
  on_reset_ = [this] {
    config('\x86');
    return 0;
  };
  kernel_.at(kNic).driver = "";
  kernel_.refresh(kNic);
  config('\x86');
  EXPECT_TRUE(reset()->left_quarantine);
  EXPECT_FALSE(quarantined());
  EXPECT_THAT(bind(host_, lock(), {.function = bdf(kNic)}), IsOk());
}

TEST_F(Reset, ABusyDeviceIsTriedAgainAndAFailedResetIsQuarantined) {
  int calls{};
  on_reset_ = [&] { return ++calls < 3 ? EAGAIN : 0; };
  EXPECT_THAT(reset(), IsOk());
  EXPECT_EQ(calls, 3);
  on_reset_ = [] { return EAGAIN; };
  EXPECT_THAT(reset(), FailsWith(Errc::kernel, HasSubstr("EAGAIN")));
  EXPECT_TRUE(quarantined());
  on_reset_ = [] { return EIO; };
  EXPECT_THAT(reset("pm"), FailsWith(Errc::kernel, HasSubstr("EIO")));
  EXPECT_EQ(methods(), "flr pm bus");
  EXPECT_TRUE(journal_empty());
}

TEST_F(Reset, AResetThatDoesNotEndIsATimeoutAndItsEntryStays) {
  on_reset_ = [] { return kWriteBlocks; };
  EXPECT_THAT(reset("pm"), FailsWith(Errc::timeout, HasSubstr("put into quarantine")));
  EXPECT_TRUE(quarantined());
  EXPECT_FALSE(journal_empty());
  EXPECT_EQ(methods(), "pm");
  on_reset_ = {};
  ASSERT_THAT(recover_bindings(host_, lock()), IsOk());
  EXPECT_EQ(methods(), "flr pm bus");
  EXPECT_TRUE(journal_empty());
}

TEST_F(Reset, KilledAtAnyWriteTheMethodsComeBack) {
  for (const auto kind : {Fault::Kind::kill, Fault::Kind::kill_late}) {
    for (int n = 1; n <= 3; ++n) {
      kernel_.inject({.kind = kind, .at = n});
      EXPECT_THROW((void)reset("pm"), Killed);
      kernel_.inject({});
      ASSERT_THAT(recover_bindings(host_, lock()), IsOk());
      EXPECT_EQ(methods(), "flr pm bus") << n;
      EXPECT_TRUE(journal_empty()) << n;
    }
  }
}

TEST_F(Reset, BindWantsAProvenResetOfTheChosenMethod) {
  ASSERT_THAT(release(host_, lock(), {.function = bdf(kNic)}), IsOk());
  const auto bind_with = [&](const std::string& method, std::vector<std::string> force = {}) {
    return bind(host_, lock(),
                {.function = bdf(kNic), .force = std::move(force), .settings = {{"reset_method", method}}});
  };
  EXPECT_THAT(bind_with("bus"), FailsWith(Errc::refused, HasSubstr("'bus'")));
  EXPECT_THAT(bind_with("bus", {"no-reset"}), IsOk());
  ASSERT_THAT(release(host_, lock(), {.function = bdf(kNic)}), IsOk());
  kernel_.tree().remove(FakeKernel::device_directory(kNic) + "/reset_method");
  EXPECT_THAT(bind(host_, lock(), {.function = bdf(kNic)}), FailsWith(Errc::refused, HasSubstr("no way to reset")));
}

TEST_F(Reset, KnownBadDevicesAreRefusedWhateverTheirMethod) {
  file("vendor", "0x10ec");
  file("device", "0x8168");
  const auto policy = iommu::reset_policy(kernel_.root(), bdf(kNic));
  ASSERT_THAT(policy, IsOk());
  EXPECT_FALSE(policy->proven);
  EXPECT_THAT(policy->reason, HasSubstr("power-cycled the host"));
  EXPECT_THAT(policy->methods, ElementsAre("flr", "pm", "bus"));
  for (const auto& row : iommu::known_bad_resets()) {
    EXPECT_FALSE(row.source.empty());
    EXPECT_FALSE(row.what.empty());
  }
}

TEST_F(Reset, PowerManagementWithoutSoftResetIsNoReset) {
  std::string image(256, '\0');
  image[0x06] = 0x10;  // has capabilities
  image[0x34] = 0x40;
  image[0x40] = 0x01;  // power management
  image[0x44] = 0x08;  // No_Soft_Reset
  kernel_.tree().file(FakeKernel::device_directory(kNic) + "/config", image);
  EXPECT_THAT(iommu::reset_policy(kernel_.root(), bdf(kNic), "pm")->reason, HasSubstr("No_Soft_Reset"));
  image[0x44] = 0;
  kernel_.tree().file(FakeKernel::device_directory(kNic) + "/config", image);
  EXPECT_TRUE(iommu::reset_policy(kernel_.root(), bdf(kNic), "pm")->proven);
}

TEST_F(Reset, ARecordAboutAnotherDeviceAtThatAddressDoesNotCount) {
  ASSERT_THAT(quarantine(kernel_.root(), bdf(kNic), "reads 0xff"), IsOk());
  EXPECT_THAT(refuse_quarantined(host_, bdf(kNic), {}), FailsWith(Errc::refused));
  EXPECT_THAT(refuse_quarantined(host_, bdf(kNic), {"quarantined"}), IsOk());
  file("device", "0x1533");
  EXPECT_THAT(refuse_quarantined(host_, bdf(kNic), {}), IsOk());
}

}  // namespace
}  // namespace pcivm::vfio
