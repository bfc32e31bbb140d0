// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm udev watch
#include <fcntl.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/event_loop.hpp"
#include "base/systemd.hpp"
#include "cli/commands.hpp"
#include "cli/exit_code.hpp"
#include "cli/message_ids.hpp"
#include "cli/vm_supervisor.hpp"
#include "udev/monitor.hpp"
#include "udev/reapplier.hpp"

namespace pcivm::cli {

namespace {

using udev::Reapplier;
using udev::RunEnd;
using udev::Target;

/// A command of this very program, without a shell between; its data, which nobody reads here, goes away.
Result<pid_t> start_pcivm(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "pcivm");
  std::vector<char*> raw;
  for (auto& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  posix_spawnattr_t attributes{};
  posix_spawn_file_actions_t actions{};
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_init(&actions);
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid{};
  const int error = ::posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, raw.data(), ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return fail_errno(error, "start 'pcivm apply'");
  return pid;
}

RunEnd end_of(int exit_status) {
  if (exit_status == kExitDone || exit_status == kExitDrift) return RunEnd::done;
  const bool may_pass = exit_status == exit_code(Errc::busy) || exit_status == exit_code(Errc::timeout);
  return may_pass ? RunEnd::try_again : RunEnd::failed;
}

/// Loop thread only; everything in it is, and it is alive as long as its loop runs.
class Service final {
 public:
  Service(Context& context, EventLoop& loop)
      : context_{context}, loop_{loop}, reapplier_{[this](const Target& target) { start(target); }} {}

  Result<void> open() {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&signals, signal);
    signals_ = Fd::adopt(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) return fail_errno(errno, "signalfd");
    signal_watch_ = TRY(loop_.watch(signals_.ref(), Interest::read, [this] { on_signal(); }));
    timer_ = TRY(make_timerfd());
    timer_watch_ = TRY(loop_.watch(timer_.ref(), Interest::read, [this] { on_time(); }));
    const std::vector<std::string> subsystems{"pci", "net", "nvme"};
    monitor_ = TRY(udev::Monitor::open(
        loop_, subsystems, [this](const udev::Event& event) { on_event(event); }, [this] { on_lost(); }));
    // What happened while nobody watched.
    everything();
    return {};
  }

 private:
  static Reapplier::Time now() { return Reapplier::Clock::now(); }

  void on_event(const udev::Event& event) {
    reapplier_.on_event(event, now());
    arm();
  }
  void on_lost() {
    context_.note("events of devices were lost: looking at all functions", {.message_id = kLostEvents});
    everything();
  }
  void everything() {
    reapplier_.everything(now());
    arm();
  }
  void on_time() {
    (void)drain_eventfd(timer_.ref());
    reapplier_.on_time(now());
    arm();
  }
  /// The timer stands at what is due next.
  void arm() {
    const auto next = reapplier_.next();
    // Zero would disarm it: what is due already comes a nanosecond from now.
    const auto left = next ? std::max(*next - now(), Reapplier::Clock::duration{1}) : Reapplier::Clock::duration{};
    (void)arm_timerfd(timer_.ref(), stopping_ ? std::chrono::nanoseconds{} : left, {});
  }

  void start(const Target& target) {
    const bool configured =
        context_.root().exists("/etc/pcivm/host.yaml") || context_.root().exists("/etc/pcivm/host.d");
    auto started = configured ? run(target) : Result<bool>{false};
    if (!started) context_.note(started.error().text(), {.message_id = kGaveUp});
    if (!started || !*started)
      loop_.post([this, ok = started.has_value()] { ended(ok ? RunEnd::done : RunEnd::failed); });
  }
  Result<bool> run(const Target& target) {
    std::vector<std::string> arguments{"apply", "--boot"};
    if (target) arguments.insert(arguments.end(), {"--only", target->to_string()});
    child_ = TRY(start_pcivm(std::move(arguments)));
    target_ = target;
    pidfd_ = Fd::adopt(static_cast<int>(::syscall(SYS_pidfd_open, child_, 0)));
    if (!pidfd_) return fail_errno(errno, "pidfd_open");
    child_watch_ = TRY(loop_.watch(pidfd_.ref(), Interest::read, [this] { reap(); }));
    return true;
  }
  void reap() {
    int status = 0;
    const auto got = ::waitpid(child_, &status, WNOHANG);
    if (got == 0) return;
    child_watch_ = Watch{};
    pidfd_.close();
    const int code = got > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : kExitInternal;
    const auto end = end_of(code);
    if (end != RunEnd::done) {
      context_.note(fmt::format("{}: 'pcivm apply' ended with exit code {}{}", udev::to_string(target_), code,
                                end == RunEnd::try_again ? ", trying again" : ""),
                    {.message_id = kGaveUp});
    }
    ended(end);
  }
  void ended(RunEnd end) {
    reapplier_.ended(end, now());
    if (stopping_) loop_.stop();
    arm();
  }

  void on_signal() {
    signalfd_siginfo info{};
    if (!read_some(signals_.ref(), std::as_writable_bytes(std::span{&info, 1}))) return;
    if (info.ssi_signo == SIGHUP) {
      everything();
      return;
    }
    // A run that was begun changes the host step by step: it is not cut short, unless asked twice.
    const bool again = std::exchange(stopping_, true);
    const bool waits = reapplier_.running() && !again;
    systemd::notify("STOPPING=1");
    if (waits) context_.note("waiting for the run that was begun");
    if (!waits) loop_.stop();
    arm();
  }

  Context& context_;
  EventLoop& loop_;
  Reapplier reapplier_;
  bool stopping_{};
  Target target_{};
  pid_t child_{};
  Fd signals_;
  Fd timer_;
  Fd pidfd_;
  Watch signal_watch_;
  Watch timer_watch_;
  Watch child_watch_;
  std::unique_ptr<udev::Monitor> monitor_;
};

Result<int> watch(Context& context) {
  if (!context.root().live()) return fail(Errc::invalid, "udev tells only of the live host, not of another --root");
  if (::geteuid() != 0) {
    return fail(Error::make(Errc::denied, "looking after the host needs root's privileges")
                    .advise("systemctl start pcivm-watch.service"));
  }
  const BlockedStopSignals signals;
  const auto loop = TRY(EventLoop::create());
  Service service{context, *loop};
  TRY(service.open());
  systemd::notify("READY=1");
  TRY(loop->run());
  return kExitDone;
}

}  // namespace

void add_udev_watch(CLI::App& group, Context& context) {
  add_command(group, context, "watch", "apply the configuration again when functions come back (a service does that)",
              watch);
}

}  // namespace pcivm::cli
