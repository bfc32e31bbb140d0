// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_virtio.hpp"

#include <fcntl.h>
#include <linux/virtio_blk.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "cli/option_list.hpp"
#include "cli/vm_passt.hpp"
#include "cli/vm_seed.hpp"
#include "vmm/virtio/pmem.hpp"
#include "vmm/virtio/tap.hpp"
#include "vmm/virtio/vhost_user.hpp"
#include "vmm/virtio/vsock.hpp"

namespace pcivm::cli {

namespace {

constexpr unsigned kMostQueues = 16;
constexpr unsigned kMostIops = 1'000'000'000;
constexpr std::string_view kDisk = "--disk";
constexpr std::string_view kNet = "--net";
constexpr std::string_view kPmem = "--pmem";
constexpr std::string_view kFolder = "--fs";
constexpr std::size_t kLongestTag = 36;
constexpr std::string_view kVsock = "--vsock";
constexpr unsigned kFirstCid = 3;  // below: the hypervisor, this machine itself, the host (vsock(7))
constexpr unsigned kLastCid = 0xfffffffe;

Result<vmm::DiskConfig> open_one_disk(IoctlPort& port, const std::string& text) {
  const auto list =
      TRY(OptionList::parse(kDisk, text,
                            {.valued = {"path", "format", "serial", "queues", "ring", "iops", "bandwidth"},
                             .flags = {"readonly", "direct"}}));
  const auto path = TRY(list.required("path"));
  // Never guessed: a guest can write a header of another format into its raw disk (CVE-2008-2004).
  const auto format = TRY(list.required("format"));
  if (format != "raw") return fail(Errc::invalid, fmt::format("{}: format={} found, raw wanted", kDisk, format));
  vmm::DiskConfig disk;
  disk.read_only = list.flag("readonly");
  disk.queues = TRY(list.number("queues", kMostQueues, 1));
  disk.packed = TRY(list.choice("ring", {"split", "packed"})) == "packed";
  disk.iops = TRY(list.number("iops", kMostIops, 0));
  if (const auto bandwidth = list.value("bandwidth")) {
    disk.bandwidth = TRY_IN(parse_size(*bandwidth), fmt::format("{}: bandwidth", kDisk));
    if (disk.bandwidth == 0) return fail(Errc::invalid, fmt::format("{}: bandwidth=0 found, 1 or more wanted", kDisk));
  }
  disk.serial = list.value("serial").value_or("");
  if (disk.serial.size() > VIRTIO_BLK_ID_BYTES ||
      !std::ranges::all_of(disk.serial, [](char c) { return c > ' ' && c < 0x7f; })) {
    return fail(Errc::invalid, fmt::format("{}: serial={} found, up to {} printable characters wanted", kDisk,
                                           disk.serial, VIRTIO_BLK_ID_BYTES));
  }
  disk.disk = TRY_IN(vmm::open_disk(port, path, {.read_only = disk.read_only, .direct = list.flag("direct")}),
                     std::string{kDisk});
  return disk;
}

// The same for a VM and its interface at every start: FNV-1a of both names, as an address of local administration.
Result<MacAddress> mac_of(const OptionList& list, const std::string& vm, const std::string& interface) {
  if (const auto given = list.value("mac")) return TRY_IN(MacAddress::parse(*given), std::string{kNet});
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : vm + "/" + interface) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  MacAddress mac{.octets = {0x02}};
  for (unsigned index = 1; index < 6; ++index) mac.octets[index] = static_cast<std::uint8_t>(hash >> 8 * index);
  return mac;
}

Result<std::vector<Fd>> open_vhost(const SysRoot& root, const std::string& wish, unsigned count, bool packed) {
  std::vector<Fd> devices;
  if (wish == "off" || (wish == "auto" && packed)) return devices;
  if (packed) return fail(Errc::invalid, fmt::format("{}: vhost has no packed rings, vhost=off wanted", kNet));
  for (unsigned index = 0; index < count; ++index) {
    auto device = root.open_file("/dev/vhost-net", O_RDWR);
    if (!device && wish == "auto") return std::vector<Fd>{};
    if (!device) return fail(std::move(device).error().within(std::string{kNet}).advise("modprobe vhost_net"));
    devices.push_back(std::move(*device));
  }
  return devices;
}

Result<vmm::NetConfig> open_tap_net(const SysRoot& root, IoctlPort& port, const std::string& vm,
                                    const OptionList& list) {
  const auto tap = TRY(list.required("tap"));
  const auto queues = TRY(list.number("queues", kMostQueues, 1));
  vmm::NetConfig net;
  net.packed = TRY(list.choice("ring", {"split", "packed"})) == "packed";
  net.mac = TRY(mac_of(list, vm, tap));
  const auto vhost = TRY(list.choice("vhost", {"auto", "on", "off"}));
  net.vhosts = TRY(open_vhost(root, vhost, queues, net.packed));
  net.taps = TRY_IN(vmm::open_tap(root, port, tap, queues), std::string{kNet});
  return net;
}

// The number is part of its name, which no interface can have.
Result<vmm::NetConfig> open_passt_net(const std::string& vm, std::size_t number, const OptionList& list) {
  vmm::NetConfig net;
  net.packed = TRY(list.choice("ring", {"split", "packed"})) == "packed";
  net.mac = TRY(mac_of(list, vm, fmt::format("passt/{}", number)));
  const auto arguments = TRY(passt_arguments(kNet, list));
  net.stream = TRY_IN(start_passt(arguments), std::string{kNet});
  return net;
}

Result<vmm::NetConfig> open_one_net(const SysRoot& root, IoctlPort& port, const std::string& vm, std::size_t number,
                                    const std::string& text) {
  const auto any = TRY(OptionList::parse(
      kNet, text, {.valued = {"tap", "mac", "vhost", "queues", "ring", "tcp", "udp"}, .flags = {"passt", "loopback"}}));
  if (any.flag("passt")) {
    const auto list =
        TRY(OptionList::parse(kNet, text, {.valued = {"mac", "ring", "tcp", "udp"}, .flags = {"passt", "loopback"}}));
    return open_passt_net(vm, number, list);
  }
  const auto list =
      TRY(OptionList::parse(kNet, text, {.valued = {"tap", "mac", "vhost", "queues", "ring"}, .flags = {}}));
  return open_tap_net(root, port, vm, list);
}

Result<vmm::PmemConfig> open_one_pmem(IoctlPort& port, const std::string& text) {
  const auto list = TRY(OptionList::parse(kPmem, text, {.valued = {"path"}, .flags = {"readonly"}}));
  const auto path = TRY(list.required("path"));
  return TRY_IN(vmm::open_pmem(port, path, list.flag("readonly")), std::string{kPmem});
}

Result<vmm::SharedFolderConfig> open_one_folder(const std::string& text) {
  const auto list = TRY(OptionList::parse(kFolder, text, {.valued = {"tag", "socket"}, .flags = {}}));
  vmm::SharedFolderConfig folder;
  folder.tag = TRY(list.required("tag"));
  if (folder.tag.size() > kLongestTag) {
    return fail(Errc::invalid,
                fmt::format("{}: tag={} found, up to {} bytes wanted", kFolder, folder.tag, kLongestTag));
  }
  const auto socket = TRY(list.required("socket"));
  folder.daemon = TRY_IN(vmm::connect_vhost_user(socket), std::string{kFolder});
  return folder;
}

Result<void> check_tags(const std::vector<vmm::SharedFolderConfig>& folders) {
  std::set<std::string> tags;
  for (const auto& folder : folders) {
    if (!tags.insert(folder.tag).second) {
      return fail(Errc::invalid, fmt::format("{}: tag={} is given twice", kFolder, folder.tag));
    }
  }
  return {};
}

Result<vmm::VsockConfig> open_one_vsock(const SysRoot& root, IoctlPort& port, const std::string& text) {
  const auto list = TRY(OptionList::parse(kVsock, text, {.valued = {"cid"}, .flags = {}}));
  (void)TRY(list.required("cid"));
  const auto cid = TRY(list.number("cid", kLastCid, kFirstCid, kFirstCid));
  return TRY_IN(vmm::open_vsock(root, port, cid), std::string{kVsock});
}

}  // namespace

Result<vmm::VirtioConfig> open_virtio(const SysRoot& root, IoctlPort& port, const VmRequest& request) {
  vmm::VirtioConfig config;
  for (const auto& text : request.disks) config.disks.push_back(TRY(open_one_disk(port, text)));
  if (!request.cloud_init.empty()) config.disks.push_back(TRY(make_seed(request.name, request.cloud_init)));
  for (const auto& text : request.nets) {
    config.nets.push_back(TRY(open_one_net(root, port, request.name, config.nets.size(), text)));
  }
  for (const auto& text : request.pmems) config.pmems.push_back(TRY(open_one_pmem(port, text)));
  for (const auto& text : request.folders) config.folders.push_back(TRY(open_one_folder(text)));
  TRY(check_tags(config.folders));
  if (request.vsock) config.vsock = TRY(open_one_vsock(root, port, *request.vsock));
  if (request.balloon && (!request.devices.empty() || !request.mdevs.empty())) {
    return fail(Error::make(Errc::refused,
                            "--balloon beside --device or --mdev: the device could write to pages that were taken")
                    .coded("vm.balloon_with_device"));
  }
  config.iommu = request.iommu == "virtio";
  config.balloon = request.balloon;
  config.random = request.rng;
  config.console.terminal = request.console == "virtio" || request.console == "both";
  return config;
}

Result<vmm::WatchdogAction> watchdog_action(const std::string& text) {
  const auto list = TRY(OptionList::parse("--watchdog", text, {.valued = {"action"}, .flags = {}}));
  const auto action = TRY(list.choice("action", {"reset", "poweroff", "none"}));
  if (action == "poweroff") return vmm::WatchdogAction::power_off;
  return action == "none" ? vmm::WatchdogAction::none : vmm::WatchdogAction::reset;
}

}  // namespace pcivm::cli
