// SPDX-License-Identifier: GPL-2.0-or-later
// systemd's part, a listening socket and a process that gets it, is played by a child.
#include "cli/vm_vmm_unit.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "base/event_loop.hpp"
#include "base/socket.hpp"
#include "tests/support/result_matchers.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::HasSubstr;

TEST(VmmParcel, GoesInAsManyPacketsAsItTakes) {
  auto [one, other] = make_packet_sockets().value();
  Parcel parcel{.bytes = std::string(100'000, 'x') + "end"};
  for (int each = 0; each < 300; ++each) parcel.files.push_back(make_eventfd().value());
  signal_eventfd(parcel.files.back().ref());
  std::jthread sender{[&] { EXPECT_THAT(detail::send_parcel(one.ref(), std::move(parcel)), IsOk()); }};
  const auto received = detail::receive_parcel(other.ref());
  ASSERT_THAT(received, IsOk());
  EXPECT_EQ(received->bytes.size(), 100'003U);
  EXPECT_TRUE(received->bytes.ends_with("xend"));
  ASSERT_EQ(received->files.size(), 300U);
  EXPECT_EQ(drain_eventfd(received->files.back().ref()), 1U);
  EXPECT_EQ(drain_eventfd(received->files.front().ref()), 0U);
}

TEST(VmmParcel, HasMoreDescriptorsThanBytes) {
  auto [one, other] = make_packet_sockets().value();
  Parcel parcel{.bytes = "x"};
  for (int each = 0; each < 20; ++each) parcel.files.push_back(make_eventfd().value());
  ASSERT_THAT(detail::send_parcel(one.ref(), std::move(parcel)), IsOk());
  const auto received = detail::receive_parcel(other.ref());
  ASSERT_THAT(received, IsOk());
  EXPECT_EQ(received->bytes, "x");
  EXPECT_EQ(received->files.size(), 20U);
}

TEST(VmmParcel, IsRefusedWhenTooLargeOrCut) {
  for (const auto* head : {"99999999999 0", "1 99999", "x", "-1 2", ""}) {
    auto [one, other] = make_packet_sockets().value();
    (void)send_packet(one.ref(), head);
    one.close();
    EXPECT_FALSE(detail::receive_parcel(other.ref())) << head;
  }
  auto [one, other] = make_packet_sockets().value();
  (void)send_packet(one.ref(), "5 0");
  (void)send_packet(one.ref(), "four");
  one.close();
  EXPECT_THAT(detail::receive_parcel(other.ref()), FailsWith(Errc::internal, HasSubstr("gone")));
}

class VmmUnit : public testing::Test {
 protected:
  ~VmmUnit() override {
    if (unit_ != 0) (void)::waitpid(unit_, nullptr, 0);
    (void)::unlink(path_.c_str());
  }

  /// Listens, and has a child do that with the listening socket.
  void unit(const std::function<void(int listener)>& runs) {
    const int listener = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::ranges::copy(path_, address.sun_path);
    const void* raw = &address;
    ASSERT_EQ(::bind(listener, static_cast<const sockaddr*>(raw), sizeof address), 0);
    ASSERT_EQ(::listen(listener, 8), 0);
    unit_ = ::fork();
    if (unit_ == 0) {
      (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
      runs(listener);
      ::_exit(0);
    }
    ::close(listener);
  }
  /// That of the package.
  void real_unit() {
    unit([](int listener) {
      (void)::dup2(listener, 3);
      ::setenv("LISTEN_PID", fmt::to_string(::getpid()).c_str(), 1);
      ::setenv("LISTEN_FDS", "1", 1);
      (void)be_unit();
    });
  }
  static VmmParts parts() {
    VmmParts parts;
    parts.confinement = {.own_user = true, .seccomp = vmm::Seccomp::off};
    parts.config.name = "web";
    return parts;
  }
  Result<std::unique_ptr<Supervisor>> start(const std::function<void(VmmEnds&)>& change = {}) {
    return Supervisor::start({.start =
                                  [&](VmmEnds ends) {
                                    if (change) change(ends);
                                    return hand_to_unit(path_, parts(), std::move(ends));
                                  },
                              .note = [](std::string_view) {}});
  }
  std::string path_ = fmt::format("/tmp/pcivm-vmm-unit-{}", ::getpid());
  pid_t unit_{};
};

TEST_F(VmmUnit, RunsWhatItIsGivenAndReports) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may give it a VM";
  real_unit();
  const BlockedStopSignals blocked;
  const auto supervisor = start();
  ASSERT_THAT(supervisor, IsOk());
  EXPECT_EQ((*supervisor)->vmm().id, unit_);
  EXPECT_EQ((*supervisor)->vmm().user, ::geteuid());
  const auto loop = EventLoop::create().value();
  // There is no /dev/kvm in it.
  EXPECT_THAT((*supervisor)->watch(*loop), FailsWith(Errc::kernel, HasSubstr("KVM_")));
}

TEST_F(VmmUnit, IsNamedWhenItEndsWithoutAWord) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may give it a VM";
  real_unit();
  const BlockedStopSignals blocked;
  const auto supervisor = start([](VmmEnds& ends) { ends.report = open_path("/dev/null", O_WRONLY).value(); });
  ASSERT_THAT(supervisor, IsOk());
  const auto loop = EventLoop::create().value();
  const auto end = (*supervisor)->watch(*loop);
  ASSERT_THAT(end, FailsWith(Errc::internal, HasSubstr("pcivm-vmm@web.service, ended and said nothing")));
  EXPECT_THAT(end.error().hint(), HasSubstr("systemctl status pcivm-vmm@web.service"));
}

TEST_F(VmmUnit, OneThatIsDroppedIsKilled) {
  unit([](int listener) {
    const auto socket = Fd::adopt(::accept(listener, nullptr, nullptr));
    (void)send_packet(socket.ref(), detail::version());
    (void)detail::receive_parcel(socket.ref());
    (void)send_packet(socket.ref(), "taken");
    for (;;) ::pause();
  });
  const BlockedStopSignals blocked;
  auto supervisor = start();
  ASSERT_THAT(supervisor, IsOk());
  supervisor->reset();
  int status{};
  ASSERT_EQ(::waitpid(std::exchange(unit_, 0), &status, 0) > 0, true);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
}

TEST_F(VmmUnit, OfAnotherVersionIsRefused) {
  unit([](int listener) {
    const auto socket = Fd::adopt(::accept(listener, nullptr, nullptr));
    (void)send_packet(socket.ref(), "pcivm 0.0.1");
  });
  const BlockedStopSignals blocked;
  const auto supervisor = start();
  ASSERT_THAT(supervisor, FailsWith(Errc::refused, HasSubstr("pcivm-vmm@web.service: it is 'pcivm 0.0.1'")));
  EXPECT_EQ(supervisor.error().code(), "vmm.version");
}

TEST_F(VmmUnit, ThatDoesNotStartIsNamed) {
  const BlockedStopSignals blocked;
  EXPECT_THAT(start(), FailsWith(Errc::not_found, HasSubstr("pcivm-vmm@web.service: connect")));
  unit([](int listener) { ::close(::accept(listener, nullptr, nullptr)); });
  EXPECT_THAT(start(), FailsWith(Errc::internal, HasSubstr("pcivm-vmm@web.service: the unit did not start")));
}

TEST_F(VmmUnit, TellsWhatItCannotTake) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may give it a VM";
  real_unit();
  const BlockedStopSignals blocked;
  EXPECT_THAT(start([](VmmEnds& ends) { ends.report.close(); }),
              FailsWith(Errc::invalid, HasSubstr("pcivm-vmm@web.service: a VM without a pipe for its end")));
}

TEST_F(VmmUnit, WithoutASocketOfSystemdsIsRefused) {
  EXPECT_THAT(Result<void>{std::unexpected(be_unit())}, FailsWith(Errc::invalid, HasSubstr("LISTEN_FDS=1")));
}

TEST(VmmUnitName, IsOfAVmWithAShortName) {
  EXPECT_THAT(check_unit_name(std::string(27, 'a')), IsOk());
  EXPECT_THAT(check_unit_name(std::string(28, 'a')), FailsWith(Errc::invalid, HasSubstr("at most 27")));
}

}  // namespace
}  // namespace pcivm::cli
