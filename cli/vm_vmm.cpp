// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_vmm.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "base/event_loop.hpp"
#include "cli/vm_timeline.hpp"

namespace pcivm::cli {

namespace {

constexpr rlim_t kDescriptors = 4096;

// The kernel doubles the table of a process with several threads by waiting for a grace period: grow it before there
// are any. A VM needs one descriptor for each interrupt vector.
void grow_descriptor_table() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::min(std::max(limit.rlim_cur, kDescriptors), limit.rlim_max);
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
  const auto highest = Fd::adopt(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, static_cast<int>(limit.rlim_cur) - 1));
}

}  // namespace

Result<vmm::VmEnd> run_vmm(VmmParts parts) {
  log::set_level(parts.level);
  grow_descriptor_table();
  TRY_IN(confine_vmm(parts.confinement), "confine the VMM");
  vmm::CountingIoctl port{system_ioctl()};
  vmm::Timeline timeline;
  for (const auto& [request, calls] : parts.ioctls) port.add(request, calls);
  for (const auto& [phase, at] : parts.phases) timeline.stamp(phase, at);
  const auto loop = TRY(EventLoop::create());
  const auto name = parts.config.name;
  const auto machine = TRY(vmm::Machine::create(std::move(parts.config), *loop, port, timeline));
  auto end = machine->run();
  if (parts.timeline) {
    const auto text = to_text(timeline_json(name, machine->report())) + "\n";
    auto written = write_all(parts.timeline.ref(), text);
    if (end && !written) return fail(std::move(written).error().within("write the timeline"));
  }
  return end;
}

}  // namespace pcivm::cli
