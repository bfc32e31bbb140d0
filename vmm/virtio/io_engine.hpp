// SPDX-License-Identifier: GPL-2.0-or-later
// What an I/O thread of a device gives to the kernel, and waits for.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace pcivm::vmm {

/// Made and used by one thread. Every call but watch() and signal() ends in exactly one completion with its token; no
/// call but wait() blocks for long, though an engine without a kernel queue does file I/O where it is asked for.
/// Buffers and iovecs stay until then.
class IoEngine {
 public:
  struct Completion {
    std::uint64_t token{};
    std::int32_t result{};  ///< bytes, or -errno
  };

  /// io_uring, or plain system calls where the kernel forbids it (then `why` says so).
  [[nodiscard]] static std::unique_ptr<IoEngine> create(std::string& why);
  virtual ~IoEngine() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;

  /// A completion each time that the eventfd was signalled; its count is taken. For ever.
  [[nodiscard]] virtual Result<void> watch(FdRef event, std::uint64_t token) = 0;
  /// A completion when the descriptor can be read.
  virtual void poll_readable(FdRef fd, std::uint64_t token) = 0;
  /// The same when it can be written.
  virtual void poll_writable(FdRef fd, std::uint64_t token) = 0;

  virtual void read(FdRef file, std::uint64_t offset, std::span<const iovec> to, std::uint64_t token) = 0;
  virtual void write(FdRef file, std::uint64_t offset, std::span<const iovec> from, std::uint64_t token) = 0;
  /// fdatasync(2).
  virtual void sync(FdRef file, std::uint64_t token) = 0;
  /// fallocate(2).
  virtual void allocate(FdRef file, int mode, std::uint64_t offset, std::uint64_t length, std::uint64_t token) = 0;

  /// Signals an eventfd, at the latest with the next wait().
  virtual void signal(FdRef event) = 0;

  /// Hands over what was asked for, waits for a completion and adds all there are to `done`. May come back with none.
  [[nodiscard]] virtual Result<void> wait(std::vector<Completion>& done) = 0;
};

/// Plain system calls, one after the other.
[[nodiscard]] std::unique_ptr<IoEngine> make_plain_engine();
/// Errc::denied or kernel when there is no io_uring.
[[nodiscard]] Result<std::unique_ptr<IoEngine>> make_uring_engine();

}  // namespace pcivm::vmm
