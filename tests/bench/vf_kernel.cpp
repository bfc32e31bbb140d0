// SPDX-License-Identifier: GPL-2.0-or-later
// What VFs cost a VM without a driver in the way, for `./dev bench assign`: a kernel of a few KiB that turns every igb
// VF on, says so, and then does what single letters on the serial port ask for. No library, one CPU.
#include "tests/kernel/kernel.hpp"

using namespace kernel;

extern "C" uint64_t directories[];  // boot.S: 2 MiB for each

namespace {

constexpr uint32_t kVf = 0x10ca8086;
constexpr unsigned kRounds = 8;
constexpr uint64_t kWindow = 0x40000000;  // of virtual addresses that nothing else uses
constexpr uint64_t kLargePage = 0x200000;

unsigned slots[32];
unsigned found{};

void say(const char* text) {
  for (; *text != 0; ++text) put(*text);
  put('\n');
}

uint32_t config(unsigned slot, unsigned offset) {
  out32(0xcf8, 0x80000000U | slot << 11U | (offset & 0xfcU));
  return in32(0xcfc);
}
uint16_t config16(unsigned slot, unsigned offset) {
  return static_cast<uint16_t>(config(slot, offset) >> (offset & 2U) * 8U);
}
void set_config16(unsigned slot, unsigned offset, uint16_t value) {
  out32(0xcf8, 0x80000000U | slot << 11U | (offset & 0xfcU));
  out16(static_cast<uint16_t>(0xcfc + (offset & 2U)), value);
}

// Memory decode and Bus Master Enable, which waits for the device and for DMA.
void turn_on() {
  found = 0;
  for (unsigned slot = 0; slot < 32; ++slot) {
    if (config(slot, 0) != kVf) continue;
    set_config16(slot, 4, 6);
    if ((config16(slot, 4) & 6U) == 6U) slots[found++] = slot;
  }
}

void toggle_decode() {
  for (unsigned round = 0; round < kRounds; ++round) {
    for (unsigned index = 0; index < found; ++index) {
      set_config16(slots[index], 4, 4);
      set_config16(slots[index], 4, 6);
    }
  }
}

struct Msix {
  unsigned capability;
  unsigned entries;
  uint64_t table;  // virtual
};
Msix msix;

void find_msix(unsigned slot) {
  unsigned at = config(slot, 0x34) & 0xfcU;
  while (at != 0 && (config(slot, at) & 0xffU) != 0x11) at = config(slot, at) >> 8U & 0xfcU;
  msix = {.capability = at, .entries = (config16(slot, at + 2) & 0x7ffU) + 1, .table = 0};
  const auto where = config(slot, at + 4);
  const unsigned bar = 0x10 + (where & 7U) * 4;
  const auto low = config(slot, bar);
  const uint64_t high = (low & 6U) == 4 ? config(slot, bar + 4) : 0;
  const uint64_t address = (high << 32U | (low & ~15U)) + (where & ~7U);
  directories[kWindow / kLargePage] = (address & ~(kLargePage - 1)) | 0x93;  // uncached
  asm volatile("invlpg (%0)" : : "r"(kWindow) : "memory");
  msix.table = kWindow + (address & (kLargePage - 1));
}
void set_entry(unsigned vector, uint32_t data) {
  const auto entry = msix.table + vector * 16UL;
  write32(entry, 0xfee00000);
  write32(entry + 4, 0);
  write32(entry + 8, data);
}
void set_mask(unsigned vector, uint32_t mask) { write32(msix.table + vector * 16UL + 12, mask); }

// As Linux does it.
void set_up_msix() {
  if (found == 0) return;
  find_msix(slots[0]);
  set_config16(slots[0], msix.capability + 2, 0xc000);
  for (unsigned vector = 0; vector < msix.entries; ++vector) set_entry(vector, 0x40 + vector);
  set_config16(slots[0], msix.capability + 2, 0x8000);
  for (unsigned vector = 0; vector < msix.entries; ++vector) set_mask(vector, 0);
}
void rewrite_same() {
  for (unsigned round = 0; round < kRounds; ++round) {
    for (unsigned vector = 0; vector < msix.entries; ++vector) {
      set_entry(vector, 0x40 + vector);
      set_mask(vector, 0);
    }
  }
}
void cycle() {
  for (unsigned round = 0; round < kRounds; ++round) {
    set_mask(0, 1);
    set_entry(0, 0x50 + round);
    set_mask(0, 0);
  }
}

void set_up_interrupts() {
  load_interrupt_table();
  // The UART by the PIC, and the PIC by LINT0.
  for (const uint16_t port : {0x20, 0xa0}) out8(port, 0x11);
  out8(0x21, kPicVector);
  out8(0xa1, kPicVector + 8);
  out8(0x21, 4);
  out8(0xa1, 2);
  out8(0x21, 1);
  out8(0xa1, 1);
  out8(0x21, 0xef);
  out8(0xa1, 0xff);
  write32(kApic + 0xf0, 0x1ff);
  write32(kApic + 0x350, 0x700);
  write32(kApic + 0x80, 0);
  out8(kCom1 + 3, 0x03);
  out8(kCom1 + 2, 0x07);
  out8(kCom1 + 4, 0x0b);
  out8(kCom1 + 1, 0x01);
}

// The CPU halts meanwhile: a guest that waits takes no time from those that start.
char hear() {
  while ((in8(kCom1 + 5) & 1) == 0) asm volatile("sti; hlt; cli" : : : "memory");
  return static_cast<char>(in8(kCom1));
}

void power_off() {
  out16(kPm + 4, 0x2000);            // QEMU's S5
  out16(kPm + 4, 0x2000 | 5 << 10);  // pcivm's
}

}  // namespace

extern "C" void on_interrupt(uint64_t vector, uint64_t /*address*/) {
  if (vector < 32) {
    say("LAB-FAULT");
    power_off();
  }
  if (vector < kPicVector + 16) out8(0x20, 0x20);
  if (vector >= 0x30) write32(kApic + 0xb0, 0);
}

extern "C" void kernel_main() {
  set_up_interrupts();
  turn_on();
  say("LAB-READY");
  for (;;) {
    switch (hear()) {
      case 't':
        toggle_decode();
        say("LAB-TOGGLED");
        break;
      case 'm':
        set_up_msix();
        say("LAB-MSIX");
        break;
      case 'u':
        rewrite_same();
        say("LAB-SAME");
        break;
      case 'c':
        cycle();
        say("LAB-CYCLED");
        break;
      case 'r':
        say("LAB-RESET");
        out8(0x64, 0xfe);
        break;
      case 'o':
        say("LAB-OFF");
        power_off();
        break;
      default: break;
    }
  }
}
