// SPDX-License-Identifier: GPL-2.0-or-later
// The whole VFIO surface of this folder, one line a request (<linux/vfio.h>, Documentation/driver-api/vfio.rst).
#pragma once

#include <linux/vfio.h>

#include <cstdint>
#include <string_view>

#include "base/ioctl.hpp"
#include "vfio/iommufd_structures.hpp"

namespace pcivm::vfio::uapi {

// /dev/vfio/vfio
inline constexpr IoctlValue get_api_version{"VFIO_GET_API_VERSION", VFIO_GET_API_VERSION};
inline constexpr IoctlValue check_extension{"VFIO_CHECK_EXTENSION", VFIO_CHECK_EXTENSION};
inline constexpr IoctlValue set_iommu{"VFIO_SET_IOMMU", VFIO_SET_IOMMU};
inline constexpr Ioctl<vfio_iommu_type1_info> iommu_get_info{"VFIO_IOMMU_GET_INFO", VFIO_IOMMU_GET_INFO};
inline constexpr Ioctl<vfio_iommu_type1_dma_map> map_dma{"VFIO_IOMMU_MAP_DMA", VFIO_IOMMU_MAP_DMA};
inline constexpr Ioctl<vfio_iommu_type1_dma_unmap> unmap_dma{"VFIO_IOMMU_UNMAP_DMA", VFIO_IOMMU_UNMAP_DMA};
// /dev/vfio/GROUP
inline constexpr Ioctl<vfio_group_status> get_status{"VFIO_GROUP_GET_STATUS", VFIO_GROUP_GET_STATUS};
inline constexpr Ioctl<int> set_container{"VFIO_GROUP_SET_CONTAINER", VFIO_GROUP_SET_CONTAINER};
inline constexpr Ioctl<char> get_device_fd{"VFIO_GROUP_GET_DEVICE_FD", VFIO_GROUP_GET_DEVICE_FD};
// the device
inline constexpr Ioctl<vfio_device_info> get_info{"VFIO_DEVICE_GET_INFO", VFIO_DEVICE_GET_INFO};
inline constexpr Ioctl<vfio_region_info> get_region_info{"VFIO_DEVICE_GET_REGION_INFO", VFIO_DEVICE_GET_REGION_INFO};
inline constexpr Ioctl<vfio_irq_info> get_irq_info{"VFIO_DEVICE_GET_IRQ_INFO", VFIO_DEVICE_GET_IRQ_INFO};
inline constexpr Ioctl<vfio_irq_set> set_irqs{"VFIO_DEVICE_SET_IRQS", VFIO_DEVICE_SET_IRQS};
inline constexpr IoctlValue reset{"VFIO_DEVICE_RESET", VFIO_DEVICE_RESET};
// the device by its own node, /dev/vfio/devices/vfioN
inline constexpr Ioctl<BindIommufd> bind_iommufd{"VFIO_DEVICE_BIND_IOMMUFD", BindIommufd::kRequest};
inline constexpr Ioctl<AttachIommufd> attach_iommufd{"VFIO_DEVICE_ATTACH_IOMMUFD_PT", AttachIommufd::kRequest};
// /dev/iommu
inline constexpr Ioctl<Destroy> iommu_destroy{"IOMMU_DESTROY", Destroy::kRequest};
inline constexpr Ioctl<IoasAlloc> ioas_alloc{"IOMMU_IOAS_ALLOC", IoasAlloc::kRequest};
inline constexpr Ioctl<IoasRanges> ioas_ranges{"IOMMU_IOAS_IOVA_RANGES", IoasRanges::kRequest};
inline constexpr Ioctl<IoasMap> ioas_map{"IOMMU_IOAS_MAP", IoasMap::kRequest};
inline constexpr Ioctl<IoasUnmap> ioas_unmap{"IOMMU_IOAS_UNMAP", IoasUnmap::kRequest};

/// "VFIO_DEVICE_SET_IRQS" for a counter of ioctls by kind; empty when `number` is not one of the above.
[[nodiscard]] std::string_view request_name(unsigned long number);

}  // namespace pcivm::vfio::uapi
