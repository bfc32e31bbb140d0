// SPDX-License-Identifier: GPL-2.0-or-later
// The supervisor's side of devices that come and go: a VMM that is played here, and a host that is a few functions.
#include "cli/vm_devices.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::cli {
namespace {

using std::chrono::milliseconds;
using test::FailsWith;
using test::IsOk;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using vmm::PlugReport;
using vmm::PlugRequest;

const Bdf kOne{.bus = 1, .device = 0x10};
const Bdf kTwo{.bus = 1, .device = 0x11};

class VmDevicesTest : public testing::Test {
 protected:
  VmDevicesTest() {
    auto [ours, vmms] = make_packet_sockets().value();
    vmm_ = std::move(vmms);
    setup_.socket = std::move(ours);
    setup_.slots = 2;
  }
  void make() {
    devices_ = VmDevices::create(
                   {.loop = *loop_,
                    .root = {.take = [this](Bdf function, const std::vector<std::string>& force,
                                            const VmDevices::Held& held) { return take(function, force, held.groups); },
                             .give_back =
                                 [this](std::span<const vfio::ManagedBinding> bindings) { return give_back(bindings); },
                             .binding = [](Bdf function) -> Result<vfio::ManagedBinding> {
                               return vfio::ManagedBinding{
                                   .function = function, .identity = "x", .must_return = true, .former = {}};
                             }},
                    .note = [this](std::string_view text) { notes_.emplace_back(text); },
                    .keep = [this](const VmSlots& slots) { kept_ = slots; }},
                   std::move(setup_))
                   .value();
  }
  // In the child: what it does is seen in a file.
  Result<vfio::OpenedVfio> take(Bdf function, const std::vector<std::string>& force,
                                std::span<const std::uint32_t> held) {
    log("take " + function.to_string() + (force.empty() ? "" : " force") +
        (held.empty() ? "" : " held " + std::to_string(held.front())));
    if (dies_) (void)::raise(SIGKILL);
    if (take_fails_) return fail(Error::make(Errc::busy, "in use").coded("device.in_use").advise("stop it"));
    vfio::OpenedVfio opened;
    opened.iommu = make_eventfd().value();
    opened.groups.push_back({.number = group_, .fd = {}, .reserved = {}});
    if (held.empty() || held.front() != group_) opened.groups.front().fd = make_eventfd().value();
    opened.devices.push_back({.address = function, .group = 0, .bars = {{.index = 0, .size = 4096, .wide = true}}});
    return opened;
  }
  Result<void> give_back(std::span<const vfio::ManagedBinding> bindings) {
    for (const auto& binding : bindings) log("back " + binding.function.to_string());
    if (back_fails_) return fail(Errc::kernel, "no driver");
    return {};
  }
  void log(const std::string& line) const { std::ofstream{tree_.path("/log"), std::ios::app} << line << "\n"; }
  std::vector<std::string> done_on_host() const {
    std::ifstream file{tree_.path("/log")};
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    tree_.remove("/log");
    return lines;
  }
  VmDevices::Done noted() {
    return [this](const Result<void>& done) { results_.push_back(done); };
  }
  // Runs the loop until there is another result.
  Result<void> result() {
    for (int turn = 0; turn < 2000 && results_.empty(); ++turn) turn_loop();
    if (results_.empty()) return fail(Errc::internal, "nobody was told anything");
    auto first = results_.front();
    results_.erase(results_.begin());
    return first;
  }
  void turn_loop() {
    const auto timer = make_timerfd().value();
    (void)arm_timerfd(timer.ref(), milliseconds{2}, {});
    const auto watch = loop_->watch(timer.ref(), Interest::read, [this] { loop_->stop(); }).value();
    ASSERT_THAT(loop_->run(), IsOk());
  }
  // The VMM's part.
  PlugRequest request() {
    for (int turn = 0; turn < 2000; ++turn) {
      auto packet = receive_packet(vmm_.ref());
      if (packet && *packet) return vmm::read_request(std::move(**packet)).value();
      turn_loop();
    }
    ADD_FAILURE() << "the VMM is asked for nothing";
    return {};
  }
  void say(const PlugReport& report) { ASSERT_THAT(vmm::send(vmm_.ref(), report), IsOk()); }
  void attached(Bdf function, unsigned slot) {
    devices_->attach(function, {}, noted());
    (void)request();
    say({.kind = PlugReport::Kind::placed, .function = function, .slot = slot});
    ASSERT_THAT(result(), IsOk());
    (void)done_on_host();
  }
  std::string_view state(Bdf function) {
    const auto view = devices_->view(function);
    return view ? view->state : "gone";
  }

  test::TempRoot tree_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  Fd vmm_;
  VmDevices::Setup setup_;
  bool take_fails_{};
  bool back_fails_{};
  bool dies_{};
  std::uint32_t group_{7};
  std::vector<std::string> notes_;
  VmSlots kept_;
  std::vector<Result<void>> results_;
  std::unique_ptr<VmDevices> devices_;
};

TEST_F(VmDevicesTest, AFunctionComesAndGoes) {
  make();
  devices_->attach(kOne, {"no-reset"}, noted());
  EXPECT_EQ(state(kOne), "attaching");
  const auto asked = request();
  EXPECT_EQ(asked.kind, PlugRequest::Kind::attach);
  EXPECT_EQ(asked.function, kOne);
  EXPECT_TRUE(asked.opened.iommu);
  EXPECT_TRUE(asked.opened.groups.front().fd);
  EXPECT_EQ(asked.opened.devices.front().bars.front().size, 4096U);
  EXPECT_TRUE(results_.empty()) << "before the VMM has answered";
  say({.kind = PlugReport::Kind::placed, .function = kOne, .slot = 17});
  EXPECT_THAT(result(), IsOk());
  EXPECT_EQ(state(kOne), "attached");
  EXPECT_THAT(done_on_host(), ElementsAre("take 0000:01:10.0 force"));
  EXPECT_EQ(kept_, (VmSlots{{kOne, 17}}));

  devices_->detach(kOne, false, milliseconds{30'000}, noted());
  EXPECT_EQ(request().kind, PlugRequest::Kind::ask_back);
  EXPECT_EQ(state(kOne), "leaving");
  say({.kind = PlugReport::Kind::detached, .function = kOne});
  EXPECT_THAT(result(), IsOk());
  EXPECT_THAT(done_on_host(), ElementsAre("back 0000:01:10.0"));
  EXPECT_EQ(state(kOne), "gone");
  devices_->attach(kOne, {}, noted());
  EXPECT_EQ(request().slot, 17U) << "where it was";
  EXPECT_THAT(devices_->finish(), testing::SizeIs(1));
  EXPECT_THAT(result(), FailsWith(Errc::busy, HasSubstr("the VM ended")));
}

TEST_F(VmDevicesTest, RefusesBeforeAnythingIsDone) {
  make();
  attached(kOne, 16);
  devices_->attach(kOne, {}, noted());
  EXPECT_THAT(result(), FailsWith(Errc::busy, HasSubstr("already (attached)")));
  attached(kTwo, 17);
  devices_->attach({.bus = 3}, {}, noted());
  EXPECT_THAT(result(), FailsWith(Errc::busy, HasSubstr("are taken")));
  devices_->detach({.bus = 3}, false, milliseconds{1}, noted());
  EXPECT_THAT(result(), FailsWith(Errc::not_found, HasSubstr("does not have")));
  EXPECT_THAT(done_on_host(), IsEmpty());
}

TEST_F(VmDevicesTest, WithoutSlotsNothingComesOrGoes) {
  setup_.socket.close();
  setup_.slots = 0;
  setup_.refusal = Error::make(Errc::refused, "no slots");
  setup_.devices.push_back(
      {.binding = {.function = kOne, .identity = "x", .must_return = true, .former = {}}, .group = 7});
  make();
  devices_->attach(kTwo, {}, noted());
  EXPECT_THAT(result(), FailsWith(Errc::refused, "no slots"));
  devices_->detach(kOne, false, milliseconds{1}, noted());
  EXPECT_THAT(result(), FailsWith(Errc::refused, "no slots"));
  EXPECT_THAT(devices_->finish(), testing::SizeIs(1)) << "it is given back at the end";
}

TEST_F(VmDevicesTest, WhatTheHostRefusesIsTold) {
  take_fails_ = true;
  make();
  devices_->attach(kOne, {}, noted());
  const auto done = result();
  ASSERT_THAT(done, FailsWith(Errc::busy, "in use"));
  EXPECT_EQ(done.error().code(), "device.in_use");
  EXPECT_EQ(done.error().hint(), "stop it");
  EXPECT_EQ(state(kOne), "gone");
}

TEST_F(VmDevicesTest, WhatTheVmmRefusesGoesBack) {
  make();
  devices_->attach(kOne, {}, noted());
  (void)request();
  say({.kind = PlugReport::Kind::failed, .function = kOne, .error = Error::make(Errc::kernel, "no such device")});
  EXPECT_THAT(result(), FailsWith(Errc::kernel, "no such device"));
  EXPECT_THAT(done_on_host(), ElementsAre("take 0000:01:10.0", "back 0000:01:10.0"));
  EXPECT_EQ(state(kOne), "gone");
}

TEST_F(VmDevicesTest, AChildThatDiesLeavesNothing) {
  dies_ = true;
  make();
  devices_->attach(kOne, {}, noted());
  EXPECT_THAT(result(), FailsWith(Errc::internal, HasSubstr("was ended")));
  EXPECT_THAT(done_on_host(), ElementsAre("take 0000:01:10.0", "back 0000:01:10.0"));
}

TEST_F(VmDevicesTest, ASilentGuestKeepsItAndMayLetGoLater) {
  make();
  attached(kOne, 16);
  devices_->detach(kOne, false, milliseconds{5}, noted());
  const auto done = result();
  ASSERT_THAT(done, FailsWith(Errc::timeout, HasSubstr("has not let go of 0000:01:10.0")));
  EXPECT_EQ(done.error().code(), "guest.silent");
  EXPECT_EQ(state(kOne), "leaving");
  EXPECT_THAT(done_on_host(), IsEmpty());
  say({.kind = PlugReport::Kind::detached, .function = kOne});
  for (int turn = 0; turn < 2000 && state(kOne) != "gone"; ++turn) turn_loop();
  EXPECT_THAT(done_on_host(), ElementsAre("back 0000:01:10.0"));
  EXPECT_THAT(notes_, ElementsAre("0000:01:10.0 is detached"));
}

TEST_F(VmDevicesTest, AGuestThatRefusesKeepsItAndMayBeForced) {
  make();
  attached(kOne, 16);
  devices_->detach(kOne, false, milliseconds{30'000}, noted());
  (void)request();
  say({.kind = PlugReport::Kind::refused, .function = kOne, .error = Error::make(Errc::busy, "the guest refuses")});
  EXPECT_THAT(result(), FailsWith(Errc::busy, "the guest refuses"));
  EXPECT_EQ(state(kOne), "attached");
  devices_->detach(kOne, true, milliseconds{30'000}, noted());
  EXPECT_EQ(request().kind, PlugRequest::Kind::take_out);
  say({.kind = PlugReport::Kind::detached, .function = kOne, .slot = 16});
  EXPECT_THAT(result(), IsOk());
  const auto states = [&] {
    std::vector<std::string_view> all;
    for (const auto& view : devices_->view()) all.push_back(view.state);
    return all;
  };
  EXPECT_THAT(states(), UnorderedElementsAre("forgetting", "free"));
  say({.kind = PlugReport::Kind::vacated, .slot = 16});
  for (int turn = 0; turn < 100 && states() != std::vector<std::string_view>{"free", "free"}; ++turn) turn_loop();
  EXPECT_THAT(states(), ElementsAre("free", "free"));
}

TEST_F(VmDevicesTest, OneThatIsResetAfterAnErrorStays) {
  make();
  attached(kOne, 16);
  say({.kind = PlugReport::Kind::pulled, .function = kOne, .slot = 16});
  for (int turn = 0; turn < 100 && state(kOne) != "resetting"; ++turn) turn_loop();
  EXPECT_EQ(state(kOne), "resetting");
  say({.kind = PlugReport::Kind::placed, .function = kOne, .slot = 16});
  for (int turn = 0; turn < 100 && state(kOne) != "attached"; ++turn) turn_loop();
  EXPECT_EQ(state(kOne), "attached");
  say({.kind = PlugReport::Kind::pulled, .function = kOne, .slot = 16});
  for (int turn = 0; turn < 100 && state(kOne) != "resetting"; ++turn) turn_loop();
  devices_->detach(kOne, false, milliseconds{30'000}, noted());
  EXPECT_EQ(state(kOne), "leaving");
  say({.kind = PlugReport::Kind::detached, .function = kOne});
  EXPECT_THAT(result(), IsOk());
  EXPECT_THAT(done_on_host(), ElementsAre("back 0000:01:10.0"));
}

TEST_F(VmDevicesTest, KeepsTheBackEndOfDevicesThatStay) {
  setup_.backend = vfio::IommuBackend::iommufd;
  setup_.backend_stays = true;
  make();
  EXPECT_EQ(devices_->backend(), vfio::IommuBackend::iommufd) << "though no function is there";
}

TEST_F(VmDevicesTest, AGroupGoesBackAsAWhole) {
  make();
  attached(kOne, 16);
  devices_->attach(kTwo, {}, noted());
  EXPECT_FALSE(request().opened.groups.front().fd) << "the VMM has it";
  say({.kind = PlugReport::Kind::placed, .function = kTwo, .slot = 17});
  ASSERT_THAT(result(), IsOk());
  EXPECT_THAT(done_on_host(), ElementsAre("take 0000:01:11.0 held 7"));
  devices_->detach(kOne, false, milliseconds{30'000}, noted());
  (void)request();
  say({.kind = PlugReport::Kind::detached, .function = kOne});
  for (int turn = 0; turn < 10; ++turn) turn_loop();
  EXPECT_EQ(state(kOne), "returning");
  EXPECT_THAT(done_on_host(), IsEmpty());
  devices_->detach(kTwo, false, milliseconds{30'000}, noted());
  (void)request();
  say({.kind = PlugReport::Kind::detached, .function = kTwo});
  EXPECT_THAT(result(), IsOk());
  EXPECT_THAT(result(), IsOk());
  EXPECT_THAT(done_on_host(), ElementsAre("back 0000:01:10.0", "back 0000:01:11.0"));
}

TEST_F(VmDevicesTest, WhatCannotGoBackIsTriedAgainAtTheEnd) {
  back_fails_ = true;
  make();
  attached(kOne, 16);
  devices_->detach(kOne, false, milliseconds{30'000}, noted());
  (void)request();
  say({.kind = PlugReport::Kind::detached, .function = kOne});
  EXPECT_THAT(result(), FailsWith(Errc::kernel, "no driver"));
  EXPECT_EQ(state(kOne), "gone");
  EXPECT_THAT(devices_->finish(), testing::SizeIs(1));
}

TEST_F(VmDevicesTest, BelievesNothingOfFunctionsThatTheVmHasNot) {
  make();
  attached(kOne, 16);
  for (const auto kind :
       {PlugReport::Kind::placed, PlugReport::Kind::detached, PlugReport::Kind::failed, PlugReport::Kind::refused}) {
    say({.kind = kind, .function = kTwo, .slot = 17});
  }
  say({.kind = PlugReport::Kind::failed, .function = kOne});
  ASSERT_THAT(send_packet(vmm_.ref(), "nonsense"), IsOk());
  for (int turn = 0; turn < 10; ++turn) turn_loop();
  EXPECT_EQ(state(kOne), "attached");
  EXPECT_EQ(state(kTwo), "gone");
  EXPECT_THAT(done_on_host(), IsEmpty());
}

}  // namespace
}  // namespace pcivm::cli
