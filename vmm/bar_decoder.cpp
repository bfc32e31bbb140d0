// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/bar_decoder.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/units.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint64_t kFirstPort = 0x1000;  // below are the chipset's own ports
constexpr std::uint64_t kPorts = 0x10000;

}  // namespace

class BarDecoder::Bar final : public IoHandler {
 public:
  Bar(const BarRequest& request, BarAccess& access) : request_{request}, access_{access} {}

  void read(std::uint64_t offset, std::span<std::byte> data) override {
    access_.bar_read(request_.index, offset, data);
  }
  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    access_.bar_write(request_.index, offset, data);
  }
  [[nodiscard]] const BarRequest& request() const { return request_; }

  std::optional<std::vector<Window>> windows;  // once it was decoded
  std::vector<vfio::Area> holes;
  std::optional<std::uint64_t> at;  // where it is decoded now
  std::vector<SlotId> slots;
  std::vector<vfio::DmaRun> peers;  // what the VM's other devices reach of it

 private:
  BarRequest request_;
  BarAccess& access_;
};

BarDecoder::BarDecoder(const vfio::Device& device, std::span<const BarRequest> requests, std::span<const BarHole> holes,
                       const AssignedWiring& wiring, BarAccess& access, const std::string& name)
    : device_{device}, wiring_{wiring}, name_{name} {
  for (const auto& request : requests) {
    auto bar = std::make_unique<Bar>(request, access);
    bar->holes.reserve(holes.size());
    for (const auto& hole : holes) {
      if (hole.bar == request.index) bar->holes.push_back(hole.area);
    }
    bars_.push_back(std::move(bar));
  }
}

BarDecoder::~BarDecoder() { clear(); }

IoBus& BarDecoder::bus_of(const Bar& bar) const { return bar.request().io ? wiring_.ports : wiring_.memory; }

std::optional<std::uint64_t> BarDecoder::wanted(const Bar& bar, const BarRegisters& registers, bool memory,
                                                bool io) const {
  const auto& request = bar.request();
  const auto address = registers.address(request);
  const bool possible = request.io ? io && address >= kFirstPort && fits(address, request.size, kPorts)
                                   : memory && address != 0 && wiring_.may_decode(address, request.size);
  return possible ? std::optional{address} : std::nullopt;
}

void BarDecoder::decode(const BarRegisters& registers, bool memory, bool io) {
  for (const auto& bar : bars_) {
    if (bar->at && bar->at != wanted(*bar, registers, memory, io)) take_out(*bar);
  }
  for (const auto& bar : bars_) {
    const auto address = wanted(*bar, registers, memory, io);
    if (!bar->at && address) put_in(*bar, *address);
  }
}

void BarDecoder::clear() {
  for (const auto& bar : bars_) {
    if (bar->at) take_out(*bar);
  }
}

// Other devices first, then slots: afterwards an access traps and finds the bus range, or nothing.
void BarDecoder::take_out(Bar& bar) {
  for (const auto& run : std::exchange(bar.peers, {})) {
    auto removed = wiring_.peers->unmap(run.iova, run.length);
    if (!removed)
      wiring_.report(std::move(removed).error().within(fmt::format("{} BAR {}", name_, bar.request().index)));
  }
  for (const auto slot : bar.slots) {
    auto removed = wiring_.slots.remove(slot);
    if (!removed)
      wiring_.report(std::move(removed).error().within(fmt::format("{} BAR {}", name_, bar.request().index)));
  }
  bar.slots.clear();
  bus_of(bar).remove(*bar.at);
  bar.at.reset();
}

// The whole BAR is on the bus: what has a slot never gets there.
void BarDecoder::put_in(Bar& bar, std::uint64_t address) {
  const auto& request = bar.request();
  auto added = bus_of(bar).add(address, request.size, bar, fmt::format("{} BAR {}", name_, request.index));
  if (!added) {
    wiring_.report(std::move(added).error());
    return;
  }
  bar.at = address;
  add_slots(bar, address);
}

// Exactly as the driver lists the areas; only the guest's view leaves the holes out.
void BarDecoder::map(Bar& bar) {
  if (bar.windows) return;
  bar.windows.emplace();
  const auto& request = bar.request();
  for (const auto& area : device_.region(request.index).areas) {
    if (request.io) break;
    auto host = device_.map(request.index, area);
    if (host) {
      bar.windows->push_back({.host = std::move(*host), .offset = area.offset});
    } else {
      wiring_.report(std::move(host).error().within(fmt::format("{} BAR {}, trapping it", name_, request.index)));
    }
  }
}

void BarDecoder::add_slots(Bar& bar, std::uint64_t address) {
  if (!is_aligned(address, kPageSize)) return;
  map(bar);
  for (const auto& window : *bar.windows) {
    std::vector<vfio::Area> pieces{{.offset = window.offset, .length = window.host.length()}};
    for (const auto& hole : bar.holes) pieces = vfio::subtract(pieces, hole);
    for (const auto& piece : pieces) {
      auto slot = wiring_.slots.add(Gpa{address + piece.offset}, window.host.hva() + (piece.offset - window.offset),
                                    piece.length);
      if (slot) {
        bar.slots.push_back(*slot);
        add_peer(bar, {.iova = Iova{address + piece.offset},
                       .hva = window.host.hva() + (piece.offset - window.offset),
                       .length = piece.length});
      } else {
        wiring_.report(
            std::move(slot).error().within(fmt::format("{} BAR {}, trapping it", name_, bar.request().index)));
      }
    }
  }
}

// Not to have it is no failure. iommufd maps no BAR that is not a dma-buf, and says so each time: it is asked once.
void BarDecoder::add_peer(Bar& bar, const vfio::DmaRun& run) {
  if (!wiring_.peers || peers_refused_) return;
  auto mapped = wiring_.peers->map(run);
  if (mapped) {
    bar.peers.push_back(run);
    return;
  }
  peers_refused_ = true;
  wiring_.report(std::move(mapped).error().within(
      fmt::format("{} BAR {}: other devices of the VM do not reach it", name_, bar.request().index)));
}

}  // namespace pcivm::vmm
