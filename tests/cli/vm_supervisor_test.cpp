// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_supervisor.hpp"

#include <gmock/gmock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <vector>

#include "tests/support/result_matchers.hpp"
#include "vmm/thread_filter.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOkAnd;
using testing::HasSubstr;

char next(const Fd& control) {
  std::array<std::byte, 1> byte{};
  const auto count = read_some(control.ref(), byte);
  return count && *count == 1 ? static_cast<char>(byte[0]) : '\0';
}

class Supervised : public testing::Test {
 protected:
  Result<vmm::VmEnd> run(std::function<Result<vmm::VmEnd>(Fd)> child,
                         std::chrono::milliseconds patience = std::chrono::seconds{30}) {
    const BlockedStopSignals blocked;
    const auto supervisor = Supervisor::start({.start = [&](VmmEnds ends) { return fork_vmm(std::move(ends), child); },
                                               .patience = patience,
                                               .note = [](std::string_view) {},
                                               .heard =
                                                   [&](std::string_view line) {
                                                     heard.emplace_back(line);
                                                     if (line == "ready") at_ready(*started);
                                                   }})
                                .value();
    started = supervisor.get();
    const auto loop = EventLoop::create().value();
    return supervisor->watch(*loop);
  }
  Supervisor* started{};
  std::function<void(Supervisor&)> at_ready = [](Supervisor&) {};
  std::vector<std::string> heard;
};

TEST_F(Supervised, SaysHowTheGuestEnded) {
  EXPECT_THAT(run([](Fd) -> Result<vmm::VmEnd> { return vmm::VmEnd::reboot; }), IsOkAnd(vmm::VmEnd::reboot));
}

TEST_F(Supervised, PassesAnErrorOnWhole) {
  const auto end = run([](Fd) -> Result<vmm::VmEnd> {
    return fail(Error::make(Errc::refused, "no reset").advise("choose another").coded("device.no_reset"));
  });
  ASSERT_THAT(end, FailsWith(Errc::refused, HasSubstr("no reset")));
  EXPECT_EQ(end.error().hint(), "choose another");
  EXPECT_EQ(end.error().code(), "device.no_reset");
}

TEST_F(Supervised, NamesTheSignalThatKilledTheVmm) {
  EXPECT_THAT(run([](Fd) -> Result<vmm::VmEnd> {
                (void)::raise(SIGKILL);
                return vmm::VmEnd::power_off;
              }),
              FailsWith(Errc::internal, HasSubstr("signal 9")));
}

TEST_F(Supervised, TellsOfASystemCallThatEndedTheVmm) {
  const auto end = run([](Fd) -> Result<vmm::VmEnd> {
    (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    TRY(vmm::filter_process(vmm::Seccomp::kill));
    (void)::syscall(SYS_socket, 1, 1, 0);
    return vmm::VmEnd::power_off;
  });
  ASSERT_THAT(end, FailsWith(Errc::internal, HasSubstr("a system call that it never needs")));
  EXPECT_EQ(end.error().code(), "vmm.system_call");
}

TEST_F(Supervised, NoticesAVmmThatEndsWithoutAWord) {
  EXPECT_THAT(run([](Fd) -> Result<vmm::VmEnd> { ::_exit(3); }), FailsWith(Errc::internal, HasSubstr("said nothing")));
}

TEST_F(Supervised, HearsWhatTheVmmSays) {
  EXPECT_THAT(run([](Fd control) -> Result<vmm::VmEnd> {
                TRY(write_all(control.ref(), "wanted 0000:01:10.0\nwan"));
                TRY(write_all(control.ref(), "ted 0000:01:10.2\n"));
                return vmm::VmEnd::killed;
              }),
              IsOkAnd(vmm::VmEnd::killed));
  EXPECT_THAT(heard, testing::ElementsAre("wanted 0000:01:10.0", "wanted 0000:01:10.2"));
}

TEST_F(Supervised, TurnsTheFirstSignalIntoThePowerButton) {
  EXPECT_THAT(run([parent = ::getpid()](Fd control) -> Result<vmm::VmEnd> {
                (void)::kill(parent, SIGTERM);
                if (next(control) != 'p') return fail(Errc::internal, "no power button");
                return vmm::VmEnd::power_off;
              }),
              IsOkAnd(vmm::VmEnd::power_off));
}

TEST_F(Supervised, KillsTheVmAtTheSecondSignal) {
  EXPECT_THAT(run([parent = ::getpid()](Fd control) -> Result<vmm::VmEnd> {
                (void)::kill(parent, SIGINT);
                if (next(control) != 'p') return fail(Errc::internal, "no power button");
                (void)::kill(parent, SIGINT);
                if (next(control) != 'k') return fail(Errc::internal, "not killed");
                return vmm::VmEnd::killed;
              }),
              IsOkAnd(vmm::VmEnd::killed));
}

TEST_F(Supervised, EndsInThreeStrengths) {
  at_ready = [](Supervisor& supervisor) {
    EXPECT_FALSE(supervisor.stopping());
    supervisor.stop(Stop::request);
    EXPECT_TRUE(supervisor.stopping());
    supervisor.stop(Stop::force);
  };
  EXPECT_THAT(run([](Fd control) -> Result<vmm::VmEnd> {
                TRY(write_all(control.ref(), "ready\n"));
                if (next(control) != 'p') return fail(Errc::internal, "no power button");
                if (next(control) != 'k') return fail(Errc::internal, "not forced");
                return vmm::VmEnd::killed;
              }),
              IsOkAnd(vmm::VmEnd::killed));
  at_ready = [](Supervisor& supervisor) { supervisor.stop(Stop::kill); };
  EXPECT_THAT(run([](Fd control) -> Result<vmm::VmEnd> {
                TRY(write_all(control.ref(), "ready\n"));
                for (;;) ::pause();
              }),
              IsOkAnd(vmm::VmEnd::killed));
}

TEST_F(Supervised, AsksForFigures) {
  at_ready = [](Supervisor& supervisor) { supervisor.ask_figures(); };
  EXPECT_THAT(run([](Fd control) -> Result<vmm::VmEnd> {
                TRY(write_all(control.ref(), "ready\n"));
                if (next(control) != 'r') return fail(Errc::internal, "nothing asked");
                TRY(write_all(control.ref(), "figure boots 1\nfigures\n"));
                return vmm::VmEnd::power_off;
              }),
              IsOkAnd(vmm::VmEnd::power_off));
  EXPECT_THAT(heard, testing::ElementsAre("ready", "figure boots 1", "figures"));
}

TEST_F(Supervised, SaysHowMuchMemoryIsWanted) {
  at_ready = [](Supervisor& supervisor) { supervisor.want_memory(4711); };
  EXPECT_THAT(run([](Fd control) -> Result<vmm::VmEnd> {
                TRY(write_all(control.ref(), "ready\n"));
                for (const char wanted : std::string_view{"m4711\n"}) {
                  if (next(control) != wanted) return fail(Errc::internal, "something else is asked");
                }
                return vmm::VmEnd::power_off;
              }),
              IsOkAnd(vmm::VmEnd::power_off));
}

TEST_F(Supervised, OneThatIsDroppedTakesItsVmmAlong) {
  const BlockedStopSignals blocked;
  auto supervisor = Supervisor::start({.start =
                                           [](VmmEnds ends) {
                                             return fork_vmm(std::move(ends), [](Fd) -> Result<vmm::VmEnd> {
                                               for (;;) ::pause();
                                             });
                                           },
                                       .note = [](std::string_view) {}})
                        .value();
  const auto child = supervisor->vmm().id;
  supervisor.reset();
  EXPECT_EQ(::kill(child, 0), -1);
}

TEST_F(Supervised, LosesItsPatience) {
  EXPECT_THAT(run(
                  [parent = ::getpid()](Fd control) -> Result<vmm::VmEnd> {
                    (void)::kill(parent, SIGTERM);
                    (void)next(control);
                    if (next(control) != 'k') return fail(Errc::internal, "not killed");
                    return vmm::VmEnd::killed;
                  },
                  std::chrono::milliseconds{50}),
              FailsWith(Errc::timeout, HasSubstr("did not power off")));
}

TEST_F(Supervised, KeepsTheTerminalsSignalsFromTheVmm) {
  EXPECT_THAT(run([](Fd) -> Result<vmm::VmEnd> {
                for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) (void)::raise(signal);
                return vmm::VmEnd::power_off;
              }),
              IsOkAnd(vmm::VmEnd::power_off));
}

}  // namespace
}  // namespace pcivm::cli
