// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/kernel/kernel.hpp"

extern "C" void (*first_constructor[])();
extern "C" void (*last_constructor[])();

namespace kernel {

namespace {

constexpr uint64_t kIoapic = 0xfec00000;

Test* first{};
Test** last = &first;
bool failed{};
bool skipped{};
const char* current{};

unsigned counts[256];
unsigned order[64];
volatile unsigned arrived{};
Acknowledge acknowledge{};
void (*on_each)(unsigned){};

void print(const char* text) {
  for (; *text != 0; ++text) put(*text);
}
void print_decimal(unsigned value) {
  if (value >= 10) print_decimal(value / 10);
  put(static_cast<char>('0' + value % 10));
}
void print_hex(uint64_t value) {
  print("0x");
  bool begun = false;
  for (int shift = 60; shift >= 0; shift -= 4) {
    const auto digit = (value >> shift) & 15;
    begun = begun || digit != 0 || shift == 0;
    if (begun) put("0123456789abcdef"[digit]);
  }
}

void silence_uart() {
  out8(kCom1 + 3, 0x03);
  out8(kCom1 + 1, 0);
  out8(kCom1 + 2, 0x07);  // FIFOs on and empty
  out8(kCom1 + 4, 0x0b);
  for (int i = 0; i < 32; ++i) (void)in8(kCom1);
  (void)in8(kCom1 + 2);
  (void)in8(kCom1 + 5);
  (void)in8(kCom1 + 6);
}

void silence_rtc() {
  out8(0x70, 0x0b);
  out8(0x71, 0x02);
  out8(0x70, 0x0c);
  (void)in8(0x71);
}

}  // namespace

Test::Test(const char* test_name, void (*test_body)()) : name{test_name}, body{test_body} {
  *last = this;
  last = &next;
}

void fail(const char* file, int line, uint64_t found, uint64_t wanted) {
  failed = true;
  quiet_machine();
  print("FAIL ");
  print(current);
  print(": ");
  print(file);
  print(":");
  print_decimal(static_cast<unsigned>(line));
  print(": found ");
  print_hex(found);
  print(", wanted ");
  print_hex(wanted);
  print("\n");
}

void skip(const char* why) {
  skipped = true;
  quiet_machine();
  print("skip ");
  print(current);
  print(": ");
  print(why);
  print("\n");
}

uint32_t pm_timer() { return in32(kPm + 8); }

void wait_us(uint32_t microseconds) {
  const auto wanted = static_cast<uint64_t>(microseconds) * kPmHz / 1000000;
  uint64_t passed = 0;
  for (auto former = pm_timer(); passed < wanted;) {
    const auto now = pm_timer();
    passed += static_cast<uint32_t>(now - former);
    former = now;
  }
}

void forget_interrupts(Acknowledge how) {
  for (auto& count : counts) count = 0;
  arrived = 0;
  acknowledge = how;
  on_each = nullptr;
}
unsigned interrupts(unsigned vector) { return *static_cast<volatile unsigned*>(&counts[vector]); }
unsigned interrupts_of_all() { return arrived; }
unsigned nth_interrupt(unsigned n) { return n < arrived && n < 64 ? order[n] : 256; }
void on_each_interrupt(void (*what)(unsigned)) { on_each = what; }

bool until(bool (*done)(), uint32_t microseconds) {
  const auto wanted = static_cast<uint64_t>(microseconds) * kPmHz / 1000000;
  uint64_t passed = 0;
  auto former = pm_timer();
  asm volatile("sti" : : : "memory");
  bool is = done();
  while (!is && passed < wanted) {
    const auto now = pm_timer();
    passed += static_cast<uint32_t>(now - former);
    former = now;
    is = done();
  }
  asm volatile("cli" : : : "memory");
  return is || done();
}
void allow_interrupts(uint32_t microseconds) {
  (void)until([] { return false; }, microseconds);
}

void end_of_interrupt_pic(unsigned line) {
  if (line >= 8) out8(0xa0, 0x20);
  out8(0x20, 0x20);
}
void unmask_pic(unsigned line) {
  if (line >= 8) out8(0xa1, static_cast<uint8_t>(in8(0xa1) & ~(1U << (line - 8))));
  const unsigned master = line >= 8 ? 2 : line;
  out8(0x21, static_cast<uint8_t>(in8(0x21) & ~(1U << master)));
}

void quiet_machine() {
  asm volatile("cli" : : : "memory");
  silence_uart();
  silence_rtc();
  out8(0x43, 0x30);  // counter 0 waits for a count
  out8(0x4d0, 0);
  out8(0x4d1, 0);
  out8(0x20, 0x11);
  out8(0xa0, 0x11);
  out8(0x21, kPicVector);
  out8(0xa1, kPicVector + 8);
  out8(0x21, 4);
  out8(0xa1, 2);
  out8(0x21, 1);
  out8(0xa1, 1);
  out8(0x21, 0xff);
  out8(0xa1, 0xff);
  for (uint32_t pin = 0; pin < 24; ++pin) {
    write32(kIoapic, 0x10 + pin * 2);
    write32(kIoapic + 0x10, 1U << 16);
  }
  // Local APIC on, LINT0 as the PIC's wire.
  write32(kApic + 0xf0, 0x1ff);
  write32(kApic + 0x350, 0x700);
  write32(kApic + 0x80, 0);
  for (int i = 0; i < 8; ++i) write32(kApic + 0xb0, 0);
  forget_interrupts();
}

void assert_uart() {
  out8(kCom1 + 4, 0x0b);  // OUT2 lets the interrupt out
  out8(kCom1 + 1, 0x00);
  out8(kCom1 + 1, 0x02);
}
void deassert_uart() { (void)in8(kCom1 + 2); }

void one_shot(uint16_t count) {
  out8(0x43, 0x30);
  out8(0x40, static_cast<uint8_t>(count));
  out8(0x40, static_cast<uint8_t>(count >> 8));
}

extern "C" void on_interrupt(uint64_t vector, uint64_t address) {
  if (vector < 32) {
    print("FAIL ");
    print(current);
    print(": exception ");
    print_decimal(static_cast<unsigned>(vector));
    print(" at ");
    print_hex(address);
    print("\n");
    out16(kPm + 4, 0x2000 | 5 << 10);
  }
  ++counts[vector];
  if (arrived < 64) order[arrived] = static_cast<unsigned>(vector);
  arrived = arrived + 1;
  if (on_each != nullptr) on_each(static_cast<unsigned>(vector));
  if (acknowledge == Acknowledge::apic) write32(kApic + 0xb0, 0);
  if (acknowledge == Acknowledge::pic) end_of_interrupt_pic(static_cast<unsigned>(vector) - kPicVector);
}

extern "C" void kernel_main() {
  for (auto* constructor = first_constructor; constructor != last_constructor; ++constructor) (*constructor)();
  load_interrupt_table();
  unsigned passed = 0;
  unsigned lost = 0;
  for (auto* test = first; test != nullptr; test = test->next) {
    current = test->name;
    failed = skipped = false;
    quiet_machine();
    test->body();
    quiet_machine();
    if (failed) ++lost;
    if (failed || skipped) continue;
    ++passed;
    print("ok   ");
    print(test->name);
    print("\n");
  }
  print_decimal(passed);
  print(" passed, ");
  print_decimal(lost);
  print(" failed\n");
  out16(kPm + 4, 0x2000 | 5 << 10);  // S5
}

}  // namespace kernel
