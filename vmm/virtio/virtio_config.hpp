// SPDX-License-Identifier: GPL-2.0-or-later
// The virtio devices of a VM, as the privileged side prepared them: open descriptors and plain choices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/parse.hpp"
#include "base/units.hpp"
#include "vmm/bar_plan.hpp"
#include "vmm/virtio/disk_file.hpp"

namespace pcivm::vmm {

struct DiskConfig {
  DiskFile disk{};  ///< open for writing unless read_only
  bool read_only{};
  bool packed{};  ///< packed rings are offered
  unsigned queues{1};
  std::string serial{};       ///< up to 20 bytes
  std::uint64_t iops{};       ///< requests a second; 0: no limit
  std::uint64_t bandwidth{};  ///< bytes a second that are read and written; 0: no limit
};

struct NetConfig {
  std::vector<Fd> taps;    ///< one a pair of queues
  std::vector<Fd> vhosts;  ///< /dev/vhost-net, one a pair of queues; none: frames pass this process
  Fd stream{};             ///< in place of taps: the socket of a process that carries frames (stream_port.hpp)
  MacAddress mac{};
  bool packed{};  ///< packed rings are offered; not with vhost
};

/// A file that the guest has in its memory.
struct PmemConfig {
  Fd file;
  std::uint64_t length{};
  bool read_only{};
  Gpa base{};  ///< where the layout puts it
};

/// A folder that a daemon serves; RAM is then shareable.
struct SharedFolderConfig {
  Fd daemon;  ///< connected
  std::string tag;
};

struct VsockConfig {
  Fd vhost;             ///< /dev/vhost-vsock, which has the address already
  std::uint32_t cid{};  ///< the guest's address
};

/// A named port of the console device, for an agent in the guest.
struct ConsolePortConfig {
  std::string name;  ///< /dev/virtio-ports/NAME there; not empty
  Fd channel;        ///< the VMM's end of a packet socket, on which clients are handed over (console_port.hpp)
};

struct ConsoleConfig {
  static constexpr std::size_t kMostPorts{31};
  bool terminal{};  ///< port 0 is the guest's hvc0
  std::vector<ConsolePortConfig> ports{};
  [[nodiscard]] bool wanted() const { return terminal || !ports.empty(); }
};

/// On the bus in the order of declaration.
struct VirtioConfig {
  bool iommu{};  ///< assigned devices are behind one of the guest's own
  std::vector<DiskConfig> disks;
  std::vector<NetConfig> nets;
  std::vector<PmemConfig> pmems{};
  std::vector<SharedFolderConfig> folders{};
  std::optional<VsockConfig> vsock{};
  bool random{};
  bool balloon{};  ///< never beside assigned devices
  bool memory{};   ///< RAM comes and goes, in the blocks of the layout
  ConsoleConfig console{};

  [[nodiscard]] std::size_t count() const {
    return (iommu ? 1U : 0U) + disks.size() + nets.size() + pmems.size() + folders.size() + (vsock ? 1U : 0U) +
           (random ? 1U : 0U) + (balloon ? 1U : 0U) + (console.wanted() ? 1U : 0U) + (memory ? 1U : 0U);
  }
};

/// What they ask of the address allocator, in bus order.
[[nodiscard]] std::vector<DeviceBars> virtio_bars(const VirtioConfig& config);

}  // namespace pcivm::vmm
