// SPDX-License-Identifier: GPL-2.0-or-later
// Preloaded into a VMM by start.py: notes when it first runs a virtual CPU. What it writes to is mapped before the VMM
// begins, for later it may have no system call to spare.
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

/// The first 8 bytes of the file $FIRST_RUN: nanoseconds of CLOCK_MONOTONIC, 0 before.
std::atomic<std::uint64_t>* moment;

__attribute__((constructor)) void map_moment() {
  const char* const path = std::getenv("FIRST_RUN");
  const int file = path == nullptr ? -1 : ::open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return;
  void* const page = ::mmap(nullptr, sizeof *moment, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (page != MAP_FAILED) moment = static_cast<std::atomic<std::uint64_t>*>(page);
}

void note() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  std::uint64_t never = 0;
  const auto nanoseconds = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
  moment->compare_exchange_strong(never, nanoseconds);
}

}  // namespace

extern "C" int ioctl(int file, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  if (request == KVM_RUN && moment != nullptr && moment->load(std::memory_order_relaxed) == 0) note();
  return static_cast<int>(::syscall(SYS_ioctl, file, request, argument));
}
