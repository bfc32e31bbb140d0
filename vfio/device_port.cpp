// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/device_port.hpp"

#include <algorithm>
#include <utility>

#include "vfio/uapi.hpp"

namespace pcivm::vfio {

namespace {

Access access_to(const Region& region) { return region.writable ? Access::read_write : Access::read; }

class KernelPort final : public DevicePort {
 public:
  KernelPort(IoctlPort& port, Fd device) : port_{port}, fd_{std::move(device)} {}

  Result<void> get_info(vfio_device_info& info) override {
    TRY(uapi::get_info(port_, fd_.ref(), info));
    return {};
  }
  Result<void> get_region_info(FlexibleArgument<vfio_region_info>& info) override {
    TRY(uapi::get_region_info(port_, fd_.ref(), info.header()));
    return {};
  }
  Result<void> get_irq_info(vfio_irq_info& info) override {
    TRY(uapi::get_irq_info(port_, fd_.ref(), info));
    return {};
  }
  Result<int> set_irqs(const vfio_irq_set& set, std::span<const int> events) override {
    FlexibleArgument<vfio_irq_set> argument{events.size_bytes()};
    argument.header() = set;
    argument.header().argsz = static_cast<std::uint32_t>(argument.bytes().size());
    std::ranges::copy(std::as_bytes(events), argument.tail().begin());
    return uapi::set_irqs(port_, fd_.ref(), argument.header());
  }
  Result<void> reset() override {
    TRY(uapi::reset(port_, fd_.ref()));
    return {};
  }
  Result<void> read(unsigned /*index*/, const Region& region, std::uint64_t offset,
                    std::span<std::byte> data) override {
    return pread_exact(fd_.ref(), region.file_offset + offset, data);
  }
  Result<void> write(unsigned /*index*/, const Region& region, std::uint64_t offset,
                     std::span<const std::byte> data) override {
    return pwrite_exact(fd_.ref(), region.file_offset + offset, data);
  }
  Result<Mapping> map(unsigned /*index*/, const Region& region, Area area, std::uint64_t alignment) override {
    return Mapping::shared(fd_.ref(), region.file_offset + area.offset, area.length, access_to(region), alignment);
  }

 private:
  IoctlPort& port_;
  Fd fd_;
};

}  // namespace

std::unique_ptr<DevicePort> make_kernel_port(IoctlPort& port, Fd device) {
  return std::make_unique<KernelPort>(port, std::move(device));
}

}  // namespace pcivm::vfio
