// SPDX-License-Identifier: GPL-2.0-or-later
// What a VMM's process does, whether it is the supervisor's child or a unit of its own.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "cli/vm_confine.hpp"
#include "vmm/machine.hpp"
#include "vmm/timeline.hpp"
#include "vmm/vm_config.hpp"

namespace pcivm::cli {

/// All that a VMM is given. Values and descriptors, so that it may be another process that gets them (vm_wire.hpp).
struct VmmParts {
  vmm::VmConfig config;  ///< with `control`
  Confinement confinement;
  Fd timeline;                                                    ///< none = not wanted
  Fd report;                                                      ///< of a unit: VmmEnds::report
  std::vector<std::pair<vmm::Phase, std::int64_t>> phases{};      ///< that the supervisor went through
  std::vector<std::pair<unsigned long, std::uint64_t>> ioctls{};  ///< that it made
  log::Level level{log::Level::warning};
};

/// Confines this process, for good, and runs the VM to its end. Single-threaded.
[[nodiscard]] Result<vmm::VmEnd> run_vmm(VmmParts parts);

}  // namespace pcivm::cli
