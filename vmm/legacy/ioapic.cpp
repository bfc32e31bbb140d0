// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/ioapic.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"

namespace pcivm::vmm {

namespace {

enum Offset : std::uint64_t { io_reg_sel = 0x00, io_win = 0x10, eoi_register = 0x40 };
constexpr std::uint8_t kIdRegister = 0x00;
constexpr std::uint8_t kVersionRegister = 0x01;
constexpr std::uint8_t kArbitrationRegister = 0x02;
constexpr std::uint8_t kFirstEntry = 0x10;
constexpr std::uint32_t kIdMask = 0x0f000000;
constexpr std::uint32_t kVersion = 0x20 | (kIoapicPins - 1) << 16U;

// Redirection table entry (82093AA, 3.2.4).
constexpr std::uint64_t kVector = 0xff;
constexpr unsigned kDeliveryModeShift = 8;
constexpr std::uint64_t kLogical = 1ULL << 11U;
constexpr std::uint64_t kRemoteIrr = 1ULL << 14U;
constexpr std::uint64_t kLevel = 1ULL << 15U;
constexpr std::uint64_t kMasked = 1ULL << 16U;
constexpr std::uint64_t kWritable = 0xff0000000001afff;  // not delivery status, not remote IRR, nothing reserved
constexpr unsigned kDestinationShift = 56;

enum class Delivery : std::uint8_t { fixed = 0, lowest = 1, nmi = 4, init = 5 };

std::uint64_t delivery_mode(std::uint64_t entry) { return entry >> kDeliveryModeShift & 7U; }
bool is_masked(std::uint64_t entry) { return (entry & kMasked) != 0; }
bool is_vectored(std::uint64_t entry) { return delivery_mode(entry) <= std::to_underlying(Delivery::lowest); }
// NMI and INIT are edge-triggered whatever the bit says, and nobody sends an EOI for them.
bool is_level(std::uint64_t entry) { return (entry & kLevel) != 0 && is_vectored(entry); }
// ExtINT is left to the local APIC's LINT0, where the PIC is wired too; there is no SMM to take an SMI.
bool is_deliverable(std::uint64_t entry) {
  return is_vectored(entry) || delivery_mode(entry) == std::to_underlying(Delivery::nmi) ||
         delivery_mode(entry) == std::to_underlying(Delivery::init);
}

// Intel SDM vol. 3, 11.11: the message has the same fields as the entry. Bit 14 (assert) goes with level.
MsiMessage message(std::uint64_t entry) {
  constexpr std::uint32_t kAssertLevel = 0x4000 | 0x8000;
  const auto data = static_cast<std::uint32_t>(entry & (kVector | 7ULL << kDeliveryModeShift));
  return {.address = 0xfee00000U | (entry >> kDestinationShift) << 12U | ((entry & kLogical) != 0 ? 4U : 0U),
          .data = data | (is_level(entry) ? kAssertLevel : 0U)};
}

}  // namespace

void Ioapic::set(unsigned pin, bool asserted) {
  if (pin >= kIoapicPins) return;
  const std::scoped_lock lock{mutex_};
  auto& wire = pins_[pin];
  const bool rises = asserted && !wire.asserted;
  wire.asserted = asserted;
  // The 82093AA forgets an edge that arrives while the entry is masked. Linux masks an edge interrupt for a moment to
  // move it to another CPU; a UART whose edge is lost there keeps its line high and never makes another. So an edge is
  // kept as long as the line stays high, and delivered when the entry is unmasked.
  wire.pending = asserted && (rises || wire.pending);
  if (rises) deliver(wire);
}

bool Ioapic::masked(unsigned pin) const {
  const std::scoped_lock lock{mutex_};
  return pin >= kIoapicPins || is_masked(pins_[pin].entry);
}

void Ioapic::deliver(Pin& pin) {
  if (is_masked(pin.entry) || !pin.asserted || !is_deliverable(pin.entry)) return;
  const bool level = is_level(pin.entry);
  if (level ? pin.remote_irr : !pin.pending) return;
  pin.pending = false;
  const auto outcome = routes_.signal(message(pin.entry));
  // KVM says EPERM when no enabled local APIC has that destination: the guest's doing. A level is then tried again at
  // the next write of the entry.
  if (!outcome) log::debug("ioapic: entry {:#x} not delivered: {}", pin.entry, outcome.error().text());
  pin.remote_irr = level && outcome.has_value();
}

void Ioapic::eoi(std::uint8_t vector) {
  std::vector<unsigned> finished;
  std::vector<std::function<void()>> listeners;
  {
    const std::scoped_lock lock{mutex_};
    for (unsigned number = 0; number < kIoapicPins; ++number) {
      auto& pin = pins_[number];
      if (!pin.remote_irr || (pin.entry & kVector) != vector) continue;
      pin.remote_irr = false;
      finished.push_back(number);
      std::ranges::copy(pin.eoi_listeners, std::back_inserter(listeners));
    }
  }
  for (const auto& listener : listeners) listener();
  // Only now, because a listener lowers the line of a device that has stopped asking.
  const std::scoped_lock lock{mutex_};
  for (const auto number : finished) deliver(pins_[number]);
}

void Ioapic::on_eoi(unsigned pin, std::function<void()> listener) {
  if (pin >= kIoapicPins) return;
  const std::scoped_lock lock{mutex_};
  pins_[pin].eoi_listeners.push_back(std::move(listener));
}

void Ioapic::on_unmask(unsigned pin, std::function<void()> listener) {
  if (pin >= kIoapicPins) return;
  const std::scoped_lock lock{mutex_};
  pins_[pin].unmask_listeners.push_back(std::move(listener));
}

// A bit for each pin.
std::uint32_t Ioapic::masks() const {
  std::uint32_t bits = 0;
  for (unsigned pin = 0; pin < kIoapicPins; ++pin) bits |= (is_masked(pins_[pin].entry) ? 1U : 0U) << pin;
  return bits;
}

std::uint32_t Ioapic::read_register() const {
  switch (select_) {
    case kIdRegister:
    case kArbitrationRegister: return id_;
    case kVersionRegister: return kVersion;
    default: break;
  }
  const auto pin = static_cast<unsigned>(select_ - kFirstEntry) / 2;
  if (select_ < kFirstEntry || pin >= kIoapicPins) return ~0U;
  const auto entry = pins_[pin].entry | (pins_[pin].remote_irr ? kRemoteIrr : 0);
  return static_cast<std::uint32_t>((select_ & 1U) != 0 ? entry >> 32U : entry);
}

void Ioapic::write_register(std::uint32_t value) {
  if (select_ == kIdRegister) id_ = value & kIdMask;
  const auto pin = static_cast<unsigned>(select_ - kFirstEntry) / 2;
  if (select_ < kFirstEntry || pin >= kIoapicPins) return;
  write_entry(pin, (select_ & 1U) != 0, value);
}

void Ioapic::write_entry(unsigned pin, bool high, std::uint32_t value) {
  auto& target = pins_[pin];
  const auto kept = target.entry & (high ? 0xffffffffULL : ~0xffffffffULL);
  target.entry = kept | ((std::uint64_t{value} << (high ? 32U : 0U)) & kWritable & ~(high ? 0xffffffffULL : 0ULL));
  // Linux turns an entry to edge and back to end a level interrupt by hand (io_apic.c, __eoi_ioapic_pin).
  if (!is_level(target.entry)) target.remote_irr = false;
  mirror(pin);
  deliver(target);
}

// A masked entry keeps its route: Linux masks a level interrupt in its handler and sends the EOI afterwards, and KVM
// reports that EOI only if it still finds the vector here.
void Ioapic::mirror(unsigned pin) {
  const auto entry = pins_[pin].entry;
  if (is_masked(entry)) return;
  if (is_level(entry)) {
    routes_.route(pin, message(entry));
  } else {
    routes_.clear(pin);
  }
  commit();
}

void Ioapic::commit() {
  auto outcome = routes_.commit();
  if (!outcome && callbacks_.report) callbacks_.report(std::move(outcome).error().within("ioapic"));
}

void Ioapic::read(std::uint64_t offset, std::span<std::byte> data) {
  const std::scoped_lock lock{mutex_};
  switch (offset) {
    case io_reg_sel: store_le(data, select_); break;
    case io_win: store_le(data, read_register()); break;
    default: std::ranges::fill(data, std::byte{0xff}); break;
  }
}

void Ioapic::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (data.empty()) return;
  const auto value = static_cast<std::uint32_t>(load_le(data));
  if (offset == eoi_register) return eoi(static_cast<std::uint8_t>(value));
  std::uint32_t changed{};
  std::vector<std::function<void()>> listeners;
  {
    const std::scoped_lock lock{mutex_};
    if (offset == io_reg_sel) select_ = static_cast<std::uint8_t>(value);
    // A narrower write cannot be told from a torn one: 82093AA, 3.1.2 allows 32 bits only.
    if (offset != io_win || data.size() != 4) return;
    const auto before = masks();
    write_register(value);
    changed = masks() ^ before;
    for (unsigned pin = 0; pin < kIoapicPins; ++pin) {
      if ((changed & before) >> pin & 1U) std::ranges::copy(pins_[pin].unmask_listeners, std::back_inserter(listeners));
    }
  }
  if (changed != 0 && callbacks_.on_mask_change) callbacks_.on_mask_change();
  for (const auto& listener : listeners) listener();
}

void Ioapic::reset() {
  const std::scoped_lock lock{mutex_};
  select_ = 0;
  id_ = 0;
  for (unsigned number = 0; number < kIoapicPins; ++number) {
    auto& pin = pins_[number];
    pin.entry = kMasked;
    pin.pending = false;
    pin.remote_irr = false;
    routes_.clear(number);
  }
  commit();
}

}  // namespace pcivm::vmm
