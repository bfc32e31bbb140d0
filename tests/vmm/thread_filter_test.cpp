// SPDX-License-Identifier: GPL-2.0-or-later
// In a child, since no filter can be taken back.
#include "vmm/thread_filter.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/if_tun.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <functional>
#include <thread>

#include "vfio/uapi.hpp"
#include "vmm/kvm_uapi.hpp"

namespace pcivm::vmm {
namespace {

constexpr std::array kKinds{ThreadKind::loop,   ThreadKind::vcpu,  ThreadKind::io,     ThreadKind::iommu,
                            ThreadKind::memory, ThreadKind::start, ThreadKind::hotplug};
constexpr int kNobody = -1;  // as a descriptor: whatever is allowed fails with EBADF

/// How a process ends that became `kind` and made the call: 0 when it went on.
int end_of(ThreadKind kind, const std::function<void()>& call, Seccomp how = Seccomp::kill) {
  const pid_t child = ::fork();
  if (child == 0) {
    (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!filter_process(how)) ::_exit(99);
    become(kind);
    call();
    ::_exit(0);
  }
  int status{};
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

std::function<void()> request(unsigned long number) {
  return [number] { (void)::syscall(SYS_ioctl, kNobody, number, nullptr); };
}

std::function<void()> call(long number, long first = 0, long second = 0, long third = 0) {
  return [=] { (void)::syscall(number, first, second, third, 0, 0, 0); };
}

TEST(ThreadFilter, EveryKindIsEndedByWhatNoneNeeds) {
  for (const auto kind : kKinds) {
    SCOPED_TRACE(static_cast<int>(kind));
    EXPECT_EQ(end_of(kind, call(SYS_socket, 1, 1)), SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_connect)), SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_execve)), SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_ptrace)), SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_process_vm_writev)), SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_fork)), SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_clone, SIGCHLD)), SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_setresuid, 0, 0, 0)), SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_bpf)), SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_io_uring_setup)), SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_io_uring_register)), SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_memfd_create)), SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_open)), SIGSYS);
    EXPECT_EQ(end_of(kind, [] { (void)::openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC); }), SIGSYS);
    EXPECT_EQ(end_of(kind, [] { (void)::openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }), SIGSYS);
    EXPECT_EQ(
        end_of(kind, [] { (void)::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }),
        SIGSYS);
    EXPECT_EQ(end_of(kind, call(SYS_mprotect, 0, 0, PROT_EXEC)), SIGSYS);
    EXPECT_EQ(end_of(kind, request(0x5412)), SIGSYS) << "TIOCSTI";
    EXPECT_EQ(end_of(kind, request(TUNSETIFF)), SIGSYS);
  }
}

TEST(ThreadFilter, EveryKindGoesOnWithWhatAllNeed) {
  for (const auto kind : kKinds) {
    SCOPED_TRACE(static_cast<int>(kind));
    EXPECT_EQ(end_of(kind,
                     [] {
                       auto* const memory =
                           ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                       (void)::mprotect(memory, 4096, PROT_READ);
                       (void)::munmap(memory, 4096);
                       (void)::syscall(SYS_pread64, kNobody, nullptr, 0, 0);
                       (void)::syscall(SYS_eventfd2, 0, 0);
                       (void)::raise(SIGURG);
                     }),
              0);
    EXPECT_EQ(end_of(kind, request(kvm::signal_msi.number)), 0);
    // What glibc looks for on its own.
    EXPECT_EQ(end_of(kind,
                     [] {
                       if (::openat(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES)
                         ::_exit(1);
                     }),
              0);
  }
}

TEST(ThreadFilter, HasWhatItsKindNeeds) {
  EXPECT_EQ(end_of(ThreadKind::vcpu, request(KVM_RUN)), 0);
  EXPECT_EQ(end_of(ThreadKind::vcpu, request(vfio::uapi::set_irqs.number)), 0);
  EXPECT_EQ(end_of(ThreadKind::io, call(SYS_io_uring_enter, kNobody)), 0);
  EXPECT_EQ(end_of(ThreadKind::io, call(SYS_fdatasync, kNobody)), 0);
  for (const auto number : {vfio::uapi::ioas_map.number, vfio::uapi::ioas_unmap.number, vfio::uapi::map_dma.number,
                            vfio::uapi::unmap_dma.number, kvm::set_user_memory_region.number}) {
    EXPECT_EQ(end_of(ThreadKind::memory, request(number)), 0) << number;
  }
  EXPECT_EQ(end_of(ThreadKind::memory, call(SYS_madvise, 0, 0, MADV_POPULATE_WRITE)), 0);
  EXPECT_EQ(end_of(ThreadKind::start, request(vfio::uapi::ioas_map.number)), 0);
  EXPECT_EQ(end_of(ThreadKind::hotplug, request(kvm::set_device_attr.number)), 0);
  EXPECT_EQ(end_of(ThreadKind::loop, request(KVM_CREATE_VM)), 0);
}

TEST(ThreadFilter, LetsThreadsBeMadeByThoseWhoDo) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer makes calls of its own for a thread";
#endif
  // With its first thread glibc takes a signal over (rt_sigaction, for setuid and its kin). A VMM has threads before
  // any of these kinds is one, and so has each child of this process.
  std::thread{[] {}}.join();
  for (const auto maker : {ThreadKind::loop, ThreadKind::start, ThreadKind::hotplug}) {
    EXPECT_EQ(end_of(maker, [] { std::thread{[] {}}.join(); }), 0) << static_cast<int>(maker);
  }
  EXPECT_EQ(end_of(ThreadKind::loop, [] { std::thread{[] { become(ThreadKind::vcpu); }}.join(); }), 0);
}

TEST(ThreadFilter, HasNotWhatOthersNeed) {
  EXPECT_EQ(end_of(ThreadKind::vcpu, request(vfio::uapi::bind_iommufd.number)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::vcpu, request(vfio::uapi::set_container.number)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::iommu, request(KVM_RUN)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::iommu, request(vfio::uapi::set_irqs.number)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::memory, request(KVM_RUN)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::memory, request(vfio::uapi::attach_iommufd.number)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::vcpu, request(KVM_CREATE_VM)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::vcpu, [] { std::thread{[] {}}.join(); }), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::io, request(KVM_RUN)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::io, request(vfio::uapi::set_irqs.number)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::io, call(SYS_sendmsg, kNobody)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::start, request(KVM_RUN)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::start, request(kvm::set_device_attr.number)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::start, call(SYS_fallocate, kNobody)), SIGSYS);
  EXPECT_EQ(end_of(ThreadKind::hotplug, request(KVM_RUN)), SIGSYS);
  for (const auto kind : {ThreadKind::vcpu, ThreadKind::io, ThreadKind::start, ThreadKind::hotplug}) {
    EXPECT_EQ(end_of(kind, call(SYS_seccomp)), SIGSYS) << static_cast<int>(kind);
  }
  for (const auto kind : {ThreadKind::io, ThreadKind::iommu, ThreadKind::memory}) {
    EXPECT_EQ(end_of(kind, call(SYS_recvmsg, kNobody)), SIGSYS) << "descriptors of others, " << static_cast<int>(kind);
  }
}

TEST(ThreadFilter, EndsTheWholeProcess) {
  EXPECT_EQ(end_of(ThreadKind::loop,
                   [] {
                     std::thread{[] {
                       become(ThreadKind::start);
                       (void)::syscall(SYS_socket, 1, 1, 0);
                     }}.join();
                   }),
            SIGSYS);
}

TEST(ThreadFilter, GoesOnForDiagnosis) {
  const auto socket_fails_with = [](Seccomp how) {
    return end_of(ThreadKind::vcpu, [] { ::_exit(::syscall(SYS_socket, 1, 1, 0) >= 0 ? 0 : errno); }, how);
  };
  EXPECT_EQ(socket_fails_with(Seccomp::fail), EPERM);
  EXPECT_EQ(socket_fails_with(Seccomp::log), 0);
  EXPECT_EQ(socket_fails_with(Seccomp::off), 0);
}

TEST(ThreadFilter, KnowsNamesOfCalls) {
  EXPECT_EQ(system_call_name(SYS_socket), "socket");
  EXPECT_EQ(system_call_name(100'000), "");
  for (const auto how : {Seccomp::kill, Seccomp::log, Seccomp::fail, Seccomp::off}) {
    EXPECT_EQ(seccomp_named(to_string(how)), how);
  }
  EXPECT_EQ(seccomp_named("none"), std::nullopt);
}

}  // namespace
}  // namespace pcivm::vmm
