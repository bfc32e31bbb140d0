// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vfat_image.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include <fmt/format.h>

#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::HasSubstr;

std::string text_of(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const auto byte : bytes) text += static_cast<char>(byte);
  return text;
}

TEST(Vfat, HasWhatADriverLooksAt) {
  const auto image = text_of(make_vfat("CIDATA", {{"user-data", "#cloud-config\n"}}).value());
  EXPECT_EQ(image.size() % 512, 0U);
  EXPECT_EQ(image.substr(43, 11), "CIDATA     ");
  EXPECT_EQ(image.substr(54, 5), "FAT12");
  EXPECT_EQ(image.substr(510, 2), "\x55\xaa");
  EXPECT_EQ(image.substr(512, 3), std::string("\xf8\xff\xff"));
  EXPECT_EQ(image.size(), 512U * static_cast<unsigned char>(image[19]));  // the sectors that it tells
}

TEST(Vfat, RefusesWhatDoesNotFit) {
  EXPECT_THAT(make_vfat("", {}), FailsWith(Errc::invalid));
  EXPECT_THAT(make_vfat("TWELVE-CHARS", {}), FailsWith(Errc::invalid));
  for (const auto* name : {"", "Upper", "a/b", ".hidden", "a b", "a-name-of-27-characters-long"}) {
    EXPECT_THAT(make_vfat("CIDATA", {{name, ""}}), FailsWith(Errc::invalid, HasSubstr("file name"))) << name;
  }
  EXPECT_THAT(make_vfat("CIDATA", {{"big", std::string(17U << 20U, 'x')}}), FailsWith(Errc::invalid, HasSubstr("KiB")));
  EXPECT_THAT(make_vfat("CIDATA", VfatFiles(17, {"a", ""})), FailsWith(Errc::invalid));
}

// By tools that others wrote, where they are installed.
class VfatTools : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("mdir -V >/dev/null 2>&1") != 0 || std::system("fsck.fat --help >/dev/null 2>&1") != 0) {
      GTEST_SKIP() << "needs mtools and dosfstools";
    }
  }
  std::string says(const std::string& command) {
    const auto out = tree_.path("/out").string();
    code_ = std::system(fmt::format("({}) >{} 2>&1", command, out).c_str());
    std::ifstream file{out};
    return {std::istreambuf_iterator<char>{file}, {}};
  }
  std::string write(const std::vector<std::byte>& image) {
    tree_.file("/image", text_of(image));
    return tree_.path("/image").string();
  }
  test::TempRoot tree_;
  int code_{};
};

TEST_F(VfatTools, AgreeThatItIsWhole) {
  const VfatFiles files{{"meta-data", std::string(5000, 'm')},
                        {"user-data", std::string(100000, 'u')},
                        {"empty", ""},
                        {"network-config", "version: 2\n"},
                        {"a-name-of-26-characters-ok", std::string(4096, 'n')}};
  const auto image = write(make_vfat("CIDATA", files).value());
  const auto check = says("fsck.fat -n " + image);
  EXPECT_EQ(code_, 0) << check;
  EXPECT_THAT(check, HasSubstr("6 files"));  // with the label
  EXPECT_THAT(says("mdir -b -i " + image + " ::"), HasSubstr("::/network-config\n"));
  EXPECT_THAT(says("mlabel -s -i " + image + " ::"), HasSubstr("CIDATA"));
  for (const auto& [name, content] : files) {
    EXPECT_EQ(says(fmt::format("mtype -i {} ::{}", image, name)), content) << name;
  }
}

TEST_F(VfatTools, AgreeOnTheLargest) {
  const auto image = write(make_vfat("CIDATA", {{"user-data", std::string(4083 * 4096, 'u')}}).value());
  const auto check = says("fsck.fat -n " + image);
  EXPECT_EQ(code_, 0) << check;
}

}  // namespace
}  // namespace pcivm::cli
