// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/tap.hpp"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "vmm/virtio/features.hpp"
#include "vmm/virtio/net_uapi.hpp"

namespace pcivm::vmm {

namespace {

constexpr Ioctl<ifreq> kSetInterface{"TUNSETIFF", TUNSETIFF};
constexpr Ioctl<int> kSetHeaderSize{"TUNSETVNETHDRSZ", TUNSETVNETHDRSZ};
constexpr IoctlValue kSetOffload{"TUNSETOFFLOAD", TUNSETOFFLOAD};
constexpr Ioctl<ifreq> kSetQueue{"TUNSETQUEUE", TUNSETQUEUE};

// The kernel makes an interface of a name that it does not know: look first.
Result<unsigned> tap_flags(const SysRoot& root, const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name.find('/') != std::string::npos || name.starts_with('.')) {
    return fail(Errc::invalid, fmt::format("'{}' is no name of an interface", name));
  }
  const auto folder = "/sys/class/net/" + name;
  if (!root.exists(folder)) {
    return fail(Error::make(Errc::not_found, fmt::format("there is no interface '{}'", name))
                    .advise(fmt::format("ip tuntap add dev {0} mode tap; ip link set {0} up", name)));
  }
  const auto text = root.read(folder + "/tun_flags");
  if (!text) return fail(Errc::invalid, fmt::format("'{}' is no tap interface", name));
  const auto flags = TRY_IN(parse_hex_prefixed<unsigned>(*text), folder);
  if ((flags & IFF_TAP) == 0) return fail(Errc::invalid, fmt::format("'{}' is a tun interface, a tap wanted", name));
  return flags;
}

Result<Fd> open_queue(const SysRoot& root, IoctlPort& port, const std::string& name, short flags) {
  auto tap = TRY(root.open_file("/dev/net/tun", O_RDWR | O_NONBLOCK));
  ifreq request{};
  std::ranges::copy(name, request.ifr_name);
  request.ifr_flags = flags;
  auto set = kSetInterface(port, tap.ref(), request);
  if (!set) {
    auto error = std::move(set).error();
    if (error.sys_errno() == EBUSY) error = std::move(error).as(Errc::busy).advise("another VM has this interface");
    return fail(std::move(error));
  }
  int size = net_uapi::kHeader;
  TRY(kSetHeaderSize(port, tap.ref(), size));
  return tap;
}

}  // namespace

Result<std::vector<Fd>> open_tap(const SysRoot& root, IoctlPort& port, const std::string& name, unsigned queues) {
  const auto existing = TRY(tap_flags(root, name));
  if (queues > 1 && (existing & IFF_MULTI_QUEUE) == 0) {
    return fail(Error::make(Errc::invalid, fmt::format("'{}' has one queue, {} wanted", name, queues))
                    .advise(fmt::format("ip tuntap add dev {} mode tap multi_queue", name)));
  }
  const auto flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (existing & IFF_MULTI_QUEUE));
  std::vector<Fd> taps;
  for (unsigned queue = 0; queue < queues; ++queue) {
    taps.push_back(TRY_IN(open_queue(root, port, name, flags), fmt::format("tap '{}'", name)));
  }
  return taps;
}

Result<void> set_tap_offloads(IoctlPort& port, FdRef tap, std::uint64_t features) {
  const auto when = [features](unsigned feature, unsigned long offload) {
    return virtio_features::has(features, feature) ? offload : 0;
  };
  unsigned long offloads = when(net_uapi::kGuestCsum, TUN_F_CSUM);
  // The kernel takes the others with the first only.
  if (offloads != 0) {
    offloads |= when(net_uapi::kGuestTso4, TUN_F_TSO4) | when(net_uapi::kGuestTso6, TUN_F_TSO6) |
                when(net_uapi::kGuestEcn, TUN_F_TSO_ECN);
  }
  TRY(kSetOffload(port, tap, offloads));
  return {};
}

Result<void> use_tap_queue(IoctlPort& port, FdRef tap, bool on) {
  ifreq request{};
  request.ifr_flags = static_cast<short>(on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE);
  auto set = kSetQueue(port, tap, request);
  // It was so already.
  if (!set && set.error().sys_errno() != EINVAL) return fail(std::move(set).error());
  return {};
}

}  // namespace pcivm::vmm
