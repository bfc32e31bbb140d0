// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm vm run
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "base/event_loop.hpp"
#include "base/log.hpp"
#include "base/scope_exit.hpp"
#include "cli/commands.hpp"
#include "cli/raw_terminal.hpp"
#include "cli/selector.hpp"
#include "cli/vm_request.hpp"
#include "cli/vm_supervisor.hpp"
#include "cli/vm_timeline.hpp"
#include "vfio/blocker.hpp"
#include "vfio/managed.hpp"
#include "vfio/quarantine.hpp"
#include "vmm/machine.hpp"

namespace pcivm::cli {

namespace {

constexpr std::chrono::seconds kPatience{60};
constexpr rlim_t kDescriptors = 4096;
constexpr int kReturnTries = 30;
constexpr std::chrono::milliseconds kReturnPause{100};

// The kernel doubles the table of a process with several threads by waiting for a grace period: grow it before there
// are any. A VM needs one descriptor for each interrupt vector.
void grow_descriptor_table() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::min(std::max(limit.rlim_cur, kDescriptors), limit.rlim_max);
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
  const auto highest = Fd::adopt(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, static_cast<int>(limit.rlim_cur) - 1));
}

struct Vm {
  vmm::CountingIoctl port{system_ioctl()};
  vmm::Timeline timeline;
  VmChecked checked;
  vmm::VmConfig config;
};

// In the child.
Result<vmm::VmEnd> run_vmm(Vm& vm, Fd control) {
  grow_descriptor_table();
  vm.config.control = std::move(control);
  const auto loop = TRY(EventLoop::create());
  const auto name = vm.config.name;
  const auto machine = TRY(vmm::Machine::create(std::move(vm.config), *loop, vm.port, vm.timeline));
  auto end = machine->run();
  if (vm.checked.timeline) {
    const auto text = to_text(timeline_json(name, machine->report())) + "\n";
    auto written = write_all(vm.checked.timeline.ref(), text);
    if (end && !written) return fail(std::move(written).error().within("write the timeline"));
  }
  return end;
}

bool has_console(const vmm::VmConfig& config) { return config.console.serial || config.virtio.console; }

Result<void> connect_console(vmm::VmConfig& config, bool terminal) {
  auto& console = config.console;
  if (!has_console(config)) return {};
  if (may_read(FdRef{STDIN_FILENO})) console.in = Fd::adopt(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  console.out = Fd::adopt(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  console.escape = terminal;
  return {};
}

// The kernel may still be closing what the child had open.
Result<void> return_functions(const vfio::Host& host, const std::vector<vfio::ManagedBinding>& bindings) {
  for (int attempt = 1;; ++attempt) {
    auto done = vfio::give_back(host, bindings);
    if (done || done.error().kind() != Errc::busy || attempt == kReturnTries) return done;
    std::this_thread::sleep_for(kReturnPause);
  }
}

// Said while whoever asks still waits, because afterwards nobody can tell who it was.
void tell_request(Context& context, std::string_view line, bool stops) {
  const auto space = line.find(' ');
  if (line.substr(0, space) != vmm::kWantedBack || space == std::string_view::npos) return;
  const auto askers = vfio::waiters_of(context.root());
  log::warning("the host wants {} back{}{}; {}", line.substr(space + 1), askers.empty() ? "" : ": ", askers,
               stops ? "the guest is asked to power off" : "it waits until this VM ends (--on-request ignore)");
}

Result<vmm::VmEnd> start(Context& context, Vm& vm) {
  vm.config = TRY(open_vm(context.root(), vm.port, vm.checked));
  for (auto& device : vm.config.vfio.devices) device.reset_forced = context.forced(vfio::kForceNoReset);
  vm.timeline.stamp(vmm::Phase::prepared);
  const bool stops = vm.config.on_request == vmm::OnRequest::stop;
  const RawTerminal terminal{FdRef{has_console(vm.config) ? STDIN_FILENO : -1}};
  TRY(connect_console(vm.config, static_cast<bool>(terminal)));
  if (terminal) context.note(fmt::format("{} starts; Ctrl-] ends it", vm.config.name));
  return supervise({.child = [&vm](Fd control) { return run_vmm(vm, std::move(control)); },
                    .after_fork = [&vm] { vm.config = vmm::VmConfig{}; },
                    .patience = context.options.timeout.value_or(kPatience),
                    .note = [&context](std::string_view text) { context.note(text); },
                    .heard = [&context, stops](std::string_view line) { tell_request(context, line, stops); }});
}

Result<int> run_vm(Context& context, const VmRequest& request) {
  Vm vm;
  vm.timeline.stamp(vmm::Phase::exec);
  vm.checked = TRY(check_vm(context.root(), vm.port, request));
  const vfio::Host host{.root = context.root(), .note = [&context](std::string_view text) { context.note(text); }};
  const BlockedStopSignals blocked;  // from here to the end, the host must be put back in order
  std::vector<vfio::ManagedBinding> bindings;
  if (!vm.checked.functions.empty()) {
    bindings = TRY(vfio::acquire(host, {.functions = vm.checked.functions, .force = context.options.force}));
  }
  auto end = start(context, vm);
  vm.config = vmm::VmConfig{};
  auto returned = return_functions(host, bindings);
  if (!end) {
    if (!returned) context.note(returned.error().text());
    return fail(std::move(end).error().within(fmt::format("VM '{}'", request.name)));
  }
  TRY(std::move(returned));
  return 0;
}

}  // namespace

void add_vm_run(CLI::App& group, Context& context) {
  auto& request = context.keep<VmRequest>();
  auto& command = add_command(group, context, "run", "start a virtual machine and stay with it until it ends",
                              [&request](Context& here) { return run_vm(here, request); });
  command.add_option("name", request.name, "1 to 63 of a-z, 0-9 and -")->required()->type_name("NAME");
  command.add_option("--kernel", request.kernel, "Linux bzImage, or uncompressed vmlinux with CONFIG_PVH")
      ->required()
      ->type_name("FILE");
  command.add_option("--initrd", request.initrd, "initial file system")->type_name("FILE");
  command.add_option("--cmdline", request.cmdline, "the kernel's command line")->type_name("TEXT");
  command.add_option("--memory", request.memory, "RAM: 512M, 4G")->type_name("SIZE")->capture_default_str();
  command.add_option("--cpus", request.cpus, "virtual CPUs, 1 to 8")->type_name("N")->capture_default_str();
  command.add_option("--device", request.devices, fmt::format("a PCI function to own: {}", kDeviceHelp))
      ->type_name("DEVICE")
      ->allow_extra_args(false);
  command
      .add_option("--disk", request.disks,
                  "a raw image or block device: path=FILE,format=raw, then readonly, direct, serial=TEXT, queues=N, "
                  "ring=split|packed")
      ->type_name("OPTIONS")
      ->allow_extra_args(false);
  command
      .add_option("--net", request.nets,
                  "a network interface on a tap of the host: tap=NAME, then mac=MAC, vhost=auto|on|off, queues=N, "
                  "ring=split|packed")
      ->type_name("OPTIONS")
      ->allow_extra_args(false);
  command.add_flag("--balloon", request.balloon, "take back memory that the guest does not use; not with --device");
  command.add_flag("--rng", request.rng, "a virtio device with random numbers of the host");
  command.add_option("--console", request.console, "on stdin and stdout: serial port, or virtio (hvc0); off")
      ->check(CLI::IsMember({"serial", "virtio", "off"}).description(""))
      ->type_name("serial|virtio|off")
      ->capture_default_str();
  command.add_option("--on-reboot", request.on_reboot, "restart the guest, or exit")
      ->check(CLI::IsMember({"restart", "exit"}).description(""))
      ->type_name("restart|exit")
      ->capture_default_str();
  command
      .add_option("--on-request", request.on_request,
                  "when the host wants a device back: stop the guest, or ignore it and let the host wait")
      ->check(CLI::IsMember({"stop", "ignore"}).description(""))
      ->type_name("stop|ignore")
      ->capture_default_str();
  command.add_option("--timeline", request.timeline, "write when each phase was reached, as JSON")->type_name("FILE");
}

}  // namespace pcivm::cli
