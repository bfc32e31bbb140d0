// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "base/socket.hpp"
#include "cli/vm_end.hpp"
#include "cli/vm_violation.hpp"

namespace pcivm::cli {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kKillGrace{10'000};  // for closing devices, each of which is reset once more
constexpr std::size_t kMostReport = 65536;
constexpr std::size_t kLongestLine = 256;

struct Pipe {
  Fd read;
  Fd write;
};

Result<Pipe> make_pipe() {
  int ends[2]{};
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  return Pipe{.read = Fd::adopt(ends[0]), .write = Fd::adopt(ends[1])};
}

sigset_t stop_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, signal);
  return set;
}

Error violation_of(const std::optional<Violation>& violation) {
  const auto what = violation ? fmt::format("'{}' in a thread '{}'", violation->call, violation->thread)
                              : std::string{"which one the kernel's log does not say"};
  return Error::make(Errc::internal, fmt::format("the VMM was ended at a system call that it never needs: {}", what))
      .coded("vmm.system_call")
      .advise("a guest that broke out, or a fault of pcivm's: `--seccomp log` tells the kernel's log of all of them");
}

void send_kill(const VmmProcess& vmm) {
  (void)::syscall(SYS_pidfd_send_signal, vmm.pidfd.ref().number(), SIGKILL, nullptr, 0);
}

/// Of a child it is the status to reap. Of others nobody but systemd is told.
std::optional<int> wait_for(const VmmProcess& vmm) {
  int status = 0;
  if (vmm.unit.empty()) {
    while (::waitpid(vmm.id, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  }
  pollfd entry{.fd = vmm.pidfd.ref().number(), .events = POLLIN, .revents = 0};
  while (::poll(&entry, 1, -1) < 0 && errno == EINTR) {
  }
  return std::nullopt;
}

// That a filter of system calls ended a process only its parent is told; the kernel's log knows.
Error end_without_a_word(const VmmProcess& vmm) {
  if (const auto violation = logged_violation(vmm.id)) return violation_of(violation);
  return Error::make(Errc::internal, fmt::format("the VMM, {}, ended and said nothing", vmm.unit))
      .advise(fmt::format("systemctl status {}; a kill that nobody sent may be the kernel's when memory is short: see "
                          "dmesg",
                          vmm.unit));
}

}  // namespace

// The terminal sends its signals to a child as well, and systemd to all of a unit; only the supervisor's word counts.
void be_vmm(const std::function<Result<vmm::VmEnd>()>& vmm, FdRef report) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE, SIGXFSZ}) {
    (void)::signal(signal, SIG_IGN);
  }
  const auto signals = stop_signals();
  (void)::sigprocmask(SIG_UNBLOCK, &signals, nullptr);
  const auto text = encode(vmm());
  (void)write_all(report, text);
  // Threads and descriptors go with the process; a destructor of static state has no business here.
  ::_exit(EXIT_SUCCESS);
}

void kill_vmm(const VmmProcess& vmm) {
  send_kill(vmm);
  (void)wait_for(vmm);
}

Result<VmmProcess> fork_vmm(VmmEnds ends, const std::function<Result<vmm::VmEnd>(Fd control)>& vmm) {
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "fork");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(EXIT_FAILURE);
    ends.leave();
    be_vmm([&] { return vmm(std::move(ends.control)); }, ends.report.ref());
  }
  VmmProcess process{.id = child, .pidfd = Fd::adopt(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)))};
  if (process.pidfd) return process;
  const int error = errno;
  (void)::kill(child, SIGKILL);
  (void)wait_for(process);
  return fail_errno(error, "pidfd_open");
}

BlockedStopSignals::BlockedStopSignals() {
  const auto set = stop_signals();
  (void)::sigprocmask(SIG_BLOCK, &set, &former_);
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  (void)::sigaction(SIGPIPE, &ignore, &pipe_);
}

BlockedStopSignals::~BlockedStopSignals() {
  (void)::sigaction(SIGPIPE, &pipe_, nullptr);
  (void)::sigprocmask(SIG_SETMASK, &former_, nullptr);
}

Supervisor::Supervisor(Supervision supervision, VmmProcess vmm, Fd control, Fd report, Fd signals, Fd timer)
    : supervision_{std::move(supervision)},
      vmm_{std::move(vmm)},
      control_{std::move(control)},
      report_{std::move(report)},
      signals_{std::move(signals)},
      timer_{std::move(timer)} {}

Result<std::unique_ptr<Supervisor>> Supervisor::start(Supervision supervision) {
  auto [ours, theirs] = TRY(make_socket_pair());
  auto report = TRY(make_pipe());
  auto timer = TRY(make_timerfd());
  const auto set = stop_signals();
  auto signals = Fd::adopt(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return fail_errno(errno, "signalfd");

  auto vmm = TRY(supervision.start({.control = std::move(theirs), .report = std::move(report.write), .leave = [&] {
                                      for (auto* fd : {&signals, &timer, &ours, &report.read}) fd->close();
                                    }}));
  return std::unique_ptr<Supervisor>{new Supervisor{std::move(supervision), std::move(vmm), std::move(ours),
                                                    std::move(report.read), std::move(signals), std::move(timer)}};
}

Supervisor::~Supervisor() {
  if (!gone_) kill_vmm(vmm_);
}

Result<vmm::VmEnd> Supervisor::watch(EventLoop& loop) {
  const auto ended = TRY(loop.watch(vmm_.pidfd.ref(), Interest::read, [&loop] { loop.stop(); }));
  const auto signalled = TRY(loop.watch(signals_.ref(), Interest::read, [this] { on_signal(); }));
  const auto late = TRY(loop.watch(timer_.ref(), Interest::read, [this] { on_deadline(); }));
  heard_ = TRY(loop.watch(control_.ref(), Interest::read, [this] { on_words(); }));
  auto watched = loop.run();
  if (!watched) send_kill(vmm_);
  while (hears_) on_words();
  const auto status = wait_for(vmm_);
  gone_ = true;
  if (!watched) return fail(std::move(watched).error());

  if (timed_out_) {
    return fail(Errc::timeout, fmt::format("the guest did not power off within {} s and was ended",
                                           supervision_.patience.count() / 1000));
  }
  if (killed_) return fail(Errc::timeout, "the VMM did not end and was killed");
  if (shot_) return vmm::VmEnd::killed;
  const int signal = status && WIFSIGNALED(*status) ? WTERMSIG(*status) : 0;
  if (signal == SIGSYS) return fail(violation_of(logged_violation(vmm_.id)));
  if (signal != 0) {
    return fail(Error::make(Errc::internal, fmt::format("the VMM died by signal {} ({})", signal, ::strsignal(signal)))
                    .advise("a kill that nobody sent may be the kernel's when memory is short: see dmesg"));
  }
  auto end = decode(TRY(read_to_end(report_.ref(), kMostReport)));
  if (end) return std::move(*end);
  if (!status) return fail(end_without_a_word(vmm_));
  return fail(Errc::internal, fmt::format("the VMM ended with status {:#x} and said nothing", *status));
}

// The VMM may just have ended: no reason for a signal.
void Supervisor::send(const std::string& text) {
  (void)::send(control_.ref().number(), text.data(), text.size(), MSG_NOSIGNAL);
}

void Supervisor::want_memory(std::uint64_t bytes) {
  send(fmt::format("{}{}\n", static_cast<char>(vmm::ControlByte::memory), bytes));
}

void Supervisor::on_words() {
  std::array<std::byte, 4096> bytes{};
  const auto count = read_some(control_.ref(), bytes);
  if (!count || *count == 0) {
    heard_ = Watch{};
    hears_ = false;
    return;
  }
  for (const auto byte : std::span{bytes}.first(*count)) {
    if (byte != std::byte{'\n'} && words_.size() < kLongestLine) {
      words_ += static_cast<char>(byte);
    } else {
      supervision_.heard(std::exchange(words_, {}));
    }
  }
}

void Supervisor::on_signal() {
  signalfd_siginfo info{};
  (void)read_some(signals_.ref(), std::as_writable_bytes(std::span{&info, 1}));
  if (signalled_++ > 0) return stop(Stop::force);
  stop(Stop::request);
  set_deadline(supervision_.patience);
  supervision_.note("asked the guest to power off; a second signal ends it at once");
}

void Supervisor::stop(Stop how) {
  if (how == Stop::request) {
    asked_ = true;
    send(vmm::ControlByte::power_button);
  } else if (how == Stop::force) {
    if (!hard_) kill_softly();
  } else {
    shot_ = true;
    hard_ = true;
    send_kill(vmm_);
  }
}

void Supervisor::set_deadline(milliseconds from_now) { (void)arm_timerfd(timer_.ref(), from_now, {}); }

void Supervisor::on_deadline() {
  (void)drain_eventfd(timer_.ref());
  if (hard_) {
    killed_ = true;
    send_kill(vmm_);
  } else {
    timed_out_ = true;
    kill_softly();
  }
}

void Supervisor::kill_softly() {
  hard_ = true;
  send(vmm::ControlByte::kill);
  set_deadline(kKillGrace);
}

}  // namespace pcivm::cli
