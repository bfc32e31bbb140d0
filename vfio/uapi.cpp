// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/uapi.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace pcivm::vfio::uapi {

namespace {

template <class Request>
constexpr std::pair<unsigned long, std::string_view> entry(const Request& request) {
  return {request.number, request.name};
}

constexpr std::array kRequests{
    entry(get_api_version), entry(check_extension), entry(set_iommu),     entry(iommu_get_info), entry(map_dma),
    entry(unmap_dma),       entry(get_status),      entry(set_container), entry(get_device_fd),  entry(get_info),
    entry(get_region_info), entry(get_irq_info),    entry(set_irqs),      entry(reset),          entry(bind_iommufd),
    entry(attach_iommufd),  entry(iommu_destroy),   entry(ioas_alloc),    entry(ioas_ranges),    entry(ioas_map),
    entry(ioas_unmap),
};

}  // namespace

std::string_view request_name(unsigned long number) {
  // VFIO numbers its requests by object: none of those above shares a number with another.
  const auto* const found = std::ranges::find(kRequests, number, &std::pair<unsigned long, std::string_view>::first);
  return found == kRequests.end() ? std::string_view{} : found->second;
}

}  // namespace pcivm::vfio::uapi
