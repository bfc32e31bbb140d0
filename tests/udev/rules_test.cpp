// SPDX-License-Identifier: GPL-2.0-or-later
#include "udev/rules.hpp"

#include <gmock/gmock.h>

#include "tests/support/result_matchers.hpp"

namespace pcivm::udev {
namespace {

using testing::HasSubstr;
using testing::Not;

const WholeFunction kGpu{
    .device = "gpu1", .function = {.bus = 0x41}, .vendor_id = 0x10de, .device_id = 0x2204, .early_driver = "vfio-pci"};
const WholeFunction kSound{
    .device = "gpu1", .function = {.bus = 0x41, .function = 1}, .vendor_id = 0x10de, .device_id = 0x1aef};

RuledVf vf(std::uint8_t device, bool for_guests, std::string name = "") {
  return {
      .device = "lan0", .function = {.bus = 1, .device = device}, .for_guests = for_guests, .name = std::move(name)};
}

TEST(Rules, NothingToRuleIsNoFile) {
  EXPECT_EQ(early_rules({}).value(), "");
  EXPECT_EQ(host_rules({}).value(), "");
  EXPECT_EQ(early_rules({.functions = {kSound}}).value(), "");
  EXPECT_EQ(host_rules({.vfs = {vf(16, false)}}).value(), "");
}

TEST(Rules, BindEarly) {
  EXPECT_EQ(early_rules({.functions = {kGpu, kSound}}).value(),
            R"(# Made from /etc/pcivm by `pcivm udev install`, which overwrites what is changed here. See docs/boot.md.
# gpu1
ACTION=="add", SUBSYSTEM=="pci", KERNEL=="0000:41:00.0", ATTR{vendor}=="0x10de", ATTR{device}=="0x2204", ATTR{driver_override}="vfio-pci", ATTR{[subsystem/pci]drivers_probe}="$kernel", RUN{builtin}+="kmod load vfio-pci"
)");
}

TEST(Rules, OfTheHost) {
  const auto text = host_rules({.functions = {kGpu}, .vfs = {vf(16, true), vf(17, true), vf(18, false, "mgmt-vf")}});
  EXPECT_EQ(text.value(),
            R"(# Made from /etc/pcivm by `pcivm udev install`, which overwrites what is changed here. See docs/boot.md.
ACTION=="remove|unbind", GOTO="pcivm_host_end"
# gpu1
SUBSYSTEM=="pci", KERNEL=="0000:41:00.0", ATTR{vendor}=="0x10de", ATTR{device}=="0x2204", ENV{PCIVM_MANAGED}="1", TAG+="systemd", ENV{SYSTEMD_WANTS}+="pcivm-device@$kernel.service"
SUBSYSTEM!="net", GOTO="pcivm_host_end"
# lan0
KERNELS=="0000:01:10.0|0000:01:11.0", ENV{PCIVM_UNMANAGED}="1"
# lan0
KERNELS=="0000:01:12.0", NAME="mgmt-vf"
ENV{PCIVM_UNMANAGED}=="1", ENV{NM_UNMANAGED}="1", ENV{ID_NET_MANAGED_BY}="pcivm"
LABEL="pcivm_host_end"
)");
}

TEST(Rules, NamesThatWouldSayMoreAreRefused) {
  for (const auto& name :
       std::vector<std::string>{"a\"b", "a\nb", "$attr{x}", "%k", "a b", "a/b", ".", "..", "all", "default", "a\\b",
                                "a*", "sixteen-letters-", "f\xc3\xbc", "a,RUN+=\"x", std::string("a\0b", 3)}) {
    const auto text = host_rules({.vfs = {vf(16, false, name)}});
    ASSERT_FALSE(text) << name;
    EXPECT_EQ(text.error().kind(), Errc::invalid) << name;
    EXPECT_THAT(text.error().text(), HasSubstr("0000:01:10.0")) << name;
  }
  for (const std::string name : {"eth0", "mgmt-vf", "a.100", "x_y", "fifteen-letters"}) {
    EXPECT_TRUE(host_rules({.vfs = {vf(16, false, name)}})) << name;
  }
}

TEST(Rules, DriversThatWouldSayMoreAreRefused) {
  for (const auto& driver :
       std::vector<std::string>{"vfio pci", "a\"", "$kernel", "vfio-pci\n", "a*b", std::string(65, 'x')}) {
    auto function = kGpu;
    function.early_driver = driver;
    const auto text = early_rules({.functions = {function}});
    ASSERT_FALSE(text) << driver;
    EXPECT_EQ(text.error().kind(), Errc::invalid);
  }
}

TEST(Rules, ADeviceNameThatCouldBeARuleIsNoComment) {
  auto function = kGpu;
  function.device = "x\nRUN+=\"/bin/evil\"";
  EXPECT_THAT(early_rules({.functions = {function}}).value(), Not(HasSubstr("evil")));
  EXPECT_THAT(host_rules({.functions = {function}}).value(), Not(HasSubstr("evil")));
}

// udev ignores what is longer than 16 KiB.
TEST(Rules, ManyVfsAreSeveralRules) {
  RuleFacts facts;
  for (unsigned i = 0; i < 2000; ++i) {
    facts.vfs.push_back({.device = "lan0",
                         .function = {.domain = 0x10000,
                                      .bus = static_cast<std::uint8_t>(i / 256),
                                      .device = static_cast<std::uint8_t>(i / 8 % 32),
                                      .function = static_cast<std::uint8_t>(i % 8)},
                         .for_guests = true});
  }
  const auto text = host_rules(facts).value();
  std::size_t longest = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    longest = std::max(longest, end - at);
    at = end + 1;
  }
  EXPECT_LT(longest, 8192U);
  EXPECT_EQ(std::ranges::count(text, ':'), 2 * 2000 + 0);
}

}  // namespace
}  // namespace pcivm::udev
