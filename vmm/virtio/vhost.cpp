// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/vhost.hpp"

#define VIRTIO_RING_NO_LEGACY  // no C++
#include <linux/vhost.h>

#include <bit>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace pcivm::vmm {

namespace {

struct MemoryHead {  // struct vhost_memory without its flexible array, whose size C++ gets wrong
  __u32 regions;
  __u32 padding;
};

constexpr IoctlValue kSetOwner{"VHOST_SET_OWNER", VHOST_SET_OWNER};
constexpr Ioctl<std::uint64_t> kGetFeatures{"VHOST_GET_FEATURES", VHOST_GET_FEATURES};
constexpr Ioctl<std::uint64_t> kSetFeatures{"VHOST_SET_FEATURES", VHOST_SET_FEATURES};
constexpr Ioctl<MemoryHead> kSetMemory{"VHOST_SET_MEM_TABLE", _IOW(VHOST_VIRTIO, 0x03, MemoryHead)};
constexpr Ioctl<vhost_vring_state> kSetSize{"VHOST_SET_VRING_NUM", VHOST_SET_VRING_NUM};
constexpr Ioctl<vhost_vring_state> kSetBase{"VHOST_SET_VRING_BASE", VHOST_SET_VRING_BASE};
constexpr Ioctl<vhost_vring_addr> kSetAddresses{"VHOST_SET_VRING_ADDR", VHOST_SET_VRING_ADDR};
constexpr Ioctl<vhost_vring_file> kSetKick{"VHOST_SET_VRING_KICK", VHOST_SET_VRING_KICK};
constexpr Ioctl<vhost_vring_file> kSetCall{"VHOST_SET_VRING_CALL", VHOST_SET_VRING_CALL};
constexpr Ioctl<vhost_vring_file> kSetTap{"VHOST_NET_SET_BACKEND", VHOST_NET_SET_BACKEND};
constexpr Ioctl<std::uint64_t> kSetCid{"VHOST_VSOCK_SET_GUEST_CID", VHOST_VSOCK_SET_GUEST_CID};
constexpr Ioctl<int> kRunVsock{"VHOST_VSOCK_SET_RUNNING", VHOST_VSOCK_SET_RUNNING};

Result<std::uint64_t> host_address(const GuestMemory& memory, Gpa address, std::uint64_t length,
                                   std::uint64_t alignment) {
  if (!is_aligned(address.value, alignment)) {
    return fail(Errc::invalid, fmt::format("{:#x} is not aligned to {} bytes", address.value, alignment));
  }
  return std::bit_cast<std::uint64_t>(TRY(memory.window(address, length)).data());
}

}  // namespace

Result<Vhost> Vhost::adopt(IoctlPort& port, Fd device, const GuestMemory& memory) {
  TRY(kSetOwner(port, device.ref()));
  std::uint64_t features = 0;
  TRY(kGetFeatures(port, device.ref(), features));
  return Vhost{port, std::move(device), memory, features};
}

Result<void> Vhost::configure(std::uint64_t features) {
  features &= features_;
  TRY(kSetFeatures(*port_, device_.ref(), features));
  const auto regions = memory_->regions();
  FlexibleArgument<MemoryHead> table{regions.size() * sizeof(vhost_memory_region)};
  for (const auto& region : regions) {
    const vhost_memory_region entry{.guest_phys_addr = region.gpa.value,
                                    .memory_size = region.length,
                                    .userspace_addr = region.hva.value,
                                    .flags_padding = 0};
    std::memcpy(table.tail().subspan(table.header().regions++ * sizeof entry).data(), &entry, sizeof entry);
  }
  TRY(kSetMemory(*port_, device_.ref(), table.header()));
  return {};
}

// The kernel follows the ring by addresses of this process; whatever the guest writes there, it reaches no more than
// the table above.
Result<void> Vhost::set_queue(unsigned index, const VirtioQueueSetup& setup, FdRef doorbell, FdRef interrupt) {
  if (!std::has_single_bit(setup.size)) {
    return fail(Errc::invalid, fmt::format("queue of {} entries, a power of two wanted", setup.size));
  }
  vhost_vring_addr addresses{};
  addresses.index = index;
  addresses.desc_user_addr = TRY(host_address(*memory_, setup.descriptors, 16ULL * setup.size, 16));
  addresses.avail_user_addr = TRY(host_address(*memory_, setup.driver, 6 + 2ULL * setup.size, 2));
  addresses.used_user_addr = TRY(host_address(*memory_, setup.device, 6 + 8ULL * setup.size, 4));
  vhost_vring_state size{.index = index, .num = setup.size};
  vhost_vring_state base{.index = index, .num = 0};
  vhost_vring_file kick{.index = index, .fd = doorbell.number()};
  vhost_vring_file call{.index = index, .fd = interrupt.number()};
  TRY(kSetSize(*port_, device_.ref(), size));
  TRY(kSetBase(*port_, device_.ref(), base));
  TRY(kSetAddresses(*port_, device_.ref(), addresses));
  TRY(kSetKick(*port_, device_.ref(), kick));
  TRY(kSetCall(*port_, device_.ref(), call));
  return {};
}

Result<void> Vhost::set_tap(unsigned index, FdRef tap) {
  vhost_vring_file file{.index = index, .fd = tap.number()};
  TRY(kSetTap(*port_, device_.ref(), file));
  return {};
}

Result<void> Vhost::clear_tap(unsigned index) { return set_tap(index, FdRef{-1}); }

Result<void> Vhost::run_vsock(bool on) {
  int value = on ? 1 : 0;
  TRY(kRunVsock(*port_, device_.ref(), value));
  return {};
}

Result<void> set_vsock_cid(IoctlPort& port, FdRef device, std::uint64_t cid) {
  TRY(kSetCid(port, device, cid));
  return {};
}

}  // namespace pcivm::vmm
