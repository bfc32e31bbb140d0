// SPDX-License-Identifier: GPL-2.0-or-later
// From what the operator asked for to open descriptors and plans; every check that can fail comes before the first
// change to the host.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/context.hpp"
#include "cli/vm_name_lock.hpp"
#include "cli/vm_ports.hpp"
#include "cli/vm_rom.hpp"
#include "vmm/counting_ioctl.hpp"
#include "vmm/thread_filter.hpp"
#include "vmm/vm_config.hpp"

namespace pcivm::cli {

/// The arguments of `vm run`, as typed.
struct VmRequest {
  std::string name{};
  std::string kernel{};
  std::string initrd{};
  std::string cmdline{};
  std::string firmware{};  ///< in place of a kernel
  std::string firmware_vars{};
  std::string firmware_log{};
  std::string memory{"1G"};
  std::string hugepages{};
  std::string numa{};
  bool populate{};
  std::uint32_t cpus{2};
  std::string topology{};
  std::string cpu{"host"};
  std::string pin{};
  std::vector<std::string> devices{};
  std::vector<std::string> roms{};
  std::vector<std::string> mdevs{};
  std::vector<std::string> user_devices{};
  std::string iommu_backend{"auto"};
  bool debug_exit{};
  bool p2p{};
  std::string iommu{"none"};
  std::vector<std::string> disks{};
  std::string cloud_init{};
  std::vector<std::string> nets{};
  std::vector<std::string> pmems{};
  std::vector<std::string> folders{};
  std::vector<std::string> ports{};
  std::optional<std::string> vsock{};
  std::optional<std::string> watchdog{};
  std::uint32_t hotplug_slots{4};
  std::string hotplug_room{};  ///< empty: 64G, or what fits
  bool rng{};
  bool balloon{};
  std::string console{"serial"};
  std::string on_reboot{"restart"};
  std::string on_request{"detach"};
  std::string on_error{"stop"};
  std::string on_release{};
  std::string seccomp{"kill"};
  std::string timeline{};
  std::string vmm_socket{};  ///< of the VMM's unit (vm_vmm_unit.hpp); empty: it is a child of the supervisor
};

/// Checked and opened, the host unchanged but for the VM's directory in /run and the variables of its firmware.
struct VmChecked {
  vmm::VmConfig config;             ///< without devices: layout, boot plan and vfio are those of a VM that has none
  std::vector<Bdf> functions;       ///< to assign
  std::vector<RomWish> roms{};      ///< of some of them
  std::vector<vfio::Mdev> mdevs{};  ///< behind these on the bus
  std::vector<vfio::OpenedDevice> served{};   ///< by other processes; behind both
  std::optional<vfio::IommuBackend> backend;  ///< none: what the host has
  std::uint64_t memory{};
  std::uint64_t most_memory{};  ///< with what may come while the guest runs
  vmm::Seccomp seccomp{};
  unsigned address_bits{};                      ///< of the guest's CPUs
  std::optional<std::uint64_t> hotplug_room{};  ///< as asked for
  std::uint64_t initrd_length{};
  vmm::KernelImage image;
  NameLock lock;                     ///< held as long as the VM runs
  Fd timeline;                       ///< none = not wanted
  std::unique_ptr<VmPorts> ports{};  ///< listening; goes before the lock
};

/// Errc::invalid: name, sizes, kernel, initrd or firmware unusable, a device twice; not_found: file, device or /dev/kvm
/// missing; denied: no permission, memlock too low; busy: a VM of that name runs.
[[nodiscard]] Result<VmChecked> check_vm(const SysRoot& root, IoctlPort& port, const VmRequest& request);

/// The RAM that may be pinned at once: with an IOMMU of the guest once for RAM itself and once for what each of its
/// devices reaches.
[[nodiscard]] std::uint64_t pinned_memory(std::uint64_t ram, bool guest_iommu, std::size_t devices);

/// Two functions of one group reach the same memory, and a guest with an IOMMU would take them for isolated.
[[nodiscard]] Error shared_group(Bdf function, std::uint32_t group);

/// With the functions bound: opens them and plans again with their BARs and reserved addresses.
[[nodiscard]] Result<vmm::VmConfig> open_vm(const SysRoot& root, IoctlPort& port, VmChecked& checked);

}  // namespace pcivm::cli
