// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/devlink_message.hpp"

#include <gtest/gtest.h>
#include <linux/devlink.h>

#include <random>

#include "sriov/eswitch.hpp"
#include "sriov/port_function.hpp"
#include "tests/sriov/vf_rig.hpp"

namespace pcivm::sriov {
namespace {

using test::FailsWith;
using test::IsOk;
using test::IsOkAnd;
using test::kPf;
using testing::ElementsAre;
using testing::Eq;
using testing::HasSubstr;

std::vector<std::byte> bytes(std::initializer_list<unsigned> values) {
  std::vector<std::byte> out;
  for (const auto value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

const DevlinkMessage kPort{.command = DEVLINK_CMD_PORT_NEW,
                           .device = Bdf::parse(kPf).value(),
                           .port = 7,
                           .flavour = DEVLINK_PORT_FLAVOUR_PCI_VF,
                           .pf_number = 0,
                           .vf_number = 1,
                           .hw_addr = MacAddress{{2, 0, 0, 0, 0, 9}},
                           .caps = FunctionCaps{.value = FunctionCaps::kRoce, .named = 3}};

TEST(Devlink, AsksForTheEswitchAsIproute2Does) {
  // As `devlink dev eswitch show pci/0000:01:00.0` sends it, but for family and sequence.
  const auto request = encode({.command = DEVLINK_CMD_ESWITCH_GET, .device = Bdf::parse(kPf).value()}, 0x15, 9);
  const auto wanted = bytes({
      0x30,
      0,
      0,
      0,
      0x15,
      0,
      5,
      0,
      9,
      0,
      0,
      0,
      0,
      0,
      0,
      0,  // header: 48 bytes, REQUEST | ACK
      DEVLINK_CMD_ESWITCH_GET,
      1,
      0,
      0,  // generic header, version 1
      8,
      0,
      DEVLINK_ATTR_BUS_NAME,
      0,
      'p',
      'c',
      'i',
      0,  //
      17,
      0,
      DEVLINK_ATTR_DEV_NAME,
      0,
      '0',
      '0',
      '0',
      '0',
      ':',
      '0',
      '1',
      ':',
      '0',
      '0',
      '.',
      '0',
      0,
      0,
      0,
      0,
  });
  ASSERT_EQ(request.size(), wanted.size());
  auto found = request;
  for (std::size_t port_id = 12; port_id < 16; ++port_id) found[port_id] = std::byte{};
  EXPECT_EQ(found, wanted);
}

TEST(Devlink, PutsTheFunctionIntoANest) {
  const auto request = encode({.command = DEVLINK_CMD_PORT_SET,
                               .device = Bdf::parse(kPf).value(),
                               .port = 7,
                               .hw_addr = MacAddress{{2, 1, 1, 1, 1, 1}}},
                              0x15, 9);
  const auto tail = std::vector(request.end() - 16, request.end());
  // The nest is flagged (0x8000), which generic netlink insists on.
  EXPECT_EQ(tail, bytes({16, 0, DEVLINK_ATTR_PORT_FUNCTION & 0xff, 0x80, 10, 0, 1, 0, 2, 1, 1, 1, 1, 1, 0, 0}));
}

TEST(Devlink, ReadsWhatItWrites) {
  const DevlinkMessage rate{.command = DEVLINK_CMD_RATE_NEW,
                            .device = Bdf::parse(kPf).value(),
                            .port = 7,
                            .tx_share = 125'000,
                            .tx_max = 250'000'000,
                            .parent = "group1"};
  const DevlinkMessage eswitch{.command = DEVLINK_CMD_ESWITCH_GET,
                               .device = Bdf::parse(kPf).value(),
                               .mode = EswitchMode::switchdev,
                               .inline_mode = InlineMode::transport,
                               .encap = true};
  for (const auto& message : {kPort, rate, eswitch}) {
    const auto reply = decode_devlink(encode(message, 0x15, 9), 9);
    ASSERT_THAT(reply, IsOk());
    EXPECT_THAT(reply->objects, ElementsAre(message));
  }
}

TEST(Devlink, SurvivesADatagramThatIsCutOrGarbled) {
  const auto whole = encode(kPort, 0x15, 9);
  std::mt19937 random{5};
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const auto reply = decode_devlink(std::span{whole}.first(length), 9);
    EXPECT_FALSE(reply && !reply->objects.empty()) << length;
  }
  for (int round = 0; round < 20'000; ++round) {
    auto changed = whole;
    for (int flips = 0; flips < 4; ++flips)
      changed[16 + random() % (changed.size() - 16)] = static_cast<std::byte>(random());
    (void)decode_devlink(changed, 9);
    (void)decode_family(changed, 9);
  }
}

// ---- a PF with an eswitch, played by a fake of devlink ----

class EswitchedPf : public test::VfRig {
 protected:
  EswitchedPf() {
    kernel_.tree().file(test::FakeKernel::device_directory(kPf) + "/net/eth1/ifindex", "3\n");
    port_.devlink_port = [this](const DevlinkMessage& request) { return answer(request); };
  }
  Result<std::vector<DevlinkMessage>> answer(const DevlinkMessage& request) {
    if (request.command == DEVLINK_CMD_ESWITCH_GET) {
      return std::vector{
          DevlinkMessage{.device = bdf(kPf), .mode = mode_, .inline_mode = InlineMode::none, .encap = encap_}};
    }
    if (request.command == DEVLINK_CMD_ESWITCH_SET) return set_eswitch(request);
    if (request.command == DEVLINK_CMD_PORT_GET) return ports();
    if (request.command == DEVLINK_CMD_RATE_GET) return rates();
    if (request.command == DEVLINK_CMD_PORT_SET && request.hw_addr) macs_[*request.port] = *request.hw_addr;
    if (request.command == DEVLINK_CMD_PORT_SET && request.caps) roce_[*request.port] = request.caps->value != 0;
    if (request.command == DEVLINK_CMD_RATE_SET && request.tx_max) tx_max_[*request.port] = *request.tx_max;
    if (request.command == DEVLINK_CMD_RATE_SET && request.parent) parent_[*request.port] = *request.parent;
    return std::vector<DevlinkMessage>{};
  }
  Result<std::vector<DevlinkMessage>> set_eswitch(const DevlinkMessage& request) {
    if (refuse_ != 0) return fail_errno(refuse_, "devlink");
    events_.push_back(fmt::format("eswitch with {} VFs", kernel_.at(kPf).num_vfs));
    if (request.mode) mode_ = *request.mode;
    if (request.encap) encap_ = *request.encap;
    return std::vector<DevlinkMessage>{};
  }
  std::vector<DevlinkMessage> ports() {
    std::vector<DevlinkMessage> all{{.device = bdf(kPf), .port = 0, .flavour = DEVLINK_PORT_FLAVOUR_PHYSICAL}};
    if (mode_ == EswitchMode::legacy) return all;
    for (unsigned index = 0; index < kernel_.at(kPf).num_vfs; ++index) {
      auto port = kPort;
      port.port = index + 1;
      port.vf_number = static_cast<std::uint16_t>(index);
      port.hw_addr = macs_[index + 1];
      port.caps->value = roce_[index + 1] ? FunctionCaps::kRoce : 0;
      all.push_back(port);
    }
    return all;
  }
  std::vector<DevlinkMessage> rates() {
    std::vector<DevlinkMessage> all;
    for (unsigned index = 0; index < kernel_.at(kPf).num_vfs; ++index) {
      all.push_back({.device = bdf(kPf),
                     .port = index + 1,
                     .tx_share = 0,
                     .tx_max = tx_max_[index + 1],
                     .parent = parent_[index + 1]});
    }
    return all;
  }
  Result<Created> make_switchdev(unsigned count) {
    return sriov::create(
        host_, lock(),
        {.physical = bdf(kPf),
         .targets = targets_for(count, "vfio-pci", std::vector<VfWish>(count, {.mac = MacAddress{{2, 0, 0, 0, 0, 5}}})),
         .port = &port_,
         .eswitch = {.mode = EswitchMode::switchdev}});
  }
  void drive_by(const std::string& driver) {
    kernel_.add_driver(driver);
    kernel_.at(kPf).driver = driver;
    kernel_.add_pf(kPf, 7, driver);
    kernel_.tree().file(test::FakeKernel::device_directory(kPf) + "/net/eth1/ifindex", "3\n");
  }

  EswitchMode mode_{EswitchMode::legacy};
  bool encap_{};
  int refuse_{};
  std::vector<std::string> events_;
  std::map<unsigned, MacAddress> macs_;
  std::map<unsigned, bool> roce_;
  std::map<unsigned, std::uint64_t> tx_max_;
  std::map<unsigned, std::string> parent_;
};

TEST_F(EswitchedPf, GoesToSwitchdevBeforeTheVfsWhereTheDriverWantsThat) {
  drive_by("ice");
  ASSERT_THAT(make_switchdev(2), IsOk());
  EXPECT_THAT(events_, ElementsAre("eswitch with 0 VFs"));
  expect_all_bound(2);
}

TEST_F(EswitchedPf, GoesToSwitchdevWithUnboundVfsWhereTheDriverWantsThat) {
  drive_by("mlx5_core");
  ASSERT_THAT(make_switchdev(2), IsOk());
  EXPECT_THAT(events_, ElementsAre("eswitch with 2 VFs"));
  expect_all_bound(2);
}

TEST_F(EswitchedPf, TakesTheAddressOfThePortFunction) {
  drive_by("mlx5_core");
  ASSERT_THAT(make_switchdev(2), IsOk());
  EXPECT_EQ(macs_[2].to_string(), "02:00:00:00:00:05");
  EXPECT_EQ(port_.count, 0) << "rtnetlink was used";
  EXPECT_EQ(list(host_, bdf(kPf), &port_)->at(1).attributes.mac, (MacAddress{{2, 0, 0, 0, 0, 5}}));
}

TEST_F(EswitchedPf, SetsAbilitiesAndRatesOfAFunction) {
  drive_by("mlx5_core");
  ASSERT_THAT(make_switchdev(2), IsOk());
  const auto set = [&](const VfWish& wish) {
    return sriov::set(host_, lock(), port_, {.physical = bdf(kPf), .index = 1, .wish = wish});
  };
  ASSERT_THAT(set({.max_tx_rate = 1000, .roce = true, .rate_parent = "group1"}), IsOk());
  EXPECT_EQ(tx_max_[2], 125'000'000U);
  EXPECT_EQ(parent_[2], "group1");
  EXPECT_TRUE(roce_[2]);
  EXPECT_THAT(set({.rate_parent = "a;b"}), FailsWith(Errc::invalid));
}

TEST_F(EswitchedPf, HasNoAbilitiesInLegacyMode) {
  ASSERT_THAT(create(2), IsOk());
  EXPECT_THAT(sriov::set(host_, lock(), port_, {.physical = bdf(kPf), .index = 1, .wish = {.roce = true}}),
              FailsWith(Errc::kernel, HasSubstr("is not in switchdev mode")));
}

TEST_F(EswitchedPf, GoesBackToLegacyWhenTheCreationFails) {
  drive_by("mlx5_core");
  kernel_.fail_probe("vfio-pci", vf(1), EIO);
  EXPECT_THAT(make_switchdev(2), FailsWith(Errc::rolled_back));
  EXPECT_EQ(mode_, EswitchMode::legacy);
  expect_untouched();
}

TEST_F(EswitchedPf, GoesBackToLegacyAfterACrash) {
  drive_by("ice");
  kernel_.inject({.kind = test::Fault::Kind::kill, .at = 4});
  EXPECT_THROW((void)make_switchdev(2), test::Killed);
  kernel_.inject({});
  EXPECT_EQ(mode_, EswitchMode::switchdev);
  ASSERT_THAT(recover(), IsOk());
  EXPECT_EQ(mode_, EswitchMode::legacy);
  expect_untouched();
}

TEST_F(EswitchedPf, ChangesItsModeOnlyInTheOrderOfItsDriver) {
  ASSERT_THAT(create(2), IsOk());
  const auto change = [&] {
    return change_eswitch(host_, lock(), port_, bdf(kPf), {.mode = EswitchMode::switchdev, .encap = true});
  };
  EXPECT_THAT(change(), FailsWith(Errc::busy, HasSubstr("only without any")));
  kernel_.at(kPf).driver = "mlx5_core";
  kernel_.tree().link(test::FakeKernel::device_directory(kPf) + "/driver", "../../drivers/mlx5_core");
  EXPECT_THAT(change(), FailsWith(Errc::busy, HasSubstr("is bound to vfio-pci")));
  ASSERT_THAT(vfio::release(host_, lock(), {.function = bdf(vf(0)), .driver = ""}), IsOk());
  ASSERT_THAT(vfio::release(host_, lock(), {.function = bdf(vf(1)), .driver = ""}), IsOk());
  EXPECT_THAT(change(), IsOkAnd(Eq(true)));
  EXPECT_THAT(change(), IsOkAnd(Eq(false)));
  EXPECT_TRUE(encap_);
  EXPECT_TRUE(journal_empty());
}

TEST_F(EswitchedPf, SaysWhyTheDriverRefuses) {
  refuse_ = EOPNOTSUPP;
  const auto done = change_eswitch(host_, lock(), port_, bdf(kPf), {.mode = EswitchMode::switchdev});
  EXPECT_THAT(done, FailsWith(Errc::rolled_back));
  EXPECT_THAT(done.error().hint(), HasSubstr("does not offer this"));
  port_.devlink_port = {};
  EXPECT_THAT(read_eswitch(port_, bdf(kPf)), FailsWith(Errc::kernel, HasSubstr("has no eswitch that can be set")));
}

TEST_F(EswitchedPf, MakesNoVfsWhileItsInterfaceIsDownWhereTheDriverWouldNot) {
  drive_by("bnxt_en");
  kernel_.tree().file(test::FakeKernel::device_directory(kPf) + "/net/eth1/flags", "0x1002\n");
  EXPECT_THAT(create(2), FailsWith(Errc::kernel, HasSubstr("while its interface is down")));
  kernel_.tree().file(test::FakeKernel::device_directory(kPf) + "/net/eth1/flags", "0x1003\n");
  EXPECT_THAT(create(2), IsOk());
}

TEST(Eswitch, IsTheSameAfterTheJournal) {
  const Eswitch full{.mode = EswitchMode::switchdev, .inline_mode = InlineMode::network, .encap = false};
  for (const auto& eswitch : {full, Eswitch{}, Eswitch{.encap = true}}) {
    EXPECT_EQ(parse_eswitch(serialize(eswitch)), eswitch);
  }
  EXPECT_EQ(to_string(full), "mode switchdev, inline mode network, encap off");
}

}  // namespace
}  // namespace pcivm::sriov
