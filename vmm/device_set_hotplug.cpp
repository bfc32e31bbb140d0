// SPDX-License-Identifier: GPL-2.0-or-later
// Devices that come and go while the guest runs.
#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

#include "vmm/device_set.hpp"
#include "vmm/thread_filter.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::uint32_t bit(unsigned slot) { return 1U << slot; }

// ACPI 6.5, tables 6.14 and 6.15: what _OST says of an eject request.
constexpr std::uint16_t kEjectPending = 0x84;

std::string status_text(std::uint16_t status) {
  switch (status) {
    case 0x80: return "it does not support that";
    case 0x81: return "the device is in use";
    case 0x82: return "the device is busy";
    case 0x83: return "something that it depends on is busy";
    default: return "no reason given";
  }
}

}  // namespace

Result<DeviceSet::Member*> DeviceSet::find(Bdf function) {
  for (const auto& member : members_) {
    if (member->function != function) continue;
    if (wiring_.hotplug == nullptr || (wiring_.hotplug_slots & bit(member->slot)) == 0) {
      return fail(Errc::refused,
                  fmt::format("{} is in slot {}, which is not for hot-plug", function.to_string(), member->slot));
    }
    return member.get();
  }
  return fail(Errc::not_found, fmt::format("the VM does not have {}", function.to_string()));
}

// Where it was, or the first of those that are kept, or one that a device of the start has left.
Result<unsigned> DeviceSet::free_slot(unsigned preferred) const {
  const auto free = wiring_.hotplug_slots & ~taken_;
  if (free == 0) return fail(Errc::busy, "no hot-plug slot is free");
  if (preferred != 0 && preferred < HotplugSlots::kSlots && (free & bit(preferred)) != 0) return preferred;
  const auto kept = free & ~(bit(platform::kFirstHotplugSlot) - 1);
  return static_cast<unsigned>(std::countr_zero(kept != 0 ? kept : free));
}

void DeviceSet::attach(PlugRequest request) {
  const auto refuse = [&](Error error) {
    wiring_.tell({.kind = PlugReport::Kind::failed, .function = request.function, .error = std::move(error)});
  };
  const auto slot = free_slot(request.slot);
  if (!slot) return refuse(slot.error());
  const auto known =
      std::ranges::any_of(members_, [&](const auto& member) { return member->function == request.function; });
  const auto comes = std::ranges::any_of(
      jobs_, [&](const Job& job) { return job.newcomer && job.newcomer->function == request.function; });
  if (known || comes) return refuse(Error::make(Errc::busy, "the VM has it already"));
  Job job;
  job.newcomer = std::make_unique<Member>();
  job.newcomer->function = request.function;
  job.newcomer->unproven = unproven_of(request.opened.devices.front());
  job.newcomer->slot = *slot;
  job.opened = std::move(request.opened);
  taken_ |= bit(*slot);
  start(std::move(job));
}

// Of one that does not leave: then there is a space.
bool DeviceSet::settled(const Member& member) const { return member.opened && space_->dma.is_set(); }

Result<void> DeviceSet::ask_back(Bdf function) {
  auto& member = *TRY(find(function));
  if (member.presence == Presence::leaving) return {};
  if (!settled(member)) return fail(Errc::busy, fmt::format("{} is being opened", function.to_string()));
  member.asked = true;
  // Of one that is being reset the guest is, or will be, asked anyway.
  if (member.presence == Presence::here) wiring_.hotplug->ask_back(member.slot);
  return {};
}

Result<void> DeviceSet::take_out(Bdf function) {
  auto& member = *TRY(find(function));
  if (member.presence == Presence::leaving) return {};
  if (!settled(member)) return fail(Errc::busy, fmt::format("{} is being opened", function.to_string()));
  leave(member, true);
  return {};
}

Result<void> DeviceSet::recover(Bdf function) {
  auto& member = *TRY(find(function));
  if (member.presence != Presence::here) return {};
  if (!settled(member)) return fail(Errc::busy, fmt::format("{} is being opened", function.to_string()));
  if (member.recoveries == kMostRecoveries) {
    return fail(Errc::refused, fmt::format("{} was reset {} times already", function.to_string(), kMostRecoveries));
  }
  ++member.recoveries;
  member.presence = Presence::resetting;
  wiring_.hotplug->withdraw(member.slot);
  wiring_.tell({.kind = PlugReport::Kind::pulled, .function = function, .slot = member.slot});
  Job job;
  job.leaver = &member;
  job.resets = true;
  start(std::move(job));
  return {};
}

bool DeviceSet::away(Bdf function) const {
  const auto found = std::ranges::find(members_, function, [](const auto& member) { return member->function; });
  return found == members_.end() || (*found)->presence != Presence::here;
}

void DeviceSet::leave(Member& member, bool surprise) {
  member.presence = Presence::leaving;
  wiring_.hotplug->withdraw(member.slot);
  Job job;
  job.leaver = &member;
  job.surprise = surprise;
  start(std::move(job));
}

void DeviceSet::hear_guest() {
  const auto news = wiring_.hotplug->take_news();
  for (const auto& member : members_) {
    // A guest that has not seen it yet has nothing to say, and one that sees it no more is asked when it is through.
    const bool seen = member->presence == Presence::here || member->presence == Presence::renewed;
    if (!seen || !settled(*member)) continue;
    if ((news.ejected & bit(member->slot)) != 0) {
      const bool stays = member->presence == Presence::renewed && !member->asked;
      if (!stays || !show(*member)) leave(*member, false);
      continue;
    }
    const auto& answer = news.answers.at(member->slot);
    if (!answer || answer->status == kEjectPending) continue;
    const auto& function = member->function;
    if (answer->event == HotplugSlots::kDeviceCheck && answer->status != 0) {
      wiring_.report(Error::make(
          Errc::busy, fmt::format("the guest does not take {} (status {:#x})", function.to_string(), answer->status)));
    } else if (answer->event == HotplugSlots::kEjectRequest && answer->status != 0 && member->asked) {
      member->asked = false;
      wiring_.tell({.kind = PlugReport::Kind::refused,
                    .function = function,
                    .slot = member->slot,
                    .error = Error::make(Errc::busy, fmt::format("the guest refuses to let go of it: {} (status {:#x})",
                                                                 status_text(answer->status), answer->status))
                                 .coded("guest.refused")});
    } else if (answer->event == HotplugSlots::kEjectRequest && answer->status != 0 &&
               member->presence == Presence::renewed) {
      wiring_.report(
          Error::make(Errc::busy, fmt::format("{} is reset, and not shown again: the guest does not let go "
                                              "of the one that failed: {} (status {:#x})",
                                              function.to_string(), status_text(answer->status), answer->status)));
    }
  }
  const auto vacated = std::exchange(ghosts_, ghosts_ & ~news.ejected) & news.ejected;
  taken_ &= ~vacated;
  for (unsigned slot = 0; slot < HotplugSlots::kSlots; ++slot) {
    if ((vacated & bit(slot)) != 0) wiring_.tell({.kind = PlugReport::Kind::vacated, .slot = slot});
  }
}

void DeviceSet::start(Job job) {
  jobs_.push_back(std::move(job));
  if (jobs_.size() == 1) start_next();
}

void DeviceSet::start_next() {
  auto& job = jobs_.front();
  // A restart of the guest, or who takes it out, may have come before.
  const bool resets = job.resets && job.leaver->presence == Presence::resetting;
  job_ = std::jthread{[this, &job, resets] {
    become(ThreadKind::hotplug);
    if (job.newcomer) {
      job.outcome = bring(job);
    } else if (job.resets) {
      if (resets) job.outcome = reset(*job.leaver);
    } else {
      take_away(*job.leaver);
    }
    wiring_.loop.post([this] { finish(); });
  }};
}

void DeviceSet::finish() {
  if (job_.joinable()) job_.join();
  if (jobs_.empty()) return;
  auto job = std::move(jobs_.front());  // what is left of it keeps the next one waiting
  if (job.newcomer) {
    welcome(std::move(job));
  } else if (job.resets) {
    renew(std::move(job));
  } else {
    forget(std::move(job));
  }
  jobs_.pop_front();
  if (!jobs_.empty()) start_next();
}

// On a job's thread. The guest sees nothing of it before all of it is done: it can neither wait for it nor break it.
Result<void> DeviceSet::bring(Job& job) {
  auto& member = *job.newcomer;
  vfio::OpenedDevice facts;
  facts.address = member.function;
  facts.bars = job.opened.devices.front().bars;
  facts.msix_bar = job.opened.devices.front().msix_bar;
  auto reserved = job.opened.groups.front().reserved;
  TRY(join(std::move(job.opened)));
  auto made = [&]() -> Result<void> {
    auto& space = *space_->space;
    member.device = TRY(AssignedDevice::create(facts, assigned_wiring()));
    TRY(member.device->deliver(space.open(member.function, member.unproven)));
    TRY(space.attach(member.function));
    TRY(put_behind_iommu(member, std::move(reserved)));
    intx_.add(member.slot, *member.device);
    return wiring_.bus.insert(member.slot, *member.device);
  }();
  if (made) {
    member.opened = true;
    return {};
  }
  intx_.remove(member.slot);
  member.device.reset();
  forget_in_kvm(member.function);
  leave_space(member.function);
  return made;
}

Result<void> DeviceSet::join(vfio::OpenedVfio opened) {
  const auto function = opened.devices.front().address;
  const bool first = !space_;
  std::vector<FdRef> files;
  if (first) {
    auto made = std::make_unique<Space>();
    made->space = TRY(vfio::make_dma_space(wiring_.port, std::move(opened)));
    files = made->space->files();
    space_ = std::move(made);
  } else {
    TRY(space_->dma.wait());  // of the start: two must not map at a time
    files = TRY(space_->space->add(std::move(opened)));
  }
  for (const auto file : files) {  // the group or the device: one at most
    if (auto told = vm_->add_vfio(file); !told) {
      leave_space(function);
      return told;
    }
  }
  if (!first) return {};
  if (auto mapped = map_memory(); !mapped) {
    forget_in_kvm(function);
    leave_space(function);
    return mapped;
  }
  wiring_.timeline.stamp(Phase::memory_mapped);
  space_->dma.set({});
  return {};
}

// On a job's thread. No access may be in progress: none must see it half reset, or change it afterwards.
Result<void> DeviceSet::reset(Member& member) {
  wiring_.bus.remove(member.slot);
  wiring_.mmio.await_accesses();
  wiring_.ports.await_accesses();
  return member.device->reset_for_reboot();
}

// On a job's thread: irqfds, interrupts, BARs; then nobody is inside any more; then the device, whose close ends its
// DMA, before the memory that it reached.
void DeviceSet::take_away(Member& member) {
  wiring_.bus.remove(member.slot);
  intx_.remove(member.slot);
  member.device->release();
  wiring_.mmio.await_accesses();
  wiring_.ports.await_accesses();
  // Its events may still be watched, which need not its device: see forget().
  member.device->close();
  forget_in_kvm(member.function);
  leave_space(member.function);
}

// KVM has a reference of its own, to the device or to its group.
void DeviceSet::forget_in_kvm(Bdf function) {
  const auto file = space_->space->file_of(function);
  if (!file) return;
  if (auto told = vm_->remove_vfio(*file); !told) {
    wiring_.report(std::move(told).error().within(function.to_string()));
  }
}

// With the last device the mappings go, so nobody may unmap one meanwhile.
void DeviceSet::leave_space(Bdf function) {
  std::unique_lock<std::mutex> held;
  if (wiring_.blocks != nullptr) held = wiring_.blocks->hold();
  close_in_space(function);
  if (!space_->space->empty()) return;
  if (held) wiring_.blocks->leave();
  space_.reset();
  const std::scoped_lock lock{mutex_};
  figures_ = {};
}

void DeviceSet::welcome(Job job) {
  auto& member = *job.newcomer;
  const auto function = member.function;
  if (!job.outcome) {
    taken_ &= ~bit(member.slot);
    wiring_.tell({.kind = PlugReport::Kind::failed,
                  .function = function,
                  .error = std::move(job.outcome).error().within(function.to_string())});
    return;
  }
  if (auto watched = watch(member); !watched) wiring_.report(std::move(watched).error().within(function.to_string()));
  members_.push_back(std::move(job.newcomer));
  wiring_.hotplug->tell_plugged(member.slot);
  wiring_.tell({.kind = PlugReport::Kind::placed, .function = function, .slot = member.slot});
}

void DeviceSet::renew(Job job) {
  auto& member = *job.leaver;
  if (member.presence != Presence::resetting) return;
  if (job.outcome) {
    member.presence = Presence::renewed;
    wiring_.hotplug->ask_back(member.slot);  // whose driver then forgets it
    return;
  }
  wiring_.report(std::move(job.outcome)
                     .error()
                     .within(fmt::format("{}: the reset failed, so it is detached", member.function.to_string())));
  leave(member, true);
}

Result<void> DeviceSet::show(Member& member) {
  TRY(wiring_.bus.insert(member.slot, *member.device));
  member.presence = Presence::here;
  wiring_.hotplug->tell_plugged(member.slot);
  wiring_.tell({.kind = PlugReport::Kind::placed, .function = member.function, .slot = member.slot});
  return {};
}

void DeviceSet::forget(Job job) {
  const auto function = job.leaver->function;
  const auto slot = job.leaver->slot;
  std::erase_if(members_, [&](const auto& member) { return member.get() == job.leaver; });
  if (job.surprise) {
    ghosts_ |= bit(slot);
    wiring_.hotplug->ask_back(slot);
  } else {
    taken_ &= ~bit(slot);
  }
  wiring_.tell({.kind = PlugReport::Kind::detached, .function = function, .slot = job.surprise ? slot : 0});
}

}  // namespace pcivm::vmm
