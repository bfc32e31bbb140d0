// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/vpd.hpp"

#include <gmock/gmock.h>

#include "iommu/serial.hpp"
#include "tests/support/fake_pci.hpp"

namespace pcivm::iommu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string large(char tag, const std::string& data) {
  return std::string{tag} + static_cast<char>(data.size() & 0xffU) + static_cast<char>(data.size() >> 8U) + data;
}
std::string field(const std::string& keyword, const std::string& value) {
  return keyword + static_cast<char>(value.size()) + value;
}
const std::string kEnd{"\x78"};

Vpd parse(const std::string& image) { return parse_vpd(std::as_bytes(std::span{image})); }

/// What a network card has, with a checksum that is right.
std::string card() {
  const auto start = field("PN", "G12345-001") + field("EC", "A  ") + field("SN", "A0369F3C2D10") +
                     field("V0", "FFV14.5.8");
  auto image = large('\x82', "Ethernet Adapter") + large('\x90', start + field("RV", std::string(2, '\0')));
  unsigned sum = 0;
  const auto checksum = image.size() - 2;
  for (std::size_t i = 0; i < checksum; ++i) sum += static_cast<unsigned char>(image[i]);
  image[checksum] = static_cast<char>(-sum & 0xffU);
  return image + large('\x91', field("YA", "rack 7") + field("RW", std::string(3, '\xaa'))) + kEnd;
}

TEST(Vpd, ReadsNameNumbersAndOtherFields) {
  const auto vpd = parse(card());
  EXPECT_EQ(vpd.problem, "");
  EXPECT_EQ(vpd.product, "Ethernet Adapter");
  EXPECT_EQ(vpd.part_number, "G12345-001");
  EXPECT_EQ(vpd.serial, "A0369F3C2D10");
  EXPECT_THAT(vpd.fields, ElementsAre(VpdField{"EC", "A"}, VpdField{"V0", "FFV14.5.8"}, VpdField{"YA", "rack 7"}));
  EXPECT_EQ(vpd.checksum_ok, true);
}

TEST(Vpd, SaysThatTheChecksumIsWrongAndStillReads) {
  auto image = card();
  image[5] = 'e';
  const auto vpd = parse(image);
  EXPECT_EQ(vpd.checksum_ok, false);
  EXPECT_EQ(vpd.serial, "A0369F3C2D10");
  EXPECT_EQ(vpd.problem, "");
}

TEST(Vpd, HasNoVerdictWithoutAChecksum) {
  EXPECT_EQ(parse(large('\x90', field("SN", "1")) + kEnd).checksum_ok, std::nullopt);
  EXPECT_EQ(parse(large('\x90', field("SN", "1") + field("RV", "")) + kEnd).checksum_ok, std::nullopt);
}

TEST(Vpd, IsBlankWhenTheCardHasNone) {
  EXPECT_EQ(parse("").problem, "it is blank");
  EXPECT_EQ(parse(std::string(64, '\0')).problem, "it is blank");
  EXPECT_EQ(parse(std::string(64, '\xff')).problem, "it is blank");
}

TEST(Vpd, EveryCutEndsWithAProblemAndKeepsWhatCameBefore) {
  const auto image = card();
  for (std::size_t length = 1; length < image.size(); ++length) {
    const auto vpd = parse(image.substr(0, length));
    EXPECT_NE(vpd.problem, "") << length;
    EXPECT_EQ(vpd.product, length < 19 ? "" : "Ethernet Adapter") << length;
  }
}

TEST(Vpd, AFieldCannotReachBeyondItsPart) {
  const auto vpd = parse(large('\x90', field("SN", "1") + "PN\xff") + large('\x91', field("V1", "x")) + kEnd);
  EXPECT_EQ(vpd.serial, "1");
  EXPECT_THAT(vpd.problem, HasSubstr("PN"));
  EXPECT_THAT(vpd.fields, IsEmpty());
  EXPECT_THAT(parse(large('\x90', "SN") + kEnd).problem, HasSubstr("cut short"));
}

TEST(Vpd, ShowsNoControlCharacters) {
  EXPECT_EQ(parse(large('\x82', "a\x1b[2Jb\xff") + kEnd).product, "a\\x1b[2Jb\\xff");
  EXPECT_EQ(parse(large('\x82', std::string("a\0b", 3)) + kEnd).product, "a");
}

// Small resources of no length and fields of no length are the nearest thing to a loop that the format has.
TEST(Vpd, EndsOnWhateverACardPresents) {
  EXPECT_EQ(parse(std::string(32'768, '\x08')).problem, "it has no end tag");
  const auto vpd = parse(large('\x90', std::string(30'000, 'x')) + kEnd);
  EXPECT_LE(vpd.fields.size(), 256U);
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += field("V9", "");
  EXPECT_EQ(parse(large('\x90', many) + kEnd).fields.size(), 256U);
}

class Serials : public testing::Test {
 protected:
  Serials() { pci.function({.address = "0000:01:00.0"}); }
  void config(const std::string& image) const { temp.file(FakePci::device("0000:01:00.0") + "/config", image); }
  void vpd(const std::string& image) const { temp.file(FakePci::device("0000:01:00.0") + "/vpd", image); }
  [[nodiscard]] std::vector<std::string> serials() {
    return serials_of(root, Bdf::parse("0000:01:00.0").value(), reader, std::chrono::seconds{1});
  }
  /// Configuration space with the capability `id` at 0x100, the next one at `next`.
  static std::string with_extended(char id, unsigned next) {
    std::string image(4096, '\0');
    image[0x100] = id;
    image[0x102] = static_cast<char>(1U | (next & 0xfU) << 4U);
    image[0x103] = static_cast<char>(next >> 4U);
    for (std::size_t i = 0; i < 8; ++i) image[0x104 + i] = static_cast<char>(0x10 + i);
    return image;
  }
  using FakePci = test::FakePci;
  test::TempRoot temp;
  FakePci pci{temp};
  SysRoot root{temp.root()};
  VpdReader reader;
};

TEST_F(Serials, AreThoseOfTheVpdAndOfTheCapability) {
  EXPECT_THAT(serials(), IsEmpty());
  config(with_extended(3, 0));
  EXPECT_THAT(serials(), ElementsAre("17-16-15-14-13-12-11-10"));
  vpd(card());
  EXPECT_THAT(serials(), ElementsAre("A0369F3C2D10", "17-16-15-14-13-12-11-10"));
}

TEST_F(Serials, ABlankNumberIsNone) {
  auto image = with_extended(3, 0);
  image.replace(0x104, 8, 8, '\0');
  config(image);
  EXPECT_THAT(serials(), IsEmpty());
  image.replace(0x104, 8, 8, '\xff');
  config(image);
  EXPECT_THAT(serials(), IsEmpty());
}

TEST_F(Serials, AnEndlessListOfCapabilitiesEnds) {
  config(with_extended(1, 0x100));
  EXPECT_THAT(serials(), IsEmpty());
}

TEST_F(Serials, NeedTheWholeCapability) {
  config(with_extended(3, 0).substr(0, 0x10a));
  EXPECT_THAT(serials(), IsEmpty());
}

TEST_F(Serials, TheReaderStopsAtTheEndTag) {
  vpd(card() + std::string(100'000, 'x'));
  EXPECT_THAT(serials(), ElementsAre("A0369F3C2D10"));
  vpd(std::string(100'000, '\x08'));
  EXPECT_THAT(serials(), IsEmpty());
}

}  // namespace
}  // namespace pcivm::iommu
