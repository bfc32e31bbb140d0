// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/ioas.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "vfio/dma_errors.hpp"
#include "vfio/uapi.hpp"

namespace pcivm::vfio {

namespace {

Error explain_attach(Error error, std::span<const OpenedGroup> groups) {
  switch (error.sys_errno()) {
    case EADDRINUSE:
      return std::move(error)
          .as(Errc::refused)
          .advise(
              "the host reserves addresses of this device where the guest has memory: see its group's "
              "reserved_regions in /sys/kernel/iommu_groups");
    case ENOMEM:
      return std::move(error)
          .as(Errc::denied)
          .advise(
              "the guest's memory is pinned here, and locked memory is limited for all that the user locks "
              "together: LimitMEMLOCK=infinity in the unit, or ulimit -l");
    default: return explain_refusal(std::move(error), groups);
  }
}

}  // namespace

Result<std::unique_ptr<IoasDomain>> IoasDomain::create(IoctlPort& port, FdRef iommufd) {
  uapi::IoasAlloc request{.size = sizeof request};
  TRY(uapi::ioas_alloc(port, iommufd, request));
  return std::unique_ptr<IoasDomain>{new IoasDomain{port, iommufd, request.out_ioas_id}};
}

IoasDomain::~IoasDomain() {
  uapi::Destroy request{.size = sizeof request, .id = id_};
  (void)uapi::iommu_destroy(port_, iommufd_, request);  // else it goes with the iommufd
}

Result<std::unique_ptr<Ioas>> Ioas::create(IoctlPort& port, OpenedVfio opened) {
  std::unique_ptr<Ioas> made{new Ioas{port, std::move(opened.iommu)}};
  made->ram_ = TRY(IoasDomain::create(port, made->iommufd_.ref()));
  TRY(made->add(std::move(opened)));
  return made;
}

Result<std::vector<FdRef>> Ioas::add(OpenedVfio opened) {
  std::vector<FdRef> added;
  const std::scoped_lock lock{mutex_};
  for (auto& device : opened.devices) {
    if (!device.fd) return fail(Errc::internal, fmt::format("{} comes without descriptor", device.address.to_string()));
    const auto& group = opened.groups.at(device.group);
    added.push_back(device.fd.ref());
    devices_.push_back(std::make_unique<Place>(
        std::move(device),
        OpenedGroup{.number = group.number, .fd = {}, .reserved = {}, .firmware_memory = group.firmware_memory}));
  }
  return added;
}

void Ioas::close(Bdf device) {
  std::unique_ptr<const Place> gone;  // closed without the lock: others are closed at the same time
  const std::scoped_lock lock{mutex_};
  for (auto& place : devices_) {
    if (place->facts.address == device) gone = std::move(place);
  }
  std::erase(devices_, nullptr);
}

Result<const Ioas::Place*> Ioas::find(Bdf device) const {
  const std::scoped_lock lock{mutex_};
  for (const auto& place : devices_) {
    if (place->facts.address == device) return place.get();
  }
  return fail(Errc::internal, fmt::format("{} is not in the address space", device.to_string()));
}

std::vector<FdRef> Ioas::files() const {
  const std::scoped_lock lock{mutex_};
  std::vector<FdRef> files;
  for (const auto& place : devices_) files.push_back(place->facts.fd.ref());
  return files;
}

std::optional<FdRef> Ioas::file_of(Bdf device) const {
  const auto place = find(device);
  return place ? std::optional{(*place)->facts.fd.ref()} : std::nullopt;
}

Result<std::unique_ptr<Device>> Ioas::open(Bdf device, UnprovenReset unproven) {
  const auto* const place = TRY(find(device));
  auto file = TRY(place->facts.fd.dup());
  auto opened = Device::bind(port_, std::move(file), iommufd_.ref(), place->facts.name(), place->facts.vf_token,
                             unproven, place->facts.bar_mask());
  if (!opened) return fail(explain_refusal(std::move(opened).error(), {&place->group, 1}));
  return opened;
}

Result<std::unique_ptr<DmaDomain>> Ioas::make_domain() { return TRY(IoasDomain::create(port_, iommufd_.ref())); }

// ATTACH replaces what there is (vfio_iommufd_physical_attach_ioas).
Result<void> Ioas::move(Bdf device, const DmaDomain* domain) {
  const auto* const place = TRY(find(device));
  const auto& to = domain == nullptr ? *ram_ : static_cast<const IoasDomain&>(*domain);  // of make_domain()
  uapi::AttachIommufd request{.argsz = sizeof request, .pt_id = to.id()};
  auto outcome = uapi::attach_iommufd(port_, place->facts.fd.ref(), request);
  if (outcome) return {};
  return fail(explain_attach(std::move(outcome).error(), {&place->group, 1}).within(place->facts.name()));
}

bool Ioas::pins() const {
  const std::scoped_lock lock{mutex_};
  return std::ranges::any_of(devices_, [](const auto& place) { return place->facts.is_function(); });
}

Result<std::vector<IovaRange>> IoasDomain::allowed() const {
  constexpr std::uint32_t kMost = 4096;
  std::vector<uapi::IoasRange> found(16);
  uapi::IoasRanges request{.size = sizeof request, .ioas_id = id_};
  for (;;) {
    request.num_iovas = static_cast<std::uint32_t>(found.size());
    request.allowed_iovas = std::bit_cast<std::uint64_t>(found.data());
    auto outcome = uapi::ioas_ranges(port_, iommufd_, request);
    if (outcome) break;
    // It says how many there are.
    if (outcome.error().sys_errno() != EMSGSIZE || request.num_iovas <= found.size() || request.num_iovas > kMost) {
      return fail(std::move(outcome).error());
    }
    found.resize(request.num_iovas);
  }
  found.resize(std::min<std::size_t>(request.num_iovas, found.size()));
  std::vector<IovaRange> ranges;
  for (const auto& range : found) ranges.push_back({.first = Iova{range.first}, .last = Iova{range.last}});
  return ranges;
}

Result<void> IoasDomain::map(const DmaRun& run, DmaAccess access) {
  using uapi::IoasMap;
  const auto may = [access](DmaAccess wanted, std::uint32_t flag) {
    return (std::to_underlying(access) & std::to_underlying(wanted)) != 0 ? flag : 0;
  };
  IoasMap request{
      .size = sizeof request,
      .flags = IoasMap::kFixed | may(DmaAccess::read, IoasMap::kReadable) | may(DmaAccess::write, IoasMap::kWriteable),
      .ioas_id = id_,
      .user_va = run.hva.value,
      .length = run.length,
      .iova = run.iova.value};
  auto outcome = uapi::ioas_map(port_, iommufd_, request);
  if (outcome) return {};
  const auto ranges = allowed();
  return fail(explain_map(std::move(outcome).error(), run, IommuBackend::iommufd,
                          !ranges || holds(*ranges, run.iova, run.length)));
}

Result<void> IoasDomain::unmap(Iova iova, std::uint64_t length) {
  uapi::IoasUnmap request{.size = sizeof request, .ioas_id = id_, .iova = iova.value, .length = length};
  const auto what = fmt::format("unmap {:#x}+{:#x}", iova.value, length);
  TRY_IN(uapi::ioas_unmap(port_, iommufd_, request), what);
  if (request.length == length) return {};
  return fail(Errc::kernel, fmt::format("{}: {} bytes were mapped there", what, request.length));
}

}  // namespace pcivm::vfio
