// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/io_bus.hpp"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace pcivm::vmm {

// Counted from before the handler is looked for until it has returned.
class IoBus::Access final {
 public:
  explicit Access(const IoBus& bus) : count_{bus.accesses_[bus.side_.load()]} { ++count_; }
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;
  ~Access() { --count_; }

 private:
  std::atomic<unsigned>& count_;
};

Result<void> IoBus::add(std::uint64_t base, std::uint64_t length, IoHandler& handler, std::string name) {
  if (length == 0 || base + (length - 1) < base) {
    return fail(Errc::invalid, fmt::format("{}: range {:#x}+{:#x} is empty or wraps", name, base, length));
  }
  const std::unique_lock lock{mutex_};
  if (const auto* const other = in_the_way(base, length); other != nullptr) {
    refused_ = true;
    return fail(Errc::invalid, fmt::format("{}: range {:#x}+{:#x} overlaps {}", name, base, length, other->name));
  }
  ranges_.emplace(base, Range{.length = length, .handler = &handler, .name = std::move(name)});
  return {};
}

const IoBus::Range* IoBus::in_the_way(std::uint64_t base, std::uint64_t length) const {
  const auto next = ranges_.lower_bound(base);
  if (next != ranges_.end() && next->first - base < length) return &next->second;
  if (next == ranges_.begin()) return nullptr;
  const auto& [start, range] = *std::prev(next);
  return base - start < range.length ? &range : nullptr;
}

bool IoBus::remove(std::uint64_t base) {
  const std::unique_lock lock{mutex_};
  if (ranges_.erase(base) == 0) return false;
  if (std::exchange(refused_, false)) room_made_ = true;
  return true;
}

// New accesses count themselves on the other side meanwhile, so that a busy bus is no reason to wait for ever. Twice:
// an access may have chosen its side before a change and count itself after it.
void IoBus::await_accesses() {
  for (int turn = 0; turn < 2; ++turn) {
    const auto old = side_.fetch_xor(1U);
    while (accesses_[old].load() != 0) std::this_thread::sleep_for(std::chrono::microseconds{50});
  }
}

// The handler runs outside the lock, because a PCI command write adds and removes ranges from inside its handler.
std::pair<IoHandler*, std::uint64_t> IoBus::find(std::uint64_t address) const {
  const std::shared_lock lock{mutex_};
  const auto after = ranges_.upper_bound(address);
  if (after == ranges_.begin()) return {nullptr, 0};
  const auto& [base, range] = *std::prev(after);
  if (address - base >= range.length) return {nullptr, 0};
  return {range.handler, address - base};
}

bool IoBus::read(std::uint64_t address, std::span<std::byte> data) const {
  const Access access{*this};
  const auto [handler, offset] = find(address);
  if (handler == nullptr) {
    std::ranges::fill(data, std::byte{0xff});
    return false;
  }
  handler->read(offset, data);
  return true;
}

bool IoBus::write(std::uint64_t address, std::span<const std::byte> data) const {
  const Access access{*this};
  const auto [handler, offset] = find(address);
  if (handler == nullptr) return false;
  handler->write(offset, data);
  return true;
}

std::uint64_t load_le(std::span<const std::byte> data) {
  std::uint64_t value = 0;
  for (std::size_t index = 0; index < std::min<std::size_t>(data.size(), 8); ++index) {
    value |= std::to_integer<std::uint64_t>(data[index]) << (8 * index);
  }
  return value;
}

void store_le(std::span<std::byte> data, std::uint64_t value) {
  for (std::size_t index = 0; index < data.size(); ++index) {
    data[index] = static_cast<std::byte>(index < 8 ? value >> (8 * index) & 0xffU : 0xffU);
  }
}

}  // namespace pcivm::vmm
