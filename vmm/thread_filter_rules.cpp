// SPDX-License-Identifier: GPL-2.0-or-later
// Which system calls each kind of thread of the VMM may make. This is a program of the build: it has libseccomp make
// filters of the rules below and prints them as C++, so that a start costs nothing for it and no process carries the
// library. What the kinds are, and what becomes of other calls: vmm/thread_filter.hpp.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#define VIRTIO_RING_NO_LEGACY  // no C++
#include <linux/vhost.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <vector>

#include <linux/filter.h>

#include "vfio/uapi.hpp"
#include "vmm/kvm_uapi.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint64_t kTypeOfRequest = 0xff00;  // <asm-generic/ioctl.h>, _IOC_TYPE
// What glibc makes a thread with (sysdeps/unix/sysv/linux/createthread.c).
constexpr std::uint64_t kThreadFlags = 0x3d0f00;
constexpr int kGuardInstall = 102;  // MADV_GUARD_INSTALL, MADV_GUARD_REMOVE: stacks of glibc 2.42
constexpr int kGuardRemove = 103;

struct Rule {
  int call;
  std::vector<scmp_arg_cmp> arguments{};
  std::uint32_t action{SCMP_ACT_ALLOW};
};
using Rules = std::vector<Rule>;

scmp_arg_cmp equals(unsigned argument, std::uint64_t value) { return {argument, SCMP_CMP_EQ, value, 0}; }
scmp_arg_cmp has_none_of(unsigned argument, std::uint64_t bits) { return {argument, SCMP_CMP_MASKED_EQ, bits, 0}; }

Rules operator+(Rules rules, const Rules& more) {
  rules.insert(rules.end(), more.begin(), more.end());
  return rules;
}

Rules calls(std::initializer_list<int> numbers) {
  Rules rules;
  for (const int number : numbers) rules.push_back({.call = number});
  return rules;
}

/// A call, with one of these values as an argument only.
Rules with(int call, unsigned argument, std::initializer_list<std::uint64_t> values) {
  Rules rules;
  for (const auto value : values) rules.push_back({.call = call, .arguments = {equals(argument, value)}});
  return rules;
}

Rules ioctls(std::initializer_list<std::uint64_t> requests) { return with(SYS_ioctl, 1, requests); }

Rules ioctls_of_type(unsigned type) {
  return {{.call = SYS_ioctl, .arguments = {{1, SCMP_CMP_MASKED_EQ, kTypeOfRequest, std::uint64_t{type} << 8U}}}};
}

/// Memory, locks, descriptors that are open, the end of a thread, and what glibc does on its own.
Rules every_thread() {
  auto rules = calls({SYS_read,
                      SYS_write,
                      SYS_readv,
                      SYS_writev,
                      SYS_pread64,
                      SYS_pwrite64,
                      SYS_preadv2,
                      SYS_fstat,
                      SYS_close,
                      SYS_poll,
                      SYS_eventfd2,
                      SYS_timerfd_settime,
                      SYS_futex,
                      SYS_sched_yield,
                      SYS_clock_nanosleep,
                      SYS_clock_gettime,
                      SYS_gettimeofday,
                      SYS_brk,
                      SYS_munmap,
                      SYS_mremap,
                      SYS_tgkill,
                      SYS_getpid,
                      SYS_gettid,
                      SYS_rt_sigprocmask,
                      SYS_rt_sigreturn,
                      SYS_restart_syscall,
                      SYS_set_robust_list,
                      SYS_rseq,
                      SYS_sched_getaffinity,
                      SYS_exit,
                      SYS_exit_group});
  rules.push_back({.call = SYS_mmap, .arguments = {has_none_of(2, PROT_EXEC)}});
  rules.push_back({.call = SYS_mprotect, .arguments = {has_none_of(2, PROT_EXEC)}});
  rules.push_back({.call = SYS_newfstatat, .arguments = {equals(3, AT_EMPTY_PATH)}});
  rules.push_back({.call = SYS_sendto, .arguments = {equals(4, 0)}});  // to whom it is connected: the journal
  // glibc looks at files on its own (how many CPUs there are, whether memory is overcommitted) and does without. They
  // are refused, as by Landlock: an end would be a trap.
  rules.push_back(
      {.call = SYS_openat, .arguments = {equals(2, O_RDONLY | O_CLOEXEC)}, .action = SCMP_ACT_ERRNO(EACCES)});
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  rules = rules + calls({SYS_sigaltstack, SYS_madvise, SYS_prlimit64, SYS_rt_sigaction, SYS_readlink, SYS_getrandom});
  return rules;
#else
  return rules + with(SYS_madvise, 2,
                      {MADV_DONTNEED, MADV_REMOVE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_POPULATE_WRITE,
                       kGuardInstall, kGuardRemove});
#endif
}

/// Address spaces of iommufd, and which device is in which.
Rules iommu() {
  using namespace vfio::uapi;
  return every_thread() + ioctls({ioas_alloc.number, iommu_destroy.number, ioas_ranges.number, ioas_map.number,
                                  ioas_unmap.number, attach_iommufd.number, kvm::signal_msi.number});
}

/// Blocks of RAM for CPUs and assigned devices.
Rules memory() {
  using namespace vfio::uapi;
  return every_thread() + ioctls({ioas_map.number, ioas_unmap.number, ioas_ranges.number, map_dma.number,
                                  unmap_dma.number, kvm::set_user_memory_region.number, kvm::signal_msi.number});
}

/// Messages with the process that serves a device (vfio/user_client).
Rules served() { return calls({SYS_sendmsg, SYS_recvmsg, SYS_shutdown}); }

/// The guest's exits: registers and interrupts of assigned devices, BARs that others reach, virtio devices that are set
/// up (its IOMMU too), flash.
Rules vcpu() {
  return iommu() + served() + calls({SYS_fdatasync, SYS_recvfrom}) +
         ioctls({KVM_RUN, kvm::interrupt.number, kvm::get_regs.number, kvm::set_user_memory_region.number,
                 kvm::irqfd.number, kvm::ioeventfd.number, kvm::set_gsi_routing.number, kvm::signal_msi.number}) +
         ioctls({vfio::uapi::set_irqs.number, vfio::uapi::reset.number, vfio::uapi::map_dma.number,
                 vfio::uapi::unmap_dma.number, vfio::uapi::iommu_get_info.number}) +
         ioctls({VHOST_SET_FEATURES, VHOST_SET_MEM_TABLE, VHOST_SET_VRING_NUM, VHOST_SET_VRING_BASE,
                 VHOST_SET_VRING_ADDR, VHOST_SET_VRING_KICK, VHOST_SET_VRING_CALL, VHOST_NET_SET_BACKEND,
                 VHOST_VSOCK_SET_RUNNING}) +
         ioctls({TUNSETOFFLOAD, TUNSETQUEUE});
}

/// Requests of a disk, frames of a network, flushes; its ring is made before (uring_engine.cpp).
Rules io() {
  return every_thread() + calls({SYS_io_uring_enter, SYS_preadv, SYS_pwritev, SYS_fdatasync, SYS_fallocate}) +
         with(SYS_fcntl, 1, {F_GETFL, F_SETFL}) + ioctls({kvm::signal_msi.number});
}

/// Loads the kernel; opens, resets and closes devices; fills memory and maps it for DMA. A thread that listens to who
/// serves a device is made here and keeps this.
Rules start() {
  using namespace vfio::uapi;
  return iommu() + served() + with(SYS_clone, 0, {kThreadFlags}) +
         with(SYS_fcntl, 1, {F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS}) +
         Rules{{.call = SYS_clone3, .arguments = {}, .action = SCMP_ACT_ERRNO(ENOSYS)}} +
         ioctls({get_device_fd.number, bind_iommufd.number, attach_iommufd.number, get_info.number,
                 get_region_info.number, get_irq_info.number, set_irqs.number, vfio::uapi::reset.number, map_dma.number,
                 unmap_dma.number, iommu_get_info.number, ioas_map.number, ioas_unmap.number,
                 kvm::set_user_memory_region.number, kvm::irqfd.number, kvm::set_gsi_routing.number,
                 kvm::signal_msi.number});
}

/// The same for a device that comes or goes, with a container or address space of its own, and telling KVM of it.
Rules hotplug() {
  using namespace vfio::uapi;
  return start() + ioctls({vfio::uapi::get_api_version.number, vfio::uapi::check_extension.number, set_iommu.number,
                           get_status.number, set_container.number, ioas_alloc.number, ioas_ranges.number,
                           kvm::create_device.number, kvm::set_device_attr.number});
}

/// The rest, and what the threads need that it makes: those of the CPUs at every reboot, those of devices.
Rules loop() {
  return vcpu() + hotplug() +
         calls({SYS_epoll_wait, SYS_epoll_ctl, SYS_rt_sigaction, SYS_timerfd_create, SYS_getrandom, SYS_close_range,
                SYS_sched_setaffinity}) +
         with(SYS_prctl, 0, {PR_SET_NAME}) +
         Rules{{.call = SYS_seccomp, .arguments = {equals(0, SECCOMP_SET_MODE_FILTER), equals(1, 0)}}} +
         ioctls_of_type(KVMIO);
}

/// Until the guest runs: makes all that there is, the threads of I/O with their rings too.
Rules process() {
  return loop() + io() +
         calls({SYS_io_uring_setup, SYS_io_uring_register, SYS_memfd_create, SYS_ftruncate, SYS_mbind,
                SYS_epoll_create1, SYS_rt_sigaction, SYS_setsockopt}) +
         ioctls({VHOST_SET_OWNER, VHOST_GET_FEATURES});
}

[[noreturn]] void give_up(const char* what, int error) {
  std::fprintf(stderr, "thread_filter_rules: %s: error %d\n", what, error);
  std::exit(EXIT_FAILURE);
}

void check(const char* what, int outcome) {
  if (outcome != 0) give_up(what, -outcome);
}

std::vector<sock_filter> compile(const Rules& rules) {
  const scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == nullptr) give_up("seccomp_init", 0);
  check("architecture", ::seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
  // A binary tree by number, in which no call goes first: the kernel plays a filter for each call there is when it is
  // set. KVM_RUN has a few comparisons more for that.
  constexpr std::uint32_t kBinaryTree = 2;
  check("optimization", ::seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, kBinaryTree));
  for (const auto& rule : rules) {
    const int added = ::seccomp_rule_add_array(filter, rule.action, rule.call,
                                               static_cast<unsigned>(rule.arguments.size()), rule.arguments.data());
    if (added != 0 && added != -EEXIST) give_up(("rule of " + std::to_string(rule.call)).c_str(), -added);
  }
  std::FILE* const file = std::tmpfile();
  if (file == nullptr) give_up("tmpfile", errno);
  check("export", ::seccomp_export_bpf(filter, ::fileno(file)));
  ::seccomp_release(filter);
  std::rewind(file);
  std::vector<sock_filter> program;
  for (sock_filter each{}; std::fread(&each, sizeof each, 1, file) == 1;) program.push_back(each);
  (void)std::fclose(file);
  return program;
}

void print_program(const char* name, const Rules& rules) {
  std::printf("constexpr sock_filter %s[] = {\n", name);
  for (const auto& each : compile(rules)) std::printf("  {%#x, %u, %u, %#x},\n", each.code, each.jt, each.jf, each.k);
  std::printf("};\n");
}

void print_names() {
  constexpr int kMostCalls = 600;
  std::vector<std::string> names;
  for (int number = 0; number < kMostCalls; ++number) {
    char* const name = ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);
    names.emplace_back(name != nullptr ? name : "");
    std::free(name);
  }
  while (names.back().empty()) names.pop_back();
  std::printf("constexpr std::string_view system_calls[] = {\n");
  for (const auto& name : names) std::printf("  \"%s\",\n", name.c_str());
  std::printf("};\n");
}

}  // namespace

void print_all() {
  std::printf(
      "// Made by vmm/thread_filter_rules.cpp.\n#include \"vmm/thread_filter.hpp\"\n#include <iterator>\n"
      "namespace pcivm::vmm {\nnamespace {\n");
  print_program("of_process", process());
  print_program("of_loop", loop());
  print_program("of_vcpu", vcpu());
  print_program("of_io", io());
  print_program("of_iommu", iommu());
  print_program("of_memory", memory());
  print_program("of_start", start());
  print_program("of_hotplug", hotplug());
  print_names();
  std::printf(
      "}  // namespace\n"
      "std::span<const sock_filter> program_of_process() { return of_process; }\n"
      "std::span<const sock_filter> program_of(ThreadKind kind) {\n  switch (kind) {\n"
      "    case ThreadKind::loop: return of_loop;\n    case ThreadKind::vcpu: return of_vcpu;\n"
      "    case ThreadKind::io: return of_io;\n    case ThreadKind::iommu: return of_iommu;\n"
      "    case ThreadKind::memory: return of_memory;\n    case ThreadKind::start: return of_start;\n"
      "    case ThreadKind::hotplug: return of_hotplug;\n  }\n  return {};\n}\n"
      "std::string_view system_call_name(unsigned number) {\n"
      "  return number < std::size(system_calls) ? system_calls[number] : \"\";\n}\n"
      "}  // namespace pcivm::vmm\n");
}

}  // namespace pcivm::vmm

int main() {
  pcivm::vmm::print_all();
  return std::fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
