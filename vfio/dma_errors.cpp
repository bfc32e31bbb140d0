// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/dma_errors.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

namespace pcivm::vfio {

Error explain_refusal(Error error, std::span<const OpenedGroup> groups) {
  const int number = error.sys_errno();
  const auto firmware = std::ranges::find(groups, true, &OpenedGroup::firmware_memory);
  // EINVAL since 6.6: __iommu_take_dma_ownership() needs a domain in which nothing is mapped.
  if (firmware != groups.end() && (number == EPERM || number == EINVAL)) {
    return std::move(error)
        .as(Errc::refused)
        .within(fmt::format("firmware reserves memory for a device of group {}", firmware->number))
        .advise("disable the feature of the device that needs it (RMRR / IVMD) in the firmware setup");
  }
  if (number == EPERM) {
    // vfio_iommu_type1_attach_group, iommufd_device_bind: a device could write any interrupt message.
    return std::move(error)
        .as(Errc::refused)
        .within("interrupt remapping is off")
        .advise("switch it on (firmware setup, no intremap=off); pcivm does not set allow_unsafe_interrupts");
  }
  return error;
}

Error not_viable(std::uint32_t group, std::string_view users) {
  return Error::make(Errc::refused,
                     fmt::format("not viable: the IOMMU cannot tell its functions apart and the host uses {}",
                                 users.empty() ? "one of them" : users))
      .advise(fmt::format("bind all functions of the group to vfio-pci: pcivm group show {}", group))
      .coded("group.not_viable");
}

Error explain_map(Error error, const DmaRun& run, IommuBackend backend, bool allowed) {
  const int number = error.sys_errno();
  auto told = std::move(error).within(fmt::format("map {} bytes at {:#x} for DMA", run.length, run.iova.value));
  switch (number) {
    case ENOMEM:
      return std::move(told)
          .as(Errc::denied)
          .advise(fmt::format("locked memory is limited{}: LimitMEMLOCK=infinity in the unit, or ulimit -l of at least "
                              "{} KiB more",
                              backend == IommuBackend::iommufd ? " for all that the user locks together" : "",
                              run.length / kKiB));
    case ENOSPC: return std::move(told).advise("raise dma_entry_limit of the module vfio_iommu_type1");
    case EEXIST: return std::move(told).as(Errc::busy);
    case EINVAL:
      return allowed ? told
                     : std::move(told)
                           .as(Errc::refused)
                           .advise("the host reserves part of this range: guest memory has to be laid out around it");
    default: return told;
  }
}

}  // namespace pcivm::vfio
