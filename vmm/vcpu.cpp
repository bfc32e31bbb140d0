// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/vcpu.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/scope_exit.hpp"

namespace pcivm::vmm {

namespace {

// KVM_RUN is not in kvm_uapi.hpp: it must see -EINTR without an Error being made of it.
constexpr std::uint64_t kFlagsReserved = 2;  // RFLAGS bit 1 is always set
constexpr std::uint64_t kCr0ProtectionAndNumeric = 0x31;
constexpr std::uint64_t kCr0Paging = 1ULL << 31U;
constexpr std::uint64_t kCr4Pae = 1U << 5U;
constexpr std::uint64_t kEferLongModeEnabledActive = 1U << 8U | 1U << 10U;
constexpr std::uint16_t kCodeSelector = 0x10;  // __BOOT_CS and __BOOT_DS of the Linux boot protocol
constexpr std::uint16_t kDataSelector = 0x18;
constexpr std::uint16_t kTaskSelector = 0x20;
constexpr std::uint16_t kGdtLimit = 5 * 8 - 1;
constexpr std::uint32_t kMsrMtrrDefaultType = 0x2ff;
constexpr std::uint64_t kMtrrOnWriteBack = 1U << 11U | 6U;
constexpr std::uint32_t kMsrMiscEnable = 0x1a0;
constexpr std::uint64_t kFastStrings = 1;

kvm_segment flat_segment(std::uint16_t selector, std::uint8_t type) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.s = 1;
  segment.g = 1;
  segment.db = 1;
  return segment;
}

void set_flat_segments(kvm_sregs& sregs, const CpuState& state) {
  auto code = flat_segment(kCodeSelector, 0xb);
  if (state.mode == CpuState::Mode::long64) {
    code.l = 1;
    code.db = 0;
  }
  const auto data = flat_segment(kDataSelector, 0x3);
  sregs.cs = code;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.tr = {};
  sregs.tr.limit = 0x67;
  sregs.tr.selector = kTaskSelector;
  sregs.tr.type = 0xb;
  sregs.tr.present = 1;
  sregs.gdt.base = state.gdt.value;
  sregs.gdt.limit = kGdtLimit;
  sregs.idt = {};
  sregs.cr0 = kCr0ProtectionAndNumeric;
  sregs.cr4 = 0;
  if (state.mode == CpuState::Mode::long64) {
    sregs.cr0 |= kCr0Paging;
    sregs.cr3 = state.page_tables.value;
    sregs.cr4 = kCr4Pae;
    sregs.efer = kEferLongModeEnabledActive;
  }
}

void on_kick(int /*signal*/) {}

std::string_view internal_error_name(std::uint32_t suberror) {
  switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION: return "instruction emulation failed";
    case KVM_INTERNAL_ERROR_SIMUL_EX: return "simultaneous exceptions";
    case KVM_INTERNAL_ERROR_DELIVERY_EV: return "exit during event delivery";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: return "unexpected exit reason";
    default: return "unknown";
  }
}

// A counter has one writer, which needs no locked instruction for others to read whole numbers.
void count(std::uint64_t& counter) {
  const std::atomic_ref shared{counter};
  shared.store(shared.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace

ExitCounts Vcpu::counts() const {
  const auto now = [](std::uint64_t& counter) { return std::atomic_ref{counter}.load(std::memory_order_relaxed); };
  return {.port_in = now(counts_.port_in),
          .port_out = now(counts_.port_out),
          .mmio_read = now(counts_.mmio_read),
          .mmio_write = now(counts_.mmio_write),
          .ioapic_eoi = now(counts_.ioapic_eoi),
          .irq_window = now(counts_.irq_window),
          .interrupted = now(counts_.interrupted),
          .other = now(counts_.other)};
}

ExitCounts& ExitCounts::operator+=(const ExitCounts& more) {
  port_in += more.port_in;
  port_out += more.port_out;
  mmio_read += more.mmio_read;
  mmio_write += more.mmio_write;
  ioapic_eoi += more.ioapic_eoi;
  irq_window += more.irq_window;
  interrupted += more.interrupted;
  other += more.other;
  return *this;
}

std::uint64_t ExitCounts::total() const {
  return port_in + port_out + mmio_read + mmio_write + ioapic_eoi + irq_window + interrupted + other;
}

Vcpu::Vcpu(IoctlPort& port, unsigned index, Fd fd, Mapping mapping)
    : port_{port},
      index_{index},
      fd_{std::move(fd)},
      mapping_{std::move(mapping)},
      run_{static_cast<kvm_run*>(static_cast<void*>(mapping_.bytes().data()))} {}

Result<std::unique_ptr<Vcpu>> Vcpu::create(IoctlPort& port, const Kvm& kvm, const Vm& vm, unsigned index) {
  auto fd = TRY(vm.create_vcpu(index));
  auto mapping =
      TRY_IN(Mapping::shared(fd.ref(), 0, kvm.run_size(), Access::read_write), fmt::format("vCPU {}", index));
  return std::unique_ptr<Vcpu>{new Vcpu{port, index, std::move(fd), std::move(mapping)}};
}

Result<std::uint32_t> Vcpu::tsc_khz() const {
  return static_cast<std::uint32_t>(TRY(kvm::get_tsc_khz(port_, fd_.ref())));
}

Result<void> Vcpu::set_cpuid(const CpuidTable& table) const {
  FlexibleArgument<kvm::CpuidHead> request{table.size() * sizeof(kvm_cpuid_entry2)};
  request.header().nent = static_cast<std::uint32_t>(table.size());
  std::ranges::copy(std::as_bytes(std::span{table}), request.tail().begin());
  TRY_IN(kvm::set_cpuid2(port_, fd_.ref(), request.header()), fmt::format("vCPU {}", index_));
  return {};
}

Result<void> Vcpu::set_firmware_msrs() const {
  const kvm_msr_entry wanted[] = {
      {.index = kMsrMtrrDefaultType, .reserved = 0, .data = kMtrrOnWriteBack},
      {.index = kMsrMiscEnable, .reserved = 0, .data = kFastStrings},
  };
  FlexibleArgument<kvm::MsrsHead> request{sizeof wanted};
  request.header().nmsrs = static_cast<std::uint32_t>(std::size(wanted));
  std::memcpy(request.tail().data(), wanted, sizeof wanted);
  // Returns how many were set: a host whose KVM knows fewer of them still boots Linux.
  TRY_IN(kvm::set_msrs(port_, fd_.ref(), request.header()), fmt::format("vCPU {}", index_));
  return {};
}

Result<void> Vcpu::set_state(const CpuState& state) const {
  if (state.mode == CpuState::Mode::reset) return {};  // as KVM makes them
  kvm_sregs sregs{};
  TRY(kvm::get_sregs(port_, fd_.ref(), sregs));
  if (state.mode == CpuState::Mode::real16) {
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
  } else {
    set_flat_segments(sregs, state);
  }
  TRY_IN(kvm::set_sregs(port_, fd_.ref(), sregs), fmt::format("vCPU {}", index_));
  kvm_regs regs{};
  regs.rip = state.rip;
  regs.rsi = state.rsi;
  regs.rbx = state.rbx;
  regs.rflags = kFlagsReserved;
  TRY_IN(kvm::set_regs(port_, fd_.ref(), regs), fmt::format("vCPU {}", index_));
  return {};
}

int Vcpu::kick_signal() { return SIGRTMIN; }

void Vcpu::install_kick_handler() {
  struct sigaction action{};
  action.sa_handler = on_kick;  // no SA_RESTART: KVM_RUN must return
  (void)::sigaction(kick_signal(), &action, nullptr);
}

void Vcpu::enter_thread() {
  const std::scoped_lock lock{mutex_};
  thread_ = ::pthread_self();
}

void Vcpu::leave_thread() {
  const std::scoped_lock lock{mutex_};
  thread_.reset();
}

// Flag first, signal second: KVM_RUN either reads the flag on entry or is inside the kernel when the signal comes.
void Vcpu::kick() {
  const std::scoped_lock lock{mutex_};
  if (!thread_ || ::pthread_equal(*thread_, ::pthread_self()) != 0) return;
  std::atomic_ref{run_->immediate_exit}.store(1);
  (void)::pthread_kill(*thread_, kick_signal());
}

void Vcpu::stop() {
  stopping_ = true;
  kick();
}

// External interrupts are user space's business with a split irqchip: one vector at a time, when the CPU takes it
// (Documentation/virt/kvm/api.rst, KVM_INTERRUPT and kvm_run.ready_for_interrupt_injection).
Result<void> Vcpu::offer_interrupt(InterruptAcknowledge& interrupts) {
  run_->request_interrupt_window = 0;
  if (!interrupts.pic_pending()) return {};
  if (run_->ready_for_interrupt_injection == 0) {
    run_->request_interrupt_window = 1;
    return {};
  }
  const auto vector = interrupts.pic_acknowledge();
  if (!vector) return {};
  kvm_interrupt request{.irq = *vector};
  TRY_IN(kvm::interrupt(port_, fd_.ref(), request), fmt::format("vCPU {}: vector {}", index_, *vector));
  run_->ready_for_interrupt_injection = 0;
  if (interrupts.pic_pending()) run_->request_interrupt_window = 1;
  return {};
}

Result<Vcpu::End> Vcpu::run(const Wiring& wiring) {
  enter_thread();
  const ScopeExit leave{[this] { leave_thread(); }};
  while (!stopping_) {
    if (index_ == 0) TRY(offer_interrupt(wiring.interrupts));
    const int outcome = port_.call(fd_.ref(), KVM_RUN, nullptr);
    if (outcome < 0) {
      // EAGAIN: a waiting CPU got its SIPI (arch/x86/kvm/x86.c).
      if (outcome != -EINTR && outcome != -EAGAIN) {
        return fail_errno(-outcome, fmt::format("vCPU {}: KVM_RUN", index_));
      }
      std::atomic_ref{run_->immediate_exit}.store(0);
      count(counts_.interrupted);
      continue;
    }
    const auto end = TRY(handle_exit(wiring));
    if (end) return *end;
  }
  return End::stopped;
}

Result<std::optional<Vcpu::End>> Vcpu::handle_exit(const Wiring& wiring) {
  switch (run_->exit_reason) {
    case KVM_EXIT_IO: port_access(wiring.ports); return std::nullopt;
    case KVM_EXIT_MMIO: memory_access(wiring.memory); return std::nullopt;
    case KVM_EXIT_IOAPIC_EOI:
      count(counts_.ioapic_eoi);
      wiring.interrupts.end_of_interrupt(run_->eoi.vector);
      return std::nullopt;
    case KVM_EXIT_IRQ_WINDOW_OPEN: count(counts_.irq_window); return std::nullopt;
    case KVM_EXIT_INTR: count(counts_.interrupted); return std::nullopt;
    case KVM_EXIT_SHUTDOWN: count(counts_.other); return End::triple_fault;
    default: count(counts_.other); return std::unexpected(describe_failure());
  }
}

void Vcpu::port_access(const IoBus& ports) {
  const auto& io = run_->io;
  const std::uint64_t length = std::uint64_t{io.size} * io.count;
  if (!fits(io.data_offset, length, mapping_.length())) return;
  auto data = mapping_.bytes().subspan(io.data_offset, length);
  const bool in = io.direction == KVM_EXIT_IO_IN;
  count(in ? counts_.port_in : counts_.port_out);
  for (; !data.empty(); data = data.subspan(io.size)) {
    if (in) {
      ports.read(io.port, data.first(io.size));
    } else {
      ports.write(io.port, data.first(io.size));
    }
  }
}

void Vcpu::memory_access(const IoBus& memory) {
  auto& mmio = run_->mmio;
  const auto data = std::as_writable_bytes(std::span{mmio.data}).first(std::min<std::size_t>(mmio.len, 8));
  if (data.empty()) return;
  if (mmio.is_write != 0) {
    count(counts_.mmio_write);
    memory.write(mmio.phys_addr, data);
  } else {
    count(counts_.mmio_read);
    memory.read(mmio.phys_addr, data);
  }
}

Error Vcpu::describe_failure() const {
  kvm_regs regs{};
  const auto got = kvm::get_regs(port_, fd_.ref(), regs);
  const auto where = got ? fmt::format("vCPU {} at rip {:#x}", index_, regs.rip) : fmt::format("vCPU {}", index_);
  switch (run_->exit_reason) {
    case KVM_EXIT_INTERNAL_ERROR: {
      const auto count = std::min<std::size_t>(run_->internal.ndata, std::size(run_->internal.data));
      return Error::make(Errc::kernel,
                         fmt::format("{}: KVM internal error {} ({}), data {:#x}", where, run_->internal.suberror,
                                     internal_error_name(run_->internal.suberror),
                                     fmt::join(std::span{run_->internal.data}.first(count), " ")));
    }
    case KVM_EXIT_FAIL_ENTRY:
      return Error::make(Errc::kernel, fmt::format("{}: the CPU refused to enter the guest, hardware reason {:#x}",
                                                   where, run_->fail_entry.hardware_entry_failure_reason));
    default: return Error::make(Errc::kernel, fmt::format("{}: unexpected KVM exit {}", where, run_->exit_reason));
  }
}

}  // namespace pcivm::vmm
