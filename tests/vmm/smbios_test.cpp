// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/smbios.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"
#include "vmm/platform.hpp"

namespace pcivm::vmm {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

const std::vector<GuestMemory::Range> kOneGib{{.gpa = {0}, .length = kGiB}};
const std::vector<GuestMemory::Range> kHuge{{.gpa = {0}, .length = 3 * kGiB},
                                            {.gpa = {4 * kGiB}, .length = 6 * kGiB * 1024}};

SmbiosConfig config(const std::vector<GuestMemory::Range>& ram) {
  return {.name = "web",
          .uuid = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0x8d, 0xef, 0x80, 1, 2, 3, 4, 5, 6, 7},
          .cpus = {.cores = 4},
          .cpu_vendor = "AuthenticAMD",
          .cpu_brand = "A processor",
          .cpu_id = {0x00a20f10, 0x178bfbff},
          .ram = ram};
}

TEST(Smbios, TheEntryPointAddsUpToZeroAndNamesTheStructures) {
  const auto tables = build_smbios(config(kOneGib), Gpa{0xf0020});
  const auto sum = std::accumulate(tables.entry.begin(), tables.entry.end(), 0U, [](unsigned total, std::byte next) {
    return total + std::to_integer<unsigned>(next);
  });
  EXPECT_EQ(sum % 256, 0U);
  std::uint64_t address = 0;
  std::memcpy(&address, &tables.entry[16], sizeof address);
  EXPECT_EQ(address, 0xf0020U);
  std::uint32_t size = 0;
  std::memcpy(&size, &tables.entry[12], sizeof size);
  EXPECT_EQ(size, tables.structures.size());
}

TEST(Smbios, LiesWhereKernelsLook) {
  const auto memory = GuestMemory::create(kOneGib);
  ASSERT_TRUE(memory);
  ASSERT_TRUE(write_smbios(*memory, config(kOneGib)));
  const auto anchor = memory->read<std::array<char, 5>>(platform::kSmbios);
  ASSERT_TRUE(anchor);
  EXPECT_EQ(std::string_view(anchor->data(), anchor->size()), "_SM3_");
}

TEST(Smbios, ANameThatIsTooLongForTheRoomIsRefused) {
  const auto memory = GuestMemory::create(kOneGib);
  ASSERT_TRUE(memory);
  auto large = config(kOneGib);
  large.name = std::string(platform::kSmbiosRoom, 'x');
  EXPECT_THAT(write_smbios(*memory, large), test::FailsWith(Errc::invalid, HasSubstr("wanted at most")));
}

TEST(Smbios, TellsOfTheProcessorOfThisMachine) {
  SmbiosConfig found{.name = "web", .ram = kOneGib};
  describe_cpu(found);
  EXPECT_EQ(found.cpu_vendor.size(), 12U);
  EXPECT_NE(found.cpu_id[0], 0U);
  EXPECT_EQ(found.cpu_brand.find('\0'), std::string::npos);
}

/// Read by the program that admins use.
class Dmidecode : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("PATH=$PATH:/usr/sbin dmidecode --version > /dev/null 2>&1") != 0) {
      GTEST_SKIP() << "dmidecode is missing: apt-get install dmidecode";
    }
  }

  // The form of its dumps: the entry point, then the structures at byte 32.
  std::string read(const SmbiosConfig& facts) {
    const auto tables = build_smbios(facts, Gpa{32});
    std::string dump(reinterpret_cast<const char*>(tables.entry.data()), tables.entry.size());
    dump.resize(32);
    dump.append(reinterpret_cast<const char*>(tables.structures.data()), tables.structures.size());
    const std::filesystem::path directory{root_.path("/")};
    std::ofstream{directory / "dump", std::ios::binary} << dump;
    const auto command =
        fmt::format("PATH=$PATH:/usr/sbin dmidecode --from-dump {0}/dump > {0}/log 2>&1", directory.string());
    EXPECT_EQ(std::system(command.c_str()), 0);
    std::stringstream text;
    text << std::ifstream{directory / "log"}.rdbuf();
    EXPECT_THAT(text.str(),
                Not(ContainsRegex("OUT OF SPEC|BROKEN|[Ww]rong|[Ii]nvalid|TRUNCATED|BAD INDEX|Unknown type|doesn't")));
    return text.str();
  }

  test::TempRoot root_;
};

TEST_F(Dmidecode, FindsTheSystem) {
  const auto text = read(config(kOneGib));
  EXPECT_THAT(text, HasSubstr("SMBIOS 3.2.0 present"));
  EXPECT_THAT(text, HasSubstr("Serial Number: web"));
  EXPECT_THAT(text, HasSubstr("UUID: 78563412-bc9a-ef8d-8001-020304050607"));
  EXPECT_THAT(text, HasSubstr("System is a virtual machine"));
}

TEST_F(Dmidecode, FindsProcessorAndMemory) {
  const auto text = read(config(kOneGib));
  EXPECT_THAT(text, HasSubstr("Version: A processor"));
  EXPECT_THAT(text, HasSubstr("Core Count: 4"));
  EXPECT_THAT(text, HasSubstr("Size: 1 GB"));
  EXPECT_THAT(text, HasSubstr("Range Size: 1 GB"));
}

TEST_F(Dmidecode, FindsTheEndOfALargeMemoryAndManyProcessors) {
  auto facts = config(kHuge);
  facts.cpus = {.sockets = 2, .cores = 150, .threads = 2};
  const auto text = read(facts);
  EXPECT_THAT(text, HasSubstr("Thread Count: 300"));
  EXPECT_THAT(text, HasSubstr("Maximum Capacity: 6147 GB"));
  EXPECT_THAT(text, HasSubstr("Ending Address: 0x00000600FFFFFFFF"));
}

}  // namespace
}  // namespace pcivm::vmm
