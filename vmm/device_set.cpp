// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/device_set.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "vfio/device.hpp"

namespace pcivm::vmm {

namespace {

Error abandoned() { return Error::make(Errc::internal, "the VM ended before the device was ready"); }

}  // namespace

Result<std::unique_ptr<DeviceSet>> DeviceSet::create(vfio::OpenedVfio opened, const BarPlan& bars, Wiring wiring) {
  std::unique_ptr<DeviceSet> set{new DeviceSet{std::move(wiring)}};
  if (opened.devices.empty()) return set;
  for (const auto& facts : opened.devices) TRY_IN(set->add(facts, bars), facts.address.to_string());
  set->dma_parts_ = opened.devices.size() + 1;
  set->space_ = TRY(vfio::make_dma_space(set->wiring_.port, std::move(opened)));
  return set;
}

Result<void> DeviceSet::add(const vfio::OpenedDevice& facts, const BarPlan& bars) {
  const AssignedWiring wiring{
      .memory = wiring_.mmio,
      .ports = wiring_.ports,
      .slots = wiring_.slots,
      .routes = wiring_.routes,
      .dma = dma_,
      .may_decode = [windows = wiring_.windows](std::uint64_t address,
                                                std::uint64_t length) { return windows.contain(address, length); },
      .report = wiring_.report};
  auto device = TRY(AssignedDevice::create(facts, wiring));
  for (const auto& site : bars.sites) {
    if (site.device == devices_.size()) device->place_bar(site.bar, site.address(wiring_.windows.high));
  }
  (void)TRY(wiring_.bus.add(*device));
  TRY(watch(*device, facts.address));
  devices_.push_back(std::move(device));
  openings_.push_back({.device = facts.address,
                       .unproven = facts.reset_forced ? vfio::UnprovenReset::allow : vfio::UnprovenReset::refuse});
  return {};
}

Result<void> DeviceSet::watch(AssignedDevice& device, Bdf address) {
  watches_.push_back(TRY(wiring_.loop.watch(device.request_event(), Interest::read, [this, &device, address] {
    (void)drain_eventfd(device.request_event());
    wiring_.wanted(address);
  })));
  watches_.push_back(TRY(wiring_.loop.watch(device.error_event(), Interest::read, [this, &device] {
    (void)drain_eventfd(device.error_event());
    wiring_.fail(Error::make(Errc::kernel, fmt::format("{}: the device reported an uncorrectable error", device.name()))
                     .advise("see the host's kernel log (AER)"));
  })));
  return {};
}

DeviceSet::~DeviceSet() { close(); }

Result<void> DeviceSet::connect(Vm& vm) {
  if (!space_) return {};
  vm_ = &vm;
  for (const auto file : space_->files()) TRY(vm.add_vfio(file));
  return {};
}

void DeviceSet::disconnect() {
  if (vm_ == nullptr) return;
  // What KVM does not let go of is closed with the VM.
  for (const auto file : space_->files()) (void)vm_->remove_vfio(file);
  vm_ = nullptr;
}

void DeviceSet::open_all() {
  opening_ = devices_.size();
  for (std::size_t index = 0; index < devices_.size(); ++index) {
    threads_.emplace_back([this, index] { open(index); });
  }
}

void DeviceSet::map_ram() {
  if (!devices_.empty()) threads_.emplace_back([this] { map_memory(); });
}

void DeviceSet::open(std::size_t index) {
  const auto [address, unproven] = openings_[index];
  auto done = devices_[index]->deliver(space_->open(address, unproven));
  if (!done) return wiring_.fail(std::move(done).error().within(address.to_string()));
  if (opening_.fetch_sub(1) == 1) wiring_.timeline.stamp(Phase::device_ready);
  end_part(space_->attach(address));
}

void DeviceSet::end_part(Result<void> outcome) {
  if (!outcome) {
    dma_.set(outcome);
    wiring_.fail(std::move(outcome).error());
  } else if (dma_parts_.fetch_sub(1) == 1) {
    wiring_.timeline.stamp(Phase::memory_mapped);
    dma_.set({});
  }
}

// Populated before it is mapped: pinning alone would fault page by page on one thread.
void DeviceSet::map_memory() {
  const auto work = [this]() -> Result<void> {
    TRY(wiring_.memory.populate(std::max(1U, std::thread::hardware_concurrency())));
    std::vector<vfio::DmaRun> runs;
    for (const auto& region : wiring_.memory.regions()) {
      if (region.kind != MemoryKind::ram) continue;
      runs.push_back({.iova = Iova{region.gpa.value}, .hva = region.hva, .length = region.length});
    }
    const auto merged = vfio::merge(runs);
    TRY(vfio::map_all(*space_, merged));
    for (const auto& run : merged) {
      figures_.mapped_bytes += run.length;
      ++figures_.runs;
      if (run.length >= 2 * kMiB) figures_.huge_run_bytes += run.length;
    }
    return {};
  };
  end_part(work());
}

void DeviceSet::abandon() {
  if (devices_.empty()) return;
  dma_.set(fail(abandoned()));
  for (const auto& device : devices_) (void)device->deliver(fail(abandoned()));
}

Result<void> DeviceSet::reset_all() {
  threads_.clear();
  std::mutex mutex;
  std::optional<Error> failure;
  for (const auto& device : devices_) {
    threads_.emplace_back([&, device = device.get()] {
      auto done = device->reset_for_reboot();
      const std::scoped_lock lock{mutex};
      if (!done) failure = std::move(done).error().within(std::string{device->name()});
    });
  }
  threads_.clear();
  if (failure) return fail(std::move(*failure));
  return {};
}

void DeviceSet::close() {
  threads_.clear();
  watches_.clear();
  disconnect();
  for (std::size_t index = 0; index < devices_.size(); ++index) {
    threads_.emplace_back([this, index] {
      devices_[index].reset();
      if (space_) space_->close(openings_[index].device);
    });
  }
  threads_.clear();
  devices_.clear();
  space_.reset();
}

}  // namespace pcivm::vmm
