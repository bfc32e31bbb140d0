// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_rom.hpp"

#include <gmock/gmock.h>

#include <array>
#include <string>
#include <vector>

#include "tests/support/fake_pci.hpp"
#include "tests/support/result_matchers.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::HasSubstr;

class Roms : public testing::Test {
 protected:
  Roms() {
    test::FakePci{tree_}.function(device_);
    tree_.file("/rom", "\x55\xaa" + std::string(510, 'r'));
  }
  Result<std::vector<RomWish>> read(std::vector<std::string> texts) {
    return read_roms(SysRoot{tree_.root()}, texts, std::array{address_});
  }
  std::string file(const char* path) { return "=" + tree_.path(path).string(); }

  test::TempRoot tree_;
  test::FakeFunction device_;
  const Bdf address_ = Bdf::parse(device_.address).value();
};

TEST_F(Roms, AreTheDevicesOwnOrAFile) {
  EXPECT_THAT(read({}), IsOk());
  const auto own = read({device_.address + "=device"});
  ASSERT_THAT(own, IsOk());
  EXPECT_TRUE(own->front().image.empty());
  const auto given = read({device_.address + file("/rom")});
  ASSERT_THAT(given, IsOk());
  EXPECT_EQ(given->front().function, address_);
  EXPECT_EQ(given->front().image.size(), 512U);
}

TEST_F(Roms, AreRefusedForOthersAndTwice) {
  EXPECT_THAT(read({"0000:77:00.0=device"}), FailsWith(Errc::not_found));
  EXPECT_THAT(read_roms(SysRoot{tree_.root()}, std::array{device_.address + "=device"}, {}),
              FailsWith(Errc::invalid, HasSubstr("none of the VM's devices")));
  EXPECT_THAT(read({device_.address + "=device", device_.address + "=device"}),
              FailsWith(Errc::invalid, HasSubstr("twice")));
  for (const auto* text : {"", "=", "device"}) EXPECT_THAT(read({text}), FailsWith(Errc::invalid)) << text;
  EXPECT_THAT(read({device_.address + "="}), FailsWith(Errc::invalid, HasSubstr("DEVICE=FILE")));
}

TEST_F(Roms, MustBeOptionRoms) {
  tree_.file("/short", "\x55\xaa");
  tree_.file("/other", std::string(512, 'x'));
  EXPECT_THAT(read({device_.address + file("/short")}), FailsWith(Errc::invalid, HasSubstr("has 2 bytes")));
  EXPECT_THAT(read({device_.address + file("/other")}), FailsWith(Errc::invalid, HasSubstr("starts with 78 78")));
  EXPECT_THAT(read({device_.address + file("/none")}), FailsWith(Errc::not_found));
  EXPECT_THAT(read({device_.address + file("/")}), FailsWith(Errc::invalid));
}

}  // namespace
}  // namespace pcivm::cli
