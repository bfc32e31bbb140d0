// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/acpi_tables.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "vmm/acpi_dsdt.hpp"
#include "vmm/acpi_structures.hpp"
#include "vmm/checksum.hpp"
#include "vmm/legacy/acpi_pm.hpp"

namespace pcivm::vmm {

namespace {

namespace port = platform::port;
namespace gsi = platform::gsi;
using namespace acpi;  // NOLINT: the tables' own names

constexpr std::size_t kChecksumOffset = 9;
constexpr std::size_t kTableAlignment = 64;  // FACS (5.2.10); enough for all others

using Bytes = std::vector<std::byte>;

template <class Structure>
void append(Bytes& bytes, const Structure& structure) {
  const auto view = std::as_bytes(std::span{&structure, 1});
  bytes.insert(bytes.end(), view.begin(), view.end());
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

/// Which of the two kinds of structure tells of a CPU, in MADT and SRAT alike: the older one has 8 bits for each
/// number.
bool fits_local_apic(std::uint32_t id, std::uint32_t uid) { return id < 0xff && uid < 0xff; }

Bytes make_madt(const AcpiConfig& config) {
  Bytes table;
  append(table, Madt{});
  std::uint32_t uid = 0;
  for (const auto id : config.apic_ids) {
    if (fits_local_apic(id, uid)) {
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

Bytes make_mcfg(Gpa ecam) {
  Mcfg mcfg;
  mcfg.base = ecam.value;
  Bytes table;
  append(table, mcfg);
  return finished(std::move(table), "MCFG", 1);
}

// Endpoints are numbered as the functions of bus 0 (endpoint_in).
Bytes make_viot(const AcpiIommu& iommu) {
  std::vector<ViotPciRange> ranges;
  for (const auto slot : iommu.behind) {
    const auto first = static_cast<std::uint16_t>(slot << 3U);
    if (ranges.empty() || ranges.back().last_function + 1 != first) {
      ranges.push_back({.first_endpoint = first, .first_function = first, .iommu = sizeof(Viot)});
    }
    ranges.back().last_function = first | 7U;
  }
  Bytes table;
  append(table, Viot{.header = {}, .nodes = static_cast<std::uint16_t>(1 + ranges.size())});
  append(table, ViotPciIommu{.function = static_cast<std::uint16_t>(iommu.slot << 3U)});
  for (const auto& range : ranges) append(table, range);
  return finished(std::move(table), "VIOT", 0);
}

Bytes make_srat(const AcpiConfig& config, const AcpiMemory& memory) {
  Bytes table;
  append(table, Srat{});
  std::uint32_t uid = 0;
  for (const auto id : config.apic_ids) {
    if (fits_local_apic(id, uid++)) {
      append(table, LocalApicAffinity{.id = static_cast<std::uint8_t>(id)});
    } else {
      append(table, LocalX2ApicAffinity{.id = id});
    }
  }
  for (const auto& range : memory.ram) append(table, MemoryAffinity{.base = range.gpa.value, .bytes = range.length});
  append(table, MemoryAffinity{
                    .base = memory.blocks.gpa.value, .bytes = memory.blocks.length, .flags = kEnabled | kHotPluggable});
  return finished(std::move(table), "SRAT", 3);
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
    const auto start = align_up(base_.value + bytes_.size(), kTableAlignment);
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
  if (!is_aligned(config.address.value, kTableAlignment) || config.address.value >= 4 * kGiB) {
    return fail(Errc::invalid, fmt::format("ACPI tables at {:#x}, wanted a multiple of {} below 4 GiB",
                                           config.address.value, kTableAlignment));
  }
  TRY(check("32-bit", config.pci_window32, 4 * kGiB));
  if (config.pci_window64) TRY(check("64-bit", *config.pci_window64, std::uint64_t{1} << 52U));
  return {};
}

// Which bytes are addresses, for who moves the tables.
void note_pointers(AcpiTables& tables, Gpa fadt, Gpa xsdt, std::size_t listed) {
  const auto offset = [&](Gpa table) { return static_cast<std::uint32_t>(table.value - tables.address.value); };
  tables.pointers = {{.offset = offset(fadt) + std::uint32_t{offsetof(Fadt, firmware_control)}, .size = 4},
                     {.offset = offset(fadt) + std::uint32_t{offsetof(Fadt, dsdt)}, .size = 4},
                     {.offset = offset(fadt) + std::uint32_t{offsetof(Fadt, x_dsdt)}, .size = 8}};
  auto size = static_cast<std::uint32_t>(sizeof(Header));
  for (std::size_t entry = 0; entry < listed; ++entry, size += 8) {
    tables.pointers.push_back({.offset = offset(xsdt) + size, .size = 8});
  }
  tables.with_pointers = {{.offset = offset(fadt), .size = sizeof(Fadt)}, {.offset = offset(xsdt), .size = size}};
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
  std::vector listed{layout.place(make_fadt(config, facs_at, dsdt_at)), layout.place(make_madt(config))};
  if (config.ecam) listed.push_back(layout.place(make_mcfg(*config.ecam)));
  if (config.iommu) listed.push_back(layout.place(make_viot(*config.iommu)));
  if (config.memory) listed.push_back(layout.place(make_srat(config, *config.memory)));
  const auto xsdt = layout.place(make_xsdt(listed));
  layout.fill(rsdp, make_rsdp(xsdt));
  auto bytes = std::move(layout).take();
  if (bytes.size() > config.room) {
    return fail(Errc::invalid, fmt::format("ACPI tables take {} bytes, wanted at most {}", bytes.size(), config.room));
  }
  AcpiTables tables{
      .bytes = std::move(bytes), .address = config.address, .rsdp = rsdp, .pointers = {}, .with_pointers = {}};
  note_pointers(tables, listed.front(), xsdt, listed.size());
  return tables;
}

}  // namespace pcivm::vmm
