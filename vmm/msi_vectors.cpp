// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/msi_vectors.hpp"

#include <algorithm>
#include <utility>

namespace pcivm::vmm {

namespace {

// Interrupts of the host that a device is given at once, whether or not its driver will use all of them.
constexpr std::size_t kFewVectors = 16;

}  // namespace

MsiVectors::MsiVectors(const vfio::Device& device, vfio::Irq kind, unsigned count, InterruptRoutes& routes,
                       const Report& report)
    : device_{device}, kind_{kind}, routes_{routes}, report_{report}, vectors_(count) {}

MsiVectors::~MsiVectors() { release(); }

void MsiVectors::report(Result<void> outcome) const {
  if (!outcome) report_(outcome.error());
}

bool MsiVectors::make(Fd& event) const {
  if (event) return true;
  auto made = make_eventfd();
  if (!made) {
    report_(made.error());
    return false;
  }
  event = std::move(*made);
  return true;
}

void MsiVectors::enable(std::span<const Wanted> wanted) {
  if (enabled_) return;
  enabled_ = true;
  const auto count = static_cast<unsigned>(vectors_.size());
  wanted = wanted.first(std::min<std::size_t>(wanted.size(), count));
  if (in_a_row()) return arm_in_a_row(wanted);
  attach(route(0, wanted));
  if (count <= kFewVectors) report(arm(count, wanted));
  // Many of them, or more than the host has: each when it is unmasked.
  if (host_count_ == 0) update(0, wanted);
  // The device must leave INTx now, whether or not a vector is unmasked.
  if (host_count_ == 0) report(arm(std::min(1U, count), wanted));
}

// One call now saves one for each vector that the guest unmasks later.
Result<void> MsiVectors::arm(unsigned count, std::span<const Wanted> wanted) {
  for (unsigned index = 0; index < count; ++index) {
    vectors_[index].trigger = first_trigger(vectors_[index], index < wanted.size() && wanted[index].has_value());
  }
  return set_run(0, count);
}

void MsiVectors::arm_in_a_row(std::span<const Wanted> wanted) {
  attach(route(0, wanted));
  auto count = static_cast<unsigned>(wanted.size());
  report(arm(count, wanted));
  while (host_count_ == 0 && count > 1) {
    count /= 2;
    (void)arm(count, wanted);  // the first error said what is wrong
  }
}

// What is signalled before there is an irqfd waits in its eventfd, where KVM looks when the irqfd is assigned.
MsiVectors::Trigger MsiVectors::first_trigger(Vector& vector, bool wanted) {
  if (!vector.attached) return make(vector.event) ? Trigger::waiting : Trigger::none;
  if (wanted) return Trigger::guest;
  return make(vector.parked) ? Trigger::parked : Trigger::none;
}

void MsiVectors::update(unsigned first, std::span<const Wanted> wanted) {
  if (!enabled_ || first >= vectors_.size()) return;
  wanted = wanted.first(std::min(wanted.size(), vectors_.size() - first));
  if (in_a_row()) {
    if (host_count_ == 0 && first == 0) return arm_in_a_row(wanted);
    wanted = wanted.first(std::min<std::size_t>(wanted.size(), host_count_ - std::min(first, host_count_)));
  }
  park(first, wanted);
  const auto routed = route(first, wanted);
  attach(routed);
  std::vector<unsigned> woken;
  std::vector<unsigned> switched;
  for (unsigned index = 0; index < wanted.size(); ++index) {
    auto& vector = vectors_[first + index];
    if (!wanted[index] || !vector.attached || vector.trigger == Trigger::guest) continue;
    woken.push_back(first + index);
    if (std::exchange(vector.trigger, Trigger::guest) != Trigger::waiting) switched.push_back(first + index);
  }
  set_triggers(switched);
  deliver_parked(woken);
}

void MsiVectors::park(unsigned first, std::span<const Wanted> wanted) {
  std::vector<unsigned> parked;
  for (unsigned index = 0; index < wanted.size(); ++index) {
    auto& vector = vectors_[first + index];
    if (wanted[index] || vector.trigger != Trigger::guest) continue;
    // Out of descriptors: the interrupt keeps going to the guest, which is what a late mask looks like.
    if (!make(vector.parked)) continue;
    vector.trigger = Trigger::parked;
    parked.push_back(first + index);
  }
  set_triggers(parked);
}

Result<void> MsiVectors::prepare(Vector& vector) {
  if (!vector.event) vector.event = TRY(make_eventfd());
  if (!vector.gsi) vector.gsi = TRY(routes_.allocate());
  return {};
}

std::vector<unsigned> MsiVectors::route(unsigned first, std::span<const Wanted> wanted) {
  std::vector<unsigned> routed;
  for (unsigned index = 0; index < wanted.size(); ++index) {
    auto& vector = vectors_[first + index];
    if (!wanted[index] || (vector.attached && vector.message == *wanted[index])) continue;
    if (auto ready = prepare(vector); !ready) {
      report_(ready.error());
      continue;
    }
    vector.message = *wanted[index];
    routes_.route(*vector.gsi, vector.message);
    routed.push_back(first + index);
  }
  if (routed.empty()) return routed;
  auto committed = routes_.commit();
  if (committed) return routed;
  report_(committed.error());
  // One route that KVM does not take would keep every other device from changing its own.
  for (const auto index : routed) {
    auto& vector = vectors_[index];
    if (std::exchange(vector.attached, false)) report(routes_.detach(vector.event.ref(), *vector.gsi));
    routes_.clear(*vector.gsi);
  }
  report(routes_.commit());
  return {};
}

// An irqfd that is there follows its route. What was signalled before it is there is in the eventfd.
void MsiVectors::attach(const std::vector<unsigned>& routed) {
  for (const auto index : routed) {
    auto& vector = vectors_[index];
    if (vector.attached) continue;
    auto attached = routes_.attach(vector.event.ref(), *vector.gsi);
    vector.attached = attached.has_value();
    report(std::move(attached));
  }
}

std::vector<int> MsiVectors::events(unsigned start, unsigned count) const {
  std::vector<int> numbers;
  for (auto index = start; index < start + count; ++index) {
    const auto& vector = vectors_[index];
    switch (vector.trigger) {
      case Trigger::none: numbers.push_back(-1); break;
      case Trigger::waiting:
      case Trigger::guest: numbers.push_back(vector.event.ref().number()); break;
      case Trigger::parked: numbers.push_back(vector.parked.ref().number()); break;
    }
  }
  return numbers;
}

// One call for each run of neighbours. `vectors` is ascending.
void MsiVectors::set_triggers(const std::vector<unsigned>& vectors) {
  for (std::size_t from = 0; from < vectors.size();) {
    auto to = from + 1;
    while (to < vectors.size() && vectors[to] == vectors[to - 1] + 1) ++to;
    const auto start = vectors[from];
    const auto count = static_cast<unsigned>(to - from);
    // A kernel before 6.5 cannot add vectors to those it has.
    if (device_.irq(kind_).fixed_count && start + count > host_count_) {
      grow(vectors.back() + 1);
      return;
    }
    // The enabling call allocates all vectors up to its last: let it be small.
    if (host_count_ == 0 && start != 0) report(set_run(0, 1));
    report(set_run(start, count));
    from = to;
  }
}

void MsiVectors::grow(unsigned count) {
  if (host_count_ != 0) report(device_.disable(kind_));
  host_count_ = 0;
  report(set_run(0, count));
}

Result<void> MsiVectors::set_run(unsigned start, unsigned count) {
  if (count == 0) return {};
  auto outcome = device_.set_triggers(kind_, start, events(start, count));
  if (outcome) {
    host_count_ = std::max(host_count_, start + count);
    return outcome;
  }
  // Forgotten, so that the guest's next unmask tries again.
  for (auto index = start; index < start + count; ++index) vectors_[index].trigger = Trigger::none;
  return outcome;
}

void MsiVectors::absorb(Vector& vector) {
  const auto& where = vector.trigger == Trigger::waiting ? vector.event : vector.parked;
  if (where && drain_eventfd(where.ref()) != 0) vector.is_pending = true;
}

void MsiVectors::deliver_parked(const std::vector<unsigned>& vectors) {
  for (const auto index : vectors) {
    auto& vector = vectors_[index];
    absorb(vector);
    if (std::exchange(vector.is_pending, false)) signal_eventfd(vector.event.ref());
  }
}

bool MsiVectors::pending(unsigned vector) {
  if (vector >= vectors_.size()) return false;
  absorb(vectors_[vector]);
  return vectors_[vector].is_pending;
}

unsigned MsiVectors::used() const {
  if (device_.irq(kind_).fixed_count || host_count_ == 0) return host_count_;
  const auto held = std::ranges::count_if(vectors_, [](const auto& each) { return each.trigger != Trigger::none; });
  // The call that enables the kind takes the first one.
  return static_cast<unsigned>(held) + (vectors_.front().trigger == Trigger::none ? 1U : 0U);
}

void MsiVectors::disable() {
  if (!std::exchange(enabled_, false)) return;
  if (std::exchange(host_count_, 0U) != 0) report(device_.disable(kind_));
  for (auto& vector : vectors_) {
    // An eventfd with an irqfd is empty: KVM takes what comes as it comes.
    if (vector.event && !vector.attached) (void)drain_eventfd(vector.event.ref());
    if (vector.parked) (void)drain_eventfd(vector.parked.ref());
    vector.is_pending = false;
    vector.trigger = Trigger::none;
  }
}

void MsiVectors::release() {
  enabled_ = false;
  for (auto& vector : vectors_) {
    if (std::exchange(vector.attached, false)) report(routes_.detach(vector.event.ref(), *vector.gsi));
  }
  if (std::exchange(host_count_, 0U) != 0) report(device_.disable(kind_));
  for (auto& vector : vectors_) {
    if (vector.gsi) routes_.release(*vector.gsi);
    vector = Vector{};
  }
  report(routes_.commit());
}

}  // namespace pcivm::vmm
