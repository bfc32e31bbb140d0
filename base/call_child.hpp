// SPDX-License-Identifier: GPL-2.0-or-later
// A child process that carries calls which may block in the kernel, one after the other: each has its own deadline, and
// none costs a fork of its own.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm {

/// What the child does with a request; the answer goes back as it is.
using CallWork = std::function<std::string(std::string_view request)>;

/// The child lives as long as this object, or as this process: it ends when its socket is closed.
class CallChild final {
 public:
  /// Requests and answers have at most so many bytes.
  static constexpr std::size_t kMost{16'384};

  /// Forks. Call it only while this process is single-threaded.
  [[nodiscard]] static Result<CallChild> start(const CallWork& work);
  CallChild(CallChild&& other) noexcept;
  CallChild& operator=(CallChild&&) = delete;
  ~CallChild();

  /// Errc::timeout after `deadline`: the child is sent SIGKILL and left to the kernel, not waited for. Errc::internal
  /// when it died. After either it is of no use any more: usable() says so.
  [[nodiscard]] Result<std::string> ask(std::string_view request, std::chrono::milliseconds deadline);
  [[nodiscard]] bool usable() const { return static_cast<bool>(socket_); }

 private:
  CallChild(pid_t pid, Fd socket) : pid_{pid}, socket_{std::move(socket)} {}
  Error lost(Error why);

  pid_t pid_;
  Fd socket_;
};

}  // namespace pcivm
