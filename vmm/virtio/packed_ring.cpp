// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/packed_ring.hpp"

#include <fmt/format.h>

#include "vmm/virtio/features.hpp"

namespace pcivm::vmm {

namespace {

constexpr unsigned kLargest = 32768;
// A descriptor: address first.
constexpr std::size_t kLength = 8;
constexpr std::size_t kId = 12;
constexpr std::size_t kFlags = 14;
constexpr std::uint16_t kAvailable = 1U << 7U;
constexpr std::uint16_t kUsed = 1U << 15U;
// Event suppression.
constexpr std::size_t kEvent = 4;
constexpr std::size_t kEventPlace = 0;
constexpr std::size_t kEventFlags = 2;
constexpr std::uint16_t kEventWrap = 1U << 15U;
constexpr std::uint16_t kEventEnable = 0;
constexpr std::uint16_t kEventDisable = 1;
constexpr std::uint16_t kEventAt = 2;

}  // namespace

void PackedRing::Position::advance(unsigned count, unsigned size) {
  const auto next = index + count;
  if (next >= size) wrap = !wrap;
  index = static_cast<std::uint16_t>(next >= size ? next - size : next);
}

PackedRing::PackedRing(const GuestMemory& memory, std::uint16_t size, std::uint64_t features)
    : memory_{memory},
      size_{size},
      indirect_{virtio_features::has(features, virtio_features::kIndirectDescriptors)},
      event_index_{virtio_features::has(features, virtio_features::kEventIndex)} {}

Result<std::unique_ptr<VirtioRing>> PackedRing::create(const GuestMemory& memory, const VirtioQueueSetup& setup,
                                                       std::uint64_t features) {
  if (setup.size == 0 || setup.size > kLargest) {
    return fail(Errc::invalid, fmt::format("queue of {} entries, 1 to {} wanted", setup.size, kLargest));
  }
  std::unique_ptr<PackedRing> ring{new PackedRing{memory, setup.size, features}};
  ring->descriptors_ =
      TRY_IN(RingMemory::map(memory, setup.descriptors, kDescriptorSize * setup.size, 16), "descriptors");
  ring->driver_ = TRY_IN(RingMemory::map(memory, setup.driver, kEvent, 4), "driver event suppression");
  ring->device_ = TRY_IN(RingMemory::map(memory, setup.device, kEvent, 4), "device event suppression");
  return ring;
}

bool PackedRing::is_available() const {
  const auto flags =
      descriptors_.load<std::uint16_t>(next_.index * kDescriptorSize + kFlags, std::memory_order_acquire);
  return ((flags & kAvailable) != 0) == next_.wrap && ((flags & kUsed) != 0) != next_.wrap;
}

Result<bool> PackedRing::take(VirtioChain& chain) {
  if (!is_available()) return false;
  TRY(walk(chain));
  next_.advance(chain.slots, size_);
  in_flight_ = static_cast<std::uint16_t>(in_flight_ + chain.slots);
  return true;
}

// The driver makes the first descriptor of a chain available last, so the flags of the others are there (2.8.21).
Result<void> PackedRing::walk(VirtioChain& chain) const {
  ChainBuilder builder{memory_, chain, size_};
  auto place = next_;
  for (chain.slots = 1;; ++chain.slots) {
    if (in_flight_ + chain.slots > size_) {
      return fail(Errc::invalid, fmt::format("more than {} descriptors in a queue of that size", size_));
    }
    const auto at = place.index * kDescriptorSize;
    const auto flags = descriptors_.load<std::uint16_t>(at + kFlags);
    if ((flags & kDescriptorIndirect) != 0) {
      if (!indirect_ || chain.slots != 1 || (flags & kDescriptorNext) != 0) {
        return fail(Errc::invalid, "an indirect descriptor where none may be");
      }
      TRY(walk_indirect(at, builder));
    } else {
      TRY(builder.add(descriptors_.load<std::uint64_t>(at), descriptors_.load<std::uint32_t>(at + kLength), flags));
    }
    chain.id = descriptors_.load<std::uint16_t>(at + kId);
    if ((flags & kDescriptorNext) == 0) return {};
    place.advance(1, size_);
  }
}

// All descriptors of the table are the chain; of their flags only "write" says something (2.8.19).
Result<void> PackedRing::walk_indirect(std::size_t at, ChainBuilder& builder) const {
  const auto length = descriptors_.load<std::uint32_t>(at + kLength);
  if (length == 0 || length % kDescriptorSize != 0) {
    return fail(Errc::invalid, fmt::format("an indirect table of {} bytes", length));
  }
  const auto table =
      TRY_IN(RingMemory::map(memory_, Gpa{descriptors_.load<std::uint64_t>(at)}, length, 8), "indirect table");
  for (std::size_t entry = 0; entry < length; entry += kDescriptorSize) {
    const auto flags = table.load<std::uint16_t>(entry + kFlags);
    if ((flags & kDescriptorIndirect) != 0) return fail(Errc::invalid, "an indirect descriptor in an indirect table");
    TRY(builder.add(table.load<std::uint64_t>(entry), table.load<std::uint32_t>(entry + kLength), flags));
  }
  return {};
}

void PackedRing::give(const VirtioChain& chain, std::uint32_t written) {
  const auto at = used_.index * kDescriptorSize;
  descriptors_.store<std::uint32_t>(at + kLength, written);
  descriptors_.store<std::uint16_t>(at + kId, chain.id);
  const auto flags = (used_.wrap ? kAvailable | kUsed : 0) | (written != 0 ? kDescriptorWrite : 0);
  descriptors_.store<std::uint16_t>(at + kFlags, static_cast<std::uint16_t>(flags), std::memory_order_release);
  used_.advance(chain.slots, size_);
  in_flight_ = static_cast<std::uint16_t>(in_flight_ - chain.slots);
  unpublished_ = static_cast<std::uint16_t>(unpublished_ + chain.slots);
}

// What was given is visible already; what is left is whether to interrupt.
bool PackedRing::publish() {
  if (unpublished_ == 0) return false;
  const auto before = static_cast<std::uint16_t>(used_.index - unpublished_);
  unpublished_ = 0;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const auto flags = driver_.load<std::uint16_t>(kEventFlags);
  if (flags == kEventDisable) return false;
  if (flags != kEventAt || !event_index_) return true;
  const auto place = driver_.load<std::uint16_t>(kEventPlace);
  auto wish = static_cast<std::uint16_t>(place & ~kEventWrap);
  // A place of the round before counts from before index 0.
  if (((place & kEventWrap) != 0) != used_.wrap) wish = static_cast<std::uint16_t>(wish - size_);
  return passes(wish, used_.index, before);
}

bool PackedRing::ask_for_signal() {
  if (event_index_) {
    device_.store<std::uint16_t>(kEventPlace, static_cast<std::uint16_t>(next_.index | (next_.wrap ? kEventWrap : 0)));
    device_.store<std::uint16_t>(kEventFlags, kEventAt, std::memory_order_release);
  } else {
    device_.store<std::uint16_t>(kEventFlags, kEventEnable);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return is_available();
}

void PackedRing::want_no_signal() { device_.store<std::uint16_t>(kEventFlags, kEventDisable); }

}  // namespace pcivm::vmm
