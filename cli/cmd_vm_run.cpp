// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm vm run
#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/selector.hpp"
#include "cli/vm_definition.hpp"
#include "cli/vm_runner.hpp"
#include "vmm/platform.hpp"

namespace pcivm::cli {

namespace {

struct RunArguments {
  std::string name;
  VmRequest request;
  bool detach{};
  std::string vmm_socket;
  const CLI::App* command{};
};

/// What was given, or what is defined with what was given instead.
Result<VmRequest> wanted(Context& context, const RunArguments& args) {
  auto request = args.request;
  request.name = args.name;
  if (!request.kernel.empty() || !request.firmware.empty()) return request;
  const auto defined = load_definition(context.root(), args.name);
  if (!defined && defined.error().code() == "vm.undefined") {
    return fail(Error::make(Errc::not_found, defined.error().text())
                    .coded("vm.undefined")
                    .advise("--kernel FILE or --firmware uefi runs one that is not defined"));
  }
  if (!defined) return fail(defined.error());
  return request_of(args.name, merged(*defined, given_options(*args.command)));
}

Result<int> run(Context& context, const RunArguments& args) {
  auto request = TRY(wanted(context, args));
  request.vmm_socket = args.vmm_socket;
  if (args.detach) {
    TRY(run_vm_detached(context, request));
  } else {
    TRY(run_vm(context, request, {}));
  }
  return 0;
}

}  // namespace

void add_vm_run(CLI::App& group, Context& context) {
  auto& args = context.keep<RunArguments>();
  auto& command = add_command(group, context, "run", "start a virtual machine and stay with it until it ends",
                              [&args](Context& here) { return run(here, args); });
  args.command = &command;
  command
      .add_option("name", args.name, "1 to 63 of a-z, 0-9 and -; without --kernel and --firmware one that is defined")
      ->required()
      ->type_name("VM");
  add_vm_options(command, args.request);
  command.add_flag("--detach", args.detach, "leave it running, and return when the guest runs");
  // For pcivm-vm@.service.
  command.add_option("--vmm-socket", args.vmm_socket, "give the VM to who listens there")->group("");
}

void add_vm_options(CLI::App& command, VmRequest& request) {
  command.add_option("--kernel", request.kernel, "Linux bzImage, or uncompressed vmlinux with CONFIG_PVH")
      ->type_name("FILE");
  command.add_option("--initrd", request.initrd, "initial file system")->type_name("FILE");
  command.add_option("--cmdline", request.cmdline, "the kernel's command line")->type_name("TEXT");
  command
      .add_option("--firmware", request.firmware,
                  "boot the first --disk by uefi (OVMF), bios (SeaBIOS), or the image of another firmware")
      ->type_name("uefi|bios|FILE");
  command
      .add_option("--firmware-vars", request.firmware_vars,
                  "flash with the firmware's variables; without it, for uefi, one of the VM's own")
      ->type_name("FILE");
  command.add_option("--firmware-log", request.firmware_log, "write what the firmware says on its debug port")
      ->type_name("FILE");
  command
      .add_option("--memory", request.memory,
                  "RAM: 512M, 4G; with 512M,max=4G it grows and shrinks while the guest runs (vm set)")
      ->type_name("SIZE[,max=SIZE]")
      ->capture_default_str();
  command
      .add_option("--hugepages", request.hugepages,
                  "RAM of reserved pages of that size (2M, 1G); without it the kernel makes what it can huge")
      ->type_name("SIZE");
  command.add_option("--numa", request.numa, "the host's NUMA nodes that RAM may come from: 0,2-3")->type_name("LIST");
  command.add_flag("--populate", request.populate,
                   "all RAM before the guest runs; beside a device it comes anyway, meanwhile");
  command.add_option("--cpus", request.cpus, "virtual CPUs, 1 to 255")->type_name("N")->capture_default_str();
  command
      .add_option("--topology", request.topology,
                  "how they hang together: sockets=N,cores=N,threads=N; else cores of one socket")
      ->type_name("OPTIONS");
  command.add_option("--cpu", request.cpu, "their features: those of the host, less some: host,-avx512f,-rtm")
      ->type_name("host[,-FEATURE...]")
      ->capture_default_str();
  command.add_option("--pin", request.pin, "the host's CPU for each of them: 2-3,6-7")->type_name("LIST");
  command.add_option("--device", request.devices, fmt::format("a PCI function to own: {}", kDeviceHelp))
      ->type_name("DEVICE")
      ->allow_extra_args(false);
  command
      .add_option("--rom", request.roms,
                  "the option ROM that the guest finds in a --device, which has none otherwise: DEVICE=device for its "
                  "own, or DEVICE=FILE")
      ->type_name("DEVICE=device|FILE")
      ->allow_extra_args(false);
  command
      .add_option("--mdev", request.mdevs,
                  "a mediated device of the host, which has it already: its UUID, or /sys/bus/mdev/devices/UUID")
      ->type_name("MDEV")
      ->allow_extra_args(false);
  command
      .add_option("--user-device", request.user_devices,
                  "a PCI device that another process serves (vfio-user): socket=PATH, where it listens")
      ->type_name("OPTIONS")
      ->allow_extra_args(false);
  command
      .add_option("--hotplug-slots", request.hotplug_slots,
                  "slots for devices that are attached later, 0 to 15; 0: devices neither come nor go")
      ->check(CLI::Range(vmm::platform::kMostHotplugSlots).description(""))
      ->type_name("N")
      ->capture_default_str();
  command
      .add_option("--hotplug-room", request.hotplug_room,
                  "addresses for the 64-bit BARs of such devices; without it 64G, or what fits")
      ->type_name("SIZE");
  command
      .add_option("--iommu-backend", request.iommu_backend,
                  "how devices are assigned: by iommufd where the host has it, else by container and groups (auto)")
      ->check(CLI::IsMember({"auto", "iommufd", "container"}).description(""))
      ->type_name("auto|iommufd|container")
      ->capture_default_str();
  command.add_flag("--p2p", request.p2p, "devices of the VM may read and write each other's BARs");
  command
      .add_option("--iommu", request.iommu,
                  "the guest's own, for its devices: virtio; needs iommufd, and devices of different IOMMU groups")
      ->check(CLI::IsMember({"none", "virtio"}).description(""))
      ->type_name("none|virtio")
      ->capture_default_str();
  command
      .add_option("--disk", request.disks,
                  "a raw image or block device: path=FILE,format=raw, then readonly, direct, serial=TEXT, queues=N, "
                  "ring=split|packed, iops=N, bandwidth=SIZE")
      ->type_name("OPTIONS")
      ->allow_extra_args(false);
  command
      .add_option("--cloud-init", request.cloud_init,
                  "a read-only disk for cloud-init: user-data=FILE, meta-data=FILE, network-config=FILE, or user=NAME, "
                  "ssh-key=FILE, hostname=NAME")
      ->type_name("OPTIONS");
  command
      .add_option("--net", request.nets,
                  "a network interface on a tap of the host: tap=NAME, then mac=MAC, vhost=auto|on|off, queues=N, "
                  "ring=split|packed; or by passt, which needs no privileges: passt, then mac=MAC, ring=split|packed, "
                  "tcp=[ADDRESS/]PORT[:PORT][+...], udp=..., loopback")
      ->type_name("OPTIONS")
      ->allow_extra_args(false);
  command
      .add_option("--pmem", request.pmems,
                  "a file in the guest's memory, /dev/pmem0 there: path=FILE, then readonly; a multiple of 2M")
      ->type_name("OPTIONS")
      ->allow_extra_args(false);
  command
      .add_option(
          "--fs", request.folders,
          "a folder of the host that a virtiofsd serves: tag=NAME, to mount it by, and socket=PATH, the daemon's")
      ->type_name("OPTIONS")
      ->allow_extra_args(false);
  command
      .add_option("--port", request.ports,
                  "a named port for an agent in the guest: name=NAME, then socket=PATH, which pcivm makes on the host")
      ->type_name("OPTIONS")
      ->allow_extra_args(false);
  command.add_option("--vsock", request.vsock, "sockets between host and guest (AF_VSOCK): cid=N, the guest's address")
      ->type_name("OPTIONS");
  command.add_flag("--balloon", request.balloon,
                   "take back memory that the guest does not use; not with --device or --mdev");
  command.add_flag("--rng", request.rng, "a virtio device with random numbers of the host");
  command
      .add_option("--watchdog", request.watchdog,
                  "a watchdog timer (i6300esb); when it runs out: action=reset|poweroff|none")
      ->type_name("OPTIONS");
  command.add_option("--console", request.console, "on stdin and stdout: serial port, virtio (hvc0), or both; off")
      ->check(CLI::IsMember({"serial", "virtio", "both", "off"}).description(""))
      ->type_name("serial|virtio|both|off")
      ->capture_default_str();
  command.add_option("--on-reboot", request.on_reboot, "restart the guest, or exit")
      ->check(CLI::IsMember({"restart", "exit"}).description(""))
      ->type_name("restart|exit")
      ->capture_default_str();
  command
      .add_option(
          "--on-request", request.on_request,
          "when the host wants a device back: ask the guest to let go of it and stop the guest when it does not; "
          "stop it; or ignore it and let the host wait")
      ->check(CLI::IsMember({"detach", "stop", "ignore"}).description(""))
      ->type_name("detach|stop|ignore")
      ->capture_default_str();
  command
      .add_option("--on-error", request.on_error,
                  "when a device reports an uncorrectable error (AER): end the VM; take the device from the guest and "
                  "give it back; or reset it and show it to the guest anew")
      ->check(CLI::IsMember({"stop", "detach", "reset"}).description(""))
      ->type_name("stop|detach|reset")
      ->capture_default_str();
  command
      .add_option("--on-release", request.on_release,
                  "run PROGRAM ADDRESS for each device when the VM has ended; if it fails, the device stays away from "
                  "all others")
      ->type_name("PROGRAM");
  command
      .add_option("--seccomp", request.seccomp,
                  "when the VMM makes a system call that it never needs: kill it; for diagnosis log it, fail it with "
                  "errno, or have no filter (off)")
      ->check(CLI::IsMember({"kill", "log", "errno", "off"}).description(""))
      ->type_name("kill|log|errno|off")
      ->capture_default_str();
  command.add_flag("--debug-exit", request.debug_exit,
                   "for kernels made for tests: a number written to port 0xf4 ends the VM, 0 as a power off, others as "
                   "a failure");
  command.add_option("--timeline", request.timeline, "write when each phase was reached, as JSON")->type_name("FILE");
}

}  // namespace pcivm::cli
