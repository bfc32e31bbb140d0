// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_runner.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "base/event_loop.hpp"
#include "base/log.hpp"
#include "base/program_pages.hpp"
#include "base/replace_file.hpp"
#include "base/socket.hpp"
#include "base/systemd.hpp"
#include "base/text.hpp"
#include "cli/console_hub.hpp"
#include "cli/http_client.hpp"
#include "cli/raw_terminal.hpp"
#include "cli/vm_api.hpp"
#include "cli/vm_definition.hpp"
#include "cli/vm_plug.hpp"
#include "cli/vm_ports.hpp"
#include "cli/vm_slots.hpp"
#include "cli/vm_supervisor.hpp"
#include "cli/vm_user.hpp"
#include "cli/vm_vmm.hpp"
#include "cli/vm_vmm_unit.hpp"
#include "vfio/blocker.hpp"
#include "vfio/managed.hpp"
#include "vfio/mdev.hpp"
#include "vfio/quarantine.hpp"
#include "vfio/vf_token.hpp"

namespace pcivm::cli {

namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{60};
constexpr milliseconds kLastWords{1000};

struct Vm {
  vmm::CountingIoctl port{system_ioctl()};
  vmm::Timeline timeline;
  VmChecked checked;
  vmm::VmConfig config;
};

std::uint64_t longest_file(const vmm::VirtioConfig& devices) {
  std::uint64_t longest = 0;
  for (const auto& disk : devices.disks) longest = std::max(longest, disk.disk.geometry.sectors * vmm::kSector);
  for (const auto& pmem : devices.pmems) longest = std::max(longest, pmem.length);
  return longest;
}

std::string_view answer_to_request(vmm::OnRequest how) {
  switch (how) {
    case vmm::OnRequest::detach: return "the guest is asked to let go of it";
    case vmm::OnRequest::stop: return "the guest is asked to power off";
    case vmm::OnRequest::ignore: return "it waits until this VM ends (--on-request ignore)";
  }
  return {};
}

// The VMM knows a mediated device by an address that is nobody's.
std::string with_uuids(std::string_view line, std::span<const std::string> mdevs) {
  std::string text{line};
  for (unsigned index = 0; const auto& uuid : mdevs) {
    const auto address = vfio::mdev_address(index++).to_string();
    if (const auto at = text.find(address); at != std::string::npos) text.replace(at, address.size(), uuid);
  }
  return text;
}

// Said while whoever asks still waits, because afterwards nobody can tell who it was.
void tell_request(Context& context, std::string_view line, vmm::OnRequest how) {
  const auto [word, rest] = split_word(line);
  if (word != vmm::kWantedBack || (!Bdf::parse(rest) && !vfio::is_uuid(rest))) return;
  const auto askers = vfio::waiters_of(context.root());
  log::warning("the host wants {} back{}{}; {}", rest, askers.empty() ? "" : ": ", askers, answer_to_request(how));
}

// What ends the VM is said by its end.
void tell_error(std::string_view line) {
  const auto [word, rest] = split_word(line);
  const auto [address, done] = split_word(rest);
  const auto function = Bdf::parse(address);
  if (word != vmm::kFailed || !function || done == to_string(vmm::OnError::stop)) return;
  log::warning(
      "{}: the device reported an uncorrectable error (see the host's kernel log, AER); it is taken from the "
      "guest{}",
      function->to_string(), done == to_string(vmm::OnError::reset) ? ", reset, and shown to it again" : "");
}

bool is_null_device(int number) {
  struct stat status{};
  return ::fstat(number, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

// The supervisor's part of a VM that runs. Members go in reverse: what is hung into the loop before the loop.
class Service final {
 public:
  Service(Context& context, Vm& vm, const vfio::Host& host, const VmRequest& request,
          const std::function<void()>& ready)
      : context_{context},
        vm_{vm},
        host_{host},
        ready_{ready},
        on_release_{request.on_release},
        vmm_socket_{request.vmm_socket},
        facts_{.name = vm.checked.config.name},
        ports_{std::move(vm.checked.ports)} {}

  Result<vmm::VmEnd> run() {
    TRY(prepare());
    TRY(start());
    if (auto serving = serve(); !serving) {
      supervisor_.reset();  // the VMM goes before its functions are given back
      return fail(std::move(serving).error());
    }
    auto end = supervisor_->watch(*loop_);
    terminal_.reset();
    systemd::notify("STOPPING=1");
    if (hub_) leave_console();
    return end;
  }
  void tell_end(const Result<vmm::VmEnd>& end) {
    if (api_) api_->ended(end);
  }
  /// What to give back now that the VMM is gone: of the start, or of those that it had at its end.
  std::vector<vfio::ManagedBinding> bindings(std::vector<vfio::ManagedBinding> of_start) {
    return devices_ ? devices_->finish() : std::move(of_start);
  }

 private:
  Result<void> prepare() {
    for (const auto& function : vm_.checked.functions) facts_.devices.push_back(function.to_string());
    for (const auto& mdev : vm_.checked.mdevs) facts_.mdevs.push_back(mdev.uuid);
    facts_.memory = {.size = vm_.checked.memory, .most = vm_.checked.most_memory};
    facts_.seccomp = vmm::to_string(vm_.checked.seccomp);
    if (vmm_socket_.empty() && vms_have_own_users()) {
      user_ = TRY(VmUser::take(context_.root()));
      facts_.user = user_->number();
    }
    vm_.config = TRY(open_vm(context_.root(), vm_.port, vm_.checked));
    for (auto& device : vm_.config.vfio.devices) device.reset_forced = context_.forced(vfio::kForceNoReset);
    if (!facts_.devices.empty() || !facts_.mdevs.empty()) {
      facts_.iommu_backend = vfio::to_string(vm_.config.vfio.backend);
      facts_.backend_reason = vm_.config.vfio.reason;
      log::debug("devices are assigned by {}{}{}", facts_.iommu_backend, facts_.backend_reason.empty() ? "" : ": ",
                 facts_.backend_reason);
    }
    vm_.timeline.stamp(vmm::Phase::prepared);
    facts_.cpus = vm_.config.cpus.topology.count();
    on_request_ = vm_.config.on_request;
    if (on_request_ == vmm::OnRequest::detach && vm_.config.hotplug.slots == 0) on_request_ = vmm::OnRequest::stop;
    TRY(prepare_devices());
    if (!vm_.config.console.serial && !vm_.config.virtio.console.terminal) return {};
    auto [ours, guests] = TRY(make_socket_pair(SOCK_NONBLOCK));
    vm_.config.console.out = TRY(guests.dup());
    vm_.config.console.in = std::move(guests);
    console_ = std::move(ours);
    return {};
  }

  Result<void> start() {
    supervisor_ = TRY(Supervisor::start({.start = [this](VmmEnds ends) { return start_vmm(std::move(ends)); },
                                         .patience = context_.options.timeout.value_or(kPatience),
                                         .note = [this](std::string_view text) { context_.note(text); },
                                         .heard = [this](std::string_view line) { hear(line); }}));
    vm_.config = vmm::VmConfig{};  // the VMM's now
    facts_.vmm = supervisor_->vmm().id;
    if (const auto user = supervisor_->vmm().user) facts_.user = user;
    return {};
  }

  Result<VmmProcess> start_vmm(VmmEnds ends) {
    if (!vmm_socket_.empty()) return hand_to_unit(vmm_socket_, parts(), std::move(ends));
    const auto own = std::exchange(ends.leave, [] {});
    return fork_vmm({.control = std::move(ends.control),
                     .report = std::move(ends.report),
                     .leave =
                         [this, &own] {
                           own();
                           console_.close();
                           setup_.socket.close();
                           ports_->leave();
                           user_.reset();  // the lock is the supervisor's
                         }},
                    [this](Fd control) {
                      auto all = parts();
                      all.config.control = std::move(control);
                      return run_vmm(std::move(all));
                    });
  }

  VmmParts parts() {
    const auto devices = vm_.checked.functions.size() + vm_.config.hotplug.slots;
    VmmParts parts{.config = {},
                   .confinement = {.user = facts_.user,
                                   .own_user = has_own_user(),
                                   .seccomp = vm_.checked.seccomp,
                                   .ram = vm_.checked.most_memory,
                                   .pinned = pinned_memory(vm_.checked.most_memory, vm_.config.virtio.iommu, devices),
                                   .longest_file = longest_file(vm_.config.virtio)},
                   .timeline = std::move(vm_.checked.timeline),
                   .report = {},
                   .ioctls = vm_.port.counts(),
                   .level = log::level()};
    for (const auto phase : {vmm::Phase::exec, vmm::Phase::prepared}) {
      if (const auto at = vm_.timeline.at(phase)) parts.phases.emplace_back(phase, *at);
    }
    parts.config = std::move(vm_.config);
    return parts;
  }

  [[nodiscard]] bool has_own_user() const { return user_ || !vmm_socket_.empty(); }

  Result<void> serve() {
    loop_ = TRY(EventLoop::create());
    TRY(ports_->serve(*loop_));
    if (console_) {
      hub_ = TRY(ConsoleHub::create(*loop_, std::move(console_)));
      TRY(join_console());
    }
    devices_ = TRY(VmDevices::create({.loop = *loop_,
                                      .root = root_side(host_, plug_facts()),
                                      .note = [this](std::string_view text) { context_.note(text); },
                                      .keep = [this](const VmSlots& slots) { keep_slots(slots); }},
                                     std::move(setup_)));
    auto listener = TRY(listen_at(vm_socket(context_.root(), facts_.name)));
    api_ = TRY(VmApi::create({.loop = *loop_,
                              .stop = [this](Stop how) { supervisor_->stop(how); },
                              .stopping = [this] { return supervisor_->stopping(); },
                              .ask_figures = [this] { supervisor_->ask_figures(); },
                              .want_memory = [this](std::uint64_t bytes) { supervisor_->want_memory(bytes); },
                              .console = hub_.get(),
                              .ports = ports_.get(),
                              .devices = devices_.get()},
                             facts_, std::move(listener)));
    return {};
  }

  Result<void> prepare_devices() {
    auto& config = vm_.config;
    for (const auto& device : config.vfio.devices) {
      if (!device.is_function()) continue;  // nothing of the host is given back for it
      auto binding = TRY(vfio::binding_for(context_.root(), device.address, ::getpid()));
      setup_.devices.push_back({.binding = std::move(binding), .group = config.vfio.groups.at(device.group).number});
    }
    setup_.backend = config.vfio.backend;
    setup_.backend_stays = !facts_.mdevs.empty();
    layout_ = config.layout;
    guest_iommu_ = config.virtio.iommu;
    setup_.slots = config.hotplug.slots;
    setup_.remembered = load_slots(context_.root(), facts_.name);
    if (config.virtio.balloon) {
      setup_.refusal = Error::make(Errc::refused, "--balloon beside a device: it could write to pages that were taken")
                           .coded("vm.balloon_with_device");
    }
    if (config.hotplug.slots == 0) {
      setup_.refusal = Error::make(Errc::refused, "the VM has no slots for devices that come and go")
                           .coded("vm.no_hotplug")
                           .advise("start it with --hotplug-slots");
      return {};
    }
    auto [ours, vmms] = TRY(make_packet_sockets());
    setup_.socket = std::move(ours);
    config.hotplug.socket = std::move(vmms);
    return {};
  }

  [[nodiscard]] PlugFacts plug_facts() const {
    return {.supervisor = ::getpid(),
            .vmm = facts_.vmm,
            .own_user = has_own_user(),
            .memory = facts_.memory.most,
            .layout = layout_,
            .firmware = vm_.checked.config.firmware.has_value(),
            .on_release = on_release_,
            .guest_iommu = guest_iommu_,
            .wish = vm_.checked.backend};
  }

  // Of a VM that is not defined nothing stays.
  void keep_slots(const VmSlots& slots) {
    if (!is_defined(context_.root(), facts_.name)) return;
    const auto kept = save_slots(context_.root(), facts_.name, slots);
    if (!kept) context_.note(fmt::format("slots of devices are not kept: {}", kept.error().text()));
  }

  // Whoever started it in the foreground is the console's first reader, and types.
  Result<void> join_console() {
    terminal_.emplace(FdRef{STDIN_FILENO});
    ConsoleHub::Client client{.out = Fd::adopt(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)), .types = true};
    if (may_read(FdRef{STDIN_FILENO})) client.in = Fd::adopt(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    client.types = static_cast<bool>(client.in);
    if (*terminal_) {
      client.escape = [this] { supervisor_->stop(Stop::force); };
      context_.note(fmt::format("{} starts; Ctrl-] ends it", facts_.name));
    }
    if (!client.out) return {};
    return hub_->attach(std::move(client));
  }

  void leave_console() {
    hub_->finish(kLastWords);
    if (const auto dropped = hub_->figures().dropped; dropped != 0) {
      context_.note(fmt::format("{} bytes of the console were dropped: their reader was too slow", dropped));
    }
    if (!is_null_device(STDOUT_FILENO)) return;
    const auto kept = replace_file(context_.root(), vm_console_file(facts_.name), hub_->log().text(), 0600, 0700);
    if (!kept) context_.note(fmt::format("the console is not kept: {}", kept.error().text()));
  }

  void hear(std::string_view said) {
    const auto line = with_uuids(said, facts_.mdevs);
    tell_request(context_, line, on_request_);
    tell_error(line);
    const bool before = api_ && api_->running();
    if (api_) api_->heard(line);
    if (!api_ || before || !api_->running()) return;
    systemd::notify("READY=1\nSTATUS=the guest runs");
    drop_program_pages();
    if (ready_) ready_();
  }

  Context& context_;
  Vm& vm_;
  const vfio::Host& host_;
  const std::function<void()>& ready_;
  std::string on_release_;
  std::string vmm_socket_;  // of its unit; empty: it is a child
  VmFacts facts_;
  std::optional<VmUser> user_;  // of the VMM; outlives it
  vmm::MemoryLayout layout_;
  bool guest_iommu_{};
  vmm::OnRequest on_request_{};
  VmDevices::Setup setup_;
  Fd console_;
  std::optional<RawTerminal> terminal_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<VmPorts> ports_;
  std::unique_ptr<ConsoleHub> hub_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<VmDevices> devices_;
  std::unique_ptr<VmApi> api_;
};

}  // namespace

std::string vm_socket(const SysRoot& root, const std::string& name) {
  return root.host_path(fmt::format("/run/pcivm/vm/{}/api.sock", name));
}

std::string vm_messages_file(const std::string& name) { return fmt::format("/var/log/pcivm/{}.messages", name); }
std::string vm_console_file(const std::string& name) { return fmt::format("/var/log/pcivm/{}.log", name); }

Result<vmm::VmEnd> run_vm(Context& context, const VmRequest& request, const std::function<void()>& ready) {
  if (!request.vmm_socket.empty()) TRY(check_unit_name(request.name));
  Vm vm;
  vm.timeline.stamp(vmm::Phase::exec);
  vm.checked = TRY(check_vm(context.root(), vm.port, request));
  const vfio::Host host{.root = context.root(), .note = [&context](std::string_view text) { context.note(text); }};
  const BlockedStopSignals blocked;  // from here to the end, the host must be put back in order
  std::vector<vfio::ManagedBinding> bindings;
  if (!vm.checked.functions.empty()) {
    const vfio::Host asked{.root = host.root, .users_of = vfio::users_at_once(vm.checked.functions), .note = host.note};
    bindings = TRY(vfio::acquire(
        asked, {.functions = vm.checked.functions, .force = context.options.force, .on_release = request.on_release}));
  }
  Service service{context, vm, host, request, ready};
  auto end = service.run();
  vm.config = vmm::VmConfig{};
  vm.checked.config.vfio = vfio::OpenedVfio{};  // what was opened and then refused
  auto returned = return_functions(host, service.bindings(std::move(bindings)));
  if (!returned && !end) context.note(returned.error().text());
  if (!returned && end) end = fail(std::move(returned).error());
  if (!end) end = fail(std::move(end).error().within(fmt::format("VM '{}'", request.name)));
  service.tell_end(end);
  return end;
}

}  // namespace pcivm::cli
