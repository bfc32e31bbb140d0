// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-mem: requests of every kind as bytes in a queue.
#include "vmm/virtio/mem.hpp"

#include <gmock/gmock.h>
#include <linux/kvm.h>
#include <linux/virtio_mem.h>

#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/fake_ioctls.hpp"
#include "tests/support/result_matchers.hpp"
#include "tests/vmm/virtio/ring_driver.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint64_t kBlock = 2 * kMiB;
constexpr GuestMemory::Range kRange{.gpa = Gpa{4 * kGiB}, .length = 8 * kBlock};

class Mem : public testing::Test {
 protected:
  Mem() {
    port_.always(KVM_SET_USER_MEMORY_REGION, 0);
    signals_->use_msix(true);
    EXPECT_THAT(device_->start_queue(0, driver_.setup(), 0), IsOk());
  }
  static GuestMemory make_memory() {
    auto memory = test::ring_memory();
    EXPECT_THAT(memory.add_blocks(kRange, kBlock, {}), IsOk());
    return memory;
  }
  static constexpr std::uint64_t kRequest = 0x50000;
  static constexpr std::uint64_t kAnswer = 0x60000;
  static constexpr int kNone = -1;

  /// The type of the response; kNone when none is written.
  int send(const virtio_mem_req& request, std::uint32_t length = sizeof(virtio_mem_req),
           std::uint32_t room = sizeof(virtio_mem_resp)) {
    driver_.poke(kRequest, request);
    driver_.poke(kAnswer, std::array<std::uint8_t, 16>{});
    driver_.offer({{kRequest, length, false}, {kAnswer, room, true}}, false);
    signal_eventfd(signals_->doorbell(0));
    std::vector<test::RingDriver::Used> used;
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds{10};
    while (used.empty() && std::chrono::steady_clock::now() < patience) {
      used = driver_.collect();
      std::this_thread::yield();
    }
    EXPECT_THAT(used, SizeIs(1));
    if (used.empty() || used.front().length == 0) return kNone;
    EXPECT_EQ(used.front().length, sizeof(virtio_mem_resp));
    state_ = driver_.peek<virtio_mem_resp>(kAnswer).u.state.state;
    return driver_.peek<virtio_mem_resp>(kAnswer).type;
  }
  int ask(std::uint16_t type, std::uint64_t address = 0, std::uint16_t count = 0) {
    virtio_mem_req request{};
    request.type = type;
    request.u.plug.addr = address;
    request.u.plug.nb_blocks = count;
    std::memset(request.padding, 0xff, sizeof request.padding);  // is ignored
    return send(request);
  }
  virtio_mem_config config() {
    std::array<std::byte, sizeof(virtio_mem_config)> bytes{};
    device_->read_config(0, bytes);
    virtio_mem_config config{};
    std::memcpy(&config, bytes.data(), sizeof config);
    return config;
  }
  static constexpr std::uint64_t at(std::uint64_t index) { return kRange.gpa.value + index * kBlock; }

  GuestMemory memory_ = make_memory();
  test::FakeIoctls port_;
  MemorySlots slots_{port_, FdRef{7}};
  MemoryBlocks blocks_{kRange, MemoryBlocks::Wiring{.memory = memory_,
                                                    .slots = slots_,
                                                    .changed = [] {},
                                                    .fail = [](const Error&) { FAIL(); },
                                                    .report = [](const Error&) {}}};
  test::SplitDriver driver_{memory_, 8};
  std::vector<std::string> reports_;
  std::unique_ptr<VirtioSignals> signals_ = VirtioSignals::create("virtio-mem", 1, true, [this](const Error& error) {
                                              reports_.push_back(error.text());
                                            }).value();
  std::unique_ptr<VirtioMem> device_ = VirtioMem::create(blocks_, memory_, *signals_).value();
  int state_{};
};

TEST_F(Mem, TellsWhatIsWanted) {
  auto found = config();
  EXPECT_EQ(found.block_size, kBlock);
  EXPECT_EQ(found.addr, kRange.gpa.value);
  EXPECT_EQ(found.region_size, kRange.length);
  EXPECT_EQ(found.usable_region_size, kRange.length);
  EXPECT_EQ(found.plugged_size, 0U);
  EXPECT_EQ(found.requested_size, 0U);
  const auto generation = signals_->generation();
  ASSERT_THAT(device_->want(3 * kBlock), IsOk());
  EXPECT_EQ(config().requested_size, 3 * kBlock);
  EXPECT_NE(signals_->generation(), generation) << "the driver is told";
  EXPECT_THAT(device_->want(9 * kBlock), FailsWith(Errc::invalid));
  EXPECT_EQ(config().requested_size, 3 * kBlock);
}

TEST_F(Mem, PlugsAndUnplugs) {
  EXPECT_EQ(ask(VIRTIO_MEM_REQ_PLUG, at(0), 1), VIRTIO_MEM_RESP_NACK);
  ASSERT_THAT(device_->want(4 * kBlock), IsOk());
  EXPECT_EQ(ask(VIRTIO_MEM_REQ_PLUG, at(1), 4), VIRTIO_MEM_RESP_ACK);
  EXPECT_EQ(config().plugged_size, 4 * kBlock);
  EXPECT_EQ(ask(VIRTIO_MEM_REQ_STATE, at(1), 4), VIRTIO_MEM_RESP_ACK);
  EXPECT_EQ(state_, VIRTIO_MEM_STATE_PLUGGED);
  EXPECT_EQ(ask(VIRTIO_MEM_REQ_UNPLUG, at(2), 1), VIRTIO_MEM_RESP_ACK);
  EXPECT_EQ(ask(VIRTIO_MEM_REQ_STATE, at(1), 4), VIRTIO_MEM_RESP_ACK);
  EXPECT_EQ(state_, VIRTIO_MEM_STATE_MIXED);
  EXPECT_EQ(ask(VIRTIO_MEM_REQ_UNPLUG_ALL), VIRTIO_MEM_RESP_ACK);
  EXPECT_EQ(ask(VIRTIO_MEM_REQ_STATE, at(1), 4), VIRTIO_MEM_RESP_ACK);
  EXPECT_EQ(state_, VIRTIO_MEM_STATE_UNPLUGGED);
  EXPECT_EQ(config().plugged_size, 0U);
  EXPECT_THAT(reports_, IsEmpty());
}

TEST_F(Mem, RefusesWhatIsNone) {
  EXPECT_EQ(ask(VIRTIO_MEM_REQ_STATE, at(7), 2), VIRTIO_MEM_RESP_ERROR);
  EXPECT_EQ(ask(VIRTIO_MEM_REQ_UNPLUG, at(0), 1), VIRTIO_MEM_RESP_ERROR);
  EXPECT_EQ(ask(VIRTIO_MEM_REQ_PLUG, at(0) + 1, 1), VIRTIO_MEM_RESP_ERROR);
  EXPECT_EQ(ask(4), VIRTIO_MEM_RESP_ERROR);
  EXPECT_EQ(ask(0xffff, at(0), 1), VIRTIO_MEM_RESP_ERROR);
  ASSERT_THAT(device_->want(kBlock), IsOk());
  virtio_mem_req request{};
  request.u.plug.addr = at(0);
  request.u.plug.nb_blocks = 1;
  EXPECT_EQ(send(request, sizeof request - 1), kNone);
  EXPECT_EQ(send(request, sizeof request, sizeof(virtio_mem_resp) - 1), kNone);
  EXPECT_EQ(blocks_.plugged(), 0U) << "without room for its outcome nothing is carried out";
  EXPECT_THAT(reports_, SizeIs(2));
}

TEST_F(Mem, AResetLeavesWhatIsPlugged) {
  ASSERT_THAT(device_->want(4 * kBlock), IsOk());
  ASSERT_EQ(ask(VIRTIO_MEM_REQ_PLUG, at(1), 4), VIRTIO_MEM_RESP_ACK);
  device_->stop_queue(0);
  device_->reset();
  EXPECT_EQ(config().plugged_size, 4 * kBlock);
}

// A ring in a block that goes: what the device still sees there is its own, and it is not lost for it.
TEST_F(Mem, ARingInABlockThatGoesHarmsNobody) {
  ASSERT_THAT(device_->want(8 * kBlock), IsOk());
  ASSERT_EQ(ask(VIRTIO_MEM_REQ_PLUG, at(0), 8), VIRTIO_MEM_RESP_ACK);
  device_->stop_queue(0);
  const VirtioQueueSetup setup{
      .size = 8, .descriptors = Gpa{at(0)}, .driver = Gpa{at(0) + 0x1000}, .device = Gpa{at(0) + 0x2000}};
  ASSERT_THAT(device_->start_queue(0, setup, 0), IsOk());
  virtio_mem_req request{};
  request.type = VIRTIO_MEM_REQ_UNPLUG_ALL;
  driver_.poke(kRequest, request);
  driver_.poke_descriptor(at(0), kRequest, sizeof request, 1, 1);
  driver_.poke_descriptor(at(0) + 16, kAnswer, sizeof(virtio_mem_resp), 2, 0);
  driver_.poke<std::uint16_t>(at(0) + 0x1002, 1);
  signal_eventfd(signals_->doorbell(0));
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds{10};
  while (blocks_.plugged() != 0 && std::chrono::steady_clock::now() < patience) std::this_thread::yield();
  EXPECT_EQ(blocks_.plugged(), 0U);
  device_->stop_queue(0);
  EXPECT_THAT(device_->start_queue(0, setup, 0), FailsWith(Errc::invalid)) << "where there is no memory";
}

}  // namespace
}  // namespace pcivm::vmm
