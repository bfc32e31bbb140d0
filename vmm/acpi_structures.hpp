// SPDX-License-Identifier: GPL-2.0-or-later
// The fixed tables of ACPI 6.5, section 5.2, as they lie in memory, filled with what never changes in our machine.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "vmm/legacy/acpi_pm.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm::acpi {

static_assert(std::endian::native == std::endian::little);

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
  std::uint16_t sci_interrupt{platform::gsi::kSci};
  std::uint32_t smi_command{};  // 0: always in ACPI mode
  std::uint8_t acpi_enable{};
  std::uint8_t acpi_disable{};
  std::uint8_t s4bios_request{};
  std::uint8_t pstate_control{};
  std::uint32_t pm1a_event{platform::port::kAcpiPm + AcpiPm::kEventOffset};
  std::uint32_t pm1b_event{};
  std::uint32_t pm1a_control{platform::port::kAcpiPm + AcpiPm::kControlOffset};
  std::uint32_t pm1b_control{};
  std::uint32_t pm2_control{};
  std::uint32_t pm_timer{platform::port::kAcpiPm + AcpiPm::kTimerOffset};
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

inline constexpr std::uint32_t kWbinvd = 1U << 0U;
inline constexpr std::uint32_t kC1 = 1U << 2U;
inline constexpr std::uint32_t kNoFixedSleepButton = 1U << 5U;
inline constexpr std::uint32_t kNoFixedRtcWake = 1U << 6U;
inline constexpr std::uint32_t kTimer32 = 1U << 8U;
inline constexpr std::uint32_t kResetRegister = 1U << 10U;
inline constexpr std::uint16_t kLegacyDevices = 1U << 0U;
inline constexpr std::uint16_t kKeyboardController = 1U << 1U;
inline constexpr std::uint16_t kNoVga = 1U << 2U;

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
inline constexpr std::uint16_t kLevelActiveHigh = 0x0d;
struct [[gnu::packed]] LocalApicNmi {
  std::uint8_t type{4};
  std::uint8_t length{6};
  std::uint8_t uid{0xff};  // all
  std::uint16_t flags{};
  std::uint8_t input{1};  // LINT1
};

// The virtual I/O translation table (ACPI 6.5, 5.2.34): its nodes follow.
struct [[gnu::packed]] Viot {
  Header header;
  std::uint16_t nodes{};
  std::uint16_t first_node{48};  // offset
  std::array<std::uint8_t, 8> reserved{};
};
static_assert(sizeof(Viot) == 48);
struct [[gnu::packed]] ViotPciIommu {
  std::uint8_t type{3};  // virtio-iommu, a PCI function
  std::uint8_t reserved0{};
  std::uint16_t length{16};
  std::uint16_t segment{};
  std::uint16_t function{};
  std::array<std::uint8_t, 8> reserved1{};
};
static_assert(sizeof(ViotPciIommu) == 16);
struct [[gnu::packed]] ViotPciRange {
  std::uint8_t type{1};
  std::uint8_t reserved0{};
  std::uint16_t length{24};
  std::uint32_t first_endpoint{};
  std::uint16_t first_segment{};
  std::uint16_t last_segment{};
  std::uint16_t first_function{};
  std::uint16_t last_function{};
  std::uint16_t iommu{};  // offset of its node
  std::array<std::uint8_t, 6> reserved1{};
};
static_assert(sizeof(ViotPciRange) == 24);

// The system resource affinity table (ACPI 6.5, 5.2.16): all is in domain 0.
struct [[gnu::packed]] Srat {
  Header header;
  std::uint32_t reserved0{1};
  std::uint64_t reserved1{};
};
static_assert(sizeof(Srat) == 48);
struct [[gnu::packed]] LocalApicAffinity {
  std::uint8_t type{0};
  std::uint8_t length{16};
  std::uint8_t domain_low{};
  std::uint8_t id{};
  std::uint32_t flags{1};  // enabled
  std::uint8_t sapic{};
  std::array<std::uint8_t, 3> domain_high{};
  std::uint32_t clock_domain{};
};
static_assert(sizeof(LocalApicAffinity) == 16);
struct [[gnu::packed]] LocalX2ApicAffinity {
  std::uint8_t type{2};
  std::uint8_t length{24};
  std::uint16_t reserved0{};
  std::uint32_t domain{};
  std::uint32_t id{};
  std::uint32_t flags{1};  // enabled
  std::uint32_t clock_domain{};
  std::uint32_t reserved1{};
};
static_assert(sizeof(LocalX2ApicAffinity) == 24);
struct [[gnu::packed]] MemoryAffinity {
  std::uint8_t type{1};
  std::uint8_t length{40};
  std::uint32_t domain{};
  std::uint16_t reserved0{};
  std::uint64_t base{};
  std::uint64_t bytes{};
  std::uint32_t reserved1{};
  std::uint32_t flags{1};  // enabled
  std::uint64_t reserved2{};
};
static_assert(sizeof(MemoryAffinity) == 40);
inline constexpr std::uint32_t kEnabled = 1U << 0U;
inline constexpr std::uint32_t kHotPluggable = 1U << 1U;

struct [[gnu::packed]] Mcfg {
  Header header;
  std::uint64_t reserved0{};
  std::uint64_t base{};
  std::uint16_t segment{};
  std::uint8_t first_bus{};
  std::uint8_t last_bus{platform::kPciBuses - 1};
  std::uint32_t reserved1{};
};

}  // namespace pcivm::vmm::acpi
