// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/user_device.hpp"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/log.hpp"
#include "base/socket.hpp"
#include "base/units.hpp"
#include "vfio/device.hpp"
#include "vfio/device_bars.hpp"
#include "vfio/info_chain.hpp"

namespace pcivm::vfio {

using user::bytes_of;
using user::Command;

namespace {

// No host has such a domain.
constexpr std::uint32_t kDomain = 0xffffffff;
constexpr unsigned kInterrupts = 5;  // kinds

/// True when the file has the range and whoever else holds it cannot take that away: an access to memory that went
/// would end the VM.
bool keeps(FdRef file, std::uint64_t offset, std::uint64_t length) {
  (void)::fcntl(file.number(), F_ADD_SEALS, F_SEAL_SHRINK);
  const int seals = ::fcntl(file.number(), F_GET_SEALS);
  struct stat facts{};
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || ::fstat(file.number(), &facts) != 0) return false;
  return fits(offset, length, static_cast<std::uint64_t>(facts.st_size));
}

class UserPort final : public DevicePort {
 public:
  explicit UserPort(UserClient& client) : client_{client} {}

  Result<void> get_info(vfio_device_info& info) override {
    const user::DeviceInfo request{.argsz = sizeof request};
    const auto reply = TRY(client_.call(Command::get_info, bytes_of(request), sizeof request, sizeof request));
    const auto found = copy_at<user::DeviceInfo>(reply.payload, 0);
    info.flags = found.flags;
    info.num_regions = found.num_regions;
    info.num_irqs = kInterrupts;
    interrupts_ = found.num_irqs;
    return {};
  }

  Result<void> get_region_info(FlexibleArgument<vfio_region_info>& info) override {
    const auto request = info.header();
    auto reply = TRY(client_.call(Command::get_region_info, bytes_of(request), sizeof request, info.bytes().size()));
    std::ranges::copy(reply.payload, info.bytes().begin());
    auto& region = info.header();
    if (request.index >= files_.size() || (region.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) return {};
    if (!reply.files.empty() && keeps(reply.files.front().ref(), region.offset, region.size)) {
      files_[request.index] = std::move(reply.files.front());
    } else {
      log::debug("region {} of a vfio-user device is not mapped: its file may become shorter", request.index);
      region.flags &= ~std::uint32_t{VFIO_REGION_INFO_FLAG_MMAP};
    }
    return {};
  }

  Result<void> get_irq_info(vfio_irq_info& info) override {
    const auto index = info.index;
    info.flags = VFIO_IRQ_INFO_EVENTFD;
    info.count = 0;
    if (index >= interrupts_) return {};
    const vfio_irq_info request{.argsz = sizeof request, .flags = 0, .index = index, .count = 0};
    const auto reply = TRY(client_.call(Command::get_irq_info, bytes_of(request), sizeof request, sizeof request));
    info = copy_at<vfio_irq_info>(reply.payload, 0);
    info.count = std::min<std::uint32_t>(info.count, PCI_MSIX_FLAGS_QSIZE + 1);
    return {};
  }

  // A message has one kind of vectors, those with an eventfd or those without, and no more than the server takes.
  Result<int> set_irqs(const vfio_irq_set& set, std::span<const int> events) override {
    if (set.index == VFIO_PCI_REQ_IRQ_INDEX) {
      TRY(client_.set_alarm(FdRef{events.empty() ? -1 : events.front()}));
      return 0;
    }
    if (set.index == VFIO_PCI_ERR_IRQ_INDEX)
      return fail_errno(EINVAL, "a process that serves a device tells of no AER");
    if (events.empty()) TRY(set_run(set, set.start, set.count, {}));
    for (std::size_t at = 0; at < events.size();) {
      const auto rest = events.subspan(at);
      const bool given = rest.front() >= 0;
      const auto other = std::ranges::find_if(rest, [&](int event) { return (event >= 0) != given; });
      const auto length = static_cast<std::size_t>(other - rest.begin());
      const auto run = rest.first(given ? std::min<std::size_t>(length, client_.limits().files) : length);
      std::vector<FdRef> files;
      for (const int event : run) {
        if (given) files.emplace_back(event);
      }
      TRY(set_run(set, set.start + static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(run.size()), files));
      at += run.size();
    }
    return 0;
  }

  Result<void> reset() override {
    TRY(client_.call(Command::reset, {}, 0, 0));
    return {};
  }

  Result<void> read(unsigned index, const Region& /*region*/, std::uint64_t offset,
                    std::span<std::byte> data) override {
    while (!data.empty()) {
      const auto part = data.first(std::min<std::size_t>(data.size(), client_.limits().transfer));
      const auto request = access(index, offset, part.size());
      const auto size = sizeof request + part.size();
      const auto reply = TRY(client_.call(Command::region_read, bytes_of(request), size, size));
      std::ranges::copy(std::span{reply.payload}.subspan(sizeof request), part.begin());
      data = data.subspan(part.size());
      offset += part.size();
    }
    return {};
  }

  Result<void> write(unsigned index, const Region& /*region*/, std::uint64_t offset,
                     std::span<const std::byte> data) override {
    while (!data.empty()) {
      const auto part = data.first(std::min<std::size_t>(data.size(), client_.limits().transfer));
      const auto request = access(index, offset, part.size());
      TRY(heard(client_.call(Command::region_write, bytes_of(request), sizeof request, sizeof request, {}, part)));
      data = data.subspan(part.size());
      offset += part.size();
    }
    return {};
  }

  Result<Mapping> map(unsigned index, const Region& region, Area area, std::uint64_t alignment) override {
    return Mapping::shared(files_.at(index).ref(), region.file_offset + area.offset, area.length,
                           region.writable ? Access::read_write : Access::read, alignment);
  }

 private:
  static user::RegionAccess access(unsigned index, std::uint64_t offset, std::size_t count) {
    return {.offset = offset, .region = index, .count = static_cast<std::uint32_t>(count)};
  }

  Result<void> set_run(const vfio_irq_set& set, std::uint32_t start, std::uint32_t count,
                       std::span<const FdRef> files) {
    const user::IrqSet request{
        .argsz = sizeof request, .flags = set.flags, .index = set.index, .start = start, .count = count};
    return heard(client_.call(Command::set_irqs, bytes_of(request), 0, 0, files));
  }

  // The loss of the server is told once, by its own event.
  Result<void> heard(Result<UserClient::Reply> outcome) const {
    if (outcome || client_.loss()) return {};
    return fail(std::move(outcome).error());
  }

  UserClient& client_;
  std::uint32_t interrupts_{};
  std::array<Fd, Device::kRegions> files_;
};

}  // namespace

std::unique_ptr<DevicePort> make_user_port(UserClient& client) { return std::make_unique<UserPort>(client); }

Result<OpenedDevice> open_user_device(const std::string& path, unsigned index, UserClient::Milliseconds patience) {
  auto socket = connect_to(path);
  if (!socket) {
    return fail(std::move(socket).error().advise("the server must run first, and serve nobody else at this socket"));
  }
  OpenedDevice opened{.address = {.domain = kDomain, .bus = 0, .device = static_cast<std::uint8_t>(index)}, .bars = {}};
  opened.server = OpenedServer{.path = path, .socket = {}};
  UserClient client{std::move(*socket), opened.name(), patience};
  TRY_IN(client.negotiate(), opened.name());
  const auto device = TRY(Device::adopt(make_user_port(client), opened.name(), UnprovenReset::allow));
  opened.bars = TRY_IN(bars_of(*device), opened.name());
  opened.server->limits = client.limits();
  opened.server->socket = std::move(client).take_socket();
  return opened;
}

}  // namespace pcivm::vfio
