// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/split_ring.hpp"

#include <bit>

#include <fmt/format.h>

#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::size_t kFlags = 0;  // in both rings
constexpr std::size_t kIndex = 2;
constexpr std::size_t kEntries = 4;
constexpr std::size_t kAvailableEntry = 2;
constexpr std::size_t kUsedEntry = 8;
constexpr std::uint16_t kNoInterrupt = 1;  // the driver's flag
constexpr std::uint16_t kNoNotify = 1;     // the device's
constexpr unsigned kLargest = 32768;

}  // namespace

SplitRing::SplitRing(const GuestMemory& memory, std::uint16_t size, std::uint64_t features)
    : memory_{memory},
      size_{size},
      indirect_{virtio_features::has(features, virtio_features::kIndirectDescriptors)},
      event_index_{virtio_features::has(features, virtio_features::kEventIndex)} {}

Result<std::unique_ptr<VirtioRing>> SplitRing::create(const GuestMemory& memory, const VirtioQueueSetup& setup,
                                                      std::uint64_t features) {
  if (!std::has_single_bit(setup.size) || setup.size > kLargest) {
    return fail(Errc::invalid,
                fmt::format("queue of {} entries, a power of two up to {} wanted", setup.size, kLargest));
  }
  std::unique_ptr<SplitRing> ring{new SplitRing{memory, setup.size, features}};
  ring->descriptors_ =
      TRY_IN(RingMemory::map(memory, setup.descriptors, kDescriptorSize * setup.size, 16), "descriptors");
  // The event index behind each ring is there whether it was negotiated or not (2.7.6).
  ring->available_ =
      TRY_IN(RingMemory::map(memory, setup.driver, kEntries + kAvailableEntry * setup.size + 2, 2), "available ring");
  ring->used_ = TRY_IN(RingMemory::map(memory, setup.device, kEntries + kUsedEntry * setup.size + 2, 4), "used ring");
  return ring;
}

SplitRing::Descriptor SplitRing::load(const RingMemory& table, std::size_t index) {
  const auto at = index * kDescriptorSize;
  return {.address = table.load<std::uint64_t>(at),
          .length = table.load<std::uint32_t>(at + 8),
          .flags = table.load<std::uint16_t>(at + 12),
          .next = table.load<std::uint16_t>(at + 14)};
}

Result<bool> SplitRing::take(VirtioChain& chain) {
  if (next_ == seen_) {
    seen_ = available_.load<std::uint16_t>(kIndex, std::memory_order_acquire);
    if (next_ == seen_) return false;
    const auto count = static_cast<std::uint16_t>(seen_ - next_);
    if (count > size_) {
      return fail(Errc::invalid, fmt::format("available index moved by {}, {} entries in the queue", count, size_));
    }
  }
  if (in_flight_ == size_)
    return fail(Errc::invalid, fmt::format("more than {} chains in a queue of that size", size_));
  const auto slot = std::size_t{next_} & (size_ - 1U);
  const auto head = available_.load<std::uint16_t>(kEntries + kAvailableEntry * slot);
  chain.id = head;
  chain.slots = 1;
  ChainBuilder builder{memory_, chain, size_};
  TRY(walk(descriptors_, head, builder, indirect_));
  ++next_;
  ++in_flight_;
  return true;
}

// Bounded by the number of buffers that the builder takes, so that a loop ends.
Result<void> SplitRing::walk(const RingMemory& table, std::size_t index, ChainBuilder& builder, bool indirect) const {
  const auto entries = table.length() / kDescriptorSize;
  for (;;) {
    if (index >= entries) return fail(Errc::invalid, fmt::format("descriptor {} of a table of {}", index, entries));
    const auto descriptor = load(table, index);
    if ((descriptor.flags & kDescriptorIndirect) != 0) {
      if (!indirect || (descriptor.flags & kDescriptorNext) != 0) {
        return fail(Errc::invalid, "an indirect descriptor where none may be");
      }
      return walk_indirect(descriptor, builder);
    }
    TRY(builder.add(descriptor.address, descriptor.length, descriptor.flags));
    if ((descriptor.flags & kDescriptorNext) == 0) return {};
    index = descriptor.next;
  }
}

Result<void> SplitRing::walk_indirect(const Descriptor& descriptor, ChainBuilder& builder) const {
  if (descriptor.length == 0 || descriptor.length % kDescriptorSize != 0) {
    return fail(Errc::invalid, fmt::format("an indirect table of {} bytes", descriptor.length));
  }
  // The specification asks for no alignment of the table; what is not aligned cannot be read in single accesses.
  const auto table = TRY_IN(RingMemory::map(memory_, Gpa{descriptor.address}, descriptor.length, 8), "indirect table");
  return walk(table, 0, builder, false);
}

void SplitRing::give(const VirtioChain& chain, std::uint32_t written) {
  const auto at = kEntries + kUsedEntry * (std::size_t{given_} & (size_ - 1U));
  used_.store<std::uint32_t>(at, chain.id);
  used_.store<std::uint32_t>(at + 4, written);
  ++given_;
  --in_flight_;
}

bool SplitRing::publish() {
  if (given_ == published_) return false;
  const auto before = published_;
  published_ = given_;
  used_.store<std::uint16_t>(kIndex, given_, std::memory_order_release);
  // The driver writes its wish and then looks at the index; here it is the other way round (2.7.7.2).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!event_index_) return (available_.load<std::uint16_t>(kFlags) & kNoInterrupt) == 0;
  const auto wish = available_.load<std::uint16_t>(kEntries + kAvailableEntry * size_);
  return passes(wish, given_, before);
}

bool SplitRing::ask_for_signal() {
  if (event_index_) {
    used_.store<std::uint16_t>(kEntries + kUsedEntry * size_, next_);
  } else {
    used_.store<std::uint16_t>(kFlags, 0);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return available_.load<std::uint16_t>(kIndex) != next_;
}

// With an event index nothing is asked for until ask_for_signal() moves it.
void SplitRing::want_no_signal() {
  if (!event_index_) used_.store<std::uint16_t>(kFlags, kNoNotify);
}

}  // namespace pcivm::vmm
