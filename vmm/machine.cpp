// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/machine.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <utility>

#include <fmt/format.h>

#include "base/log.hpp"
#include "base/parse.hpp"
#include "base/program_pages.hpp"
#include "vfio/uapi.hpp"
#include "vmm/acpi_tables.hpp"
#include "vmm/legacy/pic.hpp"
#include "vmm/legacy/serial.hpp"
#include "vmm/mp_table.hpp"
#include "vmm/thread_filter.hpp"

namespace pcivm::vmm {

namespace {
constexpr std::size_t kOutputRoom = 64 * kKiB;  // until the supervisor reads, which keeps much more
constexpr std::chrono::milliseconds kFlushTime{1000};
// For the guest to power off when the host wants a device back: the host's writer waits meanwhile, and with a removal
// every other change of PCI functions does.
constexpr std::chrono::seconds kRequestPatience{10};
constexpr std::chrono::seconds kSettled{15};

// Of the first devices on the bus, which are the assigned ones.
std::uint32_t first_slots(const HotplugConfig& config, std::size_t count) {
  const auto kept = platform::hotplug_slots(config.slots);
  std::uint32_t slots = 0;
  for (unsigned slot = 1; count > 0 && slot < PciBus::kSlots; ++slot) {
    if ((kept >> slot & 1U) != 0) continue;
    slots |= 1U << slot;
    --count;
  }
  return slots;
}

std::vector<unsigned> numbers(std::uint32_t slots) {
  std::vector<unsigned> all;
  for (unsigned slot = 0; slot < PciBus::kSlots; ++slot) {
    if ((slots >> slot & 1U) != 0) all.push_back(slot);
  }
  return all;
}
}  // namespace

// What a vCPU asks of the chipset.
class Machine::Interrupts final : public InterruptAcknowledge {
 public:
  explicit Interrupts(Chipset& chipset) : chipset_{chipset} {}
  void end_of_interrupt(std::uint8_t vector) override { chipset_.eoi(vector); }
  bool pic_pending() override { return chipset_.pic().pending(); }
  std::optional<std::uint8_t> pic_acknowledge() override { return chipset_.pic().acknowledge(); }

 private:
  Chipset& chipset_;
};

// A guest may say that its first process runs (timeline.hpp).
class Machine::InitPort final : public IoHandler {
 public:
  explicit InitPort(Timeline& timeline) : timeline_{timeline} {}
  void read(std::uint64_t /*offset*/, std::span<std::byte> data) override { std::ranges::fill(data, std::byte{0xff}); }
  void write(std::uint64_t /*offset*/, std::span<const std::byte> data) override {
    if (load_le(data) == kGuestInitValue) timeline_.stamp(Phase::guest_init);
  }

 private:
  Timeline& timeline_;
};

Machine::Machine(VmConfig config, EventLoop& loop, CountingIoctl& port, Timeline& timeline, Kvm kvm, Vm vm,
                 GuestMemory memory)
    : config_{std::move(config)},
      loop_{loop},
      port_{port},
      timeline_{timeline},
      kvm_{std::move(kvm)},
      vm_{std::move(vm)},
      memory_{std::move(memory)},
      slots_{port, vm_->ref()},
      routes_{port, vm_->ref()},
      doorbells_{port, vm_->ref()},
      domains_{memory_, [](const Error& error) { log::warning("{}", error.text()); }} {}

Result<std::unique_ptr<Machine>> Machine::create(VmConfig config, EventLoop& loop, CountingIoctl& port,
                                                 Timeline& timeline) {
  Vcpu::install_kick_handler();
  const bool served =
      std::ranges::any_of(config.vfio.devices, [](const auto& each) { return each.server.has_value(); });
  config.ram.shared = !config.virtio.folders.empty() || served;
  config.ram.devices = std::ranges::any_of(config.vfio.devices, &vfio::OpenedDevice::is_function);
  auto memory = TRY(GuestMemory::create(config.layout.ram, config.ram));
  for (const auto& pmem : config.virtio.pmems) {
    TRY_IN(memory.add_file({.gpa = pmem.base, .length = pmem.length}, pmem.file.ref(), pmem.read_only), "virtio-pmem");
  }
  if (const auto& blocks = config.layout.blocks; config.virtio.memory) {
    TRY_IN(memory.add_blocks(blocks, MemoryBlocks::size_for(blocks.length), config.ram), "virtio-mem");
  }
  auto kvm = TRY(Kvm::adopt(port, std::move(config.kvm)));
  auto vm = TRY(Vm::create(port, kvm));
  timeline.stamp(Phase::vm_created);
  std::unique_ptr<Machine> machine{
      new Machine{std::move(config), loop, port, timeline, std::move(kvm), std::move(vm), std::move(memory)}};
  TRY(machine->build());
  return machine;
}

Machine::~Machine() { stop_cpus(); }

Result<void> Machine::build() {
  TRY(build_console());
  assigned_slots_ = first_slots(config_.hotplug, config_.vfio.devices.size());
  if (config_.hotplug.slots != 0) hotplug_slots_ = platform::hotplug_slots(config_.hotplug.slots) | assigned_slots_;
  chipset_ = TRY(
      Chipset::create(loop_, routes_, ports_, mmio_, chipset_callbacks(), {.firmware = config_.firmware.has_value()}));
  if (config_.firmware) {
    TRY(build_firmware());
  } else {
    TRY(bus_.connect(ports_, mmio_));
  }
  interrupts_ = std::make_unique<Interrupts>(*chipset_);
  init_port_ = std::make_unique<InitPort>(timeline_);
  TRY(ports_.add(kGuestInitPort, 1, *init_port_, "guest init"));
  if (config_.debug_exit) TRY(build_debug_exit());
  TRY(build_hotplug());
  build_blocks();
  TRY(build_devices());
  if (config_.control) {
    control_ = TRY(loop_.watch(config_.control.ref(), Interest::read, [this] { on_control(); }));
  }
  return {};
}

Result<void> Machine::build_debug_exit() {
  debug_exit_ = std::make_unique<DebugExit>([this](std::uint32_t number) { on_debug_exit(number); });
  return ports_.add(DebugExit::kPort, DebugExit::kLength, *debug_exit_, "debug exit");
}

platform::PciWindows Machine::windows() const {
  if (!firmware_) return {.high = config_.layout.window64};
  const auto end = end_of_memory(config_.layout).value;
  return {.low = platform::kFirmwareWindow32,
          .high = {.base = Gpa{end}, .length = (1ULL << config_.address_bits) - end}};
}

// Before the devices: its part of the chipset has places on the bus that others must not take.
Result<void> Machine::build_firmware() {
  std::optional<unsigned> boot_slot;
  if (!config_.virtio.disks.empty()) {
    boot_slot = static_cast<unsigned>(config_.vfio.devices.size()) + (config_.virtio.iommu ? 2 : 1);
  }
  firmware_ = TRY(Firmware::create(std::move(*config_.firmware),
                                   {.memory = memory_,
                                    .ports = ports_,
                                    .mmio = mmio_,
                                    .slots = slots_,
                                    .bus = bus_,
                                    .layout = config_.layout,
                                    .cpus = config_.cpus.topology,
                                    .smbios = smbios_facts(),
                                    .serial = config_.console.serial,
                                    .boot_slot = boot_slot,
                                    .hotplug_slots = numbers(hotplug_slots_),
                                    .iommu = acpi_iommu(),
                                    .acpi_memory = acpi_memory(),
                                    .hotplug_room = config_.hotplug.room,
                                    .address_bits = config_.address_bits,
                                    .reset = [this] { request(Outcome::reset); },
                                    .report = [](const Error& error) { log::warning("{}", error.text()); }}));
  return {};
}

Result<void> Machine::build_hotplug() {
  if (hotplug_slots_ == 0) return {};
  bus_.keep_for_hotplug(config_.hotplug.slots);
  hotplug_ = std::make_unique<HotplugSlots>(hotplug_slots_, chipset_->connect(platform::gsi::kHotplug),
                                            [this] { loop_.post([this] { devices_->hear_guest(); }); });
  TRY(ports_.add(platform::port::kHotplug, HotplugSlots::kLength, *hotplug_, "hot-plug"));
  if (config_.hotplug.socket) {
    plug_ = TRY(loop_.watch(config_.hotplug.socket.ref(), Interest::read, [this] { on_plug(); }));
  }
  return {};
}

void Machine::build_blocks() {
  if (!config_.virtio.memory) return;
  blocks_ = std::make_unique<MemoryBlocks>(
      config_.layout.blocks,
      MemoryBlocks::Wiring{.memory = memory_,
                           .slots = slots_,
                           .populate = config_.ram.populate,
                           .changed = [this] { loop_.post([this] { tell_memory(); }); },
                           .fail = [this](Error error) { fail_with(std::move(error)); },
                           .report = [](const Error& error) { log::warning("{}", error.text()); }});
}

// Assigned devices first: the order of the bus is that of the BAR plan.
Result<void> Machine::build_devices() {
  const auto report = [](const Error& error) { log::warning("{}", error.text()); };
  const auto assigned = config_.vfio.devices.size();
  const auto ours = config_.virtio.count();
  devices_ = TRY(DeviceSet::create(
      std::move(config_.vfio), config_.bars,
      {.port = port_,
       .loop = loop_,
       .memory = memory_,
       .ports = ports_,
       .mmio = mmio_,
       .slots = slots_,
       .routes = routes_,
       .bus = bus_,
       .timeline = timeline_,
       .windows = windows(),
       .intx = {.connect = [this](Gsi gsi) -> InterruptLine& { return chipset_->connect(gsi); },
                .on_eoi = [this](Gsi gsi,
                                 std::function<void()> listener) { chipset_->on_eoi(gsi, std::move(listener)); },
                .on_unmask = [this](Gsi gsi,
                                    std::function<void()> listener) { chipset_->on_unmask(gsi, std::move(listener)); }},
       .domains = config_.virtio.iommu ? &domains_ : nullptr,
       .blocks = blocks_.get(),
       .hotplug = hotplug_.get(),
       .hotplug_slots = hotplug_slots_,
       .peer_to_peer = config_.peer_to_peer,
       .wanted = [this](Bdf function) { on_wanted(function); },
       .failed = [this](Bdf function) { on_failed(function); },
       .tell = [this](const PlugReport& told) { tell_plug(told); },
       .fail = [this](Error error) { fail_with(std::move(error)); },
       .report = report}));
  virtio_ = TRY(VirtioSet::create(std::move(config_.virtio), config_.bars, assigned,
                                  {.port = port_,
                                   .loop = loop_,
                                   .memory = memory_,
                                   .mmio = mmio_,
                                   .routes = routes_,
                                   .doorbells = doorbells_,
                                   .bus = bus_,
                                   .domains = domains_,
                                   .blocks = blocks_.get(),
                                   .windows = windows(),
                                   .connect = [this](Gsi gsi) -> InterruptLine& { return chipset_->connect(gsi); },
                                   .console = {.output =
                                                   [this](std::span<const std::byte> data) {
                                                     if (output_) output_->push(data);
                                                   },
                                               .can_receive =
                                                   [this] {
                                                     if (input_) input_->ready();
                                                   }},
                                   .report = report}));
  return config_.watchdog ? build_watchdog(assigned + ours) : Result<void>{};
}

Result<void> Machine::build_watchdog(std::size_t index) {
  watchdog_ = TRY(Watchdog::create(
      {.loop = loop_,
       .memory = mmio_,
       .may_decode = [windows = windows()](std::uint64_t address,
                                           std::uint64_t length) { return windows.contain(address, length); },
       .expired = [this] { on_watchdog(); },
       .report = [](const Error& error) { log::warning("{}", error.text()); }}));
  for (const auto& site : config_.bars.sites) {
    if (site.device == index) watchdog_->place_bar(site.bar, site.address(windows().high));
  }
  (void)TRY(bus_.add(*watchdog_));
  return {};
}

Result<void> Machine::build_console() {
  auto& console = config_.console;
  if ((console.serial || config_.virtio.console.terminal) && console.out)
    output_ = TRY(OutputRing::create(loop_, console.out.ref(), kOutputRoom));
  if ((!console.serial && !config_.virtio.console.terminal) || !console.in) return {};
  ConsoleInput::Callbacks callbacks{.deliver = [this](std::span<const std::byte> data) { return deliver(data); }};
  input_ = TRY(ConsoleInput::create(loop_, console.in.ref(), std::move(callbacks)));
  return {};
}

// Where there are both, the guest has a driver for the better one.
std::size_t Machine::deliver(std::span<const std::byte> input) {
  auto* const console = virtio_ ? virtio_->console() : nullptr;
  if (console != nullptr && (console->open() || !config_.console.serial)) return console->receive(input);
  return chipset_ && config_.console.serial ? chipset_->serial().receive(input) : 0;
}

ChipsetCallbacks Machine::chipset_callbacks() {
  return {.reset = [this] { request(Outcome::reset); },
          .power_off = [this] { request(Outcome::power_off); },
          .extint =
              [this] {
                if (cpus_) cpus_->kick_boot_cpu();
              },
          .serial_output =
              [this](std::span<const std::byte> data) {
                if (output_ && config_.console.serial) output_->push(data);
              },
          .serial_ready =
              [this] {
                loop_.post([this] {
                  if (input_) input_->ready();
                });
              },
          .report = [](const Error& error) { log::warning("{}", error.text()); }};
}

Result<void> Machine::add_ram() {
  for (const auto& region : memory_.regions()) {
    if (region.kind == MemoryKind::blocks) continue;
    const bool read_only = region.kind == MemoryKind::read_only_file;
    (void)TRY(slots_.add(region.gpa, region.hva, region.length,
                         read_only ? MemorySlots::Kind::read_only : MemorySlots::Kind::ram));
  }
  return {};
}

// The one that is first on the bus behind the assigned devices. What comes later is behind it, too.
std::optional<AcpiIommu> Machine::acpi_iommu() const {
  if (!config_.virtio.iommu) return std::nullopt;
  const auto assigned = static_cast<std::size_t>(std::popcount(assigned_slots_));
  const auto slots = numbers(first_slots(config_.hotplug, assigned + 1));
  return AcpiIommu{.slot = slots.back(), .behind = numbers(assigned_slots_ | hotplug_slots_)};
}

std::optional<AcpiMemory> Machine::acpi_memory() const {
  if (!config_.virtio.memory) return std::nullopt;
  return AcpiMemory{.ram = config_.layout.ram, .blocks = config_.layout.blocks};
}

// What a firmware would leave for a kernel.
Result<void> Machine::write_tables() {
  AcpiConfig acpi;
  const auto& cpus = config_.cpus.topology;
  for (unsigned index = 0; index < cpus.count(); ++index) acpi.apic_ids.push_back(cpus.apic_id(index));
  if (config_.layout.window64.length != 0) acpi.pci_window64 = config_.layout.window64;
  acpi.hotplug_slots = numbers(hotplug_slots_);
  acpi.iommu = acpi_iommu();
  acpi.memory = acpi_memory();
  const auto tables = TRY(build_acpi_tables(acpi));
  const auto room = TRY(memory_.window(tables.address, tables.bytes.size()));
  std::ranges::copy(tables.bytes, room.begin());
  rsdp_ = tables.rsdp;
  TRY(write_smbios(memory_, smbios_facts()));
  return write_mp_table(memory_, acpi.apic_ids);
}

SmbiosConfig Machine::smbios_facts() const {
  SmbiosConfig facts{
      .name = config_.name, .uuid = config_.uuid, .cpus = config_.cpus.topology, .ram = config_.layout.ram};
  describe_cpu(facts);
  return facts;
}

Result<CpuState> Machine::load_kernel() {
  const BootFacts facts{.cmdline = config_.cmdline, .rsdp = rsdp_, .map = config_.layout.map};
  auto state = TRY(load_linux(memory_, config_.boot, {config_.kernel.ref(), config_.initrd.ref()}, facts));
  timeline_.stamp(Phase::kernel_loaded);
  return state;
}

Result<CpuState> Machine::load_firmware() {
  TRY(firmware_->load());
  timeline_.stamp(Phase::kernel_loaded);
  return CpuState{.mode = CpuState::Mode::reset};
}

// The kernel is read on a thread of its own while KVM makes the CPUs; devices are opened and memory is mapped while the
// guest already boots.
Result<void> Machine::boot() {
  if (!firmware_) TRY(write_tables());
  std::optional<Result<CpuState>> loaded;
  std::jthread loader{[&] {
    become(ThreadKind::start);
    loaded = firmware_ ? load_firmware() : load_kernel();
  }};
  TRY(add_ram());
  TRY(devices_->connect(*vm_));
  if (boots_ == 0) devices_->open_all();
  cpus_ =
      TRY(CpuSet::create(port_, kvm_, *vm_, config_.cpus, firmware_ ? CpuSet::Origin::reset : CpuSet::Origin::booted));
  loader.join();
  const auto state = TRY(std::move(*loaded));
  ++boots_;
  timeline_.stamp(Phase::first_instruction);
  TRY(cpus_->start(state, {.ports = ports_, .memory = mmio_, .interrupts = *interrupts_},
                   [this](Result<Vcpu::End> end) { on_cpu_end(std::move(end)); }));
  if (boots_ == 1) {
    // Behind the CPUs, which would keep this filter below their own.
    become(ThreadKind::loop);
    devices_->map_ram();
    tell(kRunning);
    TRY(await_settled());
  }
  return {};
}

// By then most guests have booted: what the start alone needed of the program need not stay in memory.
Result<void> Machine::await_settled() {
  settled_ = TRY(make_timerfd());
  TRY(arm_timerfd(settled_.ref(), kSettled, {}));
  settled_watch_ = TRY(loop_.watch(settled_.ref(), Interest::read, [this] {
    (void)drain_eventfd(settled_.ref());
    drop_program_pages();
  }));
  return {};
}

Result<void> Machine::prepare_reboot() {
  TRY(devices_->reset_all());
  virtio_->reset_all();
  if (blocks_) TRY(blocks_->restart());
  if (watchdog_) watchdog_->reset();
  chipset_->reset();
  if (firmware_) firmware_->reset();
  devices_->disconnect();
  vm_.reset();
  vm_ = TRY(Vm::create(port_, kvm_));
  slots_.rebind(vm_->ref());
  routes_.rebind(vm_->ref());
  doorbells_.rebind(vm_->ref());
  return {};
}

Result<VmEnd> Machine::run() {
  for (;;) {
    auto booted = boot();
    if (!booted) fail_with(std::move(booted).error());
    TRY(loop_.run());
    const bool leaves = !wanted_.empty() && (config_.on_request == OnRequest::stop || powers_off_);
    const bool restart = !failure_ && !leaves && outcome_ == Outcome::reset && config_.on_reboot == OnReboot::restart;
    if (!restart) devices_->abandon();
    stop_cpus();
    if (!restart) break;
    outcome_.reset();
    TRY(prepare_reboot());
  }
  devices_->close();
  if (output_) output_->flush(kFlushTime);
  timeline_.stamp(Phase::ended);
  if (failure_) return fail(std::move(*failure_));
  if (!wanted_.empty() && config_.on_request != OnRequest::ignore) {
    return fail(Error::make(Errc::busy, fmt::format("the host wants {} back; the guest {}", wanted_.front().to_string(),
                                                    outcome_ == Outcome::killed ? "was ended" : "ended itself"))
                    .coded("device.wanted"));
  }
  switch (outcome_.value_or(Outcome::killed)) {
    case Outcome::power_off: return VmEnd::power_off;
    case Outcome::reset: return VmEnd::reboot;
    case Outcome::killed: return VmEnd::killed;
  }
  return VmEnd::killed;
}

void Machine::stop_cpus() {
  if (!cpus_) return;
  cpus_->stop();
  exits_ += cpus_->counts();
  cpus_.reset();
}

void Machine::on_control() {
  std::array<std::byte, 16> bytes{};
  const auto count = read_some(config_.control.ref(), bytes);
  if (!count || *count == 0) {
    // The supervisor is gone: nobody would return the devices.
    control_ = Watch{};
    end(Outcome::killed);
    return;
  }
  for (const auto byte : std::span{bytes}.first(*count)) {
    if (memory_size_) {
      on_memory_byte(static_cast<char>(byte));
      continue;
    }
    const auto command = static_cast<ControlByte>(byte);
    if (command == ControlByte::memory) memory_size_.emplace();
    if (command == ControlByte::power_button) chipset_->press_power_button();
    if (command == ControlByte::kill) end(Outcome::killed);
    if (command == ControlByte::report) tell_figures();
  }
}

// Of a number of bytes, which ends with its line.
void Machine::on_memory_byte(char byte) {
  if (byte != '\n') {
    memory_size_->push_back(byte);
    return;
  }
  const auto text = std::exchange(memory_size_, std::nullopt);
  const auto bytes = parse_decimal<std::uint64_t>(*text);
  if (!bytes || virtio_->memory() == nullptr) return;
  if (auto wanted = virtio_->memory()->want(*bytes); !wanted) log::warning("{}", wanted.error().text());
}

void Machine::tell_memory() { tell(fmt::format("{} {}", kMemory, blocks_->plugged())); }

// Without a supervisor to read it the end of the VM says enough.
void Machine::tell(std::string_view line) {
  if (config_.control) (void)write_all(config_.control.ref(), fmt::format("{}\n", line));
}

void Machine::tell_figures() {
  std::string text;
  for (const auto& [name, value] : figures_of(report())) text += fmt::format("{} {} {}\n", kFigure, name, value);
  tell(text + std::string{kFigures});
}

// One request at a time is carried out as far as it goes at once; what takes longer is told when it is done.
void Machine::on_plug() {
  auto packet = receive_packet(config_.hotplug.socket.ref());
  if (!packet || !*packet) {
    if (packet || packet.error().sys_errno() != EAGAIN) plug_ = Watch{};  // the control socket tells that it is gone
    return;
  }
  auto request = read_request(std::move(**packet));
  if (!request) {
    log::warning("{}", request.error().text());
    return;
  }
  const auto function = request->function;
  if (auto done = carry_out(std::move(*request)); !done) {
    tell_plug({.kind = PlugReport::Kind::refused, .function = function, .error = std::move(done).error()});
  }
}

Result<void> Machine::carry_out(PlugRequest request) {
  switch (request.kind) {
    case PlugRequest::Kind::ask_back: return devices_->ask_back(request.function);
    case PlugRequest::Kind::take_out: return devices_->take_out(request.function);
    case PlugRequest::Kind::attach: devices_->attach(std::move(request)); return {};
  }
  return {};
}

void Machine::tell_plug(const PlugReport& report) {
  const bool wanted = !powers_off_ && std::ranges::find(wanted_, report.function) != wanted_.end();
  if (wanted && report.kind == PlugReport::Kind::refused) ask_to_power_off();
  if (wanted && report.kind == PlugReport::Kind::detached && std::erase(wanted_, report.function) != 0 &&
      wanted_.empty()) {
    (void)arm_timerfd(patience_.ref(), {}, {});
  }
  if (!config_.hotplug.socket) return;
  if (auto sent = send(config_.hotplug.socket.ref(), report); !sent) log::warning("{}", sent.error().text());
}

// The kernel asks every ten seconds (vfio_unregister_group_dev).
void Machine::on_wanted(Bdf function) {
  if (std::ranges::find(wanted_, function) != wanted_.end()) return;
  wanted_.push_back(function);
  tell(fmt::format("{} {}", kWantedBack, function.to_string()));
  if (config_.on_request == OnRequest::ignore) return;
  const bool goes = config_.on_request == OnRequest::detach && devices_->ask_back(function);
  if (goes && wanted_.size() == 1) {
    if (auto waiting = await([this] { ask_to_power_off(); }); !waiting) fail_with(std::move(waiting).error());
  } else if (!goes && !powers_off_) {
    ask_to_power_off();
  }
}

// Of one that is taken away already nothing more is told: a device that is broken may report errors without end.
void Machine::on_failed(Bdf function) {
  if (devices_->away(function)) return;
  const auto how = contain(function);
  tell(fmt::format("{} {} {}", kFailed, function.to_string(), to_string(how)));
  if (how != OnError::stop) return;
  fail_with(
      Error::make(Errc::kernel, fmt::format("{}: the device reported an uncorrectable error", function.to_string()))
          .coded("device.failed")
          .advise("see the host's kernel log (AER)"));
}

// What is done.
OnError Machine::contain(Bdf function) {
  if (config_.on_error == OnError::reset) {
    const auto reset = devices_->recover(function);
    if (reset) return OnError::reset;
    log::warning("{}", reset.error().text());
  }
  if (config_.on_error == OnError::stop) return OnError::stop;
  const auto taken = devices_->take_out(function);
  if (!taken) log::warning("{}", taken.error().text());
  return taken ? OnError::detach : OnError::stop;
}

void Machine::ask_to_power_off() {
  powers_off_ = true;
  chipset_->press_power_button();
  if (auto waiting = await([this] { end(Outcome::killed); }); !waiting) fail_with(std::move(waiting).error());
}

Result<void> Machine::await(std::function<void()> then) {
  patience_over_ = Watch{};
  patience_ = TRY(make_timerfd());
  patience_over_ = TRY(loop_.watch(patience_.ref(), Interest::read, std::move(then)));
  return arm_timerfd(patience_.ref(), kRequestPatience, {});
}

void Machine::on_debug_exit(std::uint32_t number) {
  if (number == 0) return request(Outcome::power_off);
  fail_with(Error::make(Errc::kernel, fmt::format("the guest ended the VM with {} (debug exit)", number))
                .coded("vm.debug_exit"));
}

void Machine::on_watchdog() {
  const auto action = config_.watchdog.value_or(WatchdogAction::none);
  log::warning("the guest's watchdog ran out{}", action == WatchdogAction::reset       ? ": the guest is reset"
                                                 : action == WatchdogAction::power_off ? ": the guest is powered off"
                                                                                       : "");
  if (action == WatchdogAction::reset) request(Outcome::reset);
  if (action == WatchdogAction::power_off) request(Outcome::power_off);
}

void Machine::on_cpu_end(Result<Vcpu::End> end) {
  if (!end) {
    fail_with(std::move(end).error());
  } else if (*end == Vcpu::End::triple_fault) {
    log::warning("a CPU of the guest met a triple fault: the guest is reset");
    request(Outcome::reset);
  }
}

// Posted with the number of the boot that it belongs to: a second request of a guest that already ended must not end
// the next one.
void Machine::request(Outcome outcome) {
  loop_.post([this, outcome, boot = boots_] {
    if (boot == boots_) end(outcome);
  });
}

void Machine::fail_with(Error error) {
  loop_.post([this, error = std::move(error)]() mutable {
    if (!failure_) failure_ = std::move(error);
    loop_.stop();
  });
}

void Machine::end(Outcome outcome) {
  if (!outcome_ || outcome == Outcome::killed) outcome_ = outcome;
  loop_.stop();
}

TimelineReport Machine::report() {
  // Whoever maps has its figures to itself until it is done.
  const auto dma = timeline_.at(Phase::memory_mapped) ? devices_->figures() : DmaFigures{};
  auto exits = exits_;
  if (cpus_) exits += cpus_->counts();
  return {.phases = phases_of(timeline_),
          .exits = exits,
          .ioctls = named_counts(port_),
          .mapped_bytes = dma.mapped_bytes,
          .dma_runs = dma.runs,
          .huge_run_bytes = dma.huge_run_bytes,
          .populate_ns = static_cast<std::uint64_t>(dma.populating.count()),
          .map_ns = static_cast<std::uint64_t>(dma.mapping.count()),
          .peer_bytes = dma.peer_bytes,
          .routes = routes_.used(),
          .vectors = devices_->vectors(),
          .boots = boots_,
          .device_resets = count_of(port_, vfio::uapi::reset.number),
          .console_dropped = output_ ? output_->dropped() : 0,
          .ports = virtio_ && virtio_->console() != nullptr ? virtio_->console()->ports() : std::vector<PortFigures>{}};
}

}  // namespace pcivm::vmm
