// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_request.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <iterator>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "base/shared_file.hpp"
#include "base/text.hpp"
#include "cli/option_list.hpp"
#include "cli/selector.hpp"
#include "cli/vm_cpus.hpp"
#include "cli/vm_definition.hpp"
#include "cli/vm_firmware.hpp"
#include "cli/vm_memory.hpp"
#include "cli/vm_user.hpp"
#include "cli/vm_virtio.hpp"
#include "vfio/mdev.hpp"
#include "vfio/memlock.hpp"
#include "vfio/opened.hpp"
#include "vfio/release_hook.hpp"
#include "vfio/user_device.hpp"
#include "vmm/cpuid.hpp"
#include "vmm/kvm.hpp"
#include "vmm/pci_bus.hpp"
#include "vmm/watchdog.hpp"

namespace pcivm::cli {

namespace {

constexpr std::uint64_t kHotplugRoom = 64 * kGiB;

vmm::OnRequest on_request(std::string_view text) {
  if (text == "ignore") return vmm::OnRequest::ignore;
  return text == "stop" ? vmm::OnRequest::stop : vmm::OnRequest::detach;
}

Result<Fd> open_kvm(const SysRoot& root) {
  auto device = root.open_file("/dev/kvm", O_RDWR);
  if (device) return device;
  const auto kind = device.error().kind();
  auto error = std::move(device).error();
  if (kind == Errc::not_found || error.sys_errno() == ENODEV) {
    return fail(std::move(error)
                    .as(Errc::not_found)
                    .coded("kvm.not_found")
                    .advise("enable virtualization in the firmware, then modprobe kvm_intel or kvm_amd"));
  }
  if (kind == Errc::denied) return fail(std::move(error).advise("run as root, or join the group kvm"));
  return fail(std::move(error));
}

Result<std::vector<Bdf>> select_all(const SysRoot& root, const std::vector<std::string>& devices) {
  std::vector<Bdf> functions;
  for (const auto& text : devices) {
    const auto address = TRY_IN(select_function(root, text), "--device");
    if (std::ranges::find(functions, address) != functions.end()) {
      return fail(Errc::invalid, fmt::format("--device {} is given twice", address.to_string()));
    }
    functions.push_back(address);
  }
  return functions;
}

// Some drivers of such devices let only a VM of KVM in.
Result<std::vector<vfio::Mdev>> read_mdevs(const SysRoot& root, IoctlPort& port, const vmm::Kvm& kvm,
                                           const VmChecked& checked, const std::vector<std::string>& texts) {
  std::vector<vfio::Mdev> mdevs;
  for (const auto& text : texts) {
    const auto uuid = TRY_IN(vfio::find_mdev(root, text), "--mdev");
    if (std::ranges::find(mdevs, uuid, &vfio::Mdev::uuid) != mdevs.end()) {
      return fail(Errc::invalid, fmt::format("--mdev {} is given twice", uuid));
    }
    mdevs.push_back({.uuid = uuid});
  }
  for (auto& mdev : mdevs) {
    auto vm = TRY(vmm::Vm::create(port, kvm));
    const auto tell = [&vm](FdRef file) { return vm.add_vfio(file); };
    mdev = TRY_IN(vfio::read_mdev(root, port, mdev.uuid, checked.backend, tell), "--mdev");
  }
  return mdevs;
}

Result<std::vector<vfio::OpenedDevice>> open_user_devices(const std::vector<std::string>& texts) {
  constexpr std::string_view kOption{"--user-device"};
  std::vector<vfio::OpenedDevice> devices;
  for (const auto& text : texts) {
    const auto list = TRY(OptionList::parse(kOption, text, {.valued = {"socket"}, .flags = {}}));
    const auto socket = TRY(list.required("socket"));
    devices.push_back(
        TRY_IN(vfio::open_user_device(socket, static_cast<unsigned>(devices.size())), std::string{kOption}));
  }
  return devices;
}

// Which back end it will be is known when the functions are bound; where it may be iommufd there must be enough for it.
vfio::MemlockOf accounting(const SysRoot& root, const VmChecked& checked) {
  if (vms_have_own_users()) return vfio::MemlockOf::process;
  const bool container = checked.backend == vfio::IommuBackend::container;
  return !container && root.exists(vfio::kIommufd) ? vfio::MemlockOf::user : vfio::MemlockOf::process;
}

// What pcivm chooses by itself when the guest has an IOMMU: a container has one address space for all devices.
Result<std::optional<vfio::IommuBackend>> backend_of(const VmRequest& request) {
  const auto wish = vfio::backend_named(request.iommu_backend);
  if (request.iommu != "virtio") return wish;
  if (wish == vfio::IommuBackend::container) {
    return fail(Error::make(Errc::refused,
                            "--iommu virtio beside --iommu-backend container: a container has one address space for "
                            "all devices of the VM")
                    .coded("vm.iommu_with_container"));
  }
  return vfio::IommuBackend::iommufd;
}

void give_roms(vfio::OpenedVfio& vfio, std::vector<RomWish>& wishes) {
  for (auto& wish : wishes) {
    const auto device = std::ranges::find(vfio.devices, wish.function, &vfio::OpenedDevice::address);
    if (device == vfio.devices.end()) continue;
    device->own_rom = wish.image.empty();
    device->rom = std::exchange(wish.image, {});
  }
}

Result<void> check_groups(const vfio::OpenedVfio& vfio) {
  std::set<std::size_t> seen;
  for (const auto& device : vfio.devices) {
    if (!seen.insert(device.group).second) return fail(shared_group(device.address, vfio.groups[device.group].number));
  }
  return {};
}

vmm::LayoutRequest layout_request(const VmChecked& checked) {
  vmm::LayoutRequest request{
      .memory = checked.memory, .address_bits = checked.address_bits, .firmware = checked.config.firmware.has_value()};
  for (const auto& pmem : checked.config.virtio.pmems) request.files.push_back(pmem.length);
  request.blocks_length = checked.most_memory - checked.memory;
  return request;
}

Result<void> plan(VmChecked& checked, const vmm::LayoutRequest& request) {
  auto& config = checked.config;
  config.layout = TRY(vmm::lay_out_memory(request));
  for (std::size_t index = 0; index < config.layout.files.size(); ++index) {
    config.virtio.pmems[index].base = config.layout.files[index].gpa;
  }
  if (config.firmware) return {};
  config.boot = TRY(vmm::plan_boot(checked.image, checked.initrd_length, config.cmdline.size(), config.layout.ram));
  return {};
}

// Slots that are needed are not kept for what may come.
void fit_hotplug(vmm::VmConfig& config, std::size_t devices) {
  const auto taken = devices + (config.firmware ? 1U : 0U);
  const auto left = vmm::PciBus::kSlots - 1 - std::min<std::size_t>(taken, vmm::PciBus::kSlots - 1);
  config.hotplug.slots = std::min(config.hotplug.slots, static_cast<unsigned>(left));
}

// The window above RAM for the BARs that there are, then `room` on its natural boundary for those that come. With a
// firmware, which places BARs itself, what it is told has the room (Firmware).
Result<void> plan_with(VmChecked& checked, vmm::LayoutRequest request, std::uint64_t room) {
  auto& config = checked.config;
  config.hotplug.room = room;
  request.window64_length = config.bars.window64_length;
  request.window64_alignment = config.bars.window64_alignment;
  if (room != 0 && !config.firmware) {
    request.window64_length = align_up(request.window64_length, std::bit_floor(room)) + room;
    request.window64_alignment = std::max(request.window64_alignment, std::bit_floor(room));
  }
  return plan(checked, request);
}

// What nobody asked for is made as small as it must be.
Result<void> plan_with_room(VmChecked& checked, const vmm::LayoutRequest& request) {
  if (checked.config.hotplug.slots == 0) return plan_with(checked, request, 0);
  if (checked.hotplug_room) {
    TRY_IN(plan_with(checked, request, *checked.hotplug_room), "--hotplug-room");
    return {};
  }
  for (auto room = kHotplugRoom; room >= kGiB; room /= 2) {
    if (plan_with(checked, request, room)) return {};
  }
  return plan_with(checked, request, 0);
}

std::string booted(const VmRequest& request) {
  return request.firmware.empty() ? fmt::format("kernel '{}'", request.kernel)
                                  : fmt::format("firmware '{}'", request.firmware);
}

Result<void> read_files(const SysRoot& root, VmChecked& checked, const VmRequest& request) {
  auto& config = checked.config;
  if (!request.firmware.empty()) {
    config.firmware = TRY(open_firmware(root, request));
    return {};
  }
  config.kernel = TRY_IN(open_regular(request.kernel, O_RDONLY), "kernel");
  checked.image = TRY_IN(vmm::read_kernel_image(config.kernel.ref()), fmt::format("kernel '{}'", request.kernel));
  if (request.initrd.empty()) return {};
  config.initrd = TRY_IN(open_regular(request.initrd, O_RDONLY), "initrd");
  checked.initrd_length = TRY(file_size(config.initrd.ref()));
  if (checked.initrd_length == 0) return fail(Errc::invalid, fmt::format("initrd '{}' is empty", request.initrd));
  return {};
}

std::vector<vmm::DeviceBars> bars_of(const vfio::OpenedVfio& vfio) {
  std::vector<vmm::DeviceBars> all;
  for (const auto& device : vfio.devices) {
    vmm::DeviceBars bars{.name = device.name(), .bars = {}};
    for (const auto& bar : device.guest_bars()) {
      bars.bars.push_back(
          {.index = bar.index, .size = bar.size, .io = bar.io, .is_64bit = bar.wide, .prefetchable = bar.prefetchable});
    }
    all.push_back(std::move(bars));
  }
  return all;
}

// The same at every start, another on each host: RFC 9562, version 8.
std::array<std::uint8_t, 16> uuid_of(const SysRoot& root, std::string_view name) {
  std::array<std::uint8_t, 16> uuid{};
  const auto host = hash_of(text_of(root, "/etc/machine-id"));
  const auto first = hash_of(name, host);
  const auto second = hash_of(name, first);
  for (unsigned index = 0; index < 8; ++index) {
    uuid[index] = static_cast<std::uint8_t>(first >> 8 * index);
    uuid[index + 8] = static_cast<std::uint8_t>(second >> 8 * index);
  }
  // SMBIOS has the first three fields in little endian: the version is in the high half of the eighth byte.
  uuid[7] = static_cast<std::uint8_t>((uuid[7] & 0x0fU) | 0x80U);
  uuid[8] = static_cast<std::uint8_t>((uuid[8] & 0x3fU) | 0x80U);
  return uuid;
}

}  // namespace

std::uint64_t pinned_memory(std::uint64_t ram, bool guest_iommu, std::size_t devices) {
  return guest_iommu ? ram * (1 + devices) : ram;
}

Error shared_group(Bdf function, std::uint32_t group) {
  return Error::make(Errc::refused, fmt::format("--iommu virtio: {} is in IOMMU group {}, of which the VM has another "
                                                "device; the guest would take the two for isolated",
                                                function.to_string(), group))
      .coded("vm.iommu_shared_group")
      .advise("give it one of them, or start it without --iommu");
}

Result<VmChecked> check_vm(const SysRoot& root, IoctlPort& port, const VmRequest& request) {
  VmChecked checked;
  auto& config = checked.config;
  TRY(check_vm_name(request.name));
  TRY(check_boot_options(request));
  config.name = request.name;
  config.uuid = uuid_of(root, request.name);
  const auto memory = TRY(check_memory(request.memory));
  TRY(check_blocks(request, memory));
  checked.memory = memory.size;
  checked.most_memory = memory.most;
  config.ram = TRY(check_backing(root, request, checked.memory));
  config.cmdline = request.cmdline;
  config.console.serial = request.console == "serial" || request.console == "both";
  config.on_reboot = request.on_reboot == "exit" ? vmm::OnReboot::exit : vmm::OnReboot::restart;
  config.on_request = on_request(request.on_request);
  config.on_error = TRY_IN(vmm::on_error_named(request.on_error), "--on-error");
  config.peer_to_peer = request.p2p;
  config.debug_exit = request.debug_exit;
  config.hotplug.slots = request.hotplug_slots;
  if (!request.hotplug_room.empty()) checked.hotplug_room = TRY_IN(parse_size(request.hotplug_room), "--hotplug-room");
  if (!request.on_release.empty()) TRY(vfio::check_release_hook(root, request.on_release));
  TRY(read_files(root, checked, request));
  config.virtio = TRY(open_virtio(root, port, request));
  config.virtio.memory = memory.blocks() != 0;
  if (request.watchdog) config.watchdog = TRY(watchdog_action(*request.watchdog));
  const auto ports = TRY(parse_ports(request.ports));
  checked.functions = TRY(select_all(root, request.devices));
  checked.roms = TRY(read_roms(root, request.roms, checked.functions));
  checked.seccomp = vmm::seccomp_named(request.seccomp).value_or(vmm::Seccomp::kill);
  if (!request.user_devices.empty() && config.virtio.iommu) {
    return fail(Error::make(Errc::refused,
                            "--iommu virtio beside --user-device: its server reaches all RAM, whatever the "
                            "guest's IOMMU says")
                    .coded("vm.iommu_with_user_device"));
  }
  if (!request.mdevs.empty() && config.virtio.iommu) {
    return fail(Error::make(Errc::refused,
                            "--iommu virtio beside --mdev: no IOMMU of the host is between a mediated device and RAM, "
                            "and its driver would have to follow each change of the guest's")
                    .coded("vm.iommu_with_mdev"));
  }
  if (request.p2p && config.virtio.iommu) {
    return fail(Error::make(Errc::refused,
                            "--iommu virtio beside --p2p: the guest's IOMMU maps no BARs, and devices that are not "
                            "behind it would reach them all the same")
                    .coded("vm.iommu_with_p2p"));
  }
  checked.served = TRY(open_user_devices(request.user_devices));
  checked.backend = TRY(backend_of(request));
  config.kvm = TRY(open_kvm(root));
  auto duplicate = TRY(config.kvm.dup());
  const auto kvm = TRY(vmm::Kvm::adopt(port, std::move(duplicate)));
  checked.mdevs = TRY(read_mdevs(root, port, kvm, checked, request.mdevs));
  config.cpus = TRY(check_cpus(kvm, request));
  checked.address_bits = config.address_bits = vmm::address_bits(config.cpus.supported);
  TRY_IN(plan(checked, layout_request(checked)), booted(request));
  if (!checked.functions.empty()) {
    const auto pinned = pinned_memory(checked.most_memory, config.virtio.iommu, checked.functions.size());
    TRY(vfio::ensure_memlock(root, pinned, accounting(root, checked)));
  }
  checked.lock = TRY(NameLock::take(root, request.name));
  checked.ports = TRY(VmPorts::listen(root, request.name, ports));
  config.virtio.console.ports = checked.ports->take_vmm_ends();
  if (config.firmware) TRY(open_variables(root, request, *config.firmware));
  if (!request.timeline.empty()) {
    checked.timeline = TRY(open_path(request.timeline, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY, 0644));
  }
  return checked;
}

Result<vmm::VmConfig> open_vm(const SysRoot& root, IoctlPort& port, VmChecked& checked) {
  auto& config = checked.config;
  if (!checked.functions.empty() || !checked.mdevs.empty()) {
    config.vfio = TRY(vfio::open_devices(root, port, checked.functions, checked.backend, checked.mdevs));
    if (config.virtio.iommu) TRY(check_groups(config.vfio));
    give_roms(config.vfio, checked.roms);
  }
  std::ranges::move(checked.served, std::back_inserter(config.vfio.devices));
  checked.served.clear();
  auto wanted = bars_of(config.vfio);
  std::ranges::move(vmm::virtio_bars(config.virtio), std::back_inserter(wanted));
  if (config.watchdog) wanted.push_back({.name = "watchdog", .bars = {vmm::Watchdog::bar_request()}});
  fit_hotplug(config, wanted.size());
  if (wanted.empty() && config.hotplug.slots == 0) return std::move(config);
  config.bars = TRY(vmm::plan_bars(wanted));
  auto request = layout_request(checked);
  for (const auto& range : config.vfio.reserved()) {
    request.reserved.push_back({.first = range.first.value, .last = range.last.value});
  }
  TRY(plan_with_room(checked, request));
  return std::move(config);
}

}  // namespace pcivm::cli
