// SPDX-License-Identifier: GPL-2.0-or-later
// From the operator's terminal, or whatever stdin is, to the guest's serial port.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/event_loop.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm::vmm {

/// Loop thread only. Reads no more than the guest takes, so a file or a pipe as stdin is not lost. End of file ends the
/// input, not the VM.
class ConsoleInput final {
 public:
  static constexpr std::byte kEscape{0x1d};  // Ctrl-]

  struct Callbacks {
    /// Takes bytes from the front, returns how many; called again after ready().
    std::function<std::size_t(std::span<const std::byte>)> deliver;
    /// The escape key; empty: it is a byte like others.
    std::function<void()> escape{};
    /// There is no more input, and the guest has all of it. Posted to the loop.
    std::function<void()> ended{};
  };
  /// `in` is borrowed and outlives the object; regular files and /dev/null will do.
  [[nodiscard]] static Result<std::unique_ptr<ConsoleInput>> create(EventLoop& loop, FdRef in, Callbacks callbacks);

  /// The guest takes more again.
  void ready();

 private:
  ConsoleInput(EventLoop& loop, FdRef in, Callbacks callbacks)
      : loop_{loop}, in_{in.number()}, callbacks_{std::move(callbacks)} {}
  [[nodiscard]] Result<void> listen();
  void on_readable();
  void offer();
  void tell_end();

  EventLoop& loop_;
  int in_;
  Callbacks callbacks_;
  std::vector<std::byte> backlog_;  // read, not yet taken by the guest
  bool ended_{};
  bool polled_{true};  // false: epoll refuses the file, which is always readable
  Watch readable_;
};

}  // namespace pcivm::vmm
