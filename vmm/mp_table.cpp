// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/mp_table.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "vmm/checksum.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {

namespace {

static_assert(std::endian::native == std::endian::little);

struct [[gnu::packed]] Pointer {
  std::array<char, 4> signature{'_', 'M', 'P', '_'};
  std::uint32_t table{static_cast<std::uint32_t>(platform::kMpTable.value)};
  std::uint8_t length{1};  // of 16 bytes
  std::uint8_t revision{4};
  std::uint8_t checksum{};
  std::array<std::uint8_t, 5> features{};  // a table is there; virtual wire mode
};
static_assert(sizeof(Pointer) == 16);

struct [[gnu::packed]] Header {
  std::array<char, 4> signature{'P', 'C', 'M', 'P'};
  std::uint16_t length{};
  std::uint8_t revision{4};
  std::uint8_t checksum{};
  std::array<char, 8> oem{'P', 'C', 'I', 'V', 'M', ' ', ' ', ' '};
  std::array<char, 12> product{'P', 'C', 'I', 'V', 'M', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
  std::uint32_t oem_table{};
  std::uint16_t oem_table_length{};
  std::uint16_t entries{};
  std::uint32_t local_apic{static_cast<std::uint32_t>(platform::kLocalApic.value)};
  std::uint32_t extended{};
};
static_assert(sizeof(Header) == 44);

struct [[gnu::packed]] Processor {
  std::uint8_t type{0};
  std::uint8_t apic_id{};
  std::uint8_t apic_version{0x14};
  std::uint8_t flags{1};  // usable
  std::array<std::uint32_t, 4> signature_and_features{};
};
static_assert(sizeof(Processor) == 20);
constexpr std::uint8_t kBootProcessor = 2;

struct [[gnu::packed]] Bus {
  std::uint8_t type{1};
  std::uint8_t number{};
  std::array<char, 6> name{};
};
constexpr std::uint8_t kPci = 0;
constexpr std::uint8_t kIsa = 1;

struct [[gnu::packed]] Ioapic {
  std::uint8_t type{2};
  std::uint8_t id{0};  // what its register says after a reset
  std::uint8_t version{0x20};
  std::uint8_t flags{1};  // usable
  std::uint32_t address{static_cast<std::uint32_t>(platform::kIoapic.value)};
};

struct [[gnu::packed]] Interrupt {
  std::uint8_t type{};
  std::uint8_t kind{};
  std::uint16_t flags{};  // polarity and trigger mode as is usual on that bus
  std::uint8_t bus{};
  std::uint8_t irq{};
  std::uint8_t apic{};
  std::uint8_t pin{};
};
constexpr std::uint8_t kIoInterrupt = 3;
constexpr std::uint8_t kLocalInterrupt = 4;
constexpr std::uint8_t kVectored = 0;
constexpr std::uint8_t kNmi = 1;
constexpr std::uint8_t kExtInt = 3;
constexpr std::uint8_t kAllLocalApics = 0xff;

constexpr std::uint8_t kCascade = 2;
constexpr std::uint8_t kIsaInterrupts = 16;
constexpr std::uint32_t kMostApicId = 0xfe;
constexpr unsigned kSlots = 32;
constexpr unsigned kPins = 4;

class Table {
 public:
  Table() : bytes_(sizeof(Header)) {}

  template <class Entry>
  void add(const Entry& entry) {
    static_assert(std::is_trivially_copyable_v<Entry>);
    const auto bytes = std::as_bytes(std::span{&entry, 1});
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    ++entries_;
  }
  std::vector<std::byte> finished() && {
    const Header header{.length = static_cast<std::uint16_t>(bytes_.size()), .entries = entries_};
    std::ranges::copy(std::as_bytes(std::span{&header, 1}), bytes_.begin());
    bytes_[offsetof(Header, checksum)] = checksum(bytes_);
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
  std::uint16_t entries_{};
};

// As the ACPI tables have them: IRQ 0 arrives at another pin.
void add_interrupts(Table& table) {
  for (std::uint8_t irq = 0; irq < kIsaInterrupts; ++irq) {
    if (irq == kCascade) continue;
    const auto pin = irq == 0 ? static_cast<std::uint8_t>(platform::gsi::kTimer) : irq;
    table.add(Interrupt{.type = kIoInterrupt, .kind = kVectored, .bus = kIsa, .irq = irq, .pin = pin});
  }
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    for (unsigned pin = 0; pin < kPins; ++pin) {
      table.add(Interrupt{.type = kIoInterrupt,
                          .kind = kVectored,
                          .bus = kPci,
                          .irq = static_cast<std::uint8_t>(slot << 2U | pin),
                          .pin = static_cast<std::uint8_t>(platform::gsi::intx(slot, pin))});
    }
  }
  table.add(Interrupt{.type = kLocalInterrupt, .kind = kExtInt, .bus = kIsa, .apic = kAllLocalApics, .pin = 0});
  table.add(Interrupt{.type = kLocalInterrupt, .kind = kNmi, .bus = kIsa, .apic = kAllLocalApics, .pin = 1});
}

}  // namespace

std::vector<std::byte> build_mp_table(std::span<const std::uint32_t> apic_ids) {
  Table table;
  std::uint8_t flags = Processor{}.flags | kBootProcessor;
  for (const auto id : apic_ids) {
    if (id > kMostApicId) continue;
    table.add(Processor{.apic_id = static_cast<std::uint8_t>(id), .flags = flags});
    flags = Processor{}.flags;
  }
  table.add(Bus{.number = kPci, .name = {'P', 'C', 'I', ' ', ' ', ' '}});
  table.add(Bus{.number = kIsa, .name = {'I', 'S', 'A', ' ', ' ', ' '}});
  table.add(Ioapic{});
  add_interrupts(table);
  return std::move(table).finished();
}

Result<void> write_mp_table(const GuestMemory& memory, std::span<const std::uint32_t> apic_ids) {
  const auto table = build_mp_table(apic_ids);
  if (table.size() > platform::kMpRoom) {
    return fail(Errc::invalid,
                fmt::format("an MP table of {} bytes, wanted at most {}", table.size(), platform::kMpRoom));
  }
  const auto room = TRY(memory.window(platform::kMpTable, table.size()));
  std::ranges::copy(table, room.begin());
  std::array<std::byte, sizeof(Pointer)> pointer{};
  const Pointer plain{};
  std::ranges::copy(std::as_bytes(std::span{&plain, 1}), pointer.begin());
  pointer[offsetof(Pointer, checksum)] = checksum(pointer);
  return memory.write(platform::kMpPointer, pointer);
}

}  // namespace pcivm::vmm
