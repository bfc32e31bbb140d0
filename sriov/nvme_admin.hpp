// SPDX-License-Identifier: GPL-2.0-or-later
// The admin commands of an NVMe primary controller that make its secondary controllers (its VFs) of use: Identify,
// Virtualization Management, Namespace Attachment (NVM Express Base Specification 2.0, 5.17, 5.29, 5.12), sent through
// the kernel's passthrough ioctl (linux/nvme_ioctl.h). The kernel aborts a command after the host's deadline.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/result.hpp"
#include "vfio/binding_host.hpp"

struct nvme_passthru_cmd;

namespace pcivm::sriov {

enum class NvmeResource : std::uint8_t { queues = 0, interrupts = 1 };  ///< values of "resource type"

/// Resources of one type that can be moved between controllers. All zero: the drive has none of this type to move.
struct NvmeFlexible {
  unsigned total{};
  unsigned of_secondaries{};
  unsigned of_primary{};    ///< takes effect at its reset
  unsigned most{};          ///< for one secondary controller
  unsigned granularity{1};  ///< what to assign in multiples of
  bool operator==(const NvmeFlexible&) const = default;
  [[nodiscard]] unsigned free() const { return total - of_secondaries - of_primary; }
};

struct NvmeSecondary {
  std::uint16_t id{};
  unsigned vf_number{};  ///< counted from 1; 0 = no VF
  bool online{};
  unsigned queues{};
  unsigned interrupts{};
  [[nodiscard]] unsigned of(NvmeResource type) const { return type == NvmeResource::queues ? queues : interrupts; }
};

class NvmeAdmin final {
 public:
  /// The controller whose PCI function is `physical`; its driver is nvme. `host` and `port` outlive it.
  [[nodiscard]] static Result<NvmeAdmin> open(const vfio::Host& host, IoctlPort& port, Bdf physical);

  /// Without it the drive's VFs, if it has any, need nothing of what follows.
  [[nodiscard]] bool has_virtualization_management() const { return virtualization_; }
  [[nodiscard]] Result<NvmeFlexible> flexible(NvmeResource type);
  [[nodiscard]] Result<std::vector<NvmeSecondary>> secondaries();
  /// Allocated ones, attached or not, in ascending order.
  [[nodiscard]] Result<std::vector<std::uint32_t>> namespaces();
  /// The controllers that a namespace is attached to.
  [[nodiscard]] Result<std::vector<std::uint16_t>> controllers_of(std::uint32_t nsid);

  /// What the primary controller keeps of its flexible resources; takes effect at its reset.
  [[nodiscard]] Result<void> allot_primary(NvmeResource type, unsigned count);
  /// Of an offline secondary controller.
  [[nodiscard]] Result<void> assign(std::uint16_t controller, NvmeResource type, unsigned count);
  [[nodiscard]] Result<void> set_online(std::uint16_t controller, bool online);
  [[nodiscard]] Result<void> set_attached(std::uint32_t nsid, std::uint16_t controller, bool attached);

 private:
  NvmeAdmin(const vfio::Host& host, IoctlPort& port, Fd device, std::string name)
      : host_{&host}, port_{&port}, device_{std::move(device)}, name_{std::move(name)} {}
  Result<void> send(nvme_passthru_cmd& command, std::span<std::byte> data, const std::string& what);
  Result<std::vector<std::byte>> identify(unsigned structure, unsigned controller, std::uint32_t nsid);
  Result<void> manage(unsigned action, NvmeResource type, std::uint16_t controller, unsigned count);

  const vfio::Host* host_;
  IoctlPort* port_;
  Fd device_;
  std::string name_;  // "nvme0"
  std::uint16_t id_{};
  bool virtualization_{};
};

}  // namespace pcivm::sriov
