// SPDX-License-Identifier: GPL-2.0-or-later
// The calls of one command that may block in the kernel: a write that waits for a device's user, a read that waits for
// a stuck writer. They are carried by one child process, forked when the first is made and again after one that
// blocked.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/call_child.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::vfio {

/// Used by one thread; the child must not outlive what it shares with this process, see renew().
class BlockingCalls final {
 public:
  /// As SysRoot::write_within(). On another root than the live host, whose files do not block, nothing is carried.
  [[nodiscard]] Result<void> write(const SysRoot& root, std::string_view path, std::string_view value,
                                   std::chrono::milliseconds deadline);
  /// The content without its trailing newline, at most a page. Errc::timeout after `deadline`.
  [[nodiscard]] Result<std::string> read(const SysRoot& root, std::string_view path,
                                         std::chrono::milliseconds deadline);
  /// Ends the child. Called when the host lock is taken or given back: a child that is stuck in the kernel must hold
  /// the lock's descriptor, so that the lock stays when this process is killed, and an idle one must hold nothing.
  void renew() { child_.reset(); }

 private:
  Result<std::string> ask(const SysRoot& root, std::string_view request, std::chrono::milliseconds deadline);
  std::optional<CallChild> child_{};
};

}  // namespace pcivm::vfio
