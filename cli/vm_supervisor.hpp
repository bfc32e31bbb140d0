// SPDX-License-Identifier: GPL-2.0-or-later
// The supervisor of a VM: has its VMM started, as a child or in a unit of systemd, passes requests on to it, waits
// however it ends.
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

/// What connects a VMM with its supervisor.
struct VmmEnds {
  Fd control;  ///< socket: bytes of vmm::ControlByte come, lines of text go; its end is the supervisor's
  Fd report;   ///< pipe: takes how the VM ended (vm_end.hpp)
  std::function<void()> leave{[] {}};  ///< for a child: closes what is the supervisor's
};

/// The VMM's process, however it was started.
struct VmmProcess {
  pid_t id{};
  Fd pidfd{};
  std::optional<std::uint32_t> user{};  ///< its own; none: it has its starter's
  std::string unit{};                   ///< of systemd, whose child it is; empty: it is a child of this process
};

/// One way to start it: a child, which runs `vmm` with its control socket. Call it while single-threaded, with
/// BlockedStopSignals. The other way is hand_to_unit() of vm_vmm_unit.hpp.
[[nodiscard]] Result<VmmProcess> fork_vmm(VmmEnds ends, const std::function<Result<vmm::VmEnd>(Fd control)>& vmm);

/// SIGKILL, and waits until it is gone.
void kill_vmm(const VmmProcess& vmm);

/// The rest of the life of a VMM's process: runs `vmm` where no signal but SIGKILL ends it, and reports.
[[noreturn]] void be_vmm(const std::function<Result<vmm::VmEnd>()>& vmm, FdRef report);

struct Supervision {
  std::function<Result<VmmProcess>(VmmEnds)> start;
  /// How long the guest may take to power off after the first SIGTERM, SIGINT or SIGHUP.
  std::chrono::milliseconds patience{60'000};
  std::function<void(std::string_view)> note;
  /// A line that the VMM said.
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
  /// Call it with BlockedStopSignals.
  [[nodiscard]] static Result<std::unique_ptr<Supervisor>> start(Supervision supervision);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  /// A VMM that nobody watched is killed.
  ~Supervisor();

  /// Runs `loop` until the VMM is gone. First signal: the power button; second signal, or patience over: the VM is
  /// ended by force. Returns the VMM's result; Errc::timeout when the guest did not power off in time;
  /// Errc::internal, naming the signal or the unit, when it ended without one. Once.
  [[nodiscard]] Result<vmm::VmEnd> watch(EventLoop& loop);

  void stop(Stop how);
  /// True once anybody asked for it.
  [[nodiscard]] bool stopping() const { return asked_ || hard_; }
  /// The answer is heard.
  void ask_figures() { send(vmm::ControlByte::report); }
  /// How much of the RAM that comes and goes the guest is to have. What becomes of it is heard.
  void want_memory(std::uint64_t bytes);
  [[nodiscard]] const VmmProcess& vmm() const { return vmm_; }

 private:
  Supervisor(Supervision supervision, VmmProcess vmm, Fd control, Fd report, Fd signals, Fd timer);
  void send(vmm::ControlByte byte) { send(std::string{static_cast<char>(byte)}); }
  void send(const std::string& text);
  void on_words();
  void on_signal();
  void on_deadline();
  void set_deadline(std::chrono::milliseconds from_now);
  void kill_softly();

  Supervision supervision_;
  VmmProcess vmm_;
  bool gone_{};
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
