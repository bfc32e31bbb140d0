// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/legacy/fw_cfg.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

namespace pcivm::vmm {

namespace {

constexpr std::uint64_t kSelector = 0;
constexpr std::uint64_t kData = 1;
constexpr std::uint64_t kAddressHigh = 4;
constexpr std::uint64_t kAddressLow = 8;

// What the DMA register reads: that there is one.
constexpr std::string_view kDmaSignature{"QEMU CFG"};
constexpr std::uint32_t kPortsAndDma = 3;  // item kFeatures

// Control of a DMA request; the selected item is in its upper half.
constexpr std::uint32_t kError = 1U << 0U;
constexpr std::uint32_t kRead = 1U << 1U;
constexpr std::uint32_t kSkip = 1U << 2U;
constexpr std::uint32_t kSelect = 1U << 3U;
constexpr std::uint32_t kWrite = 1U << 4U;

constexpr std::size_t kRequestLength = 16;  // control, length, address

std::uint32_t be32(std::span<const std::byte> bytes) {
  std::uint32_t value = 0;
  for (const auto byte : bytes.first(4)) value = value << 8U | std::to_integer<std::uint32_t>(byte);
  return value;
}

std::array<std::byte, 4> to_be32(std::uint32_t value) {
  return {std::byte(value >> 24U), std::byte(value >> 16U & 0xffU), std::byte(value >> 8U & 0xffU),
          std::byte(value & 0xffU)};
}

void append(FwCfg::Bytes& bytes, std::span<const std::byte> more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

FwCfg::Bytes text_bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span{text});
  return {bytes.begin(), bytes.end()};
}

}  // namespace

FwCfg::FwCfg(const GuestMemory& memory) : memory_{memory} {
  items_[kSignature].bytes = text_bytes("QEMU");
  FwCfg::Bytes features(4);
  store_le(features, kPortsAndDma);
  items_[kFeatures].bytes = std::move(features);
  append(items_[kDirectory].bytes, to_be32(0));
}

void FwCfg::add(std::uint16_t key, Bytes bytes) { items_[key].bytes = std::move(bytes); }

Result<void> FwCfg::add_file(std::string_view name, Bytes bytes) { return add_file(name, std::move(bytes), {}); }

// An entry of the directory: size, key, reserved, name; numbers big-endian.
Result<void> FwCfg::add_file(std::string_view name, Bytes bytes, std::function<Bytes()> make) {
  if (name.empty() || name.size() >= kNameRoom || std::ranges::find(names_, name) != names_.end()) {
    return fail(Errc::internal, fmt::format("fw_cfg: file '{}' is there already, or its name is too long", name));
  }
  const auto key = static_cast<std::uint16_t>(kFirstFile + names_.size());
  names_.emplace_back(name);
  auto& directory = items_[kDirectory].bytes;
  std::ranges::copy(to_be32(static_cast<std::uint32_t>(names_.size())), directory.begin());
  append(directory, to_be32(static_cast<std::uint32_t>(bytes.size())));
  append(directory, to_be32(std::uint32_t{key} << 16U));
  auto text = text_bytes(name);
  text.resize(kNameRoom);
  append(directory, text);
  items_[key] = {.bytes = std::move(bytes), .make = std::move(make)};
  return {};
}

void FwCfg::select(std::uint16_t key) {
  std::function<Bytes()> make;
  {
    const std::scoped_lock lock{mutex_};
    key_ = key;
    position_ = 0;
    if (const auto found = items_.find(key); found != items_.end()) make = found->second.make;
  }
  if (!make) return;
  auto bytes = make();
  const std::scoped_lock lock{mutex_};
  auto& item = items_[key];
  if (bytes.size() == item.bytes.size()) item.bytes = std::move(bytes);
}

// Under mutex_. Behind the end of an item, and of one that is not there, everything reads zero.
void FwCfg::take(std::span<std::byte> room) {
  std::ranges::fill(room, std::byte{0});
  const auto found = items_.find(key_);
  if (found != items_.end() && position_ < found->second.bytes.size()) {
    const auto rest = std::span{found->second.bytes}.subspan(position_);
    std::ranges::copy(rest.first(std::min(rest.size(), room.size())), room.begin());
  }
  position_ += room.size();
}

void FwCfg::read(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  if (offset == kData && data.size() == 1) {
    const std::scoped_lock lock{mutex_};
    take(data);
  } else if (offset >= kAddressHigh && fits(offset - kAddressHigh, data.size(), kDmaSignature.size())) {
    std::ranges::copy(std::as_bytes(std::span{kDmaSignature}).subspan(offset - kAddressHigh, data.size()),
                      data.begin());
  }
}

void FwCfg::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset == kSelector && data.size() == 2) {
    select(static_cast<std::uint16_t>(load_le(data)));
  } else if (offset == kAddressHigh && data.size() == 4) {
    const std::scoped_lock lock{mutex_};
    address_high_ = be32(data);
  } else if (offset == kAddressLow && data.size() == 4) {
    std::uint64_t address = be32(data);
    {
      const std::scoped_lock lock{mutex_};
      address |= std::uint64_t{std::exchange(address_high_, 0)} << 32U;
    }
    transfer(Gpa{address});
  }
}

// A request that does not lie in RAM has nobody to be answered.
void FwCfg::transfer(Gpa request) {
  const auto copy = memory_.read<std::array<std::byte, kRequestLength>>(request);
  if (!copy) return;
  const auto bytes = std::span{*copy};
  const auto control = be32(bytes);
  const auto target = std::uint64_t{be32(bytes.subspan(8))} << 32U | be32(bytes.subspan(12));
  const bool done = carry_out(control, be32(bytes.subspan(4)), Gpa{target});
  (void)memory_.write(request, to_be32(done ? 0 : kError));
}

bool FwCfg::carry_out(std::uint32_t control, std::uint32_t length, Gpa address) {
  if ((control & kSelect) != 0) select(static_cast<std::uint16_t>(control >> 16U));
  if ((control & kWrite) != 0 && (control & kRead) == 0) return false;
  const std::scoped_lock lock{mutex_};
  if ((control & kRead) != 0) {
    const auto room = memory_.window(address, length);
    if (!room) return false;
    take(*room);
  } else if ((control & kSkip) != 0) {
    position_ += length;
  }
  return true;
}

void FwCfg::reset() {
  const std::scoped_lock lock{mutex_};
  key_ = 0;
  position_ = 0;
  address_high_ = 0;
}

}  // namespace pcivm::vmm
