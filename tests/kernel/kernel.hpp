// SPDX-License-Identifier: GPL-2.0-or-later
// A kernel that tests the machine: what its test files are written with. No library, one CPU, interrupts off except
// inside allow_interrupts() and until().
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <initializer_list>

namespace kernel {

inline void out8(uint16_t port, uint8_t value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
inline void out32(uint16_t port, uint32_t value) { asm volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
inline void out16(uint16_t port, uint16_t value) { asm volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
inline uint8_t in8(uint16_t port) {
  uint8_t value;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
inline uint16_t in16(uint16_t port) {
  uint16_t value;
  asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
inline uint32_t in32(uint16_t port) {
  uint32_t value;
  asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
inline uint32_t read32(uint64_t address) { return *reinterpret_cast<volatile uint32_t*>(address); }
inline void write32(uint64_t address, uint32_t value) { *reinterpret_cast<volatile uint32_t*>(address) = value; }

inline constexpr uint16_t kCom1 = 0x3f8;
inline constexpr uint16_t kPm = 0x600;
inline constexpr uint64_t kApic = 0xfee00000;

// To the serial port.
inline void put(char c) {
  while ((in8(kCom1 + 5) & 0x20) == 0) {
  }
  out8(kCom1, static_cast<uint8_t>(c));
}

// The interrupt table of the processor: every vector goes to its stub of boot.S, which calls on_interrupt().
struct Gate {
  uint16_t low;
  uint16_t selector;
  uint8_t stack;
  uint8_t type;
  uint16_t middle;
  uint32_t high;
  uint32_t reserved;
};
struct [[gnu::packed]] Descriptor {
  uint16_t limit;
  uint64_t base;
};
inline Gate gates[256];
extern "C" const char interrupt_stubs[];
inline void load_interrupt_table() {
  for (unsigned vector = 0; vector < 256; ++vector) {
    const auto address = reinterpret_cast<uint64_t>(interrupt_stubs) + vector * 16;
    gates[vector] = {static_cast<uint16_t>(address),       8, 0, 0x8e, static_cast<uint16_t>(address >> 16),
                     static_cast<uint32_t>(address >> 32), 0};
  }
  const Descriptor descriptor{sizeof(gates) - 1, reinterpret_cast<uint64_t>(gates)};
  asm volatile("lidt %0" : : "m"(descriptor));
}

// One test. It fails at its first EXPECT that does not hold; every device that it uses it sets up itself.
struct Test {
  Test(const char* name, void (*body)());
  const char* name;
  void (*body)();
  Test* next{};
};
#define KERNEL_TEST(group, name)                                                 \
  static void group##_##name();                                                  \
  static ::kernel::Test test_##group##_##name{#group "." #name, group##_##name}; \
  static void group##_##name()

void fail(const char* file, int line, uint64_t found, uint64_t wanted);
#define EXPECT_EQ(found, wanted)                                                            \
  do {                                                                                      \
    const auto found_ = static_cast<uint64_t>(found);                                       \
    const auto wanted_ = static_cast<uint64_t>(wanted);                                     \
    if (found_ != wanted_) return ::kernel::fail(__FILE_NAME__, __LINE__, found_, wanted_); \
  } while (0)
#define EXPECT_TRUE(condition) EXPECT_EQ(static_cast<bool>(condition), true)

// Where a machine cannot show it: told, and neither passed nor failed.
void skip(const char* why);
#define SKIP_UNLESS(condition, why)               \
  do {                                            \
    if (!(condition)) return ::kernel::skip(why); \
  } while (0)

// The PM timer: 24 or 32 bits at 3.579545 MHz. The clock of all waiting.
constexpr uint32_t kPmHz = 3579545;
uint32_t pm_timer();
// For so long, with interrupts as they are.
void wait_us(uint32_t microseconds);

// Interrupts that arrived since forget_interrupts(), by vector. `acknowledge` ends each one where it came from.
enum class Acknowledge { pic, apic, nobody };
void forget_interrupts(Acknowledge acknowledge = Acknowledge::pic);
unsigned interrupts(unsigned vector);
unsigned interrupts_of_all();
// The n-th that arrived, from 0; 256 = none.
unsigned nth_interrupt(unsigned n);
// Runs inside the handler, before the acknowledgement.
void on_each_interrupt(void (*what)(unsigned vector));
// An emulated host under load may take long to give the machine's timers a turn.
constexpr uint32_t kSoon = 5000000;
// Interrupts on for at most so long, or until `done`; true when it became true.
bool until(bool (*done)(), uint32_t microseconds);
void allow_interrupts(uint32_t microseconds);

// Both PICs edge-triggered with vectors 0x20 and 0x28, everything masked; IOAPIC masked; timers and UART silent.
constexpr uint8_t kPicVector = 0x20;
void quiet_machine();
void unmask_pic(unsigned line);
void end_of_interrupt_pic(unsigned line);

// Line 4 of the PIC and pin 4 of the IOAPIC: the UART wants a byte to send, until it is told that it is seen.
void assert_uart();
void deassert_uart();
// Counter 0 in mode 0: one edge of IRQ 0 after so many periods of 1.193182 MHz.
void one_shot(uint16_t count);

}  // namespace kernel
