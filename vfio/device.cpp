// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/device.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/log.hpp"
#include "base/parse.hpp"
#include "base/pci_config.hpp"
#include "base/units.hpp"
#include "vfio/device_port.hpp"
#include "vfio/mdev.hpp"
#include "vfio/uapi.hpp"
#include "vfio/vf_token.hpp"

namespace pcivm::vfio {

static_assert(Device::kConfigRegion == VFIO_PCI_CONFIG_REGION_INDEX);
static_assert(static_cast<int>(Irq::msix) == VFIO_PCI_MSIX_IRQ_INDEX);
static_assert(static_cast<int>(Irq::request) == VFIO_PCI_REQ_IRQ_INDEX);

namespace {

constexpr std::size_t kSmallConfig = 256;
constexpr std::size_t kFullConfig = 4096;

constexpr std::string_view kNoOwner{
    "a VF of a PF on vfio-pci opens only after the PF was opened with the token in /run/pcivm/vf-token: start the VM "
    "that has the PF first"};

/// What a device that VFIO does not call a PCI device is.
std::string_view kind_of(std::uint32_t flags) {
  if ((flags & VFIO_DEVICE_FLAGS_PLATFORM) != 0) return "a platform device";
  if ((flags & VFIO_DEVICE_FLAGS_AMBA) != 0) return "an AMBA device";
  if ((flags & VFIO_DEVICE_FLAGS_CCW) != 0) return "a channel of s390 (CCW)";
  if ((flags & VFIO_DEVICE_FLAGS_AP) != 0) return "a crypto adapter of s390 (AP)";
  return "a device of no kind that VFIO tells";
}

/// What both ways to a device have in common.
Error explain_open(Error error, const std::string& name) {
  if (is_uuid(name)) {
    if (error.sys_errno() == ENODEV) error = std::move(error).as(Errc::not_found);
    return std::move(error).advise(fmt::format("ls -l {}; the kernel's log may say what its driver wants",
                                               mdev_directory(name)));
  }
  switch (error.sys_errno()) {
    case EACCES: return std::move(error).coded("vf_token.refused").advise(std::string{kNoOwner});
    case EAGAIN: return std::move(error).as(Errc::busy).advise("the function is being reset or removed: try again");
    case EBUSY:
      return std::move(error).advise(
          fmt::format("another process has {0} open, or it is a PF with VFs: pcivm device show {0}", name));
    case ENODEV:
      return std::move(error)
          .as(Errc::not_found)
          .advise(fmt::format("bind it first: pcivm device bind {} vfio-pci", name));
    default: return error;
  }
}

Result<Fd> get_device_fd(IoctlPort& port, FdRef group, const std::string& name, std::string_view vf_token) {
  auto asked = vf_token.empty() ? name : fmt::format("{} vf_token={}", name, vf_token);
  auto raw = uapi::get_device_fd(port, group, *asked.data());
  if (raw) return Fd::adopt(*raw);
  return fail(explain_open(std::move(raw).error(), name));
}

/// The 16 bytes of a UUID in the order in which they are written.
std::array<std::uint8_t, 16> bytes_of(std::string_view uuid) {
  std::string digits{uuid};
  std::erase(digits, '-');
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t index = 0; index < bytes.size() && 2 * index + 2 <= digits.size(); ++index) {
    bytes[index] = parse_hex<std::uint8_t>(std::string_view{digits}.substr(2 * index, 2)).value_or(0);
  }
  return bytes;
}

Error explain_bind(Error error, const std::string& name, bool token) {
  if (error.sys_errno() != EINVAL || is_uuid(name)) return explain_open(std::move(error), name);
  if (token) return std::move(error).advise("before Linux 6.17 it takes no VF token: --iommu-backend container");
  return std::move(error).advise(fmt::format(
      "another process has {0} open (pcivm device show {0}), or the IOMMU does not keep the CPU's caches coherent, for "
      "which there is --iommu-backend container",
      name));
}

Result<void> bind_to(IoctlPort& port, FdRef file, FdRef iommufd, const std::string& name, std::string_view vf_token) {
  auto uuid = bytes_of(vf_token);
  uapi::BindIommufd request{.argsz = offsetof(uapi::BindIommufd, token_uuid), .iommufd = iommufd.number()};
  if (!vf_token.empty()) {
    request.argsz = sizeof request;
    request.flags = uapi::BindIommufd::kWithToken;
    request.token_uuid = std::bit_cast<std::uint64_t>(uuid.data());
  }
  auto bound = uapi::bind_iommufd(port, file, request);
  if (bound) return {};
  return fail(explain_bind(std::move(bound).error(), name, !vf_token.empty()));
}

}  // namespace

Result<std::unique_ptr<Device>> Device::bind(IoctlPort& port, Fd file, FdRef iommufd, const std::string& name,
                                             std::string_view vf_token, UnprovenReset unproven, unsigned bars) {
  TRY_IN(bind_to(port, file.ref(), iommufd, name, vf_token), name);
  return adopt(make_kernel_port(port, std::move(file)), name, unproven, bars);
}

Result<std::unique_ptr<Device>> Device::open(IoctlPort& port, FdRef group, const std::string& name,
                                             std::string_view vf_token, UnprovenReset unproven, unsigned bars) {
  auto fd = TRY_IN(get_device_fd(port, group, name, vf_token), name);
  return adopt(make_kernel_port(port, std::move(fd)), name, unproven, bars);
}

Device::Device(std::unique_ptr<DevicePort> port, std::string name) : port_{std::move(port)}, name_{std::move(name)} {}
Device::~Device() = default;

Result<std::unique_ptr<Device>> Device::adopt(std::unique_ptr<DevicePort> port, std::string name,
                                              UnprovenReset unproven, unsigned bars) {
  std::unique_ptr<Device> device{new Device{std::move(port), std::move(name)}};
  TRY_IN(device->read_facts(unproven, bars), device->name_);
  return device;
}

Result<void> Device::read_facts(UnprovenReset unproven, unsigned bars) {
  vfio_device_info info{};
  info.argsz = sizeof info;
  TRY(port_->get_info(info));
  if ((info.flags & VFIO_DEVICE_FLAGS_PCI) == 0) {
    return fail(Errc::refused, fmt::format("{} found, a PCI device wanted", kind_of(info.flags)));
  }
  resettable_ = (info.flags & VFIO_DEVICE_FLAGS_RESET) != 0;
  if (!resettable_ && unproven == UnprovenReset::refuse) {
    return fail(Error::make(Errc::refused, "reset is not proven: the kernel offers no reset of this function alone")
                    .advise(is_uuid(name_) ? "it may hold the previous owner's data: remove it and create it anew, "
                                             "then --force=no-reset takes it"
                                           : "it may hold the previous owner's data; see pcivm device show for its "
                                             "reset methods"));
  }
  // Every question is a system call: only about what is used, and what the device can have.
  TRY(read_region(kConfigRegion));
  TRY(read_config());
  for (unsigned index = 0; index < kBars; ++index) {
    if ((bars >> index & 1U) != 0) TRY(read_region(index));
  }
  if (config_u8(config_, PCI_INTERRUPT_PIN) != 0) TRY(read_irq(Irq::intx));
  if (find_capability(config_, PCI_CAP_ID_MSI) != 0) TRY(read_irq(Irq::msi));
  if (find_capability(config_, PCI_CAP_ID_MSIX) != 0) TRY(read_irq(Irq::msix));
  keep_out_of_msix();
  return {};
}

Result<void> Device::read_region(unsigned index) {
  constexpr std::size_t kMostInfo = 64 * kKiB;
  // Enough for most; else the first call says how much room the capabilities need.
  std::size_t tail = 256;
  for (int attempt = 0; attempt < 2; ++attempt) {
    FlexibleArgument<vfio_region_info> argument{tail};
    argument.header().argsz = static_cast<std::uint32_t>(argument.bytes().size());
    argument.header().index = index;
    auto outcome = port_->get_region_info(argument);
    if (!outcome) return fail(std::move(outcome).error().within(fmt::format("region {}", index)));
    const std::size_t wanted = argument.header().argsz;
    if (wanted <= argument.bytes().size()) {
      regions_[index] = parse_region(argument.bytes());
      return {};
    }
    tail = std::min(wanted, kMostInfo) - sizeof(vfio_region_info);
  }
  return fail(Errc::kernel, fmt::format("region {}: the size of its description does not settle", index));
}

Result<void> Device::read_irq(Irq kind) {
  vfio_irq_info info{};
  info.argsz = sizeof info;
  info.index = static_cast<std::uint32_t>(kind);
  auto outcome = port_->get_irq_info(info);
  // A kernel may not know the kind.
  if (!outcome && outcome.error().sys_errno() == EINVAL) return {};
  if (!outcome) return fail(std::move(outcome).error().within(fmt::format("interrupt {}", info.index)));
  if ((info.flags & VFIO_IRQ_INFO_EVENTFD) == 0) return {};
  irqs_.at(info.index) = {.count = info.count,
                          .can_mask = (info.flags & VFIO_IRQ_INFO_MASKABLE) != 0,
                          .automasked = (info.flags & VFIO_IRQ_INFO_AUTOMASKED) != 0,
                          .fixed_count = (info.flags & VFIO_IRQ_INFO_NORESIZE) != 0};
  return {};
}

Result<void> Device::read_config() {
  const auto size = regions_[kConfigRegion].size;
  // Some drivers of mediated devices miscount the small one by one (the kernel's samples).
  if (size != kSmallConfig && size != kSmallConfig - 1 && size != kFullConfig) {
    return fail(Errc::kernel,
                fmt::format("configuration space has {} bytes, wanted {} or {}", size, kSmallConfig, kFullConfig));
  }
  config_.assign(kSmallConfig, std::byte{0});
  const auto there = std::span{config_}.first(std::min<std::size_t>(size, kSmallConfig));
  TRY_IN(read(kConfigRegion, 0, there), "read configuration space");
  // VFIO virtualises some registers, so the vendor ID alone is no proof of life: header type 0x7f is.
  const auto type = config_u8(config_, PCI_HEADER_TYPE);
  if ((type & 0x7fU) == PCI_HEADER_TYPE_NORMAL) return {};
  return fail(
      Error::make(Errc::kernel, fmt::format("device does not answer: header type {:#x}, wanted 0", type & 0x7fU))
          .advise("remove and rescan it, or restart the host: reset does not bring it back"));
}

Result<void> Device::read_extended() {
  std::vector<std::byte> all(regions_[kConfigRegion].size);
  TRY_IN(read(kConfigRegion, 0, all), fmt::format("{}: read configuration space", name_));
  config_ = std::move(all);
  return {};
}

// Kernels before 4.16 refuse to map the pages of the MSI-X table and do not say so by a sparse list.
void Device::keep_out_of_msix() {
  const auto capability = find_capability(config_, PCI_CAP_ID_MSIX);
  if (capability == 0) return;
  const auto table = config_u32(config_, capability + PCI_MSIX_TABLE);
  const auto bar = table & PCI_MSIX_TABLE_BIR;
  if (bar >= kBars || regions_[bar].msix_mappable) return;
  const std::uint64_t entries = (config_u16(config_, capability + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1U;
  regions_[bar].areas =
      subtract(regions_[bar].areas, {.offset = table & PCI_MSIX_TABLE_OFFSET, .length = entries * PCI_MSIX_ENTRY_SIZE});
}

Result<void> Device::read(unsigned region, std::uint64_t offset, std::span<std::byte> data) const {
  const auto& facts = regions_.at(region);
  if (!facts.readable || !fits(offset, data.size(), facts.size)) {
    return fail(Errc::invalid, fmt::format("region {} has no {} bytes to read at {:#x}", region, data.size(), offset));
  }
  return port_->read(region, facts, offset, data);
}

Result<void> Device::write(unsigned region, std::uint64_t offset, std::span<const std::byte> data) const {
  const auto& facts = regions_.at(region);
  if (!facts.writable || !fits(offset, data.size(), facts.size)) {
    return fail(Errc::invalid, fmt::format("region {} has no {} bytes to write at {:#x}", region, data.size(), offset));
  }
  return port_->write(region, facts, offset, data);
}

Result<std::vector<std::byte>> Device::read_rom() {
  TRY(read_region(kRomRegion));
  const auto size = regions_[kRomRegion].size;
  if (size > kLargestRom) return fail(Errc::kernel, fmt::format("ROM of {:#x} bytes, wanted 16 MiB at most", size));
  std::vector<std::byte> image(size);
  if (size == 0) return image;
  std::array<std::byte, 2> command{};
  TRY(read(kConfigRegion, PCI_COMMAND, command));
  auto decoding = command;
  decoding[0] |= std::byte{PCI_COMMAND_MEMORY};
  TRY(write(kConfigRegion, PCI_COMMAND, decoding));
  auto outcome = read(kRomRegion, 0, image);
  TRY(write(kConfigRegion, PCI_COMMAND, command));
  TRY(std::move(outcome));
  return image;
}

Result<Mapping> Device::map(unsigned region, Area area) const {
  const auto& facts = regions_.at(region);
  if (std::ranges::find(facts.areas, area) == facts.areas.end()) {
    return fail(Errc::internal, fmt::format("region {} has no area {:#x}+{:#x}", region, area.offset, area.length));
  }
  // Less than 2 MiB has no use for more, and an alignment is two more changes of the address space.
  const auto alignment = area.length < 2 * kMiB ? kPageSize : std::min(std::bit_floor(area.length), kGiB);
  return port_->map(region, facts, area, alignment);
}

Result<void> Device::set_triggers(Irq kind, unsigned start, std::span<const int> events) const {
  vfio_irq_set set{};
  set.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
  set.index = static_cast<std::uint32_t>(kind);
  set.start = start;
  set.count = static_cast<std::uint32_t>(events.size());
  const auto what = fmt::format("{}: interrupt {} vectors {}+{}", name_, set.index, start, events.size());
  const int possible = TRY_IN(port_->set_irqs(set, events), what);
  if (possible == 0) return {};
  // Nothing was enabled: it says how many there would be (vfio_msi_enable).
  return fail(Errc::kernel, fmt::format("{}: the host has interrupts for {} of them", what, possible));
}

// Whether it has the event is not asked before: the answer of this call says it as well.
Result<void> Device::tell(Irq event, FdRef eventfd) const {
  if (event == Irq::error && find_capability(config_, PCI_CAP_ID_EXP) == 0) return {};
  const std::array events{eventfd.number()};
  auto told = set_triggers(event, 0, events);
  if (told || (told.error().sys_errno() != EINVAL && told.error().sys_errno() != ENOTTY)) return told;
  log::debug("{}: has no event {}", name_, std::to_underlying(event));
  return {};
}

Result<void> Device::disable(Irq kind) const {
  vfio_irq_set set{};
  set.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
  set.index = static_cast<std::uint32_t>(kind);
  TRY_IN(port_->set_irqs(set, {}), fmt::format("{}: free interrupt {}", name_, set.index));
  return {};
}

Result<void> Device::set_masked(Irq kind, bool masked) const {
  vfio_irq_set set{};
  set.flags = VFIO_IRQ_SET_DATA_NONE | (masked ? VFIO_IRQ_SET_ACTION_MASK : VFIO_IRQ_SET_ACTION_UNMASK);
  set.index = static_cast<std::uint32_t>(kind);
  set.count = 1;
  TRY_IN(port_->set_irqs(set, {}), fmt::format("{}: mask interrupt {}", name_, set.index));
  return {};
}

Result<void> Device::reset() {
  TRY_IN(port_->reset(), name_);
  return read_config();
}

}  // namespace pcivm::vfio
