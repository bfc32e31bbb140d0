// SPDX-License-Identifier: GPL-2.0-or-later
// The guest's own IOMMU: requests of every kind as bytes in a queue, over a space that notes what it is told.
#include "vmm/virtio/iommu.hpp"

#include <gmock/gmock.h>
#include <linux/virtio_iommu.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/fake_dma_space.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/vmm/virtio/ring_driver.hpp"

namespace pcivm::vmm {
namespace {

using test::IsOk;
using Space = test::FakeDmaSpace;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Bdf kNic{.bus = 1, .device = 0x10};
constexpr Bdf kDisk{.bus = 2};
constexpr std::uint32_t kOne = endpoint_in(1);
constexpr std::uint32_t kTwo = endpoint_in(2);
constexpr std::uint64_t kHigh = 16 * kMiB;  // the second piece of RAM
constexpr std::uint8_t kOk = VIRTIO_IOMMU_S_OK;

class GuestIommu : public testing::Test {
 protected:
  GuestIommu() {
    ready_.set({});
    EXPECT_THAT(space_.attach(kNic), IsOk());
    EXPECT_THAT(space_.attach(kDisk), IsOk());
    EXPECT_THAT(domains_.add(kOne, {.function = kNic,
                                    .space = space_,
                                    .ready = ready_,
                                    .reserved = {{.first = Iova{0x1000}, .last = Iova{0x1fff}},
                                                 {.first = Iova{0xfee00000}, .last = Iova{0xfeefffff}}}}),
                IsOk());
    EXPECT_THAT(domains_.add(kTwo, {.function = kDisk, .space = space_, .ready = ready_}), IsOk());
    signals_->use_msix(true);
    EXPECT_THAT(device_->start_queue(0, driver_.setup(), 0), IsOk());
  }
  ~GuestIommu() override {
    device_.reset();
    for (const auto function : {kNic, kDisk}) {
      const auto last = domains_.remove(function);
      space_.close(function);
    }
    EXPECT_EQ(space_.wrong, "");
  }

  static constexpr std::uint64_t kRequest = 0x50000;
  static constexpr std::uint64_t kAnswer = 0x60000;
  static constexpr std::uint8_t kNone = 0xee;

  /// Puts a request into the queue; the status, or kNone when none is written.
  template <class Request>
  std::uint8_t send(const Request& request, std::size_t length, std::uint32_t room = 4) {
    driver_.poke(kRequest, request);
    for (unsigned at = 0; at < 1024; ++at) driver_.poke<std::uint8_t>(kAnswer + at, kNone);
    driver_.offer({{kRequest, static_cast<std::uint32_t>(length), false}, {kAnswer, room, true}}, false);
    signal_eventfd(signals_->doorbell(0));
    std::vector<test::RingDriver::Used> used;
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds{10};
    while (used.empty() && std::chrono::steady_clock::now() < patience) {
      used = driver_.collect();
      std::this_thread::yield();
    }
    EXPECT_THAT(used, SizeIs(1));
    written_ = used.empty() ? 0 : used.front().length;
    return written_ < 4 ? kNone : driver_.peek<std::uint8_t>(kAnswer + written_ - 4);
  }
  std::uint8_t attach(std::uint32_t domain, std::uint32_t endpoint, std::uint32_t flags = 0) {
    virtio_iommu_req_attach request{};
    request.head.type = VIRTIO_IOMMU_T_ATTACH;
    request.domain = domain;
    request.endpoint = endpoint;
    request.flags = flags;
    return send(request, offsetof(virtio_iommu_req_attach, tail));
  }
  std::uint8_t detach(std::uint32_t domain, std::uint32_t endpoint) {
    virtio_iommu_req_detach request{};
    request.head.type = VIRTIO_IOMMU_T_DETACH;
    request.domain = domain;
    request.endpoint = endpoint;
    return send(request, offsetof(virtio_iommu_req_detach, tail));
  }
  std::uint8_t map(std::uint32_t domain, std::uint64_t first, std::uint64_t length, std::uint64_t target,
                   std::uint32_t flags = 3) {
    virtio_iommu_req_map request{};
    request.head.type = VIRTIO_IOMMU_T_MAP;
    request.domain = domain;
    request.virt_start = first;
    request.virt_end = first + length - 1;
    request.phys_start = target;
    request.flags = flags;
    return send(request, offsetof(virtio_iommu_req_map, tail));
  }
  std::uint8_t unmap(std::uint32_t domain, std::uint64_t first, std::uint64_t last) {
    virtio_iommu_req_unmap request{};
    request.head.type = VIRTIO_IOMMU_T_UNMAP;
    request.domain = domain;
    request.virt_start = first;
    request.virt_end = last;
    return send(request, offsetof(virtio_iommu_req_unmap, tail));
  }
  std::uint8_t probe(std::uint32_t endpoint, std::uint32_t room = 516) {
    virtio_iommu_req_probe request{};
    request.head.type = VIRTIO_IOMMU_T_PROBE;
    request.endpoint = endpoint;
    std::array<std::byte, sizeof request> bytes{};
    std::memcpy(bytes.data(), &request, sizeof request);
    return send(bytes, bytes.size(), room);
  }

  GuestMemory memory_ = test::ring_memory();
  test::SplitDriver driver_{memory_, 8};
  DmaReady ready_;
  Space space_;
  std::vector<std::string> reports_;
  IommuDomains domains_{memory_, [this](const Error& error) { reports_.push_back(error.text()); }};
  std::unique_ptr<VirtioSignals> signals_ = VirtioSignals::create("virtio-iommu", 2, true, [](const Error&) {}).value();
  std::unique_ptr<VirtioDevice> device_ = VirtioIommu::create(domains_, memory_, *signals_).value();
  std::uint32_t written_{};
};

TEST_F(GuestIommu, ADeviceReachesRamUntilItIsInADomain) {
  EXPECT_EQ(space_.in[kNic], 0U);
  EXPECT_EQ(attach(7, kOne), kOk);
  EXPECT_EQ(space_.in[kNic], 1U);
  EXPECT_EQ(space_.in[kDisk], 0U);
  EXPECT_THAT(space_.domains[1], IsEmpty());
  EXPECT_EQ(map(7, 0x10000, 0x3000, kHigh + 0x5000, VIRTIO_IOMMU_MAP_F_READ), kOk);
  const auto& mapped = space_.domains[1].at(0x10000);
  EXPECT_EQ(mapped.length, 0x3000U);
  EXPECT_EQ(mapped.hva, memory_.regions()[1].hva + 0x5000);
  EXPECT_EQ(mapped.access, vfio::DmaAccess::read);
  EXPECT_EQ(detach(7, kOne), kOk);
  EXPECT_EQ(space_.in[kNic], 0U);
  EXPECT_THAT(space_.domains, IsEmpty()) << "a domain goes with its last device";
  EXPECT_EQ(map(7, 0x10000, 0x1000, 0), VIRTIO_IOMMU_S_NOENT);
}

TEST_F(GuestIommu, DevicesShareADomainAndChangeIt) {
  EXPECT_EQ(attach(7, kOne), kOk);
  EXPECT_EQ(attach(7, kTwo), kOk);
  EXPECT_EQ(attach(7, kTwo), kOk) << "it is there already";
  EXPECT_EQ(space_.in[kDisk], space_.in[kNic]);
  EXPECT_EQ(map(7, 0, 0x1000, 0), kOk);
  EXPECT_EQ(attach(8, kOne), kOk) << "from one to another";
  EXPECT_EQ(space_.in[kNic], 2U);
  EXPECT_EQ(space_.in[kDisk], 1U);
  EXPECT_THAT(space_.domains[1], SizeIs(1));
  EXPECT_EQ(attach(8, kTwo), kOk);
  EXPECT_THAT(space_.domains, SizeIs(1));
  EXPECT_EQ(detach(7, kTwo), VIRTIO_IOMMU_S_INVAL) << "it is in 8";
  EXPECT_EQ(detach(8, endpoint_in(3)), VIRTIO_IOMMU_S_NOENT);
  EXPECT_EQ(attach(8, endpoint_in(3)), VIRTIO_IOMMU_S_NOENT);
  EXPECT_EQ(attach(8, kOne + 1), VIRTIO_IOMMU_S_NOENT);
}

TEST_F(GuestIommu, ADomainMayBeBypass) {
  EXPECT_EQ(attach(7, kOne, VIRTIO_IOMMU_ATTACH_F_BYPASS), kOk);
  EXPECT_EQ(space_.in[kNic], 0U);
  EXPECT_EQ(map(7, 0, 0x1000, 0), VIRTIO_IOMMU_S_INVAL);
  EXPECT_EQ(unmap(7, 0, 0xfff), VIRTIO_IOMMU_S_INVAL);
  EXPECT_EQ(attach(7, kTwo), VIRTIO_IOMMU_S_INVAL) << "it is of another kind";
  EXPECT_EQ(attach(8, kTwo), kOk);
  EXPECT_EQ(attach(8, kOne, VIRTIO_IOMMU_ATTACH_F_BYPASS), VIRTIO_IOMMU_S_INVAL);
  EXPECT_EQ(attach(9, kOne, 2), VIRTIO_IOMMU_S_INVAL);
  EXPECT_EQ(detach(7, kOne), kOk);
  EXPECT_EQ(space_.in[kNic], 0U);
}

TEST_F(GuestIommu, MapsRamAndNothingElse) {
  ASSERT_EQ(attach(7, kOne), kOk);
  const auto end = kHigh + 2 * kMiB;
  EXPECT_EQ(map(7, 0, 0x1000, test::kRamEnd), VIRTIO_IOMMU_S_RANGE) << "the hole";
  EXPECT_EQ(map(7, 0, 0x2000, test::kRamEnd - 0x1000), VIRTIO_IOMMU_S_RANGE) << "from RAM into the hole";
  EXPECT_EQ(map(7, 0, 0x1000, end), VIRTIO_IOMMU_S_RANGE);
  EXPECT_EQ(map(7, 0, 0x2000, end - 0x1000), VIRTIO_IOMMU_S_RANGE);
  EXPECT_EQ(map(7, 0, 0x1000, 0xfee00000), VIRTIO_IOMMU_S_RANGE);
  EXPECT_EQ(map(7, 0, 0x1000, ~0xfffULL), VIRTIO_IOMMU_S_RANGE);
  EXPECT_EQ(map(7, 0, 0x2000, ~0xfffULL), VIRTIO_IOMMU_S_RANGE) << "around the end of all addresses";
  EXPECT_EQ(map(7, 0, 0x1000, 0x800), VIRTIO_IOMMU_S_RANGE);
  EXPECT_EQ(map(7, 0x800, 0x1000, 0), VIRTIO_IOMMU_S_RANGE);
  EXPECT_EQ(map(7, 0, 0x800, 0), VIRTIO_IOMMU_S_RANGE);
  EXPECT_EQ(map(7, 0x1000, 0, 0), VIRTIO_IOMMU_S_RANGE) << "the end before the start";
  EXPECT_EQ(map(7, 0, 0, 0), VIRTIO_IOMMU_S_RANGE) << "all 2^64 bytes";
  EXPECT_EQ(map(7, ~0xfffULL, 0x1000, 0), VIRTIO_IOMMU_S_RANGE);
  EXPECT_EQ(map(7, IommuDomains::kLastAddress + 1, 0x1000, 0), VIRTIO_IOMMU_S_RANGE);
  EXPECT_EQ(map(7, IommuDomains::kLastAddress - 0xfff, 0x2000, 0), VIRTIO_IOMMU_S_RANGE);
  EXPECT_EQ(map(7, 0, 0x1000, 0, 0), VIRTIO_IOMMU_S_INVAL);
  EXPECT_EQ(map(7, 0, 0x1000, 0, VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_MMIO), VIRTIO_IOMMU_S_INVAL);
  EXPECT_EQ(map(7, 0, 0x1000, 0, 0x80000001), VIRTIO_IOMMU_S_INVAL);
  EXPECT_EQ(map(8, 0, 0x1000, 0), VIRTIO_IOMMU_S_NOENT);
  EXPECT_THAT(space_.domains[1], IsEmpty());
  EXPECT_EQ(map(7, IommuDomains::kLastAddress - 0xfff, 0x1000, end - 0x1000), kOk) << "the last page of both";
  EXPECT_EQ(map(7, 0, 2 * kMiB, kHigh), kOk);
}

TEST(GuestIommuFiles, AreNotMapped) {
  auto memory = test::ring_memory();
  const auto file = make_memfd("pmem", 2 * kMiB).value();
  ASSERT_THAT(memory.add_file({.gpa = Gpa{64 * kMiB}, .length = 2 * kMiB}, file.ref(), false), IsOk());
  DmaReady ready;
  ready.set({});
  Space space;
  IommuDomains domains{memory, [](const Error&) {}};
  ASSERT_THAT(domains.add(kOne, {.function = kNic, .space = space, .ready = ready}), IsOk());
  ASSERT_EQ(domains.attach(1, kOne, false), kOk);
  EXPECT_EQ(domains.map(1, {.first = {}, .last = Iova{0xfff}}, Gpa{64 * kMiB}, 3), VIRTIO_IOMMU_S_RANGE);
  EXPECT_EQ(domains.map(1, {.first = {}, .last = Iova{0xfff}}, Gpa{kHigh}, 3), kOk);
  const auto last = domains.remove(kNic);
  space.close(kNic);
}

TEST_F(GuestIommu, TakesNoOverlapAndCutsNoMapping) {
  ASSERT_EQ(attach(7, kOne), kOk);
  ASSERT_EQ(map(7, 0x4000, 0x4000, 0), kOk);
  for (const auto& [first, length] : {std::pair{0x4000U, 0x1000U},
                                      {0x7000U, 0x1000U},
                                      {0x3000U, 0x2000U},
                                      {0x7000U, 0x2000U},
                                      {0x3000U, 0x8000U},
                                      {0x5000U, 0x1000U}}) {
    EXPECT_EQ(map(7, first, length, 0), VIRTIO_IOMMU_S_INVAL) << first;
  }
  ASSERT_EQ(map(7, 0x3000, 0x1000, 0), kOk);
  ASSERT_EQ(map(7, 0x8000, 0x1000, 0), kOk);
  for (const auto& [first, last] : {std::pair{0x5000U, 0x5fffU},
                                    {0x3000U, 0x5fffU},
                                    {0x5000U, 0x9fffU},
                                    {0x4000U, 0x6fffU},
                                    {0x3001U, 0x3fffU},
                                    {0U, 0x7ffeU}}) {
    EXPECT_EQ(unmap(7, first, last), VIRTIO_IOMMU_S_RANGE) << first;
  }
  EXPECT_EQ(unmap(7, 0x2000, 0x1000), VIRTIO_IOMMU_S_RANGE) << "the end before the start";
  EXPECT_THAT(space_.domains[1], SizeIs(3));
  EXPECT_EQ(unmap(7, 0x9000, ~0ULL), kOk) << "nothing is there";
  EXPECT_EQ(unmap(7, 0x4000, 0x7fff), kOk);
  EXPECT_THAT(space_.domains[1], SizeIs(2));
  EXPECT_EQ(unmap(7, 0, ~0ULL), kOk);
  EXPECT_THAT(space_.domains[1], IsEmpty());
  EXPECT_EQ(unmap(8, 0, ~0ULL), VIRTIO_IOMMU_S_NOENT);
}

TEST_F(GuestIommu, HasAnEndOfMappings) {
  ASSERT_EQ(domains_.attach(7, kOne, false), kOk);
  ASSERT_EQ(domains_.attach(8, kTwo, false), kOk);
  const auto page = [](std::uint64_t number) {
    return vfio::IovaRange{.first = Iova{number << 12U}, .last = Iova{(number << 12U) + 0xfff}};
  };
  for (std::size_t count = 0; count < IommuDomains::kMostMappings; ++count) {
    ASSERT_EQ(domains_.map(count % 2 == 0 ? 7 : 8, page(count), Gpa{}, 3), kOk);
  }
  EXPECT_EQ(domains_.map(7, page(1U << 20U), Gpa{}, 3), VIRTIO_IOMMU_S_NOMEM);
  EXPECT_EQ(domains_.unmap(8, page(1)), kOk);
  EXPECT_EQ(domains_.map(7, page(1U << 20U), Gpa{}, 3), kOk);
  EXPECT_EQ(domains_.map(7, page(1U << 21U), Gpa{}, 3), VIRTIO_IOMMU_S_NOMEM);
  EXPECT_EQ(domains_.detach(8, kTwo), kOk) << "its mappings count no more";
  EXPECT_EQ(domains_.map(7, page(1U << 21U), Gpa{}, 3), kOk);
}

TEST_F(GuestIommu, WhatTheKernelRefusesChangesNothingAndIsToldSomeTimes) {
  ASSERT_EQ(attach(7, kOne), kOk);
  ASSERT_EQ(map(7, 0, 0x1000, 0), kOk);
  space_.error = ENOMEM;
  EXPECT_EQ(map(7, 0x1000, 0x1000, 0), VIRTIO_IOMMU_S_NOMEM);
  EXPECT_EQ(detach(7, kOne), VIRTIO_IOMMU_S_NOMEM);
  EXPECT_EQ(attach(8, kOne), VIRTIO_IOMMU_S_NOMEM);
  EXPECT_EQ(attach(8, kTwo), VIRTIO_IOMMU_S_NOMEM);
  EXPECT_EQ(map(8, 0, 0x1000, 0), VIRTIO_IOMMU_S_NOENT) << "there is no domain without a device";
  space_.error = EINVAL;
  EXPECT_EQ(map(7, 0x1000, 0x1000, 0), VIRTIO_IOMMU_S_RANGE);
  space_.error = EIO;
  EXPECT_EQ(unmap(7, 0, 0xfff), VIRTIO_IOMMU_S_DEVERR);
  domains_.reset();
  EXPECT_EQ(space_.in[kNic], 1U);
  EXPECT_THAT(reports_.back(), HasSubstr(kNic.to_string()));
  for (unsigned count = 0; count < 100; ++count) (void)domains_.detach(7, kOne);
  EXPECT_THAT(reports_, SizeIs(16));
  space_.error = 0;
  EXPECT_EQ(unmap(7, 0, 0xfff), kOk);
  EXPECT_EQ(detach(7, kOne), kOk);
}

TEST_F(GuestIommu, ProbeTellsOfWhatIsReserved) {
  ASSERT_EQ(probe(kOne), kOk);
  EXPECT_EQ(written_, 516U);
  auto property = driver_.peek<virtio_iommu_probe_resv_mem>(kAnswer);
  EXPECT_EQ(property.head.type, VIRTIO_IOMMU_PROBE_T_RESV_MEM);
  EXPECT_EQ(property.head.length, 20);
  EXPECT_EQ(property.subtype, VIRTIO_IOMMU_RESV_MEM_T_MSI);
  EXPECT_EQ(property.start, 0xfee00000U);
  EXPECT_EQ(property.end, 0xfeefffffU);
  property = driver_.peek<virtio_iommu_probe_resv_mem>(kAnswer + 24);
  EXPECT_EQ(property.subtype, VIRTIO_IOMMU_RESV_MEM_T_RESERVED);
  EXPECT_EQ(property.start, 0x1000U);
  EXPECT_EQ(driver_.peek<std::uint16_t>(kAnswer + 48), VIRTIO_IOMMU_PROBE_T_NONE) << "interrupt messages once";
  ASSERT_EQ(probe(kTwo), kOk);
  EXPECT_EQ(driver_.peek<virtio_iommu_probe_resv_mem>(kAnswer).start, 0xfee00000U);
  EXPECT_EQ(probe(endpoint_in(9)), VIRTIO_IOMMU_S_NOENT);
  EXPECT_EQ(written_, 516U);
}

TEST_F(GuestIommu, ReservedRangesWithoutEndAreCut) {
  std::vector<vfio::IovaRange> many(1000, {.first = Iova{0x1000}, .last = Iova{0x1fff}});
  ASSERT_THAT(domains_.add(endpoint_in(3),
                           {.function = {.bus = 9}, .space = space_, .ready = ready_, .reserved = std::move(many)}),
              IsOk());
  EXPECT_EQ(probe(endpoint_in(3)), kOk);
  EXPECT_EQ(driver_.peek<virtio_iommu_probe_resv_mem>(kAnswer + 20 * 24).start, 0x1000U);
  EXPECT_EQ(driver_.peek<std::uint64_t>(kAnswer + 21 * 24), 0U);
}

TEST_F(GuestIommu, RequestsThatAreNoneAreAnswered) {
  virtio_iommu_req_map request{};
  request.head.type = VIRTIO_IOMMU_T_MAP;
  for (const std::size_t length : {1U, 4U, 8U, 35U}) EXPECT_NE(send(request, length), kOk) << length;
  for (const unsigned type : {0U, 6U, 255U}) {
    request.head.type = static_cast<std::uint8_t>(type);
    EXPECT_EQ(send(request, 36), VIRTIO_IOMMU_S_UNSUPP) << type;
  }
  virtio_iommu_req_attach reserved{};
  reserved.head.type = VIRTIO_IOMMU_T_ATTACH;
  reserved.endpoint = kOne;
  reserved.reserved[2] = 1;
  EXPECT_EQ(send(reserved, offsetof(virtio_iommu_req_attach, tail)), VIRTIO_IOMMU_S_INVAL);
  EXPECT_EQ(space_.in[kNic], 0U);
}

TEST_F(GuestIommu, WithoutRoomForTheOutcomeNothingIsDone) {
  virtio_iommu_req_attach request{};
  request.head.type = VIRTIO_IOMMU_T_ATTACH;
  request.endpoint = kOne;
  EXPECT_EQ(send(request, offsetof(virtio_iommu_req_attach, tail), 3), kNone);
  EXPECT_EQ(written_, 0U);
  EXPECT_EQ(space_.in[kNic], 0U);
  EXPECT_EQ(probe(kOne, 515), kNone);
  EXPECT_EQ(send(request, offsetof(virtio_iommu_req_attach, tail), 100), kOk) << "more than enough";
  EXPECT_EQ(written_, 4U);
  EXPECT_EQ(space_.in[kNic], 1U);
}

TEST_F(GuestIommu, DevicesInNoDomainReachNothingOnceBypassIsOff) {
  constexpr std::uint32_t kBypass = offsetof(virtio_iommu_config, bypass);
  const auto write = [&](std::uint32_t offset, std::initializer_list<std::uint8_t> values) {
    std::vector<std::byte> bytes;
    for (const auto value : values) bytes.push_back(std::byte{value});
    device_->write_config(offset, bytes);
  };
  const auto bypass = [&] {
    std::array<std::byte, 1> byte{};
    device_->read_config(kBypass, byte);
    return byte[0];
  };
  ASSERT_EQ(attach(7, kTwo), kOk);
  EXPECT_EQ(bypass(), std::byte{1});
  write(kBypass, {2});
  write(kBypass, {0, 0});
  write(0, {0});
  EXPECT_EQ(bypass(), std::byte{1});
  write(kBypass, {0});
  EXPECT_EQ(bypass(), std::byte{0});
  EXPECT_EQ(space_.in[kDisk], 1U);
  EXPECT_EQ(space_.in[kNic], 2U);
  EXPECT_EQ(detach(7, kTwo), kOk);
  EXPECT_EQ(space_.in[kDisk], 2U);
  EXPECT_THAT(space_.domains[2], IsEmpty());

  const Bdf late{.bus = 3};
  ASSERT_THAT(domains_.add(endpoint_in(3), {.function = late, .space = space_, .ready = ready_}), IsOk());
  EXPECT_EQ(space_.in[late], 2U) << "what comes later as well";
  device_->reset();
  EXPECT_EQ(bypass(), std::byte{0}) << "a reset of the device is none of the system";
  write(kBypass, {1});
  EXPECT_EQ(space_.in[kNic], 0U);
  EXPECT_THAT(space_.domains, IsEmpty());
  write(kBypass, {0});
  domains_.restart();
  EXPECT_EQ(bypass(), std::byte{1});
  for (const auto& [device, in] : space_.in) EXPECT_EQ(in, 0U);
  const auto last = domains_.remove(late);
  space_.close(late);
}

TEST_F(GuestIommu, AResetTakesAllOutOfTheirDomains) {
  ASSERT_EQ(attach(7, kOne), kOk);
  ASSERT_EQ(attach(8, kTwo, VIRTIO_IOMMU_ATTACH_F_BYPASS), kOk);
  ASSERT_EQ(map(7, 0, 0x1000, 0), kOk);
  device_->stop_queue(0);
  device_->reset();
  EXPECT_EQ(space_.in[kNic], 0U);
  EXPECT_THAT(space_.domains, IsEmpty());
}

TEST_F(GuestIommu, ADeviceThatGoesTakesNothingAwayBeforeItIsClosed) {
  ASSERT_EQ(attach(7, kOne), kOk);
  ASSERT_EQ(attach(7, kTwo), kOk);
  EXPECT_EQ(domains_.remove(kNic), nullptr) << "another one is there";
  space_.close(kNic);
  EXPECT_EQ(attach(7, kOne), VIRTIO_IOMMU_S_NOENT);
  auto last = domains_.remove(kDisk);
  EXPECT_NE(last, nullptr);
  EXPECT_THAT(space_.domains, SizeIs(1));
  space_.close(kDisk);
  last.reset();
  EXPECT_THAT(space_.domains, IsEmpty());
  EXPECT_EQ(map(7, 0, 0x1000, 0), VIRTIO_IOMMU_S_NOENT);
  // Another device in the place of the first.
  ASSERT_THAT(space_.attach(kNic), IsOk());
  ASSERT_THAT(domains_.add(kOne, {.function = kNic, .space = space_, .ready = ready_}), IsOk());
  EXPECT_EQ(attach(7, kOne), kOk);
  EXPECT_THAT(space_.domains.rbegin()->second, IsEmpty()) << "nothing of what was";
}

TEST(GuestIommuReadiness, AnAttachWaitsUntilRamIsMapped) {
  const auto memory = test::ring_memory();
  DmaReady ready;
  Space space;
  IommuDomains domains{memory, [](const Error&) {}};
  ASSERT_THAT(domains.add(kOne, {.function = kNic, .space = space, .ready = ready}), IsOk());
  domains.reset();  // of a driver that finds the device: waits for nothing
  std::atomic<int> status{-1};
  {
    const std::jthread guest{[&] { status = domains.attach(1, kOne, false); }};
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
    EXPECT_EQ(status, -1);
    EXPECT_THAT(space.in, IsEmpty());
    ready.set(fail(Errc::internal, "the VM ends"));
  }
  EXPECT_EQ(status, VIRTIO_IOMMU_S_DEVERR);
  EXPECT_THAT(space.in, IsEmpty());
}

}  // namespace
}  // namespace pcivm::vmm
