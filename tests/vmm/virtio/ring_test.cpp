// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/ring.hpp"

#include <gmock/gmock.h>

#include <array>
#include <random>
#include <string>

#include "tests/support/result_matchers.hpp"
#include "tests/vmm/virtio/ring_driver.hpp"

namespace pcivm::vmm {
namespace {

using test::Buffer;
using test::FailsWith;
using test::IsOkAnd;
using test::kRamEnd;
using test::PackedDriver;
using test::RingDriver;
using test::SplitDriver;
using testing::ElementsAre;
using testing::HasSubstr;

using Used = RingDriver::Used;

constexpr std::uint16_t kSize = 8;
constexpr std::uint64_t kPlain = virtio_features::bit(virtio_features::kIndirectDescriptors);
constexpr std::uint64_t kIndexed = kPlain | virtio_features::bit(virtio_features::kEventIndex);

// Both layouts keep the same promises.
class Virtqueue : public testing::TestWithParam<bool> {
 protected:
  void make(std::uint64_t features = kIndexed) {
    if (GetParam()) {
      features |= virtio_features::kPacked;
      driver_ = std::make_unique<PackedDriver>(memory_, kSize);
    } else {
      driver_ = std::make_unique<SplitDriver>(memory_, kSize);
    }
    ring_ = VirtioRing::create(memory_, driver_->setup(), features).value();
  }
  Result<bool> take() { return ring_->take(chain_); }
  void take_and_give(std::uint32_t written) {
    ASSERT_THAT(take(), IsOkAnd(true));
    ring_->give(chain_, written);
  }

  GuestMemory memory_ = test::ring_memory();
  std::unique_ptr<RingDriver> driver_;
  std::unique_ptr<VirtioRing> ring_;
  VirtioChain chain_;
};
INSTANTIATE_TEST_SUITE_P(Layout, Virtqueue, testing::Bool(),
                         [](const auto& each) { return each.param ? "Packed" : "Split"; });

TEST_P(Virtqueue, IsEmptyAtFirst) {
  make();
  EXPECT_THAT(take(), IsOkAnd(false));
}

TEST_P(Virtqueue, HandsOutAChainAndGivesItBack) {
  make();
  driver_->offer({{0x1000, 16, false}, {0x2000, 512, true}, {0x3000, 1, true}});
  ASSERT_THAT(take(), IsOkAnd(true));
  ASSERT_EQ(chain_.readable.size(), 1U);
  ASSERT_EQ(chain_.writable.size(), 2U);
  EXPECT_EQ(chain_.readable_bytes, 16U);
  EXPECT_EQ(chain_.writable_bytes, 513U);
  EXPECT_EQ(chain_.readable[0].iov_base, memory_.window(Gpa{0x1000}, 16)->data());
  EXPECT_THAT(take(), IsOkAnd(false));
  ring_->give(chain_, 513);
  (void)ring_->publish();
  EXPECT_THAT(driver_->collect(), ElementsAre(Used{chain_.id, 513}));
}

TEST_P(Virtqueue, FollowsAnIndirectTable) {
  make();
  driver_->offer({{0x1000, 16, false}, {0x2000, 512, true}}, true);
  ASSERT_THAT(take(), IsOkAnd(true));
  EXPECT_EQ(chain_.readable_bytes, 16U);
  EXPECT_EQ(chain_.writable_bytes, 512U);
}

TEST_P(Virtqueue, WorksOverManyRoundsAndOutOfOrder) {
  make();
  std::vector<VirtioChain> taken;
  std::mt19937 random{7};
  unsigned given = 0;
  unsigned collected = 0;
  for (unsigned round = 0; round < 20000; ++round) {
    if (taken.size() < 2) {
      driver_->offer({{0x1000, 16, false}, {0x2000 + round % 4096, 1 + round % 99, true}}, random() % 2 == 0);
      ASSERT_THAT(take(), IsOkAnd(true));
      ASSERT_EQ(chain_.writable_bytes, 1 + round % 99);
      taken.push_back(chain_);
    } else {
      const auto which = taken.begin() + static_cast<std::ptrdiff_t>(random() % taken.size());
      ring_->give(*which, ++given);
      taken.erase(which);
      (void)ring_->publish();
      for (const auto& used : driver_->collect()) ASSERT_EQ(used.length, ++collected);
    }
  }
  EXPECT_EQ(collected, given);
  EXPECT_GT(collected, 5000U);
}

TEST_P(Virtqueue, InterruptsExactlyWhenTheEventIndexIsPassed) {
  make();
  for (int round = 0; round < 100; ++round) {
    driver_->want_interrupt_at_next();
    driver_->offer({{0x1000, 16, true}});
    driver_->offer({{0x1000, 16, true}});
    take_and_give(1);
    EXPECT_TRUE(ring_->publish()) << round;
    take_and_give(1);
    EXPECT_FALSE(ring_->publish()) << "the driver did not move its wish";
    EXPECT_FALSE(ring_->publish()) << "nothing was given";
    EXPECT_EQ(driver_->collect().size(), 2U);
  }
}

TEST_P(Virtqueue, AsksForASignalOnlyWhenNothingIsThere) {
  make();
  EXPECT_FALSE(ring_->ask_for_signal());
  EXPECT_TRUE(driver_->device_wants_signal());
  driver_->offer({{0x1000, 16, true}});
  EXPECT_TRUE(ring_->ask_for_signal());
  take_and_give(0);
  EXPECT_FALSE(ring_->ask_for_signal());
  EXPECT_TRUE(driver_->device_wants_signal());
}

TEST_P(Virtqueue, TakesNoChainThatLeavesRam) {
  const Buffer outside[] = {
      {kRamEnd, 1, true},     {kRamEnd - 1, 2, true}, {kRamEnd - 1, 0xffffffff, false},
      {~0ULL, 1, true},       {~0ULL - 7, 16, true},  {16 * kMiB - 1, 2, true},
      {0xfee00000, 4, true},  {0, 0xffffffff, true},  {18 * kMiB - 1, 2, false},
      {1ULL << 63U, 8, true},
  };
  for (const auto& buffer : outside) {
    for (const bool indirect : {false, true}) {
      make();
      driver_->offer({{0x1000, 16, false}, buffer.writable ? buffer : Buffer{buffer.address, buffer.length, false}},
                     indirect);
      EXPECT_THAT(take(), FailsWith(Errc::invalid)) << buffer.address << "+" << buffer.length;
    }
  }
}

TEST_P(Virtqueue, TakesABufferThatEndsWithRam) {
  make();
  driver_->offer({{kRamEnd - 512, 512, true}});
  driver_->offer({{18 * kMiB - 1, 1, true}});
  EXPECT_THAT(take(), IsOkAnd(true));
  EXPECT_THAT(take(), IsOkAnd(true));
}

TEST_P(Virtqueue, TakesNoEmptyBufferAndNoWrongOrder) {
  make();
  driver_->offer({{0x1000, 0, true}});
  EXPECT_THAT(take(), FailsWith(Errc::invalid, HasSubstr("no bytes")));
  make();
  driver_->offer({{0x1000, 16, true}, {0x2000, 16, false}});
  EXPECT_THAT(take(), FailsWith(Errc::invalid, HasSubstr("readable buffer after")));
}

TEST_P(Virtqueue, TakesNoMoreBuffersThanItsSize) {
  make();
  std::vector<Buffer> buffers(kSize, Buffer{0, static_cast<std::uint32_t>(kRamEnd), true});
  driver_->offer(buffers, true);
  EXPECT_THAT(take(), IsOkAnd(true));
  buffers.push_back(buffers.back());
  driver_->offer(buffers, true);
  EXPECT_THAT(take(), FailsWith(Errc::invalid, HasSubstr("more than 8 buffers")));
}

TEST_P(Virtqueue, NeedsTheFeatureForIndirectTables) {
  make(0);
  driver_->offer({{0x1000, 16, false}}, true);
  EXPECT_THAT(take(), FailsWith(Errc::invalid, HasSubstr("indirect")));
}

TEST_P(Virtqueue, FollowsNoIndirectTableInAnother) {
  make();
  driver_->offer({{0x1000, 32, false}}, true);
  const std::uint64_t flags = GetParam() ? 14 : 12;
  driver_->poke<std::uint16_t>(RingDriver::kTable + flags, 4);
  EXPECT_THAT(take(), FailsWith(Errc::invalid, HasSubstr("indirect")));
}

TEST_P(Virtqueue, FollowsNoIndirectTableOfAnOddLength) {
  for (const std::uint32_t length : {0U, 1U, 15U, 17U, 0xffffffffU}) {
    make();
    driver_->offer({{0x1000, 32, false}}, true);
    driver_->poke(RingDriver::kDescriptors + 8, length);
    EXPECT_FALSE(take()) << length;
  }
}

TEST_P(Virtqueue, FollowsNoIndirectTableOutsideRam) {
  for (const std::uint64_t address :
       std::array<std::uint64_t, 5>{kRamEnd, kRamEnd - 16, ~0ULL - 15, 0xfee00000, 0x40004}) {
    make();
    driver_->offer({{0x1000, 32, false}, {0x1000, 32, false}}, true);
    driver_->poke(RingDriver::kDescriptors, address);
    EXPECT_FALSE(take()) << address;
  }
}

TEST_P(Virtqueue, HasNoMoreInFlightThanItsSize) {
  make();
  for (unsigned round = 0; round < kSize; ++round) {
    driver_->offer({{0x1000, 16, true}});
    ASSERT_THAT(take(), IsOkAnd(true));
  }
  driver_->offer({{0x1000, 16, true}});
  EXPECT_THAT(take(), FailsWith(Errc::invalid, HasSubstr("more than 8")));
}

TEST_P(Virtqueue, IsRefusedWhereNoneCanBe) {
  make();
  const std::uint64_t features = GetParam() ? virtio_features::kPacked : 0;
  const auto refused = [&](VirtioQueueSetup setup) { return !VirtioRing::create(memory_, setup, features); };
  const auto good = driver_->setup();
  EXPECT_FALSE(refused(good));
  for (const auto part : {&VirtioQueueSetup::descriptors, &VirtioQueueSetup::driver, &VirtioQueueSetup::device}) {
    for (const auto address : std::array<std::uint64_t, 5>{kRamEnd, kRamEnd - 2, ~0ULL, 0x1001, 0xfec00000}) {
      auto setup = good;
      setup.*part = Gpa{address};
      EXPECT_TRUE(refused(setup)) << address;
    }
  }
  for (const std::uint16_t size : {std::uint16_t{0}, std::uint16_t{0x8001}, std::uint16_t{0xffff}}) {
    auto setup = good;
    setup.size = size;
    EXPECT_TRUE(refused(setup)) << size;
  }
}

TEST(SplitRing, RefusesASizeThatIsNoPowerOfTwo) {
  const auto memory = test::ring_memory();
  auto setup = SplitDriver{memory, 8}.setup();
  setup.size = 6;
  EXPECT_THAT(VirtioRing::create(memory, setup, 0), FailsWith(Errc::invalid, HasSubstr("power of two")));
  EXPECT_THAT(VirtioRing::create(memory, setup, virtio_features::kPacked), test::IsOk());
}

class SplitRingHostile : public testing::Test {
 protected:
  GuestMemory memory_ = test::ring_memory();
  SplitDriver driver_{memory_, kSize};
  std::unique_ptr<VirtioRing> ring_ = VirtioRing::create(memory_, driver_.setup(), kPlain).value();
  VirtioChain chain_;
};

TEST_F(SplitRingHostile, LoopEnds) {
  driver_.poke_descriptor(RingDriver::kDescriptors, 0x1000, 16, 1, 1);
  driver_.poke_descriptor(RingDriver::kDescriptors + 16, 0x1000, 16, 1, 0);
  driver_.publish(0);
  EXPECT_THAT(ring_->take(chain_), FailsWith(Errc::invalid, HasSubstr("more than 8 buffers")));
}

TEST_F(SplitRingHostile, NextBeyondTheTableIsRefused) {
  driver_.poke_descriptor(RingDriver::kDescriptors, 0x1000, 16, 1, kSize);
  driver_.publish(0);
  EXPECT_THAT(ring_->take(chain_), FailsWith(Errc::invalid, HasSubstr("descriptor 8 of a table of 8")));
}

TEST_F(SplitRingHostile, HeadBeyondTheTableIsRefused) {
  driver_.publish(0xffff);
  EXPECT_THAT(ring_->take(chain_), FailsWith(Errc::invalid, HasSubstr("descriptor 65535")));
}

TEST_F(SplitRingHostile, IndexJumpIsRefused) {
  driver_.poke<std::uint16_t>(RingDriver::kDriver + 2, kSize + 1);
  EXPECT_THAT(ring_->take(chain_), FailsWith(Errc::invalid, HasSubstr("moved by 9")));
}

TEST_F(SplitRingHostile, IndexGoingBackIsRefused) {
  driver_.offer({{0x1000, 16, true}}, false);
  ASSERT_THAT(ring_->take(chain_), IsOkAnd(true));
  driver_.poke<std::uint16_t>(RingDriver::kDriver + 2, 0);
  EXPECT_THAT(ring_->take(chain_), FailsWith(Errc::invalid, HasSubstr("moved by 65535")));
}

TEST_F(SplitRingHostile, ChainsBeforeAnIndirectTableArePartOfTheChain) {
  driver_.poke_descriptor(RingDriver::kDescriptors, 0x1000, 16, 1, 1);
  driver_.poke_descriptor(RingDriver::kDescriptors + 16, RingDriver::kTable, 16, 4, 0);
  driver_.poke_descriptor(RingDriver::kTable, 0x2000, 32, 2, 0);
  driver_.publish(0);
  ASSERT_THAT(ring_->take(chain_), IsOkAnd(true));
  EXPECT_EQ(chain_.readable_bytes, 16U);
  EXPECT_EQ(chain_.writable_bytes, 32U);
}

TEST_F(SplitRingHostile, FlagsDecideWithoutAnEventIndex) {
  driver_.offer({{0x1000, 16, true}}, false);
  driver_.offer({{0x1000, 16, true}}, false);
  ASSERT_THAT(ring_->take(chain_), IsOkAnd(true));
  ring_->give(chain_, 0);
  EXPECT_TRUE(ring_->publish());
  driver_.poke<std::uint16_t>(RingDriver::kDriver, 1);
  ASSERT_THAT(ring_->take(chain_), IsOkAnd(true));
  ring_->want_no_signal();
  EXPECT_EQ(driver_.peek<std::uint16_t>(RingDriver::kDevice), 1U);
  ring_->give(chain_, 0);
  EXPECT_FALSE(ring_->publish());
  EXPECT_FALSE(ring_->ask_for_signal());
  EXPECT_EQ(driver_.peek<std::uint16_t>(RingDriver::kDevice), 0U);
}

TEST(PackedRingHostile, ChainThatNeverEndsIsRefused) {
  const auto memory = test::ring_memory();
  PackedDriver driver{memory, kSize};
  const auto ring = VirtioRing::create(memory, driver.setup(), kPlain | virtio_features::kPacked).value();
  for (unsigned index = 0; index < kSize; ++index) {
    driver.poke_descriptor(RingDriver::kDescriptors + 16 * index, 0x1000, 16, 1, 0x81);
  }
  VirtioChain chain;
  EXPECT_THAT(ring->take(chain), FailsWith(Errc::invalid, HasSubstr("more than 8")));
}

// Whatever the memory says, only RAM is handed out, and never without end.
TEST_P(Virtqueue, HandsOutOnlyRamWhateverIsInIt) {
  std::mt19937 random{11};
  const auto ram = [this](const iovec& part) {
    for (const auto& region : memory_.regions()) {
      const auto bytes = memory_.window(region.gpa, region.length).value();
      const auto* start = static_cast<const std::byte*>(part.iov_base);
      if (start >= bytes.data() && start + part.iov_len <= bytes.data() + bytes.size()) return true;
    }
    return false;
  };
  unsigned taken = 0;
  for (unsigned round = 0; round < 3000; ++round) {
    make(random() % 2 == 0 ? kIndexed : kPlain);
    for (const auto base : {RingDriver::kDescriptors, RingDriver::kDriver, RingDriver::kDevice, RingDriver::kTable}) {
      for (std::uint64_t at = 0; at < 256; at += 2) {
        const auto value = random() % 4 == 0 ? random() % 16 : random() % 3 == 0 ? 0 : random();
        driver_->poke(base + at, static_cast<std::uint16_t>(value));
      }
    }
    for (unsigned index = 0; index < kSize; ++index) {  // some addresses that exist
      if (random() % 4 != 0) driver_->poke<std::uint64_t>(RingDriver::kDescriptors + 16 * index, random() % (3 * kMiB));
      if (random() % 2 != 0) driver_->poke<std::uint32_t>(RingDriver::kDescriptors + 16 * index + 8, random() % 8192);
      const auto flags = static_cast<std::uint16_t>(random() % 8 | 0x80);
      if (GetParam() && random() % 4 != 0) driver_->poke(RingDriver::kDescriptors + 16 * index + 14, flags);
      if (random() % 8 == 0) driver_->poke<std::uint64_t>(RingDriver::kDescriptors + 16 * index, RingDriver::kTable);
    }
    driver_->poke<std::uint16_t>(RingDriver::kDriver + 2, static_cast<std::uint16_t>(random() % (kSize + 2)));
    for (unsigned steps = 0; steps < 4U * kSize; ++steps) {
      const auto more = take();
      if (!more || !*more) break;
      ++taken;
      ASSERT_LE(chain_.readable.size() + chain_.writable.size(), kSize);
      for (const auto& part : chain_.readable) ASSERT_TRUE(ram(part));
      for (const auto& part : chain_.writable) ASSERT_TRUE(ram(part));
      if (random() % 2 == 0) ring_->give(chain_, static_cast<std::uint32_t>(random()));
      (void)ring_->publish();
      (void)ring_->ask_for_signal();
    }
  }
  EXPECT_GT(taken, 100U) << "the noise is too wild to test anything";
}

TEST(ChainReader, ReadsAcrossBuffersAndNotBeyond) {
  std::array<std::byte, 4> one{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  std::array<std::byte, 3> two{std::byte{5}, std::byte{6}, std::byte{7}};
  VirtioChain chain;
  chain.readable = {{one.data(), one.size()}, {two.data(), two.size()}};
  chain.readable_bytes = 7;
  ChainReader reader{chain};
  std::array<std::byte, 5> head{};
  ASSERT_TRUE(reader.read(head));
  EXPECT_EQ(head[4], std::byte{5});
  EXPECT_FALSE(reader.read(head));
  EXPECT_EQ(reader.left(), 2U);
  std::vector<iovec> rest;
  reader.rest(rest);
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].iov_base, &two[1]);
  EXPECT_EQ(rest[0].iov_len, 2U);
}

TEST(ChainWriter, WritesAcrossBuffersAndNotBeyond) {
  std::array<std::byte, 2> one{};
  std::array<std::byte, 3> two{};
  VirtioChain chain;
  chain.writable = {{one.data(), one.size()}, {two.data(), two.size()}};
  chain.writable_bytes = 5;
  ChainWriter writer{chain};
  std::vector<iovec> reserved;
  writer.reserve(3, reserved);
  EXPECT_EQ(total_length(reserved), 3U);
  const std::array bytes{std::byte{1}, std::byte{2}, std::byte{3}};
  EXPECT_EQ(writer.write(bytes), 2U);
  EXPECT_EQ(two[2], std::byte{2});
  EXPECT_EQ(writer.written(), 5U);
  EXPECT_EQ(writer.left(), 0U);
  EXPECT_EQ(writer.write(bytes), 0U);
}

TEST(Buffers, DropFromTheFront) {
  std::array<std::byte, 8> bytes{};
  std::vector<iovec> parts{{bytes.data(), 3}, {bytes.data() + 3, 3}, {bytes.data() + 6, 2}};
  drop_front(parts, 4);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].iov_base, &bytes[4]);
  EXPECT_EQ(total_length(parts), 4U);
  drop_front(parts, 4);
  EXPECT_TRUE(parts.empty());
}

}  // namespace
}  // namespace pcivm::vmm
