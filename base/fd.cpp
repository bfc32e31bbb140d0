// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/fd.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>

#include <fmt/format.h>

namespace pcivm {

namespace {

template <class Call>
auto retry_interrupted(Call call) {
  auto outcome = call();
  while (outcome < 0 && errno == EINTR) outcome = call();
  return outcome;
}

Result<Fd> owned(int raw, std::string_view call) {
  if (raw < 0) return fail_errno(errno, std::string{call});
  return Fd::adopt(raw);
}

timespec to_timespec(std::chrono::nanoseconds time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  return timespec{.tv_sec = seconds.count(), .tv_nsec = (time - seconds).count()};
}

}  // namespace

Fd Fd::adopt(int raw) noexcept { return Fd{raw}; }

Fd::Fd(Fd&& other) noexcept : raw_{std::exchange(other.raw_, -1)} {}

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    close();
    raw_ = std::exchange(other.raw_, -1);
  }
  return *this;
}

Fd::~Fd() { close(); }

void Fd::close() noexcept {
  // Not retried on EINTR: Linux has released the number by then.
  if (raw_ >= 0) ::close(std::exchange(raw_, -1));
}

void close_all(std::vector<Fd>& descriptors) noexcept {
  std::ranges::sort(descriptors, {}, [](const Fd& owned) { return owned.ref().number(); });
  for (auto owned = descriptors.begin(); owned != descriptors.end();) {
    const int first = owned->release();
    int last = first;
    for (++owned; owned != descriptors.end() && owned->ref().number() == last + 1; ++owned) last = owned->release();
    if (first >= 0) ::close_range(static_cast<unsigned>(first), static_cast<unsigned>(last), 0);
  }
  descriptors.clear();
}

Result<Fd> Fd::dup() const { return owned(::fcntl(raw_, F_DUPFD_CLOEXEC, 0), "dup"); }

Result<Fd> open_at(FdRef directory, const std::string& path, int flags, mode_t mode) {
  const int raw =
      retry_interrupted([&] { return ::openat(directory.number(), path.c_str(), flags | O_CLOEXEC, mode); });
  if (raw < 0) return fail_errno(errno, fmt::format("open '{}'", path));
  return Fd::adopt(raw);
}

Result<Fd> open_path(const std::string& path, int flags, mode_t mode) {
  return open_at(FdRef{AT_FDCWD}, path, flags, mode);
}

Result<std::size_t> read_some(FdRef fd, std::span<std::byte> buffer) {
  const auto count = retry_interrupted([&] { return ::read(fd.number(), buffer.data(), buffer.size()); });
  if (count < 0) return fail_errno(errno, "read");
  return static_cast<std::size_t>(count);
}

Result<std::size_t> write_some(FdRef fd, std::span<const std::byte> buffer) {
  const auto count = retry_interrupted([&] { return ::write(fd.number(), buffer.data(), buffer.size()); });
  if (count < 0) return fail_errno(errno, "write");
  return static_cast<std::size_t>(count);
}

Result<void> pread_exact(FdRef fd, std::uint64_t offset, std::span<std::byte> buffer) {
  while (!buffer.empty()) {
    const auto count = retry_interrupted(
        [&] { return ::pread(fd.number(), buffer.data(), buffer.size(), static_cast<off_t>(offset)); });
    if (count < 0) return fail_errno(errno, "pread");
    if (count == 0) return fail_errno(EIO, fmt::format("pread: end of file at offset {:#x}", offset));
    buffer = buffer.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

Result<void> pwrite_exact(FdRef fd, std::uint64_t offset, std::span<const std::byte> buffer) {
  while (!buffer.empty()) {
    const auto count = retry_interrupted(
        [&] { return ::pwrite(fd.number(), buffer.data(), buffer.size(), static_cast<off_t>(offset)); });
    if (count < 0) return fail_errno(errno, "pwrite");
    if (count == 0) return fail_errno(EIO, fmt::format("pwrite: nothing taken at offset {:#x}", offset));
    buffer = buffer.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

Result<void> write_all(FdRef fd, std::string_view text) {
  auto rest = std::as_bytes(std::span{text});
  while (!rest.empty()) {
    const auto count = TRY(write_some(fd, rest));
    rest = rest.subspan(count);
  }
  return {};
}

Result<std::string> read_to_end(FdRef fd, std::size_t limit) {
  std::string text;
  std::array<std::byte, 4096> chunk{};
  for (;;) {
    const auto count = TRY(read_some(fd, chunk));
    if (count == 0) return text;
    if (text.size() + count > limit) return fail(Errc::invalid, fmt::format("more than {} bytes", limit));
    const auto part = std::span{chunk}.first(count);
    for (const auto byte : part) text.push_back(static_cast<char>(byte));
  }
}

Result<std::uint64_t> file_size(FdRef fd) {
  struct stat status{};
  if (::fstat(fd.number(), &status) != 0) return fail_errno(errno, "fstat");
  return static_cast<std::uint64_t>(status.st_size);
}

Result<Fd> make_eventfd() { return owned(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"); }

void signal_eventfd(FdRef fd) noexcept {
  // EAGAIN means that the counter is at its maximum: the reader will wake all the same.
  (void)retry_interrupted([&] { return ::eventfd_write(fd.number(), 1); });
}

// Whoever else has the descriptor may have made it a blocking one.
std::uint64_t drain_eventfd(FdRef fd) noexcept {
  eventfd_t count = 0;
  const iovec part{.iov_base = &count, .iov_len = sizeof count};
  const auto length = retry_interrupted([&] { return ::preadv2(fd.number(), &part, 1, -1, RWF_NOWAIT); });
  if (length == sizeof count) return count;
  if (errno != EOPNOTSUPP) return 0;
  if (retry_interrupted([&] { return ::eventfd_read(fd.number(), &count); }) != 0) return 0;
  return count;
}

Result<Fd> make_timerfd() {
  return owned(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create");
}

Result<void> arm_timerfd(FdRef fd, std::chrono::nanoseconds first, std::chrono::nanoseconds period) {
  const itimerspec when{.it_interval = to_timespec(period), .it_value = to_timespec(first)};
  if (::timerfd_settime(fd.number(), 0, &when, nullptr) != 0) return fail_errno(errno, "timerfd_settime");
  return {};
}

Result<Fd> make_memfd(const std::string& name, std::uint64_t size, std::uint64_t huge_page) {
  auto flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if (huge_page != 0) flags |= MFD_HUGETLB | static_cast<unsigned>(std::countr_zero(huge_page)) << MAP_HUGE_SHIFT;
  auto fd = TRY(owned(::memfd_create(name.c_str(), flags), "memfd_create"));
  if (::ftruncate(fd.ref().number(), static_cast<off_t>(size)) != 0) {
    return fail_errno(errno, fmt::format("resize memfd '{}' to {} bytes", name, size));
  }
  return fd;
}

}  // namespace pcivm
