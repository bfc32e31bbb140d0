// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/acpi_tables.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <sstream>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;
using testing::Not;

AcpiConfig two_cpus() {
  return {.apic_ids = {0, 1}, .pci_window64 = platform::Window{.base = {0x800000000}, .length = 0x100000000}};
}

std::uint64_t number_at(std::span<const std::byte> bytes, std::size_t offset, std::size_t width) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.subspan(offset, width).data(), width);
  return value;
}

std::string text_at(std::span<const std::byte> bytes, std::size_t offset, std::size_t length) {
  std::string text(length, '\0');
  std::memcpy(text.data(), bytes.subspan(offset, length).data(), length);
  return text;
}

unsigned sum(std::span<const std::byte> bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), 0U,
                         [](unsigned total, std::byte next) { return total + std::to_integer<unsigned>(next); }) %
         256;
}

std::span<const std::byte> table_at(const AcpiTables& tables, std::uint64_t address) {
  const auto rest = std::span{tables.bytes}.subspan(address - tables.address.value);
  return rest.first(number_at(rest, 4, 4));
}

/// Every table that an operating system reaches from the RSDP, by signature.
std::map<std::string, std::span<const std::byte>> reachable(const AcpiTables& tables) {
  std::map<std::string, std::span<const std::byte>> found;
  const auto rsdp = std::span{tables.bytes}.subspan(tables.rsdp.value - tables.address.value);
  const auto xsdt = table_at(tables, number_at(rsdp, 24, 8));
  found["XSDT"] = xsdt;
  for (std::size_t entry = 36; entry < xsdt.size(); entry += 8) {
    const auto table = table_at(tables, number_at(xsdt, entry, 8));
    found[text_at(table, 0, 4)] = table;
  }
  found["DSDT"] = table_at(tables, number_at(found.at("FACP"), 140, 8));
  found["FACS"] = table_at(tables, number_at(found.at("FACP"), 36, 4));
  return found;
}

TEST(AcpiTables, SratTellsHowFarMemoryMayReach) {
  auto config = two_cpus();
  EXPECT_THAT(reachable(build_acpi_tables(config).value()), Not(testing::Contains(Key("SRAT"))));
  config.apic_ids = {0, 1, 300};
  config.memory = AcpiMemory{.ram = {{.gpa = Gpa{0}, .length = kGiB}, {.gpa = Gpa{4 * kGiB}, .length = 2 * kGiB}},
                             .blocks = {.gpa = Gpa{8 * kGiB}, .length = 3 * kGiB}};
  const auto tables = build_acpi_tables(config).value();
  const auto srat = reachable(tables).at("SRAT");
  ASSERT_EQ(srat.size(), 48U + 2 * 16 + 24 + 3 * 40);
  EXPECT_EQ(sum(srat), 0U);
  EXPECT_EQ(number_at(srat, 48 + 16 + 3, 1), 1U) << "the second CPU";
  EXPECT_EQ(number_at(srat, 80, 1), 2U) << "one with a long id";
  EXPECT_EQ(number_at(srat, 80 + 8, 4), 300U);
  const auto last = srat.last(40);
  EXPECT_EQ(number_at(last, 8, 8), 8 * kGiB);
  EXPECT_EQ(number_at(last, 16, 8), 3 * kGiB);
  EXPECT_EQ(number_at(last, 28, 4), 3U) << "enabled, hot-pluggable";
  EXPECT_EQ(number_at(srat.subspan(104), 28, 4), 1U) << "RAM is there";
}

TEST(AcpiTables, RsdpIsWhereFirmwareWouldPutIt) {
  const auto tables = build_acpi_tables(two_cpus());
  ASSERT_TRUE(tables);
  EXPECT_EQ(tables->rsdp, Gpa{0xe0000});
  const auto rsdp = std::span<const std::byte>{tables->bytes};
  EXPECT_EQ(text_at(rsdp, 0, 8), "RSD PTR ");
  EXPECT_EQ(sum(rsdp.first(20)), 0U);
  EXPECT_EQ(sum(rsdp.first(36)), 0U);
}

TEST(AcpiTables, EveryTableIsReachableAndSumsToZero) {
  const auto tables = build_acpi_tables(two_cpus());
  ASSERT_TRUE(tables);
  const auto found = reachable(*tables);
  EXPECT_THAT(found, ElementsAre(Key("APIC"), Key("DSDT"), Key("FACP"), Key("FACS"), Key("MCFG"), Key("XSDT")));
  for (const auto& [signature, table] : found) {
    if (signature == "FACS") continue;  // has no checksum
    EXPECT_EQ(sum(table), 0U) << signature;
  }
}

// Byte by byte (ACPI 6.5, 5.2.34): iasl of Debian 12 does not know the table.
TEST(AcpiTables, TellWhatIsBehindTheIommu) {
  auto config = two_cpus();
  config.iommu = AcpiIommu{.slot = 3, .behind = {1, 2, 16, 17, 18, 30}};
  const auto tables = build_acpi_tables(config);
  ASSERT_TRUE(tables);
  EXPECT_EQ(tables->pointers.size(), 3U + 4U) << "a firmware moves it, too";
  const auto found = reachable(*tables);
  ASSERT_TRUE(found.contains("VIOT"));
  const auto viot = found.at("VIOT");
  EXPECT_EQ(sum(viot), 0U);
  EXPECT_EQ(number_at(viot, 36, 2), 4U) << "nodes";
  EXPECT_EQ(number_at(viot, 38, 2), 48U) << "where they start";
  EXPECT_EQ(number_at(viot, 48, 4), 0x00100003U) << "a virtio-iommu on PCI, 16 bytes";
  EXPECT_EQ(number_at(viot, 52, 4), 0x00180000U) << "segment 0, 00:03.0";
  std::size_t at = 64;
  for (const auto& [first, last] : {std::pair{0x08U, 0x17U}, {0x80U, 0x97U}, {0xf0U, 0xf7U}}) {
    EXPECT_EQ(number_at(viot, at, 4), 0x00180001U) << "a range of PCI functions, 24 bytes";
    EXPECT_EQ(number_at(viot, at + 4, 4), first) << "its first endpoint";
    EXPECT_EQ(number_at(viot, at + 8, 4), 0U) << "segments";
    EXPECT_EQ(number_at(viot, at + 12, 4), last << 16U | first);
    EXPECT_EQ(number_at(viot, at + 16, 2), 48U) << "the IOMMU that it is behind";
    at += 24;
  }
  EXPECT_EQ(viot.size(), at);
  EXPECT_FALSE(reachable(*build_acpi_tables(two_cpus())).contains("VIOT"));
}

TEST(AcpiTables, MoveWithTheirAddress) {
  auto config = two_cpus();
  config.address = Gpa{0xbff00000};
  const auto tables = build_acpi_tables(config);
  ASSERT_TRUE(tables);
  EXPECT_EQ(tables->rsdp, Gpa{0xbff00000});
  EXPECT_EQ(reachable(*tables).size(), 6U);
}

TEST(AcpiTables, RefuseWhatCannotBe) {
  EXPECT_THAT(build_acpi_tables({}), FailsWith(Errc::invalid, HasSubstr("0 vCPUs")));
  auto config = two_cpus();
  config.address = Gpa{0xe0008};
  EXPECT_THAT(build_acpi_tables(config), FailsWith(Errc::invalid, HasSubstr("0xe0008")));
  config = two_cpus();
  config.pci_window64 = platform::Window{.base = {~0ULL}, .length = 2};
  EXPECT_THAT(build_acpi_tables(config), FailsWith(Errc::invalid, HasSubstr("64-bit PCI window")));
  config = two_cpus();
  config.room = 1000;
  EXPECT_THAT(build_acpi_tables(config), FailsWith(Errc::invalid, HasSubstr("at most 1000")));
}

/// Disassembles with the compiler of the specification's authors; the text, or nothing when it complains.
class Iasl : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("iasl -v > /dev/null 2>&1") != 0) {
      GTEST_SKIP() << "iasl is missing: apt-get install acpica-tools";
    }
  }

  std::string run(const std::string& arguments) {
    const auto log = directory_ / "log";
    const auto command = fmt::format("cd {} && iasl {} > log 2>&1", directory_.string(), arguments);
    const int status = std::system(command.c_str());
    auto output = slurp(log);
    EXPECT_EQ(status, 0) << output;
    return output;
  }

  std::string disassemble(const std::string& signature, std::span<const std::byte> table) {
    std::ofstream file{directory_ / (signature + ".aml"), std::ios::binary};
    file << text_at(table, 0, table.size());
    file.close();
    const auto output = run("-d " + signature + ".aml");
    EXPECT_THAT(output, Not(ContainsRegex("[Ww]arning|[Ee]rror|Invalid|Unknown"))) << signature;
    return slurp(directory_ / (signature + ".dsl"));
  }

  static std::string slurp(const std::filesystem::path& path) {
    std::ifstream file{path};
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  test::TempRoot root_;
  std::filesystem::path directory_ = root_.path("/");
};

TEST_F(Iasl, UnderstandsEveryTable) {
  const auto tables = build_acpi_tables(two_cpus());
  ASSERT_TRUE(tables);
  for (const auto& [signature, table] : reachable(*tables)) {
    const auto text = disassemble(signature, table);
    EXPECT_THAT(text, Not(ContainsRegex("incorrect|invalid|Unknown|reserved fields"))) << signature << "\n" << text;
  }
}

TEST_F(Iasl, CompilesTheDsdtAgainWithoutErrorOrWarning) {
  for (const bool keyboard : {true, false}) {
    auto config = two_cpus();
    config.keyboard = keyboard;
    if (keyboard) config.hotplug_slots = {1, 2, 15, 16, 30};
    const auto tables = build_acpi_tables(config);
    ASSERT_TRUE(tables);
    const auto dsdt = reachable(*tables).at("DSDT");
    disassemble("DSDT", dsdt);
    const auto output = run("-p again DSDT.dsl");
    EXPECT_THAT(output, HasSubstr("0 Errors, 0 Warnings")) << output;
    const auto again = slurp(directory_ / "again.aml");
    EXPECT_EQ(again.substr(36), text_at(dsdt, 36, dsdt.size() - 36)) << "the compiler encodes differently";
  }
}

TEST_F(Iasl, ReadsTheDevicesOfTheDsdt) {
  const auto tables = build_acpi_tables(two_cpus());
  ASSERT_TRUE(tables);
  const auto text = disassemble("DSDT", reachable(*tables).at("DSDT"));
  for (const auto* id : {"PNP0A08", "PNP0A03", "PNP0C02", "PNP0501", "PNP0B00", "PNP0303"}) {
    EXPECT_THAT(text, HasSubstr(id));
  }
  EXPECT_THAT(text, ContainsRegex("0x00000000E0000000|0xE0000000"));     // ECAM
  EXPECT_THAT(text, HasSubstr("0x0000000800000000, // Range Minimum"));  // 64-bit window
  EXPECT_THAT(text, HasSubstr("0x00000008FFFFFFFF, // Range Maximum"));
  EXPECT_THAT(text, HasSubstr("0xC0000000,         // Range Minimum"));
  EXPECT_THAT(text, HasSubstr("0xDFFFFFFF,         // Range Maximum"));
}

TEST_F(Iasl, ReadsTheSlotsOfDevicesThatComeAndGo) {
  auto config = two_cpus();
  config.hotplug_slots = {1, 16};
  const auto tables = build_acpi_tables(config);
  ASSERT_TRUE(tables);
  const auto text = disassemble("DSDT", reachable(*tables).at("DSDT"));
  for (const auto* part :
       {"Device (S01)", "Device (S10)", "Name (_ADR, 0x00100000)", "Name (_SUN, 0x10)", "Method (_EJ0, 1, Serialized)",
        "HPEJ = 0x00010000", "Method (_OST, 3, Serialized)", "OperationRegion (HPRG, SystemIO, 0x0620, 0x10)",
        "Notify (S10, One) // Device Check", "Notify (S01, 0x03) // Eject Request", "ACPI0013", "^^PCI0.HPEV ()"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(text, ContainsRegex("Interrupt \\(ResourceConsumer, Level, ActiveHigh, Exclusive"));
}

TEST(AcpiTables, HaveNothingOfHotPlugWithoutSlots) {
  const auto tables = build_acpi_tables(two_cpus());
  ASSERT_TRUE(tables);
  const auto all = text_at(tables->bytes, 0, tables->bytes.size());
  for (const auto* name : {"HPEV", "HPRG", "_EJ0", "_OST", "ACPI0013"}) EXPECT_THAT(all, Not(HasSubstr(name)));
}

TEST_F(Iasl, ReadsTheFixedHardwareOfTheFadt) {
  const auto tables = build_acpi_tables(two_cpus());
  ASSERT_TRUE(tables);
  const auto text = disassemble("FACP", reachable(*tables).at("FACP"));
  EXPECT_THAT(text, ContainsRegex("SCI Interrupt : 0009"));
  EXPECT_THAT(text, ContainsRegex("SMI Command Port : 00000000"));
  EXPECT_THAT(text, ContainsRegex("Reset Register Supported \\(V2\\) : 1"));
  EXPECT_THAT(text, ContainsRegex("Hardware Reduced \\(V5\\) : 0"));
  EXPECT_THAT(text, ContainsRegex("Control Method Power Button \\(V1\\) : 0"));
  EXPECT_THAT(text, ContainsRegex("32-bit PM Timer \\(V1\\) : 1"));
}

TEST_F(Iasl, ReadsCpusAndOverridesOfTheMadt) {
  auto config = two_cpus();
  config.apic_ids = {0, 1, 0x1234};
  const auto tables = build_acpi_tables(config);
  ASSERT_TRUE(tables);
  const auto text = disassemble("APIC", reachable(*tables).at("APIC"));
  EXPECT_THAT(text, ContainsRegex("Processor x2Apic ID : 00001234"));
  EXPECT_THAT(text, ContainsRegex("Address : FEC00000"));
  EXPECT_THAT(text, ContainsRegex("Source : 00\n.*Interrupt : 00000002"));
  EXPECT_THAT(text, ContainsRegex("Source : 09\n.*Interrupt : 00000009\n.*000D"));
}

}  // namespace
}  // namespace pcivm::vmm
