// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/acpi_tables.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "vmm/acpi_dsdt.hpp"
#include "vmm/legacy/acpi_pm.hpp"

namespace pcivm::vmm {

namespace {

namespace port = platform::port;
namespace gsi = platform::gsi;

constexpr std::size_t kChecksumOffset = 9;
constexpr std::size_t kFactAlignment = 64;  // FACS (5.2.10); enough for all others

static_assert(std::endian::native == std::endian::little);

// The structures of ACPI 6.5, section 5.2, as they lie in memory.
struct [[gnu::packed]] Header {
  std::array<char, 4> signature{};
  std::uint32_t length{};
  std::uint8_t revision{};
  std::uint8_t checksum{};
  std::array<char, 6> oem_id{'P', 'C', 'I', 'V', 'M', ' '};
  std::array<char, 8> oem_table_id{'P', 'C', 'I', 'V', 'M', ' ', ' ', ' '};
  std::uint32_t oem_revision{1};
  std::array<char, 4> creator_id{'P', 'C', 'V', 'M'};
  std::uint32_t creator_revision{1};
};
static_assert(sizeof(Header) == 36);

struct [[gnu::packed]] Rsdp {
  std::array<char, 8> signature{'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
  std::uint8_t checksum{};
  std::array<char, 6> oem_id{'P', 'C', 'I', 'V', 'M', ' '};
  std::uint8_t revision{2};
  std::uint32_t rsdt_address{};  // 0: the XSDT is enough for every system of this century
  std::uint32_t length{36};
  std::uint64_t xsdt_address{};
  std::uint8_t extended_checksum{};
  std::array<std::uint8_t, 3> reserved{};
};
static_assert(sizeof(Rsdp) == 36);

struct [[gnu::packed]] GenericAddress {
  std::uint8_t space{1};  // system I/O
  std::uint8_t bit_width{};
  std::uint8_t bit_offset{};
  std::uint8_t access_size{};  // 1 byte, 2 word, 3 dword
  std::uint64_t address{};
};

struct [[gnu::packed]] Fadt {
  Header header;
  std::uint32_t firmware_control{};
  std::uint32_t dsdt{};
  std::uint8_t reserved0{};
  std::uint8_t preferred_profile{4};  // enterprise server
  std::uint16_t sci_interrupt{gsi::kSci};
  std::uint32_t smi_command{};  // 0: always in ACPI mode
  std::uint8_t acpi_enable{};
  std::uint8_t acpi_disable{};
  std::uint8_t s4bios_request{};
  std::uint8_t pstate_control{};
  std::uint32_t pm1a_event{port::kAcpiPm + AcpiPm::kEventOffset};
  std::uint32_t pm1b_event{};
  std::uint32_t pm1a_control{port::kAcpiPm + AcpiPm::kControlOffset};
  std::uint32_t pm1b_control{};
  std::uint32_t pm2_control{};
  std::uint32_t pm_timer{port::kAcpiPm + AcpiPm::kTimerOffset};
  std::uint32_t gpe0{};
  std::uint32_t gpe1{};
  std::uint8_t pm1_event_length{4};
  std::uint8_t pm1_control_length{2};
  std::uint8_t pm2_control_length{};
  std::uint8_t pm_timer_length{4};
  std::uint8_t gpe0_length{};
  std::uint8_t gpe1_length{};
  std::uint8_t gpe1_base{};
  std::uint8_t cst_control{};
  std::uint16_t c2_latency{0xfff};  // over 100: no C2
  std::uint16_t c3_latency{0xfff};  // over 1000: no C3
  std::uint16_t flush_size{};
  std::uint16_t flush_stride{};
  std::uint8_t duty_offset{};
  std::uint8_t duty_width{};
  std::uint8_t day_alarm{};
  std::uint8_t month_alarm{};
  std::uint8_t century{0x32};
  std::uint16_t boot_flags{};
  std::uint8_t reserved1{};
  std::uint32_t flags{};
  GenericAddress reset_register;
  std::uint8_t reset_value{AcpiPm::kResetValue};
  std::uint16_t arm_boot_flags{};
  std::uint8_t minor_revision{5};
  std::uint64_t x_firmware_control{};
  std::uint64_t x_dsdt{};
  GenericAddress x_pm1a_event;
  GenericAddress x_pm1b_event{.space = 0};
  GenericAddress x_pm1a_control;
  GenericAddress x_pm1b_control{.space = 0};
  GenericAddress x_pm2_control{.space = 0};
  GenericAddress x_pm_timer;
  GenericAddress x_gpe0{.space = 0};
  GenericAddress x_gpe1{.space = 0};
  GenericAddress sleep_control{.space = 0};
  GenericAddress sleep_status{.space = 0};
  std::uint64_t hypervisor{};
};
static_assert(sizeof(Fadt) == 276);

constexpr std::uint32_t kWbinvd = 1U << 0U;
constexpr std::uint32_t kC1 = 1U << 2U;
constexpr std::uint32_t kNoFixedSleepButton = 1U << 5U;
constexpr std::uint32_t kNoFixedRtcWake = 1U << 6U;
constexpr std::uint32_t kTimer32 = 1U << 8U;
constexpr std::uint32_t kResetRegister = 1U << 10U;
constexpr std::uint16_t kLegacyDevices = 1U << 0U;
constexpr std::uint16_t kKeyboardController = 1U << 1U;
constexpr std::uint16_t kNoVga = 1U << 2U;

struct [[gnu::packed]] Facs {
  std::array<char, 4> signature{'F', 'A', 'C', 'S'};
  std::uint32_t length{64};
  std::uint32_t hardware_signature{};
  std::uint32_t waking_vector{};
  std::uint32_t global_lock{};
  std::uint32_t flags{};
  std::uint64_t x_waking_vector{};
  std::uint8_t version{2};
  std::array<std::uint8_t, 31> reserved{};
};
static_assert(sizeof(Facs) == 64);

struct [[gnu::packed]] Madt {
  Header header;
  std::uint32_t local_apic{static_cast<std::uint32_t>(platform::kLocalApic.value)};
  std::uint32_t flags{1};  // PCAT_COMPAT: there is a PIC pair
};
struct [[gnu::packed]] LocalApic {
  std::uint8_t type{0};
  std::uint8_t length{8};
  std::uint8_t uid{};
  std::uint8_t id{};
  std::uint32_t flags{1};  // enabled
};
struct [[gnu::packed]] LocalX2Apic {
  std::uint8_t type{9};
  std::uint8_t length{16};
  std::uint16_t reserved{};
  std::uint32_t id{};
  std::uint32_t flags{1};  // enabled
  std::uint32_t uid{};
};
struct [[gnu::packed]] IoapicEntry {
  std::uint8_t type{1};
  std::uint8_t length{12};
  std::uint8_t id{};  // as its ID register has it after reset
  std::uint8_t reserved{};
  std::uint32_t address{static_cast<std::uint32_t>(platform::kIoapic.value)};
  std::uint32_t first_gsi{};
};
struct [[gnu::packed]] SourceOverride {
  std::uint8_t type{2};
  std::uint8_t length{10};
  std::uint8_t bus{};  // ISA
  std::uint8_t irq{};
  std::uint32_t gsi{};
  std::uint16_t flags{};  // 0 = as ISA has it: edge, active high
};
constexpr std::uint16_t kLevelActiveHigh = 0x0d;
struct [[gnu::packed]] LocalApicNmi {
  std::uint8_t type{4};
  std::uint8_t length{6};
  std::uint8_t uid{0xff};  // all
  std::uint16_t flags{};
  std::uint8_t input{1};  // LINT1
};

struct [[gnu::packed]] Mcfg {
  Header header;
  std::uint64_t reserved0{};
  std::uint64_t base{platform::kEcam.value};
  std::uint16_t segment{};
  std::uint8_t first_bus{};
  std::uint8_t last_bus{platform::kPciBuses - 1};
  std::uint32_t reserved1{};
};

using Bytes = std::vector<std::byte>;

template <class Structure>
void append(Bytes& bytes, const Structure& structure) {
  const auto view = std::as_bytes(std::span{&structure, 1});
  bytes.insert(bytes.end(), view.begin(), view.end());
}

std::byte checksum(std::span<const std::byte> bytes) {
  const auto sum = std::accumulate(bytes.begin(), bytes.end(), 0U, [](unsigned total, std::byte next) {
    return total + std::to_integer<unsigned>(next);
  });
  return static_cast<std::byte>(0x100U - sum % 0x100U);
}

// Fills in what a table knows only when it is complete: signature, revision, length, checksum.
Bytes finished(Bytes table, std::string_view signature, std::uint8_t revision) {
  Header header{};
  std::memcpy(&header, table.data(), sizeof header);
  std::ranges::copy(signature.substr(0, 4), header.signature.begin());
  header.revision = revision;
  header.length = static_cast<std::uint32_t>(table.size());
  std::memcpy(table.data(), &header, sizeof header);
  table[kChecksumOffset] = checksum(table);
  return table;
}

GenericAddress io_register(std::uint16_t offset, std::uint8_t bits, std::uint8_t access_size) {
  return {.space = 1,
          .bit_width = bits,
          .bit_offset = 0,
          .access_size = access_size,
          .address = std::uint64_t{port::kAcpiPm} + offset};
}

Bytes make_fadt(const AcpiConfig& config, Gpa facs, Gpa dsdt) {
  Fadt fadt;
  fadt.firmware_control = static_cast<std::uint32_t>(facs.value);
  fadt.dsdt = static_cast<std::uint32_t>(dsdt.value);
  fadt.x_dsdt = dsdt.value;
  fadt.boot_flags = kLegacyDevices | kNoVga | (config.keyboard ? kKeyboardController : 0);
  fadt.flags = kWbinvd | kC1 | kNoFixedSleepButton | kNoFixedRtcWake | kTimer32 | kResetRegister;
  fadt.reset_register = io_register(AcpiPm::kResetOffset, 8, 1);
  fadt.x_pm1a_event = io_register(AcpiPm::kEventOffset, 32, 2);
  fadt.x_pm1a_control = io_register(AcpiPm::kControlOffset, 16, 2);
  fadt.x_pm_timer = io_register(AcpiPm::kTimerOffset, 32, 3);
  Bytes table;
  append(table, fadt);
  return finished(std::move(table), "FACP", 6);
}

Bytes make_madt(const AcpiConfig& config) {
  Bytes table;
  append(table, Madt{});
  std::uint32_t uid = 0;
  for (const auto id : config.apic_ids) {
    if (id < 0xff && uid < 0xff) {
      append(table, LocalApic{.uid = static_cast<std::uint8_t>(uid), .id = static_cast<std::uint8_t>(id)});
    } else {
      append(table, LocalX2Apic{.id = id, .uid = uid});
    }
    ++uid;
  }
  append(table, IoapicEntry{});
  append(table, SourceOverride{.irq = 0, .gsi = gsi::kTimer});
  append(table, SourceOverride{.irq = gsi::kSci, .gsi = gsi::kSci, .flags = kLevelActiveHigh});
  append(table, LocalApicNmi{});
  return finished(std::move(table), "APIC", 5);
}

Bytes make_mcfg() {
  Bytes table;
  append(table, Mcfg{});
  return finished(std::move(table), "MCFG", 1);
}

Bytes make_dsdt(const AcpiConfig& config) {
  Bytes table;
  append(table, Header{});
  const auto body = dsdt_body(config);
  table.insert(table.end(), body.begin(), body.end());
  return finished(std::move(table), "DSDT", 2);
}

Bytes make_xsdt(std::span<const Gpa> tables) {
  Bytes table;
  append(table, Header{});
  for (const auto address : tables) append(table, address.value);
  return finished(std::move(table), "XSDT", 1);
}

Bytes make_rsdp(Gpa xsdt) {
  Bytes table;
  append(table, Rsdp{.xsdt_address = xsdt.value});
  constexpr std::size_t kFirstPart = 20;  // what ACPI 1.0 sums up
  table[8] = checksum(std::span{table}.first(kFirstPart));
  table[32] = checksum(table);
  return table;
}

// Tables one after the other, each aligned.
class Layout final {
 public:
  explicit Layout(Gpa base) : base_{base} {}
  Gpa place(const Bytes& table) {
    const auto address = next(table.size());
    std::ranges::copy(table, bytes_.begin() + static_cast<std::ptrdiff_t>(address.value - base_.value));
    return address;
  }
  /// Keeps room at the front for what can be written only at the end.
  Gpa next(std::size_t size) {
    const auto start = align_up(base_.value + bytes_.size(), kFactAlignment);
    bytes_.resize(start - base_.value + size);
    return {start};
  }
  void fill(Gpa address, const Bytes& table) {
    std::ranges::copy(table, bytes_.begin() + static_cast<std::ptrdiff_t>(address.value - base_.value));
  }
  Bytes take() && { return std::move(bytes_); }

 private:
  Gpa base_;
  Bytes bytes_;
};

Result<void> check(std::string_view name, const platform::Window& window, std::uint64_t end) {
  if (window.length != 0 && fits(window.base.value, window.length, end)) return {};
  return fail(Errc::invalid, fmt::format("{} PCI window {:#x}+{:#x}, wanted a range below {:#x} that is not empty",
                                         name, window.base.value, window.length, end));
}

Result<void> check(const AcpiConfig& config) {
  if (config.apic_ids.empty()) return fail(Errc::invalid, "ACPI tables for 0 vCPUs, wanted at least 1");
  if (!is_aligned(config.address.value, kFactAlignment) || config.address.value >= 4 * kGiB) {
    return fail(Errc::invalid, fmt::format("ACPI tables at {:#x}, wanted a multiple of {} below 4 GiB",
                                           config.address.value, kFactAlignment));
  }
  TRY(check("32-bit", config.pci_window32, 4 * kGiB));
  if (config.pci_window64) TRY(check("64-bit", *config.pci_window64, std::uint64_t{1} << 52U));
  return {};
}

}  // namespace

Result<AcpiTables> build_acpi_tables(const AcpiConfig& config) {
  TRY(check(config));
  Layout layout{config.address};
  const auto rsdp = layout.next(sizeof(Rsdp));
  Bytes facs;
  append(facs, Facs{});
  const auto facs_at = layout.place(facs);
  const auto dsdt_at = layout.place(make_dsdt(config));
  const std::array listed{layout.place(make_fadt(config, facs_at, dsdt_at)), layout.place(make_madt(config)),
                          layout.place(make_mcfg())};
  layout.fill(rsdp, make_rsdp(layout.place(make_xsdt(listed))));
  auto bytes = std::move(layout).take();
  if (bytes.size() > config.room) {
    return fail(Errc::invalid, fmt::format("ACPI tables take {} bytes, wanted at most {}", bytes.size(), config.room));
  }
  return AcpiTables{.bytes = std::move(bytes), .address = config.address, .rsdp = rsdp};
}

}  // namespace pcivm::vmm
