// SPDX-License-Identifier: GPL-2.0-or-later
// Hostile accesses to a whole chipset, with a firmware's devices: any port, IOAPIC or flash offset, any size, in any
// order, mixed with what the machine does meanwhile. libFuzzer's entry; tests/vmm/legacy_fuzz_test.cpp drives it with a
// fixed seed.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "tests/vmm/legacy_fakes.hpp"
#include "vmm/firmware.hpp"
#include "vmm/legacy/chipset.hpp"
#include "vmm/legacy/pic.hpp"
#include "vmm/legacy/serial.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {
namespace {

/// Reads the input; zeros when it is used up.
class Input final {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : rest_{bytes} {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = rest_.front();
    rest_ = rest_.subspan(1);
    return value;
  }
  std::uint64_t number(unsigned width) {
    std::uint64_t value = 0;
    for (unsigned index = 0; index < width; ++index) value = value << 8U | byte();
    return value;
  }

 private:
  std::span<const std::uint8_t> rest_;
};

constexpr std::array<std::uint16_t, 20> kPorts{0x20, 0x21,  0x40,  0x43,  0x60,  0x61, 0x64,  0x70,  0x71,  0x80,
                                               0x92, 0x3f8, 0x4d0, 0x600, 0x604, 0xa0, 0x402, 0x510, 0x514, 0xcf8};
constexpr std::uint64_t kRam = 64 * kKiB;
constexpr std::uint64_t kImage = 4 * kKiB;
constexpr std::uint64_t kVariables = 12 * kKiB;

class Machine final {
 public:
  void step(Input& input) {
    switch (input.byte() % 16) {
      case 0:
      case 1:
      case 2: return access(ports_, port(input), input, false);
      case 3:
      case 4:
      case 5: return access(ports_, port(input), input, true);
      case 6: return access(memory_, platform::kIoapic.value + window(input), input, false);
      case 7:
      case 8: return access(memory_, platform::kIoapic.value + window(input), input, true);
      case 9: return outside(input);
      case 12: return access(memory_, flash(input), input, false);
      case 13: return access(memory_, flash(input), input, true);
      case 14: return dma(input);
      case 15: return configure(input);
      case 10: time_.advance(Nanoseconds{static_cast<std::int64_t>(input.number(5))}); return;
      default: inject(input); return;
    }
  }

 private:
  static std::uint16_t port(Input& input) {
    return static_cast<std::uint16_t>(kPorts.at(input.byte() % kPorts.size()) + input.byte() % 8U);
  }
  static std::uint64_t window(Input& input) {
    constexpr std::array<std::uint64_t, 4> kOffsets{0x00, 0x10, 0x10, 0x40};
    const auto choice = input.byte();
    return choice < 240 ? kOffsets.at(choice % kOffsets.size()) : input.number(2) % platform::kIoapicLength;
  }
  static void access(const IoBus& bus, std::uint64_t address, Input& input, bool write) {
    std::array<std::byte, 8> data{};
    const auto part = std::span{data}.first(1 + input.byte() % 8U);
    if (!write) {
      bus.read(address, part);
      return;
    }
    std::ranges::generate(part, [&] { return std::byte{input.byte()}; });
    bus.write(address, part);
  }
  void outside(Input& input) {
    const auto value = input.byte();
    switch (value % 4) {
      case 0: chipset_->eoi(input.byte()); break;
      case 1: chipset_->press_power_button(); break;
      case 2: sources_.at(input.byte() % sources_.size())->set((value & 0x80U) != 0); break;
      default:
        if (value == 0xff) chipset_->reset();
        if (value == 0xfb) firmware_->reset();
        break;
    }
  }
  static std::uint64_t flash(Input& input) {
    return platform::kFirmwareEnd.value - kImage - kVariables + input.number(2) % kVariables;
  }
  void put(std::uint64_t port, std::uint32_t value, unsigned width) {
    std::array<std::byte, 4> data{};
    store_le(data, value);
    ports_.write(port, std::span{data}.first(width));
  }
  // A request to fw_cfg of any contents, anywhere.
  void dma(Input& input) {
    const auto at = input.number(2);
    for (unsigned index = 0; index < 16; ++index) {
      (void)ram_.write(Gpa{(at + index) % kRam}, std::byte{input.byte()});
    }
    put(platform::port::kFwCfg + 4, static_cast<std::uint32_t>(input.byte() < 250 ? 0 : input.number(4)), 4);
    put(platform::port::kFwCfg + 8, static_cast<std::uint32_t>((at & 0xffU) << 24U | (at & 0xff00U) << 8U), 4);
  }
  // Any register of the chipset's PCI functions.
  void configure(Input& input) {
    const auto slot = (input.byte() & 1U) != 0 ? 31U : 0U;
    put(platform::port::kPciConfig, 0x80000000 | slot << 11U | (input.byte() & 0xfcU), 4);
    access(ports_, platform::port::kPciConfig + 4U + input.byte() % 4U, input, (input.byte() & 1U) != 0);
  }
  void inject(Input& input) {
    if (chipset_->pic().pending() && chipset_->pic().acknowledge() == 0xff) ++injected_;
    std::array<std::byte, 32> text{};
    const auto offered = std::span{text}.first(input.byte() % text.size());
    if (chipset_->serial().receive(offered) > offered.size()) std::abort();  // took what was never there
  }

  test::FakeKvm kvm_;
  test::FakeTime time_;
  InterruptRoutes routes_{kvm_, FdRef{-1}};
  IoBus ports_;
  IoBus memory_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
  unsigned injected_{};
  unsigned asked_{};
  std::unique_ptr<Chipset> chipset_ =
      Chipset::create(*loop_, routes_, ports_, memory_,
                      {.reset = [this] { ++asked_; },
                       .power_off = [this] { ++asked_; },
                       .extint = [this] { ++asked_; },
                       .serial_output = [this](std::span<const std::byte> data) { asked_ += unsigned(data.size()); },
                       .serial_ready = [this] { ++asked_; },
                       .report = {}},
                      {.keyboard = true, .clocks = time_.clocks()})
          .value();
  static Fd file(std::uint64_t size) { return make_memfd("fuzz", size).value(); }
  GuestMemory ram_ = GuestMemory::create(std::array{GuestMemory::Range{.gpa = {0}, .length = kRam}}).value();
  MemorySlots slots_{kvm_, FdRef{-1}};
  MemoryLayout layout_ =
      lay_out_memory({.memory = 64 * kMiB, .window64_length = 64 * kGiB, .address_bits = 40, .firmware = true}).value();
  PciBus bus_;
  std::unique_ptr<Firmware> firmware_ =
      Firmware::create({.image = file(kImage), .variables = file(kVariables), .log = file(0)},
                       {.memory = ram_,
                        .ports = ports_,
                        .mmio = memory_,
                        .slots = slots_,
                        .bus = bus_,
                        .layout = layout_,
                        .cpus = {.cores = 2},
                        .smbios = {},
                        .serial = true,
                        .boot_slot = 1,
                        .reset = [this] { ++asked_; },
                        .report = [this](const Error&) { ++asked_; }})
          .value();
  std::array<InterruptLine*, 3> sources_{&chipset_->connect(16), &chipset_->connect(16), &chipset_->connect(5)};
};

}  // namespace
}  // namespace pcivm::vmm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pcivm::vmm::Machine machine;
  pcivm::vmm::Input input{{data, size}};
  while (!input.empty()) machine.step(input);
  return 0;
}
