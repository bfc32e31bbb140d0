// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/hotplug_slots.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace pcivm::vmm {

namespace {

constexpr std::size_t kDword = 4;
constexpr std::uint32_t bit(unsigned slot) { return slot < HotplugSlots::kSlots ? 1U << slot : 0U; }

}  // namespace

void HotplugSlots::settle() { line_.set((plugged_ | wanted_) != 0); }

void HotplugSlots::tell_plugged(unsigned slot) {
  const std::scoped_lock lock{mutex_};
  plugged_ |= bit(slot) & slots_;
  settle();
}

void HotplugSlots::ask_back(unsigned slot) {
  const std::scoped_lock lock{mutex_};
  wanted_ |= bit(slot) & slots_;
  settle();
}

void HotplugSlots::withdraw(unsigned slot) {
  const std::scoped_lock lock{mutex_};
  plugged_ &= ~bit(slot);
  wanted_ &= ~bit(slot);
  settle();
}

HotplugSlots::News HotplugSlots::take_news() {
  const std::scoped_lock lock{mutex_};
  has_news_ = false;
  return std::exchange(news_, {});
}

void HotplugSlots::reset() {
  const std::scoped_lock lock{mutex_};
  plugged_ = wanted_ = 0;
  news_ = {};
  settle();
}

void HotplugSlots::read(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  if (data.size() != kDword || offset % kDword != 0) return;
  const std::scoped_lock lock{mutex_};
  if (offset == kPluggedOffset) store_le(data, std::exchange(plugged_, 0U));
  if (offset == kWantedOffset) store_le(data, std::exchange(wanted_, 0U));
  if (offset == kEjectOffset || offset == kAnswerOffset) store_le(data, 0);
  settle();
}

void HotplugSlots::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (data.size() == kDword && note(offset, static_cast<std::uint32_t>(load_le(data)))) said_();
}

/// True when it is the first news.
bool HotplugSlots::note(std::uint64_t offset, std::uint32_t value) {
  const std::scoped_lock lock{mutex_};
  if (offset == kEjectOffset && (value & slots_) != 0) {
    news_.ejected |= value & slots_;
  } else if (offset == kAnswerOffset && (bit(value >> 24U) & slots_) != 0) {
    news_.answers.at(value >> 24U) =
        Answer{.event = static_cast<std::uint8_t>(value >> 16U), .status = static_cast<std::uint16_t>(value)};
  } else {
    return false;
  }
  return !std::exchange(has_news_, true);
}

}  // namespace pcivm::vmm
