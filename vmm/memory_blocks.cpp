// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/memory_blocks.hpp"

#include <linux/virtio_mem.h>

#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace pcivm::vmm {

namespace {

constexpr unsigned kMostReports = 16;

}  // namespace

MemoryBlocks::MemoryBlocks(GuestMemory::Range range, Wiring wiring)
    : range_{range}, block_{size_for(range.length)}, wiring_{std::move(wiring)}, slots_(range.length / block_) {
  for (const auto& region : wiring_.memory.regions()) {
    if (region.kind != MemoryKind::blocks) continue;
    hva_ = region.hva;
    file_ = region.file;
  }
}

Result<void> MemoryBlocks::want(std::uint64_t bytes) {
  if (bytes > range_.length || !is_aligned(bytes, block_)) {
    return fail(Errc::invalid, fmt::format("{} bytes of memory that comes and goes found, a multiple of {} up to {} "
                                           "wanted",
                                           bytes, block_, range_.length));
  }
  wanted_ = bytes;
  return {};
}

vfio::DmaRun MemoryBlocks::run(std::size_t index) const {
  const auto offset = index * block_;
  return {.iova = Iova{address(index).value},
          .hva = hva_ + offset,
          .length = block_,
          .file = file_,
          .file_offset = file_ < 0 ? 0 : offset};
}

std::optional<MemoryBlocks::Indices> MemoryBlocks::find(Gpa from, std::uint64_t count) const {
  if (count == 0 || count > slots_.size() || from < range_.gpa) return std::nullopt;
  const auto offset = from.value - range_.gpa.value;
  if (!is_aligned(offset, block_) || !fits(offset, count * block_, range_.length)) return std::nullopt;
  Indices indices(count);
  std::iota(indices.begin(), indices.end(), offset / block_);
  return indices;
}

// Populated first: pinning alone would fault page by page, and a host without memory would end a process for it.
Result<void> MemoryBlocks::map(std::size_t index) {
  if (space_->pins()) TRY(wiring_.memory.populate(address(index), block_));
  return space_->map(run(index));
}

Result<void> MemoryBlocks::show(std::size_t index) {
  if (space_ != nullptr) {
    TRY(map(index));
  } else if (wiring_.populate) {
    TRY(wiring_.memory.populate(address(index), block_));
  }
  auto slot = wiring_.slots.add(address(index), run(index).hva, block_);
  if (!slot) {
    if (space_ != nullptr) must(space_->unmap(Iova{address(index).value}, block_));
    return fail(std::move(slot).error());
  }
  slots_[index] = *slot;
  wiring_.memory.reach_block(index, true);
  return {};
}

Result<void> MemoryBlocks::hide(std::size_t index) {
  if (space_ != nullptr) TRY(space_->unmap(Iova{address(index).value}, block_));
  if (auto removed = wiring_.slots.remove(*slots_[index]); !removed) {
    if (space_ != nullptr) must(map(index));
    return removed;
  }
  slots_[index].reset();
  wiring_.memory.reach_block(index, false);
  return {};
}

// Of an undo. Where that fails, guest and devices would not agree any more on what is memory.
void MemoryBlocks::must(Result<void> undone) {
  if (!undone) wiring_.fail(std::move(undone).error().within("memory that comes and goes"));
}

// A host that has no memory may be asked for it without end.
void MemoryBlocks::report(Error error) {
  if (reports_++ < kMostReports) wiring_.report(std::move(error).within("virtio-mem"));
}

std::uint16_t MemoryBlocks::busy(Error error) {
  report(std::move(error));
  return VIRTIO_MEM_RESP_BUSY;
}

void MemoryBlocks::discard(std::span<const std::size_t> indices) {
  for (const auto index : indices) {
    if (auto given = wiring_.memory.discard(address(index), block_); !given) report(std::move(given).error());
  }
}

void MemoryBlocks::count(std::uint64_t bytes) {
  plugged_ = bytes;
  wiring_.changed();
}

std::uint16_t MemoryBlocks::plug(Gpa from, std::uint64_t count) {
  const std::scoped_lock lock{mutex_};
  const auto indices = find(from, count);
  if (!indices || std::ranges::any_of(*indices, [this](auto index) { return is_plugged(index); })) {
    return VIRTIO_MEM_RESP_ERROR;
  }
  const auto plugged = plugged_ + count * block_;
  if (plugged > wanted_) return VIRTIO_MEM_RESP_NACK;
  for (std::size_t done = 0; done < indices->size(); ++done) {
    auto shown = show((*indices)[done]);
    if (shown) continue;
    for (const auto index : std::span{*indices}.first(done)) must(hide(index));
    discard(std::span{*indices}.first(done + 1));
    return busy(std::move(shown).error());
  }
  this->count(plugged);
  return VIRTIO_MEM_RESP_ACK;
}

// All or none of them; memory goes to the host when nobody reaches it any more.
std::uint16_t MemoryBlocks::take(const Indices& indices) {
  for (std::size_t done = 0; done < indices.size(); ++done) {
    auto hidden = hide(indices[done]);
    if (hidden) continue;
    for (const auto index : std::span{indices}.first(done)) must(show(index));
    return busy(std::move(hidden).error());
  }
  discard(indices);
  count(plugged_ - indices.size() * block_);
  return VIRTIO_MEM_RESP_ACK;
}

std::uint16_t MemoryBlocks::unplug(Gpa from, std::uint64_t count) {
  const std::scoped_lock lock{mutex_};
  const auto indices = find(from, count);
  if (!indices || !std::ranges::all_of(*indices, [this](auto index) { return is_plugged(index); })) {
    return VIRTIO_MEM_RESP_ERROR;
  }
  return take(*indices);
}

std::uint16_t MemoryBlocks::unplug_all() {
  const std::scoped_lock lock{mutex_};
  Indices indices;
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    if (is_plugged(index)) indices.push_back(index);
  }
  return take(indices);
}

std::optional<std::uint16_t> MemoryBlocks::state(Gpa from, std::uint64_t count) const {
  const std::scoped_lock lock{mutex_};
  const auto indices = find(from, count);
  if (!indices) return std::nullopt;
  const auto there = std::ranges::count_if(*indices, [this](auto index) { return is_plugged(index); });
  if (there == 0) return VIRTIO_MEM_STATE_UNPLUGGED;
  return there == std::ssize(*indices) ? VIRTIO_MEM_STATE_PLUGGED : VIRTIO_MEM_STATE_MIXED;
}

Result<void> MemoryBlocks::attach(vfio::DmaSpace& space) {
  const std::scoped_lock lock{mutex_};
  space_ = &space;
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    if (!is_plugged(index)) continue;
    auto mapped = map(index);
    if (mapped) continue;
    // What an undo cannot unmap goes with the space.
    while (index-- > 0) {
      if (is_plugged(index)) (void)space.unmap(Iova{address(index).value}, block_);
    }
    space_ = nullptr;
    return mapped;
  }
  attached_ = true;
  return {};
}

void MemoryBlocks::leave() {
  attached_ = false;
  space_ = nullptr;
}

// The slots go with the old KVM VM.
Result<void> MemoryBlocks::restart() {
  const std::scoped_lock lock{mutex_};
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    if (!is_plugged(index)) continue;
    if (space_ != nullptr) TRY(space_->unmap(Iova{address(index).value}, block_));
    wiring_.memory.reach_block(index, false);
    slots_[index].reset();
    discard({&index, 1});
  }
  count(0);
  return {};
}

}  // namespace pcivm::vmm
