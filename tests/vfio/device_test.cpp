// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/fakes/fake_vfio.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/device.hpp"
#include "vfio/uapi.hpp"

namespace pcivm::vfio {
namespace {

using test::FailsWith;
using test::FakeVfio;
using test::IsOk;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr Bdf kAddress{.domain = 0, .bus = 1, .device = 0x10, .function = 2};

class DeviceTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Device>> open(UnprovenReset unproven = UnprovenReset::refuse) {
    return Device::open(fake, group.ref(), kAddress.to_string(), token, unproven);
  }
  Result<std::unique_ptr<Device>> bind(UnprovenReset unproven = UnprovenReset::refuse) {
    return Device::bind(fake, fake.node(), group.ref(), kAddress.to_string(), token, unproven);
  }
  std::string token;
  FakeVfio fake;
  Fd group = make_eventfd().value();
};

TEST_F(DeviceTest, ReadsFactsAndWhatEveryDriverReads) {
  const auto device = open();
  ASSERT_THAT(device, IsOk());
  EXPECT_EQ(fake.device_name, "0000:01:10.2");
  EXPECT_EQ((*device)->region(0).size, 16 * kKiB);
  EXPECT_TRUE((*device)->region(3).msix_mappable);
  EXPECT_EQ((*device)->irq(Irq::msix).count, 3U);
  EXPECT_FALSE((*device)->irq(Irq::msix).fixed_count);
  EXPECT_EQ((*device)->config().size(), 256U);
  EXPECT_EQ((*device)->region(Device::kConfigRegion).size, 4096U);
  EXPECT_EQ(config_u32((*device)->config(), 0), 0x10ca8086U);
  EXPECT_THAT(fake.take_log(), ElementsAre("get device 0000:01:10.2")) << "no reset of ours";
}

TEST_F(DeviceTest, ReadsTheRestOfTheConfigurationSpaceForWhoNeedsIt) {
  fake.config(0x100, 4, 0x14010001);
  const auto device = open();
  ASSERT_THAT((*device)->read_extended(), IsOk());
  EXPECT_EQ((*device)->config().size(), 4096U);
  EXPECT_EQ(config_u32((*device)->config(), 0x100), 0x14010001U);
  fake.vanish();
  EXPECT_FALSE((*device)->read_extended().has_value());
  EXPECT_EQ(config_u32((*device)->config(), 0), 0x10ca8086U) << "what was read before";
}

TEST_F(DeviceTest, AsksOnlyForWhatItCanHave) {
  const unsigned bars = 1U << 0U | 1U << 3U;
  const auto device = Device::open(fake, group.ref(), kAddress.to_string(), {}, UnprovenReset::refuse, bars);
  ASSERT_THAT(device, IsOk());
  EXPECT_EQ(fake.questions, 5U) << "device; BAR 0, BAR 3, configuration space; MSI-X";
  EXPECT_EQ((*device)->region(3).size, 16 * kKiB);
  fake.config(PCI_INTERRUPT_PIN, 1, 1);
  fake.irq_counts[VFIO_PCI_INTX_IRQ_INDEX] = 1;
  const auto wired = open();
  ASSERT_THAT(wired, IsOk());
  EXPECT_EQ((*wired)->irq(Irq::intx).count, 1U);
}

TEST_F(DeviceTest, FewerVectorsThanWantedAreNone) {
  const auto device = open();
  ASSERT_THAT(device, IsOk());
  fake.most_vectors = 2;
  const std::array events{-1, -1, -1};
  EXPECT_THAT((*device)->set_triggers(Irq::msix, 0, events), FailsWith(Errc::kernel, HasSubstr("for 2 of them")));
  EXPECT_EQ(fake.host_vectors(), 0U);
}

TEST_F(DeviceTest, TellsWhatTheHostSaysOfItWithoutAskingWhetherItCan) {
  const auto device = open();
  ASSERT_THAT(device, IsOk());
  EXPECT_THAT((*device)->tell(Irq::request, group.ref()), IsOk());
  EXPECT_THAT((*device)->tell(Irq::error, group.ref()), IsOk());
  EXPECT_EQ(fake.trigger(VFIO_PCI_REQ_IRQ_INDEX, 0), group.ref().number());
  EXPECT_EQ(fake.trigger(VFIO_PCI_ERR_IRQ_INDEX, 0), group.ref().number());
  EXPECT_EQ(fake.questions, 9U) << "those of open(), for every BAR";
}

TEST_F(DeviceTest, LacksAnEventAndWorksOn) {
  const auto device = open();
  ASSERT_THAT(device, IsOk());
  for (const int number : {EINVAL, ENOTTY}) {
    fake.no_vectors = number;
    EXPECT_THAT((*device)->tell(Irq::request, group.ref()), IsOk());
  }
  fake.no_vectors = ENOMEM;
  EXPECT_THAT((*device)->tell(Irq::request, group.ref()), FailsWith(Errc::kernel, HasSubstr("interrupt 4")));
  EXPECT_EQ(fake.host_vectors(), 0U);
}

TEST_F(DeviceTest, IsNotAskedForErrorsThatOnlyPciExpressReports) {
  fake.config(FakeVfio::kMsix + 1, 1, 0);  // the end of the list
  const auto device = open();
  ASSERT_THAT(device, IsOk());
  EXPECT_THAT((*device)->tell(Irq::error, group.ref()), IsOk());
  EXPECT_EQ(fake.host_vectors(), 0U);
}

TEST_F(DeviceTest, RefusesADeviceWhoseResetIsNotProven) {
  fake.device_flags = VFIO_DEVICE_FLAGS_PCI;
  EXPECT_THAT(open(), FailsWith(Errc::refused, HasSubstr("reset is not proven")));
  EXPECT_THAT(open(UnprovenReset::allow), IsOk());
}

TEST_F(DeviceTest, NamesADeviceThatDoesNotAnswer) {
  for (std::uint64_t offset = 0; offset < 4096; offset += 4) fake.config(offset, 4, 0xffffffff);
  EXPECT_THAT(open(), FailsWith(Errc::kernel, HasSubstr("does not answer: header type 0x7f")));
}

TEST_F(DeviceTest, ExplainsWhyThereIsNoDescriptor) {
  fake.fail[VFIO_GROUP_GET_DEVICE_FD] = EAGAIN;
  EXPECT_THAT(open(), FailsWith(Errc::busy));
  fake.fail[VFIO_GROUP_GET_DEVICE_FD] = EBUSY;
  EXPECT_THAT(open(), FailsWith(Errc::busy, HasSubstr("0000:01:10.2: VFIO_GROUP_GET_DEVICE_FD")));
  fake.fail[VFIO_GROUP_GET_DEVICE_FD] = ENODEV;
  EXPECT_THAT(open(), FailsWith(Errc::not_found));
}

TEST_F(DeviceTest, OpensTheVfOfAPfOnVfioWithItsTokenOnly) {
  fake.vf_token = "7f6a4c1e-3b52-4d8e-9a10-2f0c5d6e7a8b";
  EXPECT_THAT(open(), FailsWith(Errc::denied));
  token = "00000000-3b52-4d8e-9a10-2f0c5d6e7a8b";
  const auto refused = open();
  ASSERT_THAT(refused, FailsWith(Errc::denied, HasSubstr("0000:01:10.2: VFIO_GROUP_GET_DEVICE_FD")));
  EXPECT_EQ(refused.error().code(), "vf_token.refused");
  EXPECT_THAT(refused.error().text() + refused.error().hint(), testing::Not(HasSubstr("3b52"))) << "it is a secret";
  token = fake.vf_token;
  EXPECT_THAT(open(), IsOk());
  EXPECT_EQ(fake.device_name, "0000:01:10.2");
  fake.vf_token.clear();
  EXPECT_THAT(open(), FailsWith(Errc::kernel, HasSubstr("EINVAL"))) << "where none applies the kernel refuses one";
}

TEST_F(DeviceTest, IsBoundToAnIommufdByItsOwnNode) {
  const auto device = bind();
  ASSERT_THAT(device, IsOk());
  EXPECT_EQ((*device)->region(0).size, 16 * kKiB);
  EXPECT_EQ(config_u32((*device)->config(), 0), 0x10ca8086U);
  EXPECT_THAT(fake.take_log(), ElementsAre("bind")) << "no reset of ours";
  fake.device_flags = VFIO_DEVICE_FLAGS_PCI;
  EXPECT_THAT(bind(), FailsWith(Errc::refused, HasSubstr("reset is not proven")));
}

TEST_F(DeviceTest, ExplainsWhyItIsNotBound) {
  const auto failing = [this](int number) {
    fake.fail[uapi::bind_iommufd.number] = number;
    return bind();
  };
  EXPECT_THAT(failing(EAGAIN), FailsWith(Errc::busy, HasSubstr("0000:01:10.2: VFIO_DEVICE_BIND_IOMMUFD")));
  EXPECT_THAT(failing(ENODEV), FailsWith(Errc::not_found));
  EXPECT_THAT(failing(EACCES), FailsWith(Errc::denied));
  const auto busy = failing(EBUSY);
  EXPECT_THAT(busy, FailsWith(Errc::busy));
  EXPECT_THAT(busy.error().hint(), HasSubstr("pcivm device show 0000:01:10.2"));
  const auto invalid = failing(EINVAL);
  EXPECT_THAT(invalid, FailsWith(Errc::kernel));
  EXPECT_THAT(invalid.error().hint(), HasSubstr("another process has 0000:01:10.2 open"));
  EXPECT_THAT(invalid.error().hint(), HasSubstr("--iommu-backend container"));
}

TEST_F(DeviceTest, GivesTheTokenWithTheBindWhereTheKernelTakesOne) {
  fake.vf_token = "7f6a4c1e-3b52-4d8e-9a10-2f0c5d6e7a8b";
  EXPECT_THAT(bind(), FailsWith(Errc::denied));
  token = "00000000-3b52-4d8e-9a10-2f0c5d6e7a8b";
  const auto refused = bind();
  ASSERT_THAT(refused, FailsWith(Errc::denied));
  EXPECT_EQ(refused.error().code(), "vf_token.refused");
  EXPECT_THAT(refused.error().text() + refused.error().hint(), testing::Not(HasSubstr("3b52"))) << "it is a secret";
  token = fake.vf_token;
  EXPECT_THAT(bind(), IsOk());
  fake.takes_tokens = false;
  const auto old = bind();
  ASSERT_THAT(old, FailsWith(Errc::kernel));
  EXPECT_THAT(old.error().hint(), HasSubstr("before Linux 6.17"));
}

TEST_F(DeviceTest, KeepsOutOfTheMsixTableWhenTheKernelWantsIt) {
  fake.regions[3].msix_mappable = false;
  const auto device = open();
  ASSERT_THAT(device, IsOk());
  EXPECT_THAT((*device)->region(3).areas, ElementsAre(Area{0x1000, 0x3000}));
}

TEST_F(DeviceTest, MapsOnlyAreasOfTheDriver) {
  fake.regions[0].sparse = {{0x1000, 0x1000}};
  fake.store(0, 0x1004, 0xabcd);
  const auto device = open();
  ASSERT_THAT(device, IsOk());
  const auto mapping = (*device)->map(0, {0x1000, 0x1000});
  ASSERT_THAT(mapping, IsOk());
  EXPECT_EQ(config_u32(mapping->bytes(), 4), 0xabcdU);
  EXPECT_THAT((*device)->map(0, {0, 0x4000}), FailsWith(Errc::internal));
}

TEST_F(DeviceTest, RefusesAccessesOutsideARegion) {
  const auto device = open();
  std::array<std::byte, 8> data{};
  EXPECT_THAT((*device)->read(0, 16 * kKiB - 8, data), IsOk());
  EXPECT_THAT((*device)->read(0, 16 * kKiB - 4, data), FailsWith(Errc::invalid));
  EXPECT_THAT((*device)->write(0, ~std::uint64_t{0}, data), FailsWith(Errc::invalid));
  EXPECT_THAT((*device)->read(2, 0, data), FailsWith(Errc::invalid)) << "no such BAR";
}

TEST_F(DeviceTest, SetsManyTriggersInOneCall) {
  const auto device = open();
  (void)fake.take_log();
  const std::array events{-1, group.ref().number()};
  EXPECT_THAT((*device)->set_triggers(Irq::msix, 1, events), IsOk());
  EXPECT_EQ(fake.trigger(2, 2), group.ref().number());
  EXPECT_EQ(fake.trigger(2, 1), -1);
  EXPECT_THAT((*device)->disable(Irq::msix), IsOk());
  EXPECT_EQ(fake.host_vectors(), 0U);
  EXPECT_THAT(fake.take_log(), ElementsAre("irq 2 1: -1 own", "irq 2 off"));
}

TEST_F(DeviceTest, ResetReadsTheConfigurationSpaceAgain) {
  const auto device = open();
  fake.config(PCI_VENDOR_ID, 4, 0x12345678);
  EXPECT_THAT((*device)->reset(), IsOk());
  EXPECT_EQ(config_u32((*device)->config(), 0), 0x12345678U);
  fake.config(PCI_HEADER_TYPE, 1, 0xff);
  EXPECT_THAT((*device)->reset(), FailsWith(Errc::kernel));
}

TEST(RequestName, NamesEveryRequestOnce) {
  EXPECT_EQ(uapi::request_name(VFIO_DEVICE_SET_IRQS), "VFIO_DEVICE_SET_IRQS");
  EXPECT_EQ(uapi::request_name(VFIO_IOMMU_MAP_DMA), "VFIO_IOMMU_MAP_DMA");
  EXPECT_EQ(uapi::request_name(0), "");
}

}  // namespace
}  // namespace pcivm::vfio
