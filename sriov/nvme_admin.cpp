// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/nvme_admin.hpp"

#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "sriov/nvme_status.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::sriov {

namespace {

constexpr Ioctl<nvme_passthru_cmd> kAdminCommand{"NVME_IOCTL_ADMIN_CMD", NVME_IOCTL_ADMIN_CMD};
constexpr std::size_t kPage{4096};  // what Identify fills, and what a controller list has

// Opcodes, base specification, figure 138.
constexpr std::uint8_t kIdentify{0x06};
constexpr std::uint8_t kNamespaceAttachment{0x15};
constexpr std::uint8_t kVirtualizationManagement{0x1c};
// CNS values of Identify, figure 273.
constexpr unsigned kController{0x01};
constexpr unsigned kAllocatedNamespaces{0x10};
constexpr unsigned kControllersOfNamespace{0x12};
constexpr unsigned kPrimaryCapabilities{0x14};
constexpr unsigned kSecondaryList{0x15};
// Actions of Virtualization Management, figure 372.
constexpr unsigned kAllotPrimary{1};
constexpr unsigned kOffline{7};
constexpr unsigned kAssign{8};
constexpr unsigned kOnline{9};

// NVMe is little-endian, and so is every machine that this runs on; still no structure is laid over the bytes.
std::uint32_t number(std::span<const std::byte> data, std::size_t offset, std::size_t bytes) {
  std::uint32_t value{};
  for (std::size_t i = 0; i < bytes; ++i) value |= std::to_integer<std::uint32_t>(data[offset + i]) << (8 * i);
  return value;
}
std::uint16_t half(std::span<const std::byte> data, std::size_t offset) {
  return static_cast<std::uint16_t>(number(data, offset, 2));
}

// Secondary Controller Entry, figure 283.
NvmeSecondary secondary_at(std::span<const std::byte> entry) {
  return {.id = half(entry, 0),
          .vf_number = half(entry, 8),
          .online = (number(entry, 4, 1) & 1U) != 0,
          .queues = half(entry, 10),
          .interrupts = half(entry, 12)};
}

}  // namespace

Result<void> NvmeAdmin::send(nvme_passthru_cmd& command, std::span<std::byte> data, const std::string& what) {
  command.addr = std::bit_cast<std::uint64_t>(data.data());
  command.data_len = static_cast<std::uint32_t>(data.size());
  command.timeout_ms = static_cast<std::uint32_t>(host_->deadline.count());
  const auto status = TRY_IN(kAdminCommand(*port_, device_.ref(), command), fmt::format("{}: {}", name_, what));
  if (status == 0) return {};
  return fail(nvme_error(static_cast<unsigned>(status), fmt::format("{}: {}", name_, what)));
}

Result<std::vector<std::byte>> NvmeAdmin::identify(unsigned structure, unsigned controller, std::uint32_t nsid) {
  std::vector<std::byte> data(kPage);
  nvme_passthru_cmd command{};
  command.opcode = kIdentify;
  command.nsid = nsid;
  command.cdw10 = (controller << 16U) | structure;
  TRY(send(command, data, fmt::format("identify {:02x}h", structure)));
  return data;
}

Result<NvmeAdmin> NvmeAdmin::open(const vfio::Host& host, IoctlPort& port, Bdf physical) {
  const auto names = host.root.list(vfio::directory_of(physical) + "/nvme");
  if (!names || names->empty()) {
    return fail(Error::make(Errc::kernel, fmt::format("{} has no controller of the nvme driver", physical.to_string()))
                    .advise("is its driver bound? see dmesg"));
  }
  const auto& name = names->front();
  auto device = TRY(host.root.open_file("/dev/" + name, O_RDWR));
  NvmeAdmin admin{host, port, std::move(device), name};
  // Identify Controller, figure 275: CNTLID and the optional admin commands.
  const auto data = TRY(admin.identify(kController, 0, 0));
  admin.id_ = half(data, 78);
  admin.virtualization_ = (half(data, 256) & (1U << 7U)) != 0;
  return admin;
}

Result<NvmeFlexible> NvmeAdmin::flexible(NvmeResource type) {
  // Primary Controller Capabilities, figure 282: queues from byte 32, interrupts in the same order from byte 64.
  const auto data = TRY(identify(kPrimaryCapabilities, id_, 0));
  const auto supported = number(data, 4, 1) & (1U << static_cast<unsigned>(type));
  if (supported == 0) return NvmeFlexible{};
  const std::size_t base = type == NvmeResource::queues ? 32 : 64;
  return NvmeFlexible{.total = number(data, base, 4),
                      .of_secondaries = number(data, base + 4, 4),
                      .of_primary = half(data, base + 8),
                      .most = half(data, base + 12),
                      .granularity = std::max<unsigned>(half(data, base + 14), 1)};
}

Result<std::vector<NvmeSecondary>> NvmeAdmin::secondaries() {
  constexpr std::size_t kEntry{32};
  constexpr std::size_t kMost{127};
  std::vector<NvmeSecondary> all;
  // A list holds up to 127 entries from the given identifier on.
  for (unsigned from = 0; from <= 0xffff; from = all.back().id + 1U) {
    const auto data = TRY(identify(kSecondaryList, from, 0));
    const auto count = std::min<std::size_t>(number(data, 0, 1), kMost);
    for (std::size_t i = 1; i <= count; ++i) all.push_back(secondary_at(std::span{data}.subspan(i * kEntry, kEntry)));
    if (count < kMost) break;
  }
  return all;
}

Result<std::vector<std::uint32_t>> NvmeAdmin::namespaces() {
  constexpr std::size_t kMost{kPage / 4};
  std::vector<std::uint32_t> all;
  for (;;) {
    const auto data = TRY(identify(kAllocatedNamespaces, 0, all.empty() ? 0 : all.back()));
    std::size_t i{};
    for (; i < kMost; ++i) {
      const auto nsid = number(data, i * 4, 4);
      // The list is in ascending order and ends with 0; what is not would make this loop endless.
      if (nsid == 0 || (!all.empty() && nsid <= all.back())) break;
      all.push_back(nsid);
    }
    if (i < kMost) return all;
  }
}

Result<std::vector<std::uint16_t>> NvmeAdmin::controllers_of(std::uint32_t nsid) {
  constexpr std::size_t kMost{kPage / 2 - 1};
  const auto data = TRY(identify(kControllersOfNamespace, 0, nsid));
  std::vector<std::uint16_t> all;
  const auto count = std::min<std::size_t>(half(data, 0), kMost);
  for (std::size_t i = 1; i <= count; ++i) all.push_back(half(data, i * 2));
  return all;
}

Result<void> NvmeAdmin::manage(unsigned action, NvmeResource type, std::uint16_t controller, unsigned count) {
  nvme_passthru_cmd command{};
  command.opcode = kVirtualizationManagement;
  command.cdw10 = (static_cast<std::uint32_t>(controller) << 16U) | (static_cast<unsigned>(type) << 8U) | action;
  command.cdw11 = count;
  const auto* resources = type == NvmeResource::queues ? "queues" : "interrupts";
  const auto what = action == kOnline    ? fmt::format("controller {} online", controller)
                    : action == kOffline ? fmt::format("controller {} offline", controller)
                                         : fmt::format("controller {} gets {} {}", controller, count, resources);
  return send(command, {}, what);
}

Result<void> NvmeAdmin::allot_primary(NvmeResource type, unsigned count) {
  return manage(kAllotPrimary, type, id_, count);
}

Result<void> NvmeAdmin::assign(std::uint16_t controller, NvmeResource type, unsigned count) {
  return manage(kAssign, type, controller, count);
}

Result<void> NvmeAdmin::set_online(std::uint16_t controller, bool online) {
  return manage(online ? kOnline : kOffline, NvmeResource::queues, controller, 0);
}

Result<void> NvmeAdmin::set_attached(std::uint32_t nsid, std::uint16_t controller, bool attached) {
  std::vector<std::byte> list(kPage);
  list[0] = std::byte{1};
  list[2] = static_cast<std::byte>(controller & 0xffU);
  list[3] = static_cast<std::byte>(controller >> 8U);
  nvme_passthru_cmd command{};
  command.opcode = kNamespaceAttachment;
  command.nsid = nsid;
  command.cdw10 = attached ? 0 : 1;
  const auto* verb = attached ? "attach namespace {} to controller {}" : "detach namespace {} from controller {}";
  return send(command, list, fmt::format(fmt::runtime(verb), nsid, controller));
}

}  // namespace pcivm::sriov
