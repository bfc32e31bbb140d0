// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/iommu_domains.hpp"

#include <linux/virtio_iommu.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace pcivm::vmm {

namespace {

constexpr unsigned kMostReports = 16;

std::uint8_t status_of(const Error& error) {
  switch (error.sys_errno()) {
    case ENOMEM: return VIRTIO_IOMMU_S_NOMEM;
    case EINVAL:
    case EADDRINUSE: return VIRTIO_IOMMU_S_RANGE;  // what the IOMMU keeps for itself
    default: return VIRTIO_IOMMU_S_DEVERR;
  }
}

bool whole_pages(const vfio::IovaRange& range) {
  return is_aligned(range.first.value, kPageSize) && is_aligned(range.last.value + 1, kPageSize);
}

}  // namespace

// A guest may ask for what fails without end.
std::uint8_t IommuDomains::refused(const Error& error) {
  if (reports_++ < kMostReports) report_(Error{error}.within("virtio-iommu"));
  return status_of(error);
}

// The kernel first: where that fails nothing is changed here either.
Result<void> IommuDomains::enter(Place& place, std::optional<Key> to, bool bypass) {
  if (place.domain == to) return {};
  auto& device = place.device;
  TRY(device.ready.wait());
  std::unique_ptr<vfio::DmaDomain> made;
  const auto found = to ? domains_.find(*to) : domains_.end();
  const bool fresh = to && found == domains_.end();
  if (fresh && !bypass) made = TRY(device.space.make_domain());
  TRY(device.space.move(device.function, found != domains_.end() ? found->second.space.get() : made.get()));
  if (fresh) domains_[*to].space = std::move(made);
  const auto left = leave(place);
  place.domain = to;
  if (to) ++domains_[*to].endpoints;
  return {};
}

std::unique_ptr<vfio::DmaDomain> IommuDomains::leave(Place& place) {
  const auto key = std::exchange(place.domain, std::nullopt);
  if (!key) return nullptr;
  const auto found = domains_.find(*key);
  if (--found->second.endpoints != 0) return nullptr;
  auto space = std::move(found->second.space);
  mappings_ -= found->second.mappings.size();
  domains_.erase(found);
  return space;
}

Result<void> IommuDomains::add(std::uint32_t endpoint, Endpoint device) {
  const std::scoped_lock lock{mutex_};
  const auto added = endpoints_.emplace(endpoint, Place{.device = std::move(device), .domain = {}}).first;
  if (bypass_) return {};
  auto entered = enter(added->second, outside(), false);
  if (!entered) endpoints_.erase(added);
  return entered;
}

std::unique_ptr<vfio::DmaDomain> IommuDomains::remove(Bdf function) {
  const std::scoped_lock lock{mutex_};
  const auto found =
      std::ranges::find(endpoints_, function, [](const auto& each) { return each.second.device.function; });
  if (found == endpoints_.end()) return nullptr;
  auto domain = leave(found->second);
  endpoints_.erase(found);
  return domain;
}

std::uint8_t IommuDomains::attach(std::uint32_t domain, std::uint32_t endpoint, bool bypass) {
  const std::scoped_lock lock{mutex_};
  const auto found = endpoints_.find(endpoint);
  if (found == endpoints_.end()) return VIRTIO_IOMMU_S_NOENT;
  const auto there = domains_.find(domain);
  if (there != domains_.end() && (there->second.space == nullptr) != bypass) return VIRTIO_IOMMU_S_INVAL;
  auto entered = enter(found->second, domain, bypass);
  return entered ? std::uint8_t{VIRTIO_IOMMU_S_OK} : refused(entered.error());
}

std::uint8_t IommuDomains::detach(std::uint32_t domain, std::uint32_t endpoint) {
  const std::scoped_lock lock{mutex_};
  const auto found = endpoints_.find(endpoint);
  if (found == endpoints_.end()) return VIRTIO_IOMMU_S_NOENT;
  if (found->second.domain != Key{domain}) return VIRTIO_IOMMU_S_INVAL;
  auto entered = enter(found->second, outside(), false);
  return entered ? std::uint8_t{VIRTIO_IOMMU_S_OK} : refused(entered.error());
}

// Neither BARs nor files, which no device reaches without an IOMMU either (ADR 0002).
std::optional<Hva> IommuDomains::ram_at(Gpa target, std::uint64_t length) const {
  for (const auto& region : memory_.regions()) {
    if (region.kind != MemoryKind::ram || target < region.gpa) continue;
    const auto offset = target.value - region.gpa.value;
    if (fits(offset, length, region.length)) return region.hva + offset;
  }
  return std::nullopt;
}

std::uint8_t IommuDomains::map(std::uint32_t domain, vfio::IovaRange range, Gpa target, std::uint32_t flags) {
  constexpr std::uint32_t kKnown = VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE;
  if (flags == 0 || (flags & ~kKnown) != 0) return VIRTIO_IOMMU_S_INVAL;
  if (range.first > range.last || range.last.value > kLastAddress || !whole_pages(range)) return VIRTIO_IOMMU_S_RANGE;
  const auto length = range.last.value - range.first.value + 1;
  const auto memory = ram_at(target, length);
  if (!is_aligned(target.value, kPageSize) || !memory) return VIRTIO_IOMMU_S_RANGE;

  const std::scoped_lock lock{mutex_};
  const auto found = domains_.find(domain);
  if (found == domains_.end()) return VIRTIO_IOMMU_S_NOENT;
  auto& [space, mappings, endpoints] = found->second;
  if (!space) return VIRTIO_IOMMU_S_INVAL;
  const auto above = mappings.upper_bound(range.last.value);
  if (above != mappings.begin() && std::prev(above)->second >= range.first.value) return VIRTIO_IOMMU_S_INVAL;
  if (mappings_ >= kMostMappings) return VIRTIO_IOMMU_S_NOMEM;
  auto mapped = space->map({.iova = range.first, .hva = *memory, .length = length}, vfio::DmaAccess(flags));
  if (!mapped) return refused(mapped.error());
  mappings.emplace(range.first.value, range.last.value);
  ++mappings_;
  return VIRTIO_IOMMU_S_OK;
}

std::uint8_t IommuDomains::unmap(std::uint32_t domain, vfio::IovaRange range) {
  if (range.first > range.last) return VIRTIO_IOMMU_S_RANGE;
  const std::scoped_lock lock{mutex_};
  const auto found = domains_.find(domain);
  if (found == domains_.end()) return VIRTIO_IOMMU_S_NOENT;
  auto& [space, mappings, endpoints] = found->second;
  if (!space) return VIRTIO_IOMMU_S_INVAL;
  auto each = mappings.lower_bound(range.first.value);
  const auto end = mappings.upper_bound(range.last.value);
  const bool cut = (each != mappings.begin() && std::prev(each)->second >= range.first.value) ||
                   (end != each && std::prev(end)->second > range.last.value);
  if (cut) return VIRTIO_IOMMU_S_RANGE;
  while (each != end) {
    auto unmapped = space->unmap(Iova{each->first}, each->second - each->first + 1);
    if (!unmapped) return refused(unmapped.error());
    each = mappings.erase(each);
    --mappings_;
  }
  return VIRTIO_IOMMU_S_OK;
}

std::optional<std::vector<vfio::IovaRange>> IommuDomains::reserved(std::uint32_t endpoint) const {
  const std::scoped_lock lock{mutex_};
  const auto found = endpoints_.find(endpoint);
  if (found == endpoints_.end()) return std::nullopt;
  return found->second.device.reserved;
}

bool IommuDomains::bypass() const {
  const std::scoped_lock lock{mutex_};
  return bypass_;
}

// A device that cannot be moved stays where it is, which is told; what it reaches is what the guest gave it.
void IommuDomains::leave_all() {
  for (auto& [endpoint, place] : endpoints_) {
    if (auto entered = enter(place, outside(), false); !entered) {
      (void)refused(std::move(entered).error().within(place.device.function.to_string()));
    }
  }
}

void IommuDomains::set_bypass(bool on) {
  const std::scoped_lock lock{mutex_};
  if (std::exchange(bypass_, on) == on) return;
  for (auto& [endpoint, place] : endpoints_) {
    if (place.domain && place.domain != kNothing) continue;
    if (auto entered = enter(place, outside(), false); !entered) {
      (void)refused(std::move(entered).error().within(place.device.function.to_string()));
    }
  }
}

void IommuDomains::reset() {
  const std::scoped_lock lock{mutex_};
  leave_all();
}

void IommuDomains::restart() {
  const std::scoped_lock lock{mutex_};
  bypass_ = true;
  leave_all();
}

}  // namespace pcivm::vmm
