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
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace pcivm::cli {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kKillGrace{10'000};  // for closing devices, each of which is reset once more
constexpr std::size_t kMostReport = 65536;
constexpr std::size_t kLongestLine = 256;

struct Pipe {
  Fd read;
  Fd write;
};

struct Sockets {
  Fd parent;
  Fd child;
};

Result<Sockets> make_sockets() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return fail_errno(errno, "socketpair");
  return Sockets{.parent = Fd::adopt(ends[0]), .child = Fd::adopt(ends[1])};
}

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

// How the child says how it ended: one letter, then for an error its kind, text, hint and code.
std::string encode(const Result<vmm::VmEnd>& end) {
  if (end) return {'E', static_cast<char>(*end)};
  const auto& error = end.error();
  std::string text{'F', static_cast<char>(error.kind())};
  text += error.text();
  text += '\0';
  text += error.hint();
  text += '\0';
  text += error.code();
  return text;
}

std::optional<Result<vmm::VmEnd>> decode(std::string_view report) {
  if (report.size() < 2) return std::nullopt;
  if (report[0] == 'E') return static_cast<vmm::VmEnd>(report[1]);
  const auto kind = static_cast<Errc>(report[1]);
  report.remove_prefix(2);
  const auto hint_at = std::min(report.find('\0'), report.size());
  const auto code_at = std::min(report.find('\0', hint_at + 1), report.size());
  auto error = Error::make(kind, std::string{report.substr(0, hint_at)});
  if (hint_at + 1 < code_at)
    error = std::move(error).advise(std::string{report.substr(hint_at + 1, code_at - hint_at - 1)});
  if (code_at + 1 < report.size()) error = std::move(error).coded(report.substr(code_at + 1));
  return Result<vmm::VmEnd>{std::unexpected(std::move(error))};
}

// The terminal sends its signals to the child as well; only the parent's word counts.
[[noreturn]] void be_child(const Supervision& supervision, pid_t parent, Sockets& control, Pipe& report) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(EXIT_FAILURE);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE}) {
    (void)::signal(signal, SIG_IGN);
  }
  const auto signals = stop_signals();
  (void)::sigprocmask(SIG_UNBLOCK, &signals, nullptr);
  control.parent.close();
  report.read.close();
  const auto text = encode(supervision.child(std::move(control.child)));
  (void)write_all(report.write.ref(), text);
  // Threads and descriptors go with the process; a destructor of static state has no business here.
  ::_exit(EXIT_SUCCESS);
}

class Parent final {
 public:
  Parent(const Supervision& supervision, pid_t child, Fd pidfd, Fd control, Fd signals)
      : supervision_{supervision},
        child_{child},
        pidfd_{std::move(pidfd)},
        control_{std::move(control)},
        signals_{std::move(signals)} {}

  // Until the child is gone.
  Result<void> watch() {
    for (;;) {
      pollfd entries[]{{.fd = pidfd_.ref().number(), .events = POLLIN, .revents = 0},
                       {.fd = signals_.ref().number(), .events = POLLIN, .revents = 0},
                       {.fd = hears_ ? control_.ref().number() : -1, .events = POLLIN, .revents = 0}};
      const int ready = ::poll(entries, 3, time_left());
      if (ready < 0 && errno != EINTR) return fail_errno(errno, "poll on the VMM");
      if (entries[2].revents != 0) on_words();
      if (entries[0].revents != 0) return {};
      if (entries[1].revents != 0) on_signal();
      if (deadline_ && steady_clock::now() >= *deadline_) on_deadline();
    }
  }
  [[nodiscard]] bool timed_out() const { return timed_out_; }
  [[nodiscard]] bool killed() const { return killed_; }

 private:
  [[nodiscard]] int time_left() const {
    if (!deadline_) return -1;
    const auto left = std::chrono::duration_cast<milliseconds>(*deadline_ - steady_clock::now()).count();
    return static_cast<int>(std::max<std::int64_t>(left + 1, 0));
  }
  // The child may just have ended: no reason for a signal.
  void send(vmm::ControlByte byte) { (void)::send(control_.ref().number(), &byte, 1, MSG_NOSIGNAL); }
  void on_words() {
    std::array<std::byte, 256> bytes{};
    const auto count = read_some(control_.ref(), bytes);
    hears_ = count && *count != 0;
    if (!hears_) return;
    for (const auto byte : std::span{bytes}.first(*count)) {
      if (byte != std::byte{'\n'} && words_.size() < kLongestLine) {
        words_ += static_cast<char>(byte);
      } else {
        supervision_.heard(std::exchange(words_, {}));
      }
    }
  }
  void on_signal() {
    signalfd_siginfo info{};
    (void)read_some(signals_.ref(), std::as_writable_bytes(std::span{&info, 1}));
    if (asked_++ == 0) {
      send(vmm::ControlByte::power_button);
      deadline_ = steady_clock::now() + supervision_.patience;
      supervision_.note("asked the guest to power off; a second signal ends it at once");
    } else if (!hard_) {
      kill_softly();
    }
  }
  void on_deadline() {
    if (hard_) {
      killed_ = true;
      (void)::kill(child_, SIGKILL);
      deadline_.reset();
    } else {
      timed_out_ = true;
      kill_softly();
    }
  }
  // The VMM ends by itself, and closes its devices; if not even that, by SIGKILL.
  void kill_softly() {
    hard_ = true;
    send(vmm::ControlByte::kill);
    deadline_ = steady_clock::now() + kKillGrace;
  }

  const Supervision& supervision_;
  pid_t child_;
  Fd pidfd_;
  Fd control_;
  Fd signals_;
  bool hears_{true};
  std::string words_;
  int asked_{};
  bool hard_{};
  bool timed_out_{};
  bool killed_{};
  std::optional<steady_clock::time_point> deadline_;
};

Result<vmm::VmEnd> outcome_of(int status, std::string_view report, const Parent& parent, milliseconds patience) {
  if (parent.timed_out()) {
    return fail(Errc::timeout,
                fmt::format("the guest did not power off within {} s and was ended", patience.count() / 1000));
  }
  if (parent.killed()) return fail(Errc::timeout, "the VMM did not end and was killed");
  if (WIFSIGNALED(status)) {
    return fail(Error::make(Errc::internal, fmt::format("the VMM died by signal {} ({})", WTERMSIG(status),
                                                        ::strsignal(WTERMSIG(status))))
                    .advise("a kill that nobody sent may be the kernel's when memory is short: see dmesg"));
  }
  auto end = decode(report);
  if (!end) return fail(Errc::internal, fmt::format("the VMM ended with status {:#x} and said nothing", status));
  return std::move(*end);
}

}  // namespace

BlockedStopSignals::BlockedStopSignals() {
  const auto set = stop_signals();
  (void)::sigprocmask(SIG_BLOCK, &set, &former_);
}

BlockedStopSignals::~BlockedStopSignals() { (void)::sigprocmask(SIG_SETMASK, &former_, nullptr); }

Result<vmm::VmEnd> supervise(const Supervision& supervision) {
  auto control = TRY(make_sockets());
  auto report = TRY(make_pipe());
  const auto set = stop_signals();
  auto signals = Fd::adopt(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return fail_errno(errno, "signalfd");

  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "fork");
  if (child == 0) {
    signals.close();
    be_child(supervision, parent, control, report);
  }
  control.child.close();
  report.write.close();
  supervision.after_fork();
  auto pidfd = Fd::adopt(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!pidfd) {
    const int error = errno;
    (void)::kill(child, SIGKILL);
    (void)::waitpid(child, nullptr, 0);
    return fail_errno(error, "pidfd_open");
  }
  Parent watcher{supervision, child, std::move(pidfd), std::move(control.parent), std::move(signals)};
  auto watched = watcher.watch();
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!watched) return fail(std::move(watched).error());
  const auto text = TRY(read_to_end(report.read.ref(), kMostReport));
  return outcome_of(status, text, watcher, supervision.patience);
}

}  // namespace pcivm::cli
