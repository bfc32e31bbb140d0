// SPDX-License-Identifier: GPL-2.0-or-later
// A VFIO device and a KVM VM behind one IoctlPort: regions are a memfd, interrupts are real eventfds, every call that
// changes something is logged in order.
#pragma once

#include <linux/kvm.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/fd.hpp"
#include "base/ioctl.hpp"
#include "base/pci_config.hpp"
#include "base/units.hpp"
#include "vfio/region.hpp"
#include "vfio/uapi.hpp"
#include "vmm/kvm_uapi.hpp"

namespace pcivm::test {

/// What the device is made of; change it before Device::open.
struct FakeRegion {
  std::uint64_t size{};
  bool mappable{false};
  bool msix_mappable{false};
  std::optional<std::vector<vfio::Area>> sparse{};
};

class FakeVfio final : public IoctlPort {
 public:
  static constexpr std::uint64_t kStride = 16 * kMiB;  // of regions in the device's descriptor
  static constexpr std::uint16_t kPm = 0x40;
  static constexpr std::uint16_t kMsix = 0x70;
  static constexpr std::uint16_t kExpress = 0xa0;

  FakeVfio() : memory_{make_memfd("fake-vfio", kStride * 9).value()} {
    // As an igb VF: BAR 0 of 16 KiB, BAR 3 of 16 KiB with the MSI-X table and pending bits.
    regions[0] = {.size = 16 * kKiB, .mappable = true};
    regions[3] = {.size = 16 * kKiB, .mappable = true, .msix_mappable = true};
    regions[7] = {.size = 4096};
    irq_counts = {{VFIO_PCI_MSIX_IRQ_INDEX, 3}, {VFIO_PCI_ERR_IRQ_INDEX, 1}, {VFIO_PCI_REQ_IRQ_INDEX, 1}};
    config(PCI_VENDOR_ID, 4, 0x10ca8086);
    config(PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
    config(PCI_CLASS_REVISION, 4, 0x02000001);
    config(PCI_CAPABILITY_LIST, 1, kPm);
    config(kPm, 4, 0x00030000U | kMsix << 8U | PCI_CAP_ID_PM);
    config(kMsix, 4, 0x00020000U | kExpress << 8U | PCI_CAP_ID_MSIX);
    config(kMsix + PCI_MSIX_TABLE, 4, 0x0000 | 3);
    config(kMsix + PCI_MSIX_PBA, 4, 0x2000 | 3);
    config(kExpress, 4, 0x00020000U | PCI_CAP_ID_EXP);
    config(kExpress + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_FLR);
  }

  std::map<unsigned, FakeRegion> regions;
  std::map<unsigned, unsigned> irq_counts;
  std::uint32_t device_flags{VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET};
  bool fixed_count{false};
  unsigned most_vectors{2048};        ///< that the host has for one call
  std::size_t questions{};            ///< about the device, its regions and interrupts
  std::map<unsigned long, int> fail;  ///< request -> errno
  int no_vectors{};                   ///< errno of a call that gives a device eventfds
  int no_irqfds{};                    ///< errno of a call that gives KVM one
  std::optional<std::string> device_name;
  /// Of the PF on vfio-pci whose VF this is: the kernel wants it in the name. Empty: it wants none.
  std::string vf_token;
  bool takes_tokens{true};  ///< Linux 6.17: VFIO_DEVICE_BIND_FLAG_TOKEN
  /// The device's own node, once more.
  [[nodiscard]] Fd node() const { return memory_.dup().value(); }

  /// Sets a register of the "hardware".
  void config(std::uint64_t offset, unsigned width, std::uint32_t value) const {
    std::vector<std::byte> bytes(width);
    config_store(bytes, 0, width, value);
    (void)pwrite_exact(memory_.ref(), 7 * kStride + offset, bytes);
  }
  [[nodiscard]] std::uint32_t config(std::uint64_t offset, unsigned width) const { return word(7, offset, width); }
  [[nodiscard]] std::uint32_t word(unsigned region, std::uint64_t offset, unsigned width) const {
    std::vector<std::byte> bytes(width);
    (void)pread_exact(memory_.ref(), region * kStride + offset, bytes);
    return width == 1 ? config_u8(bytes, 0) : width == 2 ? config_u16(bytes, 0) : config_u32(bytes, 0);
  }
  void store(unsigned region, std::uint64_t offset, std::uint32_t value) const {
    std::vector<std::byte> bytes(4);
    config_store(bytes, 0, 4, value);
    (void)pwrite_exact(memory_.ref(), region * kStride + offset, bytes);
  }

  /// Configuration space reads all-ones, as that of a device that died or was pulled; later also EIO.
  void die() const {
    for (std::uint64_t offset = 0; offset < 4096; offset += 4) config(offset, 4, 0xffffffff);
  }
  void vanish() const { (void)::ftruncate(memory_.ref().number(), 0); }

  /// Log since the last call.
  [[nodiscard]] std::vector<std::string> take_log() {
    const std::scoped_lock lock{mutex_};
    return std::exchange(log_, {});
  }
  /// What VFIO would signal for `vector` of `index` now; -1 = nobody.
  [[nodiscard]] int trigger(unsigned index, unsigned vector) const {
    const auto found = triggers_.find({index, vector});
    return found == triggers_.end() ? -1 : found->second;
  }
  void fire(unsigned index, unsigned vector) const {
    if (const int event = trigger(index, vector); event >= 0) signal_eventfd(FdRef{event});
  }
  [[nodiscard]] std::size_t irqfds() const { return irqfds_.size(); }
  [[nodiscard]] std::size_t slots() const { return slots_.size(); }
  [[nodiscard]] const std::map<std::uint64_t, std::uint64_t>& slot_ranges() const { return slots_; }
  /// How often a slot was wanted where another one is.
  [[nodiscard]] std::size_t refused_slots() const { return refused_slots_; }
  [[nodiscard]] std::size_t host_vectors() const { return triggers_.size(); }
  [[nodiscard]] std::size_t host_vectors_of(unsigned index) const {
    return static_cast<std::size_t>(
        std::ranges::count(triggers_, index, [](const auto& entry) { return entry.first.first; }));
  }
  [[nodiscard]] std::size_t routes() const { return routes_.size(); }
  /// By GSI.
  [[nodiscard]] std::vector<std::uint32_t> route_data() const {
    std::vector<std::uint32_t> data;
    for (const auto& [gsi, value] : routes_) data.push_back(value);
    return data;
  }

  int call(FdRef, unsigned long request, void* argument) override {
    const std::scoped_lock lock{mutex_};
    if (const auto failing = fail.find(request); failing != fail.end()) return -failing->second;
    switch (request) {
      case VFIO_GROUP_GET_DEVICE_FD: return get_device(argument);
      case vfio::uapi::bind_iommufd.number: return bind(argument);
      case VFIO_DEVICE_GET_INFO: ++questions; return device_info(argument);
      case VFIO_DEVICE_GET_REGION_INFO: ++questions; return region_info(argument);
      case VFIO_DEVICE_GET_IRQ_INFO: ++questions; return irq_info(argument);
      case VFIO_DEVICE_SET_IRQS: return set_irqs(argument);
      case VFIO_DEVICE_RESET: return note("reset");
      case KVM_SET_USER_MEMORY_REGION: return set_slot(argument);
      case vmm::kvm::set_gsi_routing.number: return set_routes(argument);
      case KVM_IRQFD: return set_irqfd(argument);
      default: return -ENOTTY;
    }
  }

 private:
  template <class T>
  static T& as(void* argument) {
    return *static_cast<T*>(argument);
  }
  int note(std::string text) {
    log_.push_back(std::move(text));
    return 0;
  }
  int get_device(void* argument) {
    const std::string asked = static_cast<const char*>(argument);
    const auto space = asked.find(' ');
    device_name = asked.substr(0, space);
    const auto token = space == std::string::npos ? std::string{} : asked.substr(space);
    // vfio_pci_core_match() and vfio_pci_validate_vf_token()
    if (!token.empty() && vf_token.empty()) return -EINVAL;
    if (!vf_token.empty() && token != " vf_token=" + vf_token) return -EACCES;
    note("get device " + *device_name);
    return ::dup(memory_.ref().number());
  }
  // Later calls come on the descriptor that was bound, which node() is.
  int bind(void* argument) {
    const auto& request = as<vfio::uapi::BindIommufd>(argument);
    if (request.argsz < 16 || request.iommufd < 0) return -EINVAL;
    const bool with_token = (request.flags & vfio::uapi::BindIommufd::kWithToken) != 0;
    if (with_token && !takes_tokens) return -EINVAL;
    std::string token;
    for (unsigned index = 0; with_token && index < 16; ++index) {
      token += fmt::format("{:02x}", std::bit_cast<const std::uint8_t*>(request.token_uuid)[index]);
      if (index == 3 || index == 5 || index == 7 || index == 9) token += '-';
    }
    if (token != vf_token) return vf_token.empty() ? -EINVAL : -EACCES;
    return note("bind");
  }
  int device_info(void* argument) const {
    auto& info = as<vfio_device_info>(argument);
    info.flags = device_flags;
    info.num_regions = 9;
    info.num_irqs = 5;
    return 0;
  }
  int region_info(void* argument) const {
    auto& info = as<vfio_region_info>(argument);
    const auto found = regions.find(info.index);
    const auto region = found == regions.end() ? FakeRegion{} : found->second;
    const auto areas = region.sparse.value_or(std::vector<vfio::Area>{});
    const auto sparse = sizeof(vfio_region_info_cap_sparse_mmap) + areas.size() * sizeof(vfio_region_sparse_mmap_area);
    const auto needed =
        sizeof info + (region.sparse ? sparse : 0) + (region.msix_mappable ? sizeof(vfio_info_cap_header) : 0);
    const auto room = std::exchange(info.argsz, static_cast<std::uint32_t>(needed));
    info.flags = region.size == 0 ? 0U
                                  : VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
                                        (region.mappable ? VFIO_REGION_INFO_FLAG_MMAP : 0U) |
                                        (needed > sizeof info ? VFIO_REGION_INFO_FLAG_CAPS : 0U);
    info.size = region.size;
    info.offset = info.index * kStride;
    info.cap_offset = 0;
    if (room < needed || needed == sizeof info) return 0;
    write_capabilities(static_cast<std::byte*>(argument), region, areas, sparse);
    return 0;
  }
  static void write_capabilities(std::byte* base, const FakeRegion& region, const std::vector<vfio::Area>& areas,
                                 std::size_t sparse) {
    constexpr std::uint32_t kFirst = sizeof(vfio_region_info);
    auto at = kFirst;
    as<vfio_region_info>(base).cap_offset = kFirst;
    if (region.sparse) {
      vfio_region_info_cap_sparse_mmap header{};
      header.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
      header.header.next = region.msix_mappable ? static_cast<std::uint32_t>(at + sparse) : 0;
      header.nr_areas = static_cast<std::uint32_t>(areas.size());
      std::memcpy(base + at, &header, sizeof header);
      for (std::size_t index = 0; index < areas.size(); ++index) {
        const vfio_region_sparse_mmap_area area{areas[index].offset, areas[index].length};
        std::memcpy(base + at + sizeof header + index * sizeof area, &area, sizeof area);
      }
      at += static_cast<std::uint32_t>(sparse);
    }
    if (region.msix_mappable) {
      vfio_info_cap_header header{};
      header.id = VFIO_REGION_INFO_CAP_MSIX_MAPPABLE;
      std::memcpy(base + at, &header, sizeof header);
    }
  }
  int irq_info(void* argument) const {
    auto& info = as<vfio_irq_info>(argument);
    const auto found = irq_counts.find(info.index);
    info.count = found == irq_counts.end() ? 0 : found->second;
    const bool fixed = fixed_count || info.index == VFIO_PCI_MSI_IRQ_INDEX;
    info.flags = VFIO_IRQ_INFO_EVENTFD | (fixed ? VFIO_IRQ_INFO_NORESIZE : 0U) |
                 (info.index == VFIO_PCI_INTX_IRQ_INDEX ? VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED : 0U);
    return 0;
  }
  int set_irqs(void* argument) {
    const auto& set = as<vfio_irq_set>(argument);
    if ((set.flags & VFIO_IRQ_SET_ACTION_UNMASK) != 0) return note(fmt::format("irq {} unmask", set.index));
    if (set.count == 0) {
      std::erase_if(triggers_, [&](const auto& entry) { return entry.first.first == set.index; });
      return note(fmt::format("irq {} off", set.index));
    }
    if (set.count > most_vectors) return static_cast<int>(most_vectors);
    if (no_vectors != 0) return -no_vectors;
    // vfio_pci_set_msi_trigger(): one kind at a time, but for errors and requests.
    const bool other = std::ranges::any_of(triggers_, [&](const auto& entry) {
      return entry.first.first <= VFIO_PCI_MSIX_IRQ_INDEX && entry.first.first != set.index;
    });
    if (other && set.index <= VFIO_PCI_MSIX_IRQ_INDEX) return -EINVAL;
    // vfio_msi_enable() allocates them, and the device is told how many they are.
    const auto held = host_vectors_of(VFIO_PCI_MSI_IRQ_INDEX);
    if (set.index == VFIO_PCI_MSI_IRQ_INDEX && held != 0 && set.start + set.count > held) return -EINVAL;
    std::vector<std::string> kinds;
    for (unsigned at = 0; at < set.count; ++at) {
      int event = -1;
      std::memcpy(&event, static_cast<const std::byte*>(argument) + sizeof set + at * sizeof event, sizeof event);
      triggers_[{set.index, set.start + at}] = event;
      const bool guest = std::ranges::any_of(irqfds_, [&](const auto& entry) { return entry.second == event; });
      kinds.emplace_back(event < 0 ? "-1" : guest ? "guest" : "own");
    }
    return note(fmt::format("irq {} {}: {}", set.index, set.start, fmt::join(kinds, " ")));
  }
  int set_slot(void* argument) {
    const auto& region = as<kvm_userspace_memory_region>(argument);
    // The state of the device at this moment shows the order against configuration writes.
    const auto state = fmt::format("cmd={:x} d{}", config(PCI_COMMAND, 2), config(kPm + PCI_PM_CTRL, 2) & 3U);
    if (region.memory_size == 0) {
      slots_.erase(slot_starts_[region.slot]);
      return note(fmt::format("slot- {:#x} {}", slot_starts_[region.slot], state));
    }
    for (const auto& [start, length] : slots_) {
      if (region.guest_phys_addr < start + length && start < region.guest_phys_addr + region.memory_size) {
        ++refused_slots_;
        return -EEXIST;
      }
    }
    slot_starts_[region.slot] = region.guest_phys_addr;
    slots_[region.guest_phys_addr] = region.memory_size;
    return note(fmt::format("slot+ {:#x}+{:#x} {}", std::uint64_t{region.guest_phys_addr},
                            std::uint64_t{region.memory_size}, state));
  }
  int set_routes(void* argument) {
    const auto& table = as<vmm::kvm::RoutingHead>(argument);
    routes_.clear();
    for (unsigned index = 0; index < table.nr; ++index) {
      kvm_irq_routing_entry entry{};
      std::memcpy(&entry, static_cast<const std::byte*>(argument) + sizeof table + index * sizeof entry, sizeof entry);
      routes_[entry.gsi] = entry.u.msi.data;
    }
    return note(fmt::format("routes {}", table.nr));
  }
  int set_irqfd(void* argument) {
    const auto& request = as<kvm_irqfd>(argument);
    const bool away = (request.flags & KVM_IRQFD_FLAG_DEASSIGN) != 0;
    if (!away && no_irqfds != 0) return -no_irqfds;
    if (away) {
      irqfds_.erase(request.gsi);
    } else {
      irqfds_[request.gsi] = static_cast<int>(request.fd);
    }
    // A route that is not there when the irqfd comes is what brought a host down.
    return note(fmt::format("irqfd{}{}", away ? "-" : "+", away || routes_.contains(request.gsi) ? "" : " unrouted"));
  }

  Fd memory_;
  std::mutex mutex_;
  std::vector<std::string> log_;
  std::map<std::pair<unsigned, unsigned>, int> triggers_;
  std::map<std::uint32_t, int> irqfds_;
  std::map<std::uint32_t, std::uint32_t> routes_;
  std::map<std::uint32_t, std::uint64_t> slot_starts_;
  std::map<std::uint64_t, std::uint64_t> slots_;
  std::size_t refused_slots_{};
};

}  // namespace pcivm::test
