// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/vf_token.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "tests/support/fake_pci.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::vfio {
namespace {

using test::FailsWith;
using test::FakePci;
using test::IsOk;
using test::TempRoot;
using testing::HasSubstr;
using testing::Not;

const Bdf kPf = Bdf::parse("0000:01:00.0").value();
const Bdf kVf = Bdf::parse("0000:01:10.0").value();

class VfToken : public testing::Test {
 protected:
  std::string file() { return root.root().host_path(vf_token_file(kPf)); }
  TempRoot root;
};

TEST_F(VfToken, IsARandomUuidThatRootAloneMayRead) {
  ASSERT_THAT(ensure_vf_token(root.root(), kPf), IsOk());
  const auto token = load_vf_token(root.root(), kPf).value();
  EXPECT_TRUE(is_uuid(token)) << token;
  EXPECT_EQ(token[14], '4') << "version";
  EXPECT_THAT(std::string{"89ab"}, HasSubstr(token.substr(19, 1))) << "variant";
  struct stat facts{};
  ASSERT_EQ(::stat(file().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0600U);

  ASSERT_THAT(ensure_vf_token(root.root(), kPf), IsOk());
  EXPECT_EQ(load_vf_token(root.root(), kPf).value(), token) << "made once";
  ASSERT_THAT(forget_vf_token(root.root(), kPf), IsOk());
  ASSERT_THAT(forget_vf_token(root.root(), kPf), IsOk());
  EXPECT_THAT(load_vf_token(root.root(), kPf), FailsWith(Errc::not_found));
  ASSERT_THAT(ensure_vf_token(root.root(), kPf), IsOk());
  EXPECT_NE(load_vf_token(root.root(), kPf).value(), token);
}

TEST_F(VfToken, ThatIsNoUuidIsNeitherUsedNorReplacedNorShown) {
  for (const auto* text : {"", "hush", "7f6a4c1e-3b52-4d8e-9a10-2f0c5d6e7a8", "7f6a4c1e-3b52-4d8e-9a10-2f0c5d6e7a8b x",
                           "7f6a4c1e 3b52-4d8e-9a10-2f0c5d6e7a8b", "7f6a4c1e-3b52-4d8e-9a10-2f0c5d6e7a8g"}) {
    root.file(vf_token_file(kPf), text);
    const auto made = ensure_vf_token(root.root(), kPf);
    ASSERT_THAT(made, FailsWith(Errc::invalid, HasSubstr("does not hold a UUID"))) << text;
    EXPECT_THAT(made.error().text(), Not(HasSubstr("hush")));
  }
}

TEST_F(VfToken, IsNotReadThroughALink) {
  root.file("/etc/secret", "7f6a4c1e-3b52-4d8e-9a10-2f0c5d6e7a8b\n");
  root.directory("/run/pcivm/vf-token");
  root.link(vf_token_file(kPf), "/etc/secret");
  EXPECT_THAT(load_vf_token(root.root(), kPf), Not(IsOk()));
}

TEST_F(VfToken, AppliesToAPfOnVfioAndToItsVfsOnly) {
  const FakePci pci{root};
  pci.function({.address = "0000:01:00.0", .driver = "igb", .total_vfs = 7});
  pci.function({.address = "0000:02:00.0", .driver = "vfio-pci"});
  pci.vf("0000:01:00.0", 0, "0000:01:10.0", 12);
  pci.bind("0000:01:10.0", "vfio-pci");
  EXPECT_EQ(token_owner(root.root(), kPf), std::nullopt);
  EXPECT_EQ(token_owner(root.root(), kVf), std::nullopt);
  EXPECT_EQ(token_owner(root.root(), Bdf::parse("0000:02:00.0").value()), std::nullopt) << "no SR-IOV";
  EXPECT_EQ(token_owner(root.root(), Bdf::parse("0000:0f:00.0").value()), std::nullopt) << "absent";
  pci.bind("0000:01:00.0", "vfio-pci");
  EXPECT_EQ(token_owner(root.root(), kPf), kPf);
  EXPECT_EQ(token_owner(root.root(), kVf), kPf);
}

}  // namespace
}  // namespace pcivm::vfio
