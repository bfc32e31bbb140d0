// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/thread_filter.hpp"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <utility>
#include <vector>

#include "base/log.hpp"

namespace pcivm::vmm {

namespace {

// Of the process, as the filter itself is.
std::atomic<Seccomp> process_filter{Seccomp::off};

constexpr std::array kNames{
    std::pair{Seccomp::kill, std::string_view{"kill"}}, std::pair{Seccomp::log, std::string_view{"log"}},
    std::pair{Seccomp::fail, std::string_view{"errno"}}, std::pair{Seccomp::off, std::string_view{"off"}}};

const char* name_of(ThreadKind kind) {
  switch (kind) {
    case ThreadKind::loop: return nullptr;
    case ThreadKind::vcpu: return "vcpu";
    case ThreadKind::io: return "io";
    case ThreadKind::iommu: return "iommu";
    case ThreadKind::memory: return "memory";
    case ThreadKind::start: return "start";
    case ThreadKind::hotplug: return "hotplug";
  }
  return nullptr;
}

Result<void> install(std::span<const sock_filter> program, Seccomp how) {
  std::vector<sock_filter> changed{program.begin(), program.end()};
  for (auto& each : changed) {
    if (how == Seccomp::kill || each.code != (BPF_RET | BPF_K) || each.k != SECCOMP_RET_KILL_PROCESS) continue;
    each.k = how == Seccomp::log ? SECCOMP_RET_LOG : SECCOMP_RET_ERRNO | EPERM;
  }
  const sock_fprog request{.len = static_cast<unsigned short>(changed.size()), .filter = changed.data()};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &request) != 0) return fail_errno(errno, "seccomp");
  return {};
}

}  // namespace

std::string_view to_string(Seccomp how) {
  for (const auto& [value, name] : kNames) {
    if (value == how) return name;
  }
  return {};
}

std::optional<Seccomp> seccomp_named(std::string_view name) {
  for (const auto& [value, known] : kNames) {
    if (known == name) return value;
  }
  return std::nullopt;
}

Result<void> filter_process(Seccomp how) {
  if (how == Seccomp::off) return {};
  TRY(install(program_of_process(), how));
  process_filter = how;
  return {};
}

void become(ThreadKind kind) {
  if (const auto* name = name_of(kind)) (void)::prctl(PR_SET_NAME, name);
  const auto how = process_filter.load();
  if (how == Seccomp::off) return;
  if (const auto installed = install(program_of(kind), how); !installed) {
    log::error("a thread of the VMM cannot be confined: {}", installed.error().text());
    ::_exit(EXIT_FAILURE);
  }
}

}  // namespace pcivm::vmm
