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
  set->facts_ = std::move(opened.devices);
  set->container_ =
      TRY(vfio::Container::attach(set->wiring_.port, std::move(opened.container), std::move(opened.groups)));
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

Result<void> DeviceSet::connect(Vm& vm) const {
  if (!container_) return {};
  for (std::size_t index = 0; index < container_->group_count(); ++index) TRY(vm.add_vfio(container_->group(index)));
  return {};
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
  const auto& facts = facts_[index];
  const auto unproven = facts.reset_forced ? vfio::UnprovenReset::allow : vfio::UnprovenReset::refuse;
  auto done = devices_[index]->deliver(
      vfio::Device::open(wiring_.port, container_->group(facts.group), facts.address, facts.vf_token, unproven));
  if (!done) {
    wiring_.fail(std::move(done).error().within(facts.address.to_string()));
  } else if (opening_.fetch_sub(1) == 1) {
    wiring_.timeline.stamp(Phase::device_ready);
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
    TRY(vfio::map_all(*container_, merged));
    for (const auto& run : merged) {
      figures_.mapped_bytes += run.length;
      ++figures_.runs;
      if (run.length >= 2 * kMiB) figures_.huge_run_bytes += run.length;
    }
    return {};
  };
  auto done = work();
  if (done) wiring_.timeline.stamp(Phase::memory_mapped);
  dma_.set(done);
  if (!done) wiring_.fail(std::move(done).error());
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
  for (auto& device : devices_) {
    threads_.emplace_back([owned = std::move(device)]() mutable { owned.reset(); });
  }
  threads_.clear();
  devices_.clear();
  container_.reset();
}

}  // namespace pcivm::vmm
