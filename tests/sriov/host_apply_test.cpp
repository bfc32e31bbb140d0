// SPDX-License-Identifier: GPL-2.0-or-later
// A plan as one transaction: whatever fails, wherever it is killed, the host is as before or as planned.
#include "sriov/host_apply.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/sriov/vf_rig.hpp"

namespace pcivm::sriov {
namespace {

using test::FailsWith;
using test::Fault;
using test::IsOk;
using test::Killed;
using test::kPf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kNic{"0000:02:00.0"};
const std::string kRunning{"/var/lib/pcivm/apply/running"};
const std::string kApplied{"/var/lib/pcivm/apply/applied"};

/// A PF that gets three VFs and another MTU, and a NIC that is given away.
class HostApply : public test::VfRig {
 protected:
  HostApply() {
    kernel_.add(kNic, {.native = "e1000e", .driver = "e1000e"}, 3, "0x10d3");
    const auto link = test::FakeKernel::device_directory(kPf) + "/net/eth1";
    kernel_.tree().file(link + "/ifindex", "3\n");
    kernel_.tree().file(link + "/mtu", "1500\n");
    kernel_.tree().file(link + "/flags", "0x1002\n");
    kernel_.tree().link("/sys/class/net/eth1", "../../bus/pci/devices/" + kPf + "/net/eth1");
    kernel_.handle_others([this](std::string_view path, std::string_view value) {
      if (!kernel_.root().exists(path)) return ENOENT;
      kernel_.tree().file(path, fmt::format("{}\n", value));
      return 0;
    });
    boot("6f1c");
    DeviceEntry lan{.name = "lan0", .match = {.address = bdf(kPf)}};
    lan.sriov = SriovEntry{.num_vfs = 3, .mtu = 9000, .up = true};
    lan.sriov->vfs = {{.first = 0, .last = 1, .bind = "vfio-pci", .mac = "02:11:22:33:44:%02x", .wish = {.vlan = 100}},
                      {.first = 2, .last = 2, .bind = "host", .wish = {.max_tx_rate = 500}}};
    DeviceEntry nic{.name = "nic", .match = {.address = bdf(kNic)}, .passthrough = PassthroughEntry{}};
    config_.devices = {lan, nic};
    before_ = now();
    kernel_.inject({});
  }

  void boot(const std::string& id) { kernel_.tree().file("/proc/sys/kernel/random/boot_id", id + "\n"); }
  HostState now() { return read_host(host_, &port_).value(); }
  Plan plan() { return plan_host(config_, now()); }
  /// What was kept of the last apply: all but group numbers, which mean nothing later.
  HostState kept() { return load_apply(kernel_.root(), ApplyMark::applied)->before; }
  static HostState without_groups(HostState state) {
    for (auto& each : state.functions) each.iommu_group.reset();
    return state;
  }
  bool running() { return kernel_.root().exists(kRunning); }

  Result<void> apply(Afterwards afterwards = Afterwards::remember) {
    const auto held = lock();
    const auto state = now();
    const auto planned = plan_host(config_, state);
    return apply_plan(tools(held), {.plan = planned,
                                    .before = state,
                                    .afterwards = afterwards,
                                    .on_step = [this](const StepTold& told) { tell(told); },
                                    .interrupted = interrupted_});
  }
  Result<void> roll_back() {
    const auto held = lock();
    const auto back = TRY(plan_rollback(host_, &port_));
    return apply_plan(tools(held), {.plan = back.plan, .before = back.now, .afterwards = Afterwards::forget});
  }
  StepTools tools(const vfio::HostLock& held) { return {.host = host_, .lock = held, .port = &port_}; }

  void tell(const StepTold& told) {
    told_.push_back(fmt::format("{}{} {}", told.undoing ? "undo: " : "", told.step.text,
                                told.error != nullptr ? "failed"
                                : told.took           ? "done"
                                                      : "starts"));
  }
  void expect_as(const HostState& wanted, int n = 0) {
    EXPECT_EQ(now(), wanted) << n;
    EXPECT_TRUE(journal_empty()) << n;
    EXPECT_FALSE(running()) << n;
  }

  HostConfig config_;
  HostState before_;
  std::vector<std::string> told_;
  std::function<bool()> interrupted_{[] { return false; }};
};

TEST_F(HostApply, MakesTheHostAsConfigured) {
  ASSERT_THAT(plan().problems, IsEmpty());
  ASSERT_THAT(apply(), IsOk());
  EXPECT_THAT(plan().steps, IsEmpty());
  EXPECT_EQ(kernel_.at(vf(1)).driver, "vfio-pci");
  EXPECT_EQ(kernel_.at(vf(2)).driver, "igbvf");
  EXPECT_EQ(kernel_.at(kNic).driver, "vfio-pci");
  EXPECT_EQ(port_.vfs[1].vlan, Vlan{.id = 100});
  EXPECT_EQ(kernel_.root().read("/sys/class/net/eth1/mtu"), "9000");
  EXPECT_EQ(kernel_.root().read("/sys/class/net/eth1/flags"), "0x1003");
  EXPECT_FALSE(running());
  EXPECT_THAT(told_, Contains("make 3 VFs of 0000:01:00.0 done"));
  EXPECT_EQ(kept(), without_groups(before_));
}

TEST_F(HostApply, ASecondTimeDoesNothing) {
  ASSERT_THAT(apply(), IsOk());
  kernel_.inject({});
  ASSERT_THAT(apply(), IsOk());
  EXPECT_EQ(kernel_.count(), 0);
  EXPECT_EQ(kept(), without_groups(before_));
}

TEST_F(HostApply, AllAttributesOfNewVfsGoInOneCall) {
  port_.calls = 0;
  ASSERT_THAT(apply(), IsOk());
  EXPECT_EQ(port_.count, 5);
  EXPECT_EQ(port_.calls, 1);
}

TEST_F(HostApply, ChangedAttributesOfAllVfsGoInOneCall) {
  ASSERT_THAT(apply(), IsOk());
  for (auto& vfs : config_.devices[0].sriov->vfs) vfs.wish.vlan = 200;
  port_.calls = 0;
  told_.clear();
  ASSERT_THAT(apply(), IsOk());
  EXPECT_EQ(port_.calls, 1);
  for (const auto& each : {port_.vfs[0], port_.vfs[1], port_.vfs[2]}) EXPECT_EQ(each.vlan, Vlan{.id = 200});
  EXPECT_THAT(told_, SizeIs(6));  // each of three starts and ends
  EXPECT_THAT(plan().steps, IsEmpty());
}

TEST_F(HostApply, RollsBackToTheStateBefore) {
  ASSERT_THAT(apply(), IsOk());
  ASSERT_THAT(roll_back(), IsOk());
  expect_as(before_);
  EXPECT_THAT(roll_back(), FailsWith(Errc::not_found, HasSubstr("nothing was applied")));
}

TEST_F(HostApply, ARollbackTellsOfADeviceThatIsGone) {
  ASSERT_THAT(apply(), IsOk());
  kernel_.unplug(kNic);
  std::string notes;
  host_.note = [&](std::string_view text) { notes += text; };
  ASSERT_THAT(roll_back(), IsOk());
  EXPECT_THAT(notes, HasSubstr("0000:02:00.0 is gone"));
  EXPECT_EQ(kernel_.at(kPf).num_vfs, 0U);
}

TEST_F(HostApply, WhatBootAppliesIsNotWhatIsRolledBack) {
  ASSERT_THAT(apply(), IsOk());
  config_.devices[0].sriov->vfs[0].wish.vlan = 200;
  ASSERT_THAT(apply(Afterwards::nothing), IsOk());
  EXPECT_EQ(kept(), without_groups(before_));
  ASSERT_THAT(roll_back(), IsOk());
  expect_as(before_);
}

TEST_F(HostApply, RefusesAllWhenAnythingIsUsedAndNamesEveryHolder) {
  ASSERT_THAT(apply(), IsOk());
  config_.devices[0].sriov->num_vfs = 2;
  config_.devices[0].sriov->vfs.pop_back();
  config_.allow_recreate = true;
  config_.devices[1].passthrough->bind = "host";
  ASSERT_THAT(plan().steps, SizeIs(testing::Ge(2U)));
  users_[vf(1)] = {{"vfio", "pid 812 (qemu)"}};
  users_[kNic] = {{"vfio", "pid 900 (pcivm)"}};
  const auto state = now();
  kernel_.inject({});
  const auto done = apply();
  EXPECT_THAT(done, FailsWith(Errc::busy, HasSubstr("pid 812 (qemu)")));
  EXPECT_THAT(done.error().text(), HasSubstr("pid 900 (pcivm)"));
  EXPECT_EQ(kernel_.count(), 0);
  expect_as(state);
}

TEST_F(HostApply, AnInterfaceInUseIsNotTakenDown) {
  ASSERT_THAT(apply(), IsOk());
  config_.devices[0].sriov->up = false;
  users_[kPf] = {{"ssh", "this session"}};
  EXPECT_THAT(apply(), FailsWith(Errc::busy, HasSubstr("this session")));
  EXPECT_EQ(kernel_.root().read("/sys/class/net/eth1/flags"), "0x1003");
}

TEST_F(HostApply, TouchesNothingWhenTheStateCannotBeKept) {
  kernel_.tree().file("/var/lib/pcivm/apply", "");
  EXPECT_THAT(apply(), FailsWith(Errc::kernel, HasSubstr("nothing was touched")));
  EXPECT_EQ(kernel_.count(), 0);
  EXPECT_EQ(now(), before_);
}

TEST_F(HostApply, AnInterruptionUndoesWhatWasDone) {
  const auto steps = plan().steps.size();
  for (std::size_t after = 0; after <= steps; ++after) {
    std::size_t asked{};
    interrupted_ = [&] { return asked++ >= after; };
    const auto done = apply();
    EXPECT_THAT(done, FailsWith(Errc::rolled_back, HasSubstr("interrupted"))) << after;
    EXPECT_EQ(done.error().code(), kInterrupted);
    expect_as(before_, static_cast<int>(after));
  }
  interrupted_ = [] { return false; };
  EXPECT_THAT(apply(), IsOk());
}

// A router is heard, or networkd gives an address, within the second.
TEST_F(HostApply, AnInterfaceThatIsUsedMeanwhileStaysUpWhenAllElseIsUndone) {
  std::string notes;
  host_.note = [&](std::string_view text) { notes += text; };
  interrupted_ = [this] {
    if (kernel_.at(kPf).num_vfs == 0) return false;
    users_[kPf] = {{"address", "eth1 is up with fd00::1"}};
    return true;
  };
  EXPECT_THAT(apply(), FailsWith(Errc::rolled_back, HasSubstr("interrupted")));
  EXPECT_EQ(kernel_.at(kPf).num_vfs, 0U);
  EXPECT_EQ(kernel_.root().read("/sys/class/net/eth1/flags"), "0x1003");
  EXPECT_EQ(kernel_.root().read("/sys/class/net/eth1/mtu"), "1500");
  EXPECT_THAT(notes, HasSubstr("fd00::1 (address): its interface stays up"));
  EXPECT_FALSE(running());
}

TEST_F(HostApply, SaysWhatIsLeftWhenTheUndoFailsToo) {
  const auto count = [this] {
    EXPECT_THAT(apply(), IsOk());
    const int writes = kernel_.count();
    EXPECT_THAT(roll_back(), IsOk());
    return writes;
  }();
  kernel_.inject({.kind = Fault::Kind::refuse, .at = count, .error = EIO, .persistent = true});
  const auto done = apply();
  EXPECT_THAT(done, FailsWith(Errc::stranded, HasSubstr("still to do: ")));
  EXPECT_TRUE(running());
  EXPECT_THAT(apply(), FailsWith(Errc::busy, HasSubstr("an earlier apply did not end")));
  kernel_.inject({});
  ASSERT_THAT(recover(), IsOk());
  expect_as(before_);
}

// The kernel holds its locks, so the undo would block behind it.
TEST_F(HostApply, AWriteThatHangsLeavesAllForReconcile) {
  int hangs{};
  for (int n = 1;; ++n) {
    kernel_.inject({.kind = Fault::Kind::hang, .at = n});
    const auto done = apply();
    if (done) break;
    ++hangs;
    EXPECT_THAT(done, FailsWith(Errc::timeout)) << n;
    EXPECT_TRUE(running()) << n;
    kernel_.inject({});
    ASSERT_THAT(recover(), IsOk()) << n;
    expect_as(before_, n);
  }
  EXPECT_GT(hangs, 10);
}

TEST_F(HostApply, ARestartUndoesByItself) {
  kernel_.inject({.kind = Fault::Kind::kill, .at = 4});
  EXPECT_THROW((void)apply(), Killed);
  ASSERT_TRUE(running());
  // What a restart leaves: no VFs, the drivers that the kernel finds, no /run.
  kernel_.inject({});
  kernel_.tree().remove("/run/pcivm");
  boot("9a02");
  kernel_.inject({});
  const auto repairs = recover();
  ASSERT_THAT(repairs, IsOk());
  EXPECT_THAT(*repairs, IsEmpty());
  EXPECT_EQ(kernel_.count(), 0);
  EXPECT_FALSE(running());
}

// G4: a file that was cut short anywhere is seen, and nothing is done by it.
TEST_F(HostApply, ARecordCutShortAnywhereIsPutAside) {
  ASSERT_THAT(begin_apply(kernel_.root(), "1", before_), IsOk());
  const auto whole = kernel_.root().read(kRunning).value() + "\n";
  for (std::size_t length = 0; length < whole.size(); ++length) {
    std::ofstream{kernel_.tree().path(kRunning), std::ios::binary} << whole.substr(0, length);
    EXPECT_THAT(load_apply(kernel_.root(), ApplyMark::running), FailsWith(Errc::invalid)) << length;
  }
  kernel_.inject({});
  ASSERT_THAT(recover(), IsOk());
  EXPECT_EQ(kernel_.count(), 0);
  EXPECT_FALSE(running());
  EXPECT_TRUE(kernel_.root().exists("/var/lib/pcivm/apply/damaged"));
  EXPECT_THAT(apply(), IsOk());
}

class HostApplyFaults : public HostApply, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(AnyErrno, HostApplyFaults, testing::Values(EBUSY, EIO, EINVAL, ENOENT, ENOMEM, ENOSPC),
                         [](const auto& test) { return errno_name(test.param); });

TEST_P(HostApplyFaults, AnyWriteThatFailsBringsAllBack) {
  int failures{};
  for (int n = 1;; ++n) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = GetParam()});
    const auto done = apply();
    if (done) break;
    ++failures;
    EXPECT_THAT(done, FailsWith(Errc::rolled_back)) << n;
    kernel_.inject({});
    expect_as(before_, n);
  }
  EXPECT_GT(failures, 10);
}

TEST_P(HostApplyFaults, AnyMessageThatFailsBringsAllBack) {
  // The fifth is a rate, which is tried again after EINVAL: some drivers refuse it for a moment.
  for (int n = 1; n <= (GetParam() == EINVAL ? 4 : 5); ++n) {
    port_.count = 0;
    port_.fail_at = n;
    port_.error = GetParam();
    EXPECT_THAT(apply(), FailsWith(Errc::rolled_back)) << n;
    expect_as(before_, n);
  }
}

TEST_P(HostApplyFaults, AnyWriteOfAChangeThatFailsBringsTheFormerBack) {
  ASSERT_THAT(apply(), IsOk());
  config_.allow_recreate = true;
  config_.devices[0].sriov->num_vfs = 5;
  config_.devices[0].sriov->mtu = 2000;
  config_.devices[1].passthrough->bind = "host";
  const auto applied = now();
  int failures{};
  for (int n = 1;; ++n) {
    kernel_.inject({.kind = Fault::Kind::refuse, .at = n, .error = GetParam()});
    const auto done = apply();
    if (done) break;
    ++failures;
    EXPECT_THAT(done, FailsWith(Errc::rolled_back)) << n;
    kernel_.inject({});
    expect_as(applied, n);
  }
  EXPECT_GT(failures, 10);
}

TEST_P(HostApplyFaults, AnyMessageOfAChangeThatFailsBringsTheFormerBack) {
  ASSERT_THAT(apply(), IsOk());
  for (auto& vfs : config_.devices[0].sriov->vfs) vfs.wish.vlan = 200;
  const auto applied = now();
  for (int n = 1; n <= 3; ++n) {
    port_.count = 0;
    port_.fail_at = n;
    port_.error = GetParam();
    EXPECT_THAT(apply(), FailsWith(Errc::rolled_back)) << n;
    expect_as(applied, n);
  }
}

class HostApplyCrash : public HostApply, public testing::WithParamInterface<Fault::Kind> {
 protected:
  /// Kills `change` at each write in turn, repairs, and looks.
  int kill_everywhere(const std::function<Result<void>()>& change, const HostState& wanted) {
    for (int kills = 0;; ++kills) {
      kernel_.inject({.kind = GetParam(), .at = kills + 1});
      try {
        EXPECT_THAT(change(), IsOk());
        return kills;
      } catch (const Killed&) {
      }
      kernel_.inject({});
      EXPECT_THAT(recover(), IsOk());
      expect_as(wanted, kills);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(BeforeAndAfter, HostApplyCrash, testing::Values(Fault::Kind::kill, Fault::Kind::kill_late),
                         [](const auto& test) { return test.param == Fault::Kind::kill ? "Before" : "After"; });

TEST_P(HostApplyCrash, RepairBringsTheStateBeforeBackFromAnyWrite) {
  EXPECT_GT(kill_everywhere([this] { return apply(); }, before_), 10);
}

TEST_P(HostApplyCrash, ARollbackThatIsKilledIsUndoneAndCanBeRepeated) {
  ASSERT_THAT(apply(), IsOk());
  EXPECT_GT(kill_everywhere([this] { return roll_back(); }, now()), 5);
  expect_as(before_);
}

TEST_P(HostApplyCrash, ARepairThatIsKilledIsRepeated) {
  kernel_.inject({.kind = Fault::Kind::kill, .at = 14});
  EXPECT_THROW((void)apply(), Killed);
  int kills{};
  for (int n = 1; n < 60; ++n) {
    kernel_.inject({.kind = GetParam(), .at = n});
    try {
      ASSERT_THAT(recover(), IsOk());
      break;
    } catch (const Killed&) {
      ++kills;
    }
  }
  EXPECT_GT(kills, 0);
  kernel_.inject({});
  expect_as(before_);
}

TEST_F(HostApply, RepairBringsTheStateBeforeBackFromAnyMessage) {
  for (int n = 1; n <= 5; ++n) {
    port_.count = 0;
    port_.kill_at = n;
    EXPECT_ANY_THROW((void)apply()) << n;
    port_.kill_at = 0;
    ASSERT_THAT(recover(), IsOk());
    expect_as(before_, n);
  }
}

}  // namespace
}  // namespace pcivm::sriov
