// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/device_set.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "vfio/device.hpp"
#include "vmm/thread_filter.hpp"

namespace pcivm::vmm {

namespace {

Error abandoned() { return Error::make(Errc::internal, "the VM ended before the device was ready"); }

}  // namespace

Result<std::unique_ptr<DeviceSet>> DeviceSet::create(vfio::OpenedVfio opened, const BarPlan& bars, Wiring wiring) {
  std::unique_ptr<DeviceSet> set{new DeviceSet{std::move(wiring)}};
  if (opened.devices.empty()) return set;
  set->space_ = std::make_unique<Space>();
  set->space_->parts = opened.devices.size() + 1;
  std::vector<std::vector<vfio::IovaRange>> reserved;
  for (const auto& facts : opened.devices) {
    TRY_IN(set->add(facts, bars), facts.name());
    if (!facts.server) reserved.push_back(opened.groups.at(facts.group).reserved);
  }
  set->space_->space = TRY(vfio::make_dma_space(set->wiring_.port, std::move(opened)));
  for (std::size_t index = 0; index < reserved.size(); ++index) {
    TRY(set->put_behind_iommu(*set->members_[index], std::move(reserved[index])));
  }
  return set;
}

Result<void> DeviceSet::put_behind_iommu(const Member& member, std::vector<vfio::IovaRange> reserved) {
  if (wiring_.domains == nullptr) return {};
  return wiring_.domains->add(
      endpoint_in(member.slot),
      {.function = member.function, .space = *space_->space, .ready = space_->dma, .reserved = std::move(reserved)});
}

// What the guest mapped for it stays until it is closed, when nothing is there to use it any more.
void DeviceSet::close_in_space(Bdf function) {
  const auto domain = wiring_.domains != nullptr ? wiring_.domains->remove(function) : nullptr;
  space_->space->close(function);
}

vfio::UnprovenReset DeviceSet::unproven_of(const vfio::OpenedDevice& facts) {
  return facts.reset_forced ? vfio::UnprovenReset::allow : vfio::UnprovenReset::refuse;
}

// The space is there as long as a device is, and a device decodes nothing before it was opened in there.
std::optional<PeerMapping> DeviceSet::peer_mapping() {
  if (!wiring_.peer_to_peer) return std::nullopt;
  return PeerMapping{.map = [this](const vfio::DmaRun& run) -> Result<void> {
                       TRY(space_->space->map(run));
                       peer_bytes_ += run.length;
                       return {};
                     },
                     .unmap = [this](Iova iova, std::uint64_t length) -> Result<void> {
                       peer_bytes_ -= length;
                       return space_->space->unmap(iova, length);
                     }};
}

AssignedWiring DeviceSet::assigned_wiring() {
  return {.memory = wiring_.mmio,
          .ports = wiring_.ports,
          .slots = wiring_.slots,
          .routes = wiring_.routes,
          .dma = space_->dma,
          .may_decode = [windows = wiring_.windows](std::uint64_t address,
                                                    std::uint64_t length) { return windows.contain(address, length); },
          .report = wiring_.report,
          .peers = peer_mapping()};
}

Result<void> DeviceSet::add(const vfio::OpenedDevice& facts, const BarPlan& bars) {
  auto member = std::make_unique<Member>();
  member->function = facts.address;
  member->unproven = unproven_of(facts);
  member->device = TRY(AssignedDevice::create(facts, assigned_wiring()));
  for (const auto& site : bars.sites) {
    if (site.device == members_.size()) member->device->place_bar(site.bar, site.address(wiring_.windows.high));
  }
  member->slot = TRY(wiring_.bus.add(*member->device));
  taken_ |= 1U << member->slot;
  intx_.add(member->slot, *member->device);
  TRY(watch(*member));
  if (wiring_.hotplug != nullptr) {
    wiring_.tell({.kind = PlugReport::Kind::placed, .function = facts.address, .slot = member->slot});
  }
  members_.push_back(std::move(member));
  return {};
}

Result<void> DeviceSet::watch(Member& member) {
  auto& device = *member.device;
  const auto address = member.function;
  member.watches.push_back(TRY(wiring_.loop.watch(device.request_event(), Interest::read, [this, &member] {
    (void)drain_eventfd(member.device->request_event());
    on_request(member);
  })));
  member.watches.push_back(TRY(wiring_.loop.watch(device.error_event(), Interest::read, [this, &device, address] {
    (void)drain_eventfd(device.error_event());
    wiring_.failed(address);
  })));
  member.watches.push_back(
      TRY(wiring_.loop.watch(device.intx_event(), Interest::read, [&device] { device.interrupt(); })));
  return {};
}

// A device whose server is lost has been pulled: without hot-plug, or when the VM is just starting, it only reads as
// that.
void DeviceSet::on_request(const Member& member) {
  const auto loss = space_->space->loss(member.function);
  if (!loss) return wiring_.wanted(member.function);
  wiring_.report(*loss);
  (void)take_out(member.function);
}

DeviceSet::~DeviceSet() { close(); }

Result<void> DeviceSet::connect(Vm& vm) {
  vm_ = &vm;
  if (!space_) return {};
  for (const auto file : space_->space->files()) TRY(vm.add_vfio(file));
  for (const auto& member : members_) {
    if (member->asked && member->presence == Presence::here) leave(*member, false);
  }
  return {};
}

void DeviceSet::disconnect() {
  if (vm_ == nullptr) return;
  if (space_ && space_->space) {
    // What KVM does not let go of is closed with the VM.
    for (const auto file : space_->space->files()) (void)vm_->remove_vfio(file);
  }
  vm_ = nullptr;
}

void DeviceSet::open_all() {
  opening_ = members_.size();
  for (const auto& member : members_) {
    threads_.emplace_back([this, &each = *member] {
      become(ThreadKind::start);
      open(each);
    });
  }
}

void DeviceSet::map_ram() {
  if (members_.empty()) return;
  threads_.emplace_back([this] {
    become(ThreadKind::start);
    end_part(map_memory());
  });
}

void DeviceSet::open(Member& member) {
  auto done = member.device->deliver(space_->space->open(member.function, member.unproven));
  if (!done) {
    const auto loss = space_->space->loss(member.function);
    if (!loss) return wiring_.fail(std::move(done).error());
    wiring_.report(*loss);
  }
  member.opened = true;
  if (opening_.fetch_sub(1) == 1) wiring_.timeline.stamp(Phase::device_ready);
  end_part(space_->space->attach(member.function));
}

// One of what DMA waits for at the start is through: the mapping, or a device's attachment.
void DeviceSet::end_part(Result<void> outcome) {
  if (!outcome) {
    space_->dma.set(outcome);
    wiring_.fail(std::move(outcome).error());
  } else if (space_->parts.fetch_sub(1) == 1) {
    wiring_.timeline.stamp(Phase::memory_mapped);
    space_->dma.set({});
  }
}

// Populated before it is mapped: pinning alone would fault page by page on one thread.
Result<void> DeviceSet::map_memory() {
  const auto start = std::chrono::steady_clock::now();
  if (space_->space->pins()) TRY(wiring_.memory.populate(std::max(1U, std::thread::hardware_concurrency())));
  const auto populated = std::chrono::steady_clock::now();
  std::vector<vfio::DmaRun> runs;
  for (const auto& region : wiring_.memory.regions()) {
    if (region.kind != MemoryKind::ram) continue;
    runs.push_back({.iova = Iova{region.gpa.value}, .hva = region.hva, .length = region.length, .file = region.file});
  }
  const auto merged = vfio::merge(runs);
  TRY(vfio::map_all(*space_->space, merged));
  if (wiring_.blocks != nullptr) TRY(wiring_.blocks->attach(*space_->space));
  DmaFigures figures{.populating = populated - start, .mapping = std::chrono::steady_clock::now() - populated};
  for (const auto& run : merged) {
    figures.mapped_bytes += run.length;
    ++figures.runs;
    if (run.length >= 2 * kMiB) figures.huge_run_bytes += run.length;
  }
  const std::scoped_lock lock{mutex_};
  figures_ = figures;
  return {};
}

DmaFigures DeviceSet::figures() const {
  const std::scoped_lock lock{mutex_};
  auto figures = figures_;
  figures.peer_bytes = peer_bytes_;
  if (wiring_.blocks == nullptr) return figures;
  const auto blocks = wiring_.blocks->mapped();
  figures.mapped_bytes += blocks;
  figures.huge_run_bytes += blocks;
  figures.runs += blocks / wiring_.blocks->block();
  return figures;
}

std::vector<std::pair<Bdf, VectorUse>> DeviceSet::vectors() const {
  std::vector<std::pair<Bdf, VectorUse>> all;
  for (const auto& member : members_) {
    if (const auto use = member->device->vectors()) all.emplace_back(member->function, *use);
  }
  return all;
}

void DeviceSet::abandon() {
  if (job_.joinable()) job_.join();
  if (!space_) return;
  space_->dma.set(fail(abandoned()));
  for (const auto& member : members_) {
    if (member->device) (void)member->device->deliver(fail(abandoned()));
  }
}

void DeviceSet::join_threads() {
  threads_.clear();
  if (job_.joinable()) job_.join();
}

Result<void> DeviceSet::reset_all() {
  join_threads();
  if (wiring_.hotplug != nullptr) wiring_.hotplug->reset();
  for (unsigned slot = 0; slot < HotplugSlots::kSlots; ++slot) {
    if ((ghosts_ >> slot & 1U) != 0) wiring_.tell({.kind = PlugReport::Kind::vacated, .slot = slot});
  }
  taken_ &= ~std::exchange(ghosts_, 0U);
  std::mutex mutex;
  std::optional<Error> failure;
  for (const auto& member : members_) {
    if (member->presence == Presence::leaving) continue;
    if (std::exchange(member->presence, Presence::here) != Presence::here) {
      wiring_.bus.remove(member->slot);  // its job may not have begun
      TRY(wiring_.bus.insert(member->slot, *member->device));
      wiring_.tell({.kind = PlugReport::Kind::placed, .function = member->function, .slot = member->slot});
    }
    threads_.emplace_back([&, function = member->function, device = member->device.get()] {
      become(ThreadKind::start);
      auto done = device->reset_for_reboot();
      const std::scoped_lock lock{mutex};
      if (!done && !space_->space->loss(function)) {
        failure = std::move(done).error().within(std::string{device->name()});
      }
    });
  }
  threads_.clear();
  if (wiring_.domains != nullptr) wiring_.domains->restart();
  if (failure) return fail(std::move(*failure));
  return {};
}

void DeviceSet::close() {
  join_threads();
  for (auto& job : jobs_) {
    if (job.newcomer) members_.push_back(std::move(job.newcomer));
  }
  jobs_.clear();
  disconnect();
  if (wiring_.blocks != nullptr) {
    const auto held = wiring_.blocks->hold();
    wiring_.blocks->leave();
  }
  for (auto& member : members_) {
    member->watches.clear();
    intx_.remove(member->slot);
    threads_.emplace_back([this, &each = *member] {
      become(ThreadKind::start);
      each.device.reset();
      if (space_ && space_->space) close_in_space(each.function);
    });
  }
  threads_.clear();
  members_.clear();
  space_.reset();
}

}  // namespace pcivm::vmm
