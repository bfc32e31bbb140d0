// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/plug_message.hpp"

#include <gmock/gmock.h>

#include <cerrno>
#include <string>
#include <utility>

#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using test::IsOk;

const Bdf kFunction{.bus = 1, .device = 0x10, .function = 2};

class PlugMessage : public testing::Test {
 protected:
  Packet sent(const auto& message) {
    EXPECT_THAT(send(ours_.ref(), message), IsOk());
    return receive_packet(theirs_.ref()).value().value();
  }
  std::pair<Fd, Fd> ends_ = make_packet_sockets().value();
  Fd& ours_ = ends_.first;
  Fd& theirs_ = ends_.second;
};

PlugRequest an_attach() {
  PlugRequest request{.kind = PlugRequest::Kind::attach, .function = kFunction, .slot = 17};
  request.opened.iommu = make_eventfd().value();
  request.opened.groups.push_back(
      {.number = 4'000'000'000, .fd = make_eventfd().value(), .reserved = {}, .firmware_memory = true});
  request.opened.devices.push_back({.address = kFunction,
                                    .bars = {{.index = 0, .size = 1ULL << 40U, .wide = true, .prefetchable = true},
                                             {.index = 5, .size = 32, .io = true}},
                                    .msix_bar = iommu::Bar{.index = 3, .size = 4096},
                                    .vf_token = "2ab7c6ae-1a1b-4f1e-9d2c-6a1f6e0c7f10",
                                    .reset_forced = true});
  return request;
}

TEST_F(PlugMessage, AnAttachArrivesWhole) {
  const auto request = an_attach();
  signal_eventfd(request.opened.iommu.ref());
  const auto got = read_request(sent(request));
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->kind, PlugRequest::Kind::attach);
  EXPECT_EQ(got->function, kFunction);
  EXPECT_EQ(got->slot, 17U);
  const auto& group = got->opened.groups.front();
  EXPECT_EQ(group.number, 4'000'000'000U);
  EXPECT_TRUE(group.firmware_memory);
  EXPECT_EQ(drain_eventfd(group.fd.ref()), 0U);
  EXPECT_EQ(drain_eventfd(got->opened.iommu.ref()), 1U) << "each descriptor in its place";
  const auto& device = got->opened.devices.front();
  EXPECT_EQ(device.address, kFunction);
  EXPECT_EQ(device.vf_token, "2ab7c6ae-1a1b-4f1e-9d2c-6a1f6e0c7f10");
  EXPECT_TRUE(device.reset_forced);
  ASSERT_EQ(device.bars.size(), 2U);
  EXPECT_EQ(device.bars[0].size, 1ULL << 40U);
  EXPECT_TRUE(device.bars[0].prefetchable);
  EXPECT_EQ(device.bars[1].index, 5U);
  EXPECT_TRUE(device.bars[1].io);
  ASSERT_TRUE(device.msix_bar);
  EXPECT_EQ(device.msix_bar->index, 3U);
  EXPECT_EQ(device.msix_bar->size, 4096U);
}

TEST_F(PlugMessage, WhatTheVmHasNeedsNoDescriptor) {
  auto request = an_attach();
  request.opened.groups.front().fd.close();
  request.opened.iommu.close();
  const auto got = read_request(sent(request));
  ASSERT_THAT(got, IsOk());
  EXPECT_FALSE(got->opened.groups.front().fd);
  EXPECT_FALSE(got->opened.iommu);
}

TEST_F(PlugMessage, ADeviceOfIommufdBringsItsNode) {
  auto request = an_attach();
  request.opened.backend = vfio::IommuBackend::iommufd;
  request.opened.groups.front().fd.close();
  request.opened.devices.front().fd = make_eventfd().value();
  signal_eventfd(request.opened.devices.front().fd.ref());
  const auto got = read_request(sent(request));
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->opened.backend, vfio::IommuBackend::iommufd);
  EXPECT_FALSE(got->opened.groups.front().fd);
  EXPECT_EQ(drain_eventfd(got->opened.iommu.ref()), 0U);
  EXPECT_EQ(drain_eventfd(got->opened.devices.front().fd.ref()), 1U);
}

TEST_F(PlugMessage, ReportsArriveWithTheirErrors) {
  const auto got = read_report(sent(
      PlugReport{.kind = PlugReport::Kind::refused,
                 .function = kFunction,
                 .slot = 3,
                 .error = Error::from_errno(EBUSY, "open 'x y'").within("outer").advise("a hint").coded("a.code")}));
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->kind, PlugReport::Kind::refused);
  EXPECT_EQ(got->function, kFunction);
  EXPECT_EQ(got->slot, 3U);
  ASSERT_TRUE(got->error);
  EXPECT_THAT(got->error->text(), testing::StartsWith("outer: open 'x y': "));
  EXPECT_EQ(got->error->hint(), "a hint");
  EXPECT_EQ(got->error->code(), "a.code");
  EXPECT_FALSE(read_report(sent(PlugReport{.kind = PlugReport::Kind::detached, .function = kFunction}))->error);
}

TEST_F(PlugMessage, RubbishIsAnError) {
  const auto whole = sent(an_attach()).text;
  for (std::size_t length = 1; length < whole.size(); ++length) {
    // Cut in a number it may still be one: then a descriptor or a BAR is wrong, which is no harm.
    (void)read_request({.text = whole.substr(0, length)});
  }
  for (const auto* text :
       {"x", "attach", "attach 0000:01:10.2", "attach 0000:01:10.2 17 container 1 0 0 1 0 0 -",
        "attach 0000:01:10.2 17 other 1 0 0 0 0 0 -", "ask 1", "ask 0000:01:10.2 more", "placed 0000:01:10.2 1"}) {
    EXPECT_THAT(read_request({.text = text}), FailsWith(Errc::invalid)) << text;
  }
  for (const auto* text : {"x", "placed", "placed 0000:01:10.2", "placed 0000:01:10.2 32", "ask 0000:01:10.2"}) {
    EXPECT_THAT(read_report({.text = text}), FailsWith(Errc::invalid)) << text;
  }
}

TEST_F(PlugMessage, PacketsKeepTheirLimits) {
  EXPECT_THAT(send_packet(ours_.ref(), ""), FailsWith(Errc::internal));
  EXPECT_THAT(send_packet(ours_.ref(), std::string(Packet::kMost + 1, 'x')), FailsWith(Errc::internal));
  EXPECT_EQ(receive_packet(theirs_.ref()).error().sys_errno(), EAGAIN);
  ASSERT_THAT(send_packet(ours_.ref(), std::string(Packet::kMost, 'x')), IsOk());
  EXPECT_EQ(receive_packet(theirs_.ref())->value().text.size(), Packet::kMost);
  ours_.close();
  EXPECT_FALSE(receive_packet(theirs_.ref()).value()) << "nobody is there any more";
}

}  // namespace
}  // namespace pcivm::vmm
