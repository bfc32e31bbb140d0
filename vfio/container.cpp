// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/container.hpp"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "vfio/dma_errors.hpp"
#include "vfio/info_chain.hpp"
#include "vfio/uapi.hpp"

namespace pcivm::vfio {

namespace {

std::vector<IovaRange> ranges_of(std::span<const std::byte> info, std::uint32_t first) {
  std::vector<IovaRange> ranges;
  for (const auto& capability : info_capabilities(info, first)) {
    if (capability.id != VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) continue;
    const auto header = copy_at<vfio_iommu_type1_info_cap_iova_range>(capability.bytes, 0);
    for (std::size_t index = 0; index < header.nr_iovas; ++index) {
      const auto at = sizeof header + index * sizeof(vfio_iova_range);
      if (at + sizeof(vfio_iova_range) > capability.bytes.size()) break;
      const auto range = copy_at<vfio_iova_range>(capability.bytes, at);
      if (range.start <= range.end) ranges.push_back({.first = Iova{range.start}, .last = Iova{range.end}});
    }
  }
  std::ranges::sort(ranges, {}, &IovaRange::first);
  return ranges;
}

}  // namespace

Result<std::unique_ptr<Container>> Container::attach(IoctlPort& port, OpenedVfio opened) {
  std::unique_ptr<Container> made{new Container{port, std::move(opened.iommu)}};
  TRY(made->add(std::move(opened)));
  TRY(made->set_iommu());
  return made;
}

Result<std::vector<FdRef>> Container::add(OpenedVfio opened) {
  std::vector<FdRef> joined;
  std::vector<std::uint32_t> numbers;
  const std::scoped_lock lock{mutex_};
  for (const auto& group : opened.groups) numbers.push_back(group.number);
  for (auto& group : opened.groups) {
    if (std::ranges::find(groups_, group.number, &OpenedGroup::number) != groups_.end()) continue;
    if (!group.fd) {
      return fail(Error::make(Errc::busy, fmt::format("the VM has just left IOMMU group {}", group.number))
                      .advise("try again"));
    }
    int number = container_.ref().number();
    auto outcome = uapi::set_container(port_, group.fd.ref(), number);
    if (!outcome) return fail(explain_join(std::move(outcome).error(), group));
    joined.push_back(group.fd.ref());
    groups_.push_back(std::move(group));
  }
  for (auto& device : opened.devices) {
    const auto group = numbers.at(device.group);
    devices_.push_back({.facts = std::move(device), .group = group});
  }
  return joined;
}

// Why is asked now: a group that may join is spared the question.
Error Container::explain_join(Error error, const OpenedGroup& group) const {
  const auto what = fmt::format("group {}", group.number);
  vfio_group_status status{};
  status.argsz = sizeof status;
  const bool asked = error.sys_errno() == EPERM && uapi::get_status(port_, group.fd.ref(), status).has_value();
  if (asked && (status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) return not_viable(group.number, {}).within(what);
  return explain_refusal(std::move(error), {&group, 1}).within(what);
}

void Container::close(Bdf device) {
  const std::scoped_lock lock{mutex_};
  std::erase_if(devices_, [device](const Place& place) { return place.facts.address == device; });
  std::erase_if(groups_, [this](const OpenedGroup& group) {
    return std::ranges::find(devices_, group.number, &Place::group) == devices_.end();
  });
}

Result<std::unique_ptr<DmaDomain>> Container::make_domain() {
  return fail(Error::make(Errc::refused, "a container has one address space for all its devices")
                  .advise("--iommu-backend iommufd"));
}

Result<void> Container::move(Bdf device, const DmaDomain* /*domain*/) {
  return fail(Errc::internal, fmt::format("{} is moved to another address space of a container", device.to_string()));
}

Result<void> Container::set_iommu() {
  // Type 1 version 2 unmaps exactly what was asked for; every kernel that pcivm supports has it.
  auto outcome = uapi::set_iommu(port_, container_.ref(), VFIO_TYPE1v2_IOMMU);
  if (outcome) return {};
  if (outcome.error().sys_errno() != ENODEV) return fail(explain_refusal(std::move(outcome).error(), groups_));
  return fail(std::move(outcome)
                  .error()
                  .as(Errc::not_found)
                  .within("VFIO has no type1v2 IOMMU driver")
                  .advise("load it: modprobe vfio_iommu_type1; check that the IOMMU is on: pcivm doctor"));
}

Result<std::vector<IovaRange>> Container::allowed() const {
  constexpr std::size_t kMostInfo = 64 * kKiB;
  std::size_t tail = 256;  // enough for most
  for (int attempt = 0; attempt < 2; ++attempt) {
    FlexibleArgument<vfio_iommu_type1_info> argument{tail};
    argument.header().argsz = static_cast<std::uint32_t>(argument.bytes().size());
    TRY(uapi::iommu_get_info(port_, container_.ref(), argument.header()));
    const auto& info = argument.header();
    if (info.argsz <= argument.bytes().size()) {
      return ranges_of(argument.bytes(), (info.flags & VFIO_IOMMU_INFO_CAPS) != 0 ? info.cap_offset : 0);
    }
    tail = std::min<std::size_t>(info.argsz, kMostInfo) - sizeof info;
  }
  return fail(Errc::kernel, "the size of VFIO_IOMMU_GET_INFO does not settle");
}

std::vector<FdRef> Container::files() const {
  const std::scoped_lock lock{mutex_};
  std::vector<FdRef> files;
  for (const auto& group : groups_) files.push_back(group.fd.ref());
  return files;
}

std::optional<FdRef> Container::file_of(Bdf device) const {
  const std::scoped_lock lock{mutex_};
  const auto place = std::ranges::find(devices_, device, [](const Place& each) { return each.facts.address; });
  if (place == devices_.end() || std::ranges::count(devices_, place->group, &Place::group) != 1) return std::nullopt;
  return std::ranges::find(groups_, place->group, &OpenedGroup::number)->fd.ref();
}

Result<std::unique_ptr<Device>> Container::open(Bdf device, UnprovenReset unproven) {
  int group = -1;
  std::string name;
  std::string token;
  unsigned bars = 0;
  {
    // The kernel resets the device in the call, beside others.
    const std::scoped_lock lock{mutex_};
    for (const auto& place : devices_) {
      if (place.facts.address != device) continue;
      name = place.facts.name();
      token = place.facts.vf_token;
      bars = place.facts.bar_mask();
      group = std::ranges::find(groups_, place.group, &OpenedGroup::number)->fd.ref().number();
    }
  }
  if (group < 0) return fail(Errc::internal, fmt::format("{} is not in the container", device.to_string()));
  return Device::open(port_, FdRef{group}, name, token, unproven, bars);
}

Result<void> Container::map(const DmaRun& run) {
  vfio_iommu_type1_dma_map request{};
  request.argsz = sizeof request;
  request.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  request.vaddr = run.hva.value;
  request.iova = run.iova.value;
  request.size = run.length;
  auto outcome = uapi::map_dma(port_, container_.ref(), request);
  if (!outcome) {
    const auto ranges = allowed();
    return fail(explain_map(std::move(outcome).error(), run, IommuBackend::container,
                            !ranges || ranges->empty() || holds(*ranges, run.iova, run.length)));
  }
  ++maps_;
  mapped_bytes_ += run.length;
  return {};
}

Result<void> Container::unmap(Iova iova, std::uint64_t length) {
  vfio_iommu_type1_dma_unmap request{};
  request.argsz = sizeof request;
  request.iova = iova.value;
  request.size = length;
  TRY_IN(uapi::unmap_dma(port_, container_.ref(), request), fmt::format("unmap {:#x}+{:#x}", iova.value, length));
  ++unmaps_;
  mapped_bytes_ -= std::min<std::uint64_t>(request.size, mapped_bytes_);
  // Success with less than asked means that the range was not (wholly) mapped.
  if (request.size != length) {
    return fail(Errc::kernel, fmt::format("unmap {:#x}: {} bytes were mapped there, wanted {}", iova.value,
                                          std::uint64_t{request.size}, length));
  }
  return {};
}

bool Container::pins() const {
  const std::scoped_lock lock{mutex_};
  return std::ranges::any_of(devices_, [](const Place& place) { return place.facts.is_function(); });
}

DmaCounters Container::counters() const {
  return {.maps = maps_.load(), .unmaps = unmaps_.load(), .mapped_bytes = mapped_bytes_.load()};
}

}  // namespace pcivm::vfio
