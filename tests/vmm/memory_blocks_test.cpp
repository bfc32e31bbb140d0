// SPDX-License-Identifier: GPL-2.0-or-later
// RAM that comes and goes, over a KVM and an address space that note what they are told and fail where it is wanted:
// after each failure everything is as before.
#include "vmm/memory_blocks.hpp"

#include <gmock/gmock.h>
#include <linux/kvm.h>
#include <linux/virtio_mem.h>
#include <sys/mman.h>

#include <bit>
#include <map>
#include <string>
#include <vector>

#include "tests/fakes/fake_dma_space.hpp"
#include "tests/fakes/fake_ioctls.hpp"
#include "tests/support/result_matchers.hpp"

namespace pcivm::vmm {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::SizeIs;

constexpr std::uint64_t kBlock = 2 * kMiB;
constexpr std::uint64_t kCount = 16;
constexpr Gpa kBase{4 * kGiB};
constexpr int kAck = VIRTIO_MEM_RESP_ACK;
constexpr int kNack = VIRTIO_MEM_RESP_NACK;
constexpr int kBusy = VIRTIO_MEM_RESP_BUSY;
constexpr int kError = VIRTIO_MEM_RESP_ERROR;
constexpr Gpa at(std::uint64_t index) { return kBase + index * kBlock; }

class Blocks : public testing::Test {
 protected:
  Blocks() {
    EXPECT_THAT(memory_.add_blocks(kRange, kBlock, {}), IsOk());
    port_.on<kvm_userspace_memory_region>(KVM_SET_USER_MEMORY_REGION, [this](const auto& region) {
      if (next() != 0) return -ENOMEM;
      if (region.memory_size == 0) {
        slots_of_kvm_.erase(region.slot);
      } else {
        slots_of_kvm_[region.slot] = region;
      }
      return 0;
    });
    space_.on_call = [this] { return next(); };
    make(false);
    EXPECT_THAT(blocks_->want(kCount * kBlock), IsOk());
  }
  ~Blocks() override { EXPECT_EQ(space_.wrong, ""); }
  void make(bool populate) {
    blocks_ = std::make_unique<MemoryBlocks>(
        kRange, MemoryBlocks::Wiring{.memory = memory_,
                                     .slots = slots_,
                                     .populate = populate,
                                     .changed = [this] { ++changes_; },
                                     .fail = [this](const Error& error) { failures_.push_back(error.text()); },
                                     .report = [this](const Error& error) { reports_.push_back(error.text()); }});
  }
  // Calls of the kernel are counted; those in [first_bad_, last_bad_] fail.
  int next() {
    const auto call = calls_++;
    return call >= first_bad_ && call <= last_bad_ ? 1 : 0;
  }
  void fail_calls(unsigned first, unsigned last) {
    calls_ = 0;
    first_bad_ = first;
    last_bad_ = last;
  }
  void fail_none() { fail_calls(~0U, 0); }
  /// What the guest, our devices and assigned devices reach is the same: these blocks.
  void expect_plugged(std::uint64_t first, std::uint64_t count, bool mapped) {
    EXPECT_EQ(blocks_->plugged(), count * kBlock);
    EXPECT_THAT(slots_of_kvm_, SizeIs(count));
    for (const auto& [slot, region] : slots_of_kvm_) {
      const auto index = (region.guest_phys_addr - kBase.value) / kBlock;
      EXPECT_TRUE(index >= first && index < first + count) << index;
      EXPECT_EQ(region.userspace_addr, hva().value + index * kBlock);
      EXPECT_EQ(region.memory_size, kBlock);
    }
    EXPECT_THAT(space_.ram, SizeIs(mapped ? count : 0));
    for (const auto& [iova, run] : space_.ram) {
      EXPECT_EQ(run.hva.value - hva().value, iova - kBase.value);
      EXPECT_TRUE(iova >= at(first).value && iova < at(first + count).value);
    }
    EXPECT_EQ(blocks_->mapped(), mapped ? count * kBlock : 0);
    for (std::uint64_t index = 0; index < kCount; ++index) {
      const bool inside = index >= first && index < first + count;
      EXPECT_EQ(memory_.window(at(index), kBlock).has_value(), inside) << index;
      EXPECT_EQ(blocks_->state(at(index), 1), inside ? VIRTIO_MEM_STATE_PLUGGED : VIRTIO_MEM_STATE_UNPLUGGED);
    }
  }
  [[nodiscard]] Hva hva() const { return memory_.regions().back().hva; }

  static constexpr GuestMemory::Range kRange{.gpa = kBase, .length = kCount * kBlock};
  GuestMemory memory_ = GuestMemory::create(std::array{GuestMemory::Range{.gpa = {}, .length = kBlock}}).value();
  test::FakeIoctls port_;
  std::map<std::uint32_t, kvm_userspace_memory_region> slots_of_kvm_;
  MemorySlots slots_{port_, FdRef{7}};
  test::FakeDmaSpace space_;
  std::unique_ptr<MemoryBlocks> blocks_;
  unsigned calls_{};
  unsigned first_bad_{~0U};
  unsigned last_bad_{};
  unsigned changes_{};
  std::vector<std::string> failures_;
  std::vector<std::string> reports_;
};

TEST(SizeOfBlocks, KeepsThemFew) {
  EXPECT_EQ(MemoryBlocks::size_for(2 * kMiB), 2 * kMiB);
  EXPECT_EQ(MemoryBlocks::size_for(8 * kGiB), 2 * kMiB);
  EXPECT_EQ(MemoryBlocks::size_for(8 * kGiB + 1), 4 * kMiB);
  EXPECT_EQ(MemoryBlocks::size_for(512 * kGiB), 128 * kMiB);
}

TEST_F(Blocks, AreMemoryWhenTheyArePlugged) {
  expect_plugged(0, 0, false);
  EXPECT_EQ(blocks_->plug(at(3), 4), kAck);
  expect_plugged(3, 4, false);
  EXPECT_EQ(blocks_->state(at(0), kCount), VIRTIO_MEM_STATE_MIXED);
  ASSERT_THAT(memory_.write(at(4), 4711), IsOk());
  EXPECT_THAT(memory_.window(at(4), 2 * kBlock), IsOk()) << "across blocks";
  EXPECT_THAT(memory_.window(at(6), kBlock + 1), FailsWith(Errc::invalid, HasSubstr("outside")));
  EXPECT_THAT(memory_.window(at(kCount), 0), FailsWith(Errc::invalid));
  EXPECT_EQ(blocks_->unplug(at(3), 4), kAck);
  expect_plugged(0, 0, false);
  EXPECT_EQ(blocks_->plug(at(4), 1), kAck);
  EXPECT_EQ(memory_.read<int>(at(4)).value(), 0) << "the host had it meanwhile";
}

TEST_F(Blocks, AreNotTakenBeyondWhatIsWanted) {
  ASSERT_THAT(blocks_->want(2 * kBlock), IsOk());
  EXPECT_EQ(blocks_->plug(at(0), 3), kNack);
  EXPECT_EQ(blocks_->plug(at(0), 2), kAck);
  EXPECT_EQ(blocks_->plug(at(9), 1), kNack);
  ASSERT_THAT(blocks_->want(0), IsOk());
  expect_plugged(0, 2, false);
  EXPECT_THAT(blocks_->want(kBlock / 2), FailsWith(Errc::invalid, HasSubstr("a multiple of")));
  EXPECT_THAT(blocks_->want((kCount + 1) * kBlock), FailsWith(Errc::invalid));
  EXPECT_EQ(blocks_->wanted(), 0U);
}

TEST_F(Blocks, ThatAreNoneAreRefused) {
  ASSERT_EQ(blocks_->plug(at(4), 2), kAck);
  const auto changes = changes_;
  for (const auto& [from, count] :
       std::initializer_list<std::pair<Gpa, std::uint64_t>>{{at(0), 0},
                                                            {at(0) + 4096, 1},
                                                            {Gpa{0}, 1},
                                                            {Gpa{kBase.value - kBlock}, 1},
                                                            {at(kCount), 1},
                                                            {at(kCount - 1), 2},
                                                            {at(0), 65535},
                                                            {Gpa{~std::uint64_t{0} - kBlock + 1}, 2},
                                                            {Gpa{~std::uint64_t{0}}, 1}}) {
    EXPECT_EQ(blocks_->plug(from, count), kError) << from.value;
    EXPECT_EQ(blocks_->unplug(from, count), kError) << from.value;
    EXPECT_EQ(blocks_->state(from, count), std::nullopt) << from.value;
  }
  EXPECT_EQ(blocks_->plug(at(3), 2), kError) << "one is plugged already";
  EXPECT_EQ(blocks_->unplug(at(5), 2), kError) << "one is not plugged";
  expect_plugged(4, 2, false);
  EXPECT_EQ(changes_, changes);
}

TEST_F(Blocks, AreMappedForDevicesAsLongAsThereAreSome) {
  ASSERT_EQ(blocks_->plug(at(0), 2), kAck);
  ASSERT_THAT(blocks_->attach(space_), IsOk());
  expect_plugged(0, 2, true);
  EXPECT_EQ(blocks_->plug(at(2), 3), kAck);
  expect_plugged(0, 5, true);
  EXPECT_EQ(blocks_->unplug(at(0), 2), kAck);
  expect_plugged(2, 3, true);
  {
    const auto held = blocks_->hold();
    blocks_->leave();
  }
  space_.ram.clear();
  EXPECT_EQ(blocks_->unplug(at(2), 1), kAck);
  expect_plugged(3, 2, false);
}

TEST_F(Blocks, APlugThatFailsLeavesNothing) {
  for (const bool devices : {false, true}) {
    if (devices) {
      ASSERT_THAT(blocks_->attach(space_), IsOk());
    }
    const unsigned steps = devices ? 8 : 4;
    for (unsigned step = 0; step < steps; ++step) {
      fail_calls(step, step);
      EXPECT_EQ(blocks_->plug(at(1), 4), kBusy) << step;
      fail_none();
      expect_plugged(0, 0, devices);
    }
    EXPECT_EQ(blocks_->plug(at(1), 4), kAck);
    expect_plugged(1, 4, devices);
    EXPECT_EQ(blocks_->unplug_all(), kAck);
  }
  EXPECT_THAT(failures_, IsEmpty());
  EXPECT_THAT(reports_, SizeIs(12));
  EXPECT_THAT(reports_.back(), HasSubstr("virtio-mem"));
}

TEST_F(Blocks, AnUnplugThatFailsLeavesAll) {
  for (const bool devices : {false, true}) {
    if (devices) {
      ASSERT_THAT(blocks_->attach(space_), IsOk());
    }
    ASSERT_EQ(blocks_->plug(at(1), 4), kAck);
    ASSERT_THAT(memory_.write(at(1), 4711), IsOk());
    ASSERT_THAT(memory_.write(at(4), 4712), IsOk());
    const unsigned steps = devices ? 8 : 4;
    for (unsigned step = 0; step < steps; ++step) {
      fail_calls(step, step);
      EXPECT_EQ(step % 2 == 0 ? blocks_->unplug(at(1), 4) : blocks_->unplug_all(), kBusy) << step;
      fail_none();
      expect_plugged(1, 4, devices);
      EXPECT_EQ(memory_.read<int>(at(1)).value(), 4711);
      EXPECT_EQ(memory_.read<int>(at(4)).value(), 4712);
    }
    EXPECT_EQ(blocks_->unplug(at(1), 4), kAck);
    expect_plugged(0, 0, devices);
  }
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(Blocks, WhatCannotBeUndoneEndsTheVm) {
  ASSERT_THAT(blocks_->attach(space_), IsOk());
  fail_calls(1, 2);  // map, then the slot, and what undoes the mapping
  EXPECT_EQ(blocks_->plug(at(0), 1), kBusy);
  EXPECT_THAT(failures_, SizeIs(1));
  EXPECT_THAT(failures_.back(), HasSubstr("unmap"));
  fail_none();
  space_.ram.clear();
  ASSERT_EQ(blocks_->plug(at(0), 2), kAck);
  fail_calls(2, 9);  // the second block is not unmapped, and the first one not shown again
  EXPECT_EQ(blocks_->unplug(at(0), 2), kBusy);
  EXPECT_THAT(failures_, SizeIs(2));
}

TEST_F(Blocks, ADeviceThatCannotHaveThemAllHasNone) {
  ASSERT_EQ(blocks_->plug(at(2), 4), kAck);
  for (unsigned step = 0; step < 4; ++step) {
    fail_calls(step, step);
    EXPECT_THAT(blocks_->attach(space_), FailsWith(Errc::kernel, HasSubstr("map"))) << step;
    fail_none();
    expect_plugged(2, 4, false);
  }
  ASSERT_THAT(blocks_->attach(space_), IsOk());
  expect_plugged(2, 4, true);
}

// MADV_POPULATE_WRITE fails where nothing may be written.
TEST_F(Blocks, AHostWithoutMemoryIsBusy) {
  auto* const pages = std::bit_cast<void*>(hva().value + kBlock);
  ASSERT_EQ(::mprotect(pages, kBlock, PROT_READ), 0);
  EXPECT_EQ(blocks_->plug(at(0), 2), kAck) << "it comes when it is touched";
  EXPECT_EQ(blocks_->unplug_all(), kAck);
  ASSERT_THAT(blocks_->attach(space_), IsOk());
  EXPECT_EQ(blocks_->plug(at(0), 2), kBusy);
  expect_plugged(0, 0, true);
  {
    const auto held = blocks_->hold();
    blocks_->leave();
  }
  make(true);
  ASSERT_THAT(blocks_->want(kCount * kBlock), IsOk());
  EXPECT_EQ(blocks_->plug(at(0), 2), kBusy);
  expect_plugged(0, 0, false);
  ASSERT_EQ(::mprotect(pages, kBlock, PROT_READ | PROT_WRITE), 0);
  EXPECT_EQ(blocks_->plug(at(0), 2), kAck);
}

TEST_F(Blocks, AreGoneWhenTheGuestStartsAnew) {
  ASSERT_THAT(blocks_->attach(space_), IsOk());
  ASSERT_EQ(blocks_->plug(at(2), 4), kAck);
  ASSERT_THAT(memory_.write(at(2), 4711), IsOk());
  fail_calls(1, 1);
  EXPECT_THAT(blocks_->restart(), FailsWith(Errc::kernel, HasSubstr("unmap")));
  fail_none();
  ASSERT_THAT(blocks_->restart(), IsOk());
  slots_.rebind(FdRef{8});
  slots_of_kvm_.clear();
  expect_plugged(0, 0, true);
  EXPECT_EQ(blocks_->wanted(), kCount * kBlock) << "which the next driver plugs";
  ASSERT_EQ(blocks_->plug(at(2), 1), kAck);
  EXPECT_EQ(memory_.read<int>(at(2)).value(), 0);
}

TEST_F(Blocks, ReportsOfAHostWithoutMemoryEnd) {
  fail_calls(0, ~0U);
  for (unsigned time = 0; time < 100; ++time) EXPECT_EQ(blocks_->plug(at(0), 1), kBusy);
  EXPECT_THAT(reports_, SizeIs(16));
}

}  // namespace
}  // namespace pcivm::vmm
