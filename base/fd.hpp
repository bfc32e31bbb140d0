// SPDX-License-Identifier: GPL-2.0-or-later
// Owned file descriptors, always close-on-exec, and the few plain system calls made on them.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace pcivm {

/// A descriptor borrowed for the length of one call; never stored.
class FdRef final {
 public:
  constexpr explicit FdRef(int number) : number_{number} {}
  [[nodiscard]] constexpr int number() const { return number_; }

 private:
  int number_;
};

/// Owns one descriptor; closes it on destruction. A default-made or moved-from Fd owns nothing.
class Fd final {
 public:
  Fd() = default;
  /// Takes ownership of `raw` (-1 = nothing).
  [[nodiscard]] static Fd adopt(int raw) noexcept;
  Fd(Fd&& other) noexcept;
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd();

  [[nodiscard]] FdRef ref() const noexcept { return FdRef{raw_}; }
  [[nodiscard]] explicit operator bool() const noexcept { return raw_ >= 0; }
  [[nodiscard]] Result<Fd> dup() const;
  void close() noexcept;
  /// Gives up ownership.
  [[nodiscard]] int release() noexcept { return std::exchange(raw_, -1); }

 private:
  explicit Fd(int raw) noexcept : raw_{raw} {}
  int raw_{-1};
};

/// Closes and forgets them, with one system call for each run of neighbouring numbers.
void close_all(std::vector<Fd>& descriptors) noexcept;

/// openat(2) with O_CLOEXEC added. Error text: "open 'PATH'".
[[nodiscard]] Result<Fd> open_at(FdRef directory, const std::string& path, int flags, mode_t mode = 0);
/// The same from the working directory.
[[nodiscard]] Result<Fd> open_path(const std::string& path, int flags, mode_t mode = 0);

/// One read(2)/write(2), retried on EINTR; may be short.
[[nodiscard]] Result<std::size_t> read_some(FdRef fd, std::span<std::byte> buffer);
[[nodiscard]] Result<std::size_t> write_some(FdRef fd, std::span<const std::byte> buffer);
/// Whole buffer or an error; a short transfer is EIO.
[[nodiscard]] Result<void> pread_exact(FdRef fd, std::uint64_t offset, std::span<std::byte> buffer);
[[nodiscard]] Result<void> pwrite_exact(FdRef fd, std::uint64_t offset, std::span<const std::byte> buffer);
[[nodiscard]] Result<void> write_all(FdRef fd, std::string_view text);
/// Reads to end of file; more than `limit` bytes is Errc::invalid.
[[nodiscard]] Result<std::string> read_to_end(FdRef fd, std::size_t limit = 1U << 20U);
[[nodiscard]] Result<std::uint64_t> file_size(FdRef fd);

/// eventfd(2), non-blocking. `signal` adds one; `drain` reads and returns the count (0 = none pending).
[[nodiscard]] Result<Fd> make_eventfd();
void signal_eventfd(FdRef fd) noexcept;
[[nodiscard]] std::uint64_t drain_eventfd(FdRef fd) noexcept;

/// timerfd(2) on CLOCK_MONOTONIC, non-blocking, disarmed.
[[nodiscard]] Result<Fd> make_timerfd();
/// Arms for `first` from now, then every `period` (0 = once); `first` zero disarms.
[[nodiscard]] Result<void> arm_timerfd(FdRef fd, std::chrono::nanoseconds first, std::chrono::nanoseconds period);

/// memfd_create(2) of the given size, which may be sealed.
[[nodiscard]] Result<Fd> make_memfd(const std::string& name, std::uint64_t size, std::uint64_t huge_page = 0);

}  // namespace pcivm
