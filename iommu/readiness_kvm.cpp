// SPDX-License-Identifier: GPL-2.0-or-later
// Checks of KVM.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "iommu/readiness_checks.hpp"

namespace pcivm::iommu {

namespace {

constexpr const char* kVendorModules[] = {"kvm_intel", "kvm_amd"};

/// "kvm_intel" or "kvm_amd"; empty when neither is loaded.
std::string vendor_module(const HostFacts& host) {
  for (const auto* module : kVendorModules) {
    if (host.root.exists(fmt::format("/sys/module/{}", module))) return module;
  }
  return {};
}

/// What the processor is capable of, by its flags: "kvm_intel" for vmx, "kvm_amd" for svm.
std::string module_for_processor(const HostFacts& host) {
  for (const auto& line : lines_of(host.text("/proc/cpuinfo"))) {
    if (!line.starts_with("flags")) continue;
    const auto flags = words_of(line);
    if (holds(flags, "vmx")) return "kvm_intel";
    return holds(flags, "svm") ? "kvm_amd" : "";
  }
  return {};
}

Verdict no_kvm(const HostFacts& host) {
  Verdict verdict{.level = Level::problem,
                  .found = "there is no /dev/kvm",
                  .cause = "VMs cannot run; devices can still be shaped and bound"};
  const auto wanted = module_for_processor(host);
  const auto where = wanted.empty() ? std::string{} : host.blacklisted(wanted);
  if (wanted.empty()) {
    verdict.found += ": the processor shows no virtualization";
    verdict.fix = "enable VT-x (Intel) or SVM (AMD) in the firmware setup; in a VM: nested virtualization";
  } else if (!where.empty()) {
    verdict.found += fmt::format(": module '{}' is blacklisted by {}", wanted, where);
    verdict.fix = fmt::format("remove '{}' from {}, then: modprobe {}", wanted, where, wanted);
  } else {
    verdict.found += fmt::format(": module '{}' is not loaded", wanted);
    verdict.fix = fmt::format("modprobe {}", wanted);
  }
  return verdict;
}

Verdicts kvm(const HostFacts& host) {
  if (!host.caps.kvm) return {no_kvm(host)};
  const auto opened = host.root.open_file("/dev/kvm", O_RDWR);
  if (opened || opened.error().sys_errno() != EACCES) {
    const auto module = vendor_module(host);
    return ok(module.empty() ? "/dev/kvm" : fmt::format("/dev/kvm by {}", module));
  }
  return {{.level = Level::warning,
           .found = "this user may not open /dev/kvm",
           .cause = "VMs of this user cannot start",
           .fix = "adduser USER kvm, and log in again; or run as root"}};
}

Verdicts nested(const HostFacts& host) {
  const auto module = vendor_module(host);
  if (module.empty()) return {};
  if (host.is_on(module, "nested")) {
    return {
        {.level = Level::note,
         .found = fmt::format("guests may run VMs themselves ({}.nested is on)", module),
         .cause = "more of KVM is within reach of a hostile guest",
         .fix = fmt::format("if not needed: echo 'options {} nested=0' > /etc/modprobe.d/kvm-nested.conf", module)}};
  }
  return ok("guests cannot run VMs themselves");
}

/// Documentation/virt/kvm/halt-polling.rst
Verdicts halt_polling(const HostFacts& host) {
  const auto nanoseconds = host.number("/sys/module/kvm/parameters/halt_poll_ns");
  if (!nanoseconds) return {};
  if (*nanoseconds != 0) return ok(fmt::format("an idle vCPU is polled for up to {} us", *nanoseconds / 1000));
  return {{.level = Level::note,
           .found = "halt polling is off (kvm.halt_poll_ns is 0)",
           .cause = "an interrupt for an idle guest takes longer; less power is used",
           .fix = "if latency matters: echo 200000 > /sys/module/kvm/parameters/halt_poll_ns"}};
}

/// Interrupts delivered to a running guest without an exit.
Verdicts interrupt_acceleration(const HostFacts& host) {
  const auto module = vendor_module(host);
  if (module.empty()) return {};
  const auto* parameter = module == "kvm_intel" ? "enable_apicv" : "avic";
  if (host.text(fmt::format("/sys/module/{}/parameters/{}", module, parameter)).empty()) return {};
  if (host.is_on(module, parameter)) return ok(fmt::format("interrupts need no exit ({}.{})", module, parameter));
  return {{.level = Level::note,
           .found = fmt::format("{}.{} is off", module, parameter),
           .cause = "every interrupt of a device stops the guest for a moment",
           .fix = fmt::format("if the processor has it: echo 'options {} {}=1' > /etc/modprobe.d/kvm-apic.conf", module,
                              parameter)}};
}

constexpr Check kChecks[] = {
    {"kvm", kvm},
    {"kvm-nested", nested},
    {"kvm-halt-polling", halt_polling},
    {"kvm-interrupts", interrupt_acceleration},
};

}  // namespace

std::span<const Check> kvm_checks() { return kChecks; }

}  // namespace pcivm::iommu
