// SPDX-License-Identifier: GPL-2.0-or-later
// The parent of a VM: starts the VMM in a child of its own, passes requests on to it, waits however it ends.
#pragma once

#include <csignal>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "vmm/machine.hpp"

namespace pcivm::cli {

/// SIGTERM, SIGINT and SIGHUP wait, for the supervisor to read them, and writing to a reader that went away is an error
/// like others, as long as this lives.
class BlockedStopSignals final {
 public:
  BlockedStopSignals();
  BlockedStopSignals(const BlockedStopSignals&) = delete;
  BlockedStopSignals& operator=(const BlockedStopSignals&) = delete;
  ~BlockedStopSignals();

 private:
  sigset_t former_{};
  struct sigaction pipe_{};
};

struct Supervision {
  /// Runs in the child with its end of a socket: on it come the bytes of vmm::ControlByte, and go lines of text.
  std::function<Result<vmm::VmEnd>(Fd control)> child;
  /// Closes the parent's copies of what the child now owns.
  std::function<void()> after_fork;
  /// How long the guest may take to power off after the first SIGTERM, SIGINT or SIGHUP.
  std::chrono::milliseconds patience{60'000};
  std::function<void(std::string_view)> note;
  /// A line that the child said.
  std::function<void(std::string_view)> heard{[](std::string_view) {}};
};

/// How strongly a VM is asked to end.
enum class Stop : std::uint8_t {
  request,  ///< the power button: the guest decides
  force,    ///< the VMM ends without asking the guest, and closes its devices; if not even that, by SIGKILL
  kill      ///< SIGKILL
};

/// Loop thread only.
class Supervisor final {
 public:
  /// Forks. Call it while single-threaded, with BlockedStopSignals.
  [[nodiscard]] static Result<std::unique_ptr<Supervisor>> start(Supervision supervision);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  /// A child that nobody watched is killed.
  ~Supervisor();

  /// Runs `loop` until the child is gone. First signal: the power button; second signal, or patience over: the VM is
  /// ended by force. Returns the child's result; Errc::timeout when the guest did not power off in time;
  /// Errc::internal, naming the signal, when the child died by one. Once.
  [[nodiscard]] Result<vmm::VmEnd> watch(EventLoop& loop);

  void stop(Stop how);
  /// True once anybody asked for it.
  [[nodiscard]] bool stopping() const { return asked_ || hard_; }
  /// The answer is heard.
  void ask_figures() { send(vmm::ControlByte::report); }
  /// How much of the RAM that comes and goes the guest is to have. What becomes of it is heard.
  void want_memory(std::uint64_t bytes);
  [[nodiscard]] pid_t child() const { return child_; }

 private:
  Supervisor(Supervision supervision, pid_t child, Fd pidfd, Fd control, Fd report, Fd signals, Fd timer);
  void send(vmm::ControlByte byte) { send(std::string{static_cast<char>(byte)}); }
  void send(const std::string& text);
  void on_words();
  void on_signal();
  void on_deadline();
  void set_deadline(std::chrono::milliseconds from_now);
  void kill_softly();
  [[nodiscard]] int reap();

  Supervision supervision_;
  pid_t child_;  ///< 0 = reaped
  Fd pidfd_;
  Fd control_;
  Fd report_;
  Fd signals_;
  Fd timer_;
  Watch heard_;  // after control_
  std::string words_;
  bool hears_{true};
  int signalled_{};
  bool asked_{};
  bool hard_{};
  bool timed_out_{};
  bool killed_{};  ///< the VMM did not end when told to
  bool shot_{};    ///< Stop::kill
};

}  // namespace pcivm::cli
