// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/event_vectors.hpp"

#include <poll.h>

#include <algorithm>
#include <utility>

namespace pcivm::vmm {

EventVectors::EventVectors(std::span<const FdRef> events, InterruptRoutes& routes, const Report& report)
    : routes_{routes}, report_{report} {
  for (const auto event : events)
    vectors_.push_back({.event = event.number(), .gsi = {}, .message = {}, .attached = false});
}

EventVectors::~EventVectors() { disable(); }

void EventVectors::report(Result<void> outcome) const {
  if (!outcome) report_(outcome.error());
}

void EventVectors::enable(std::span<const Wanted> wanted) {
  enabled_ = true;
  update(0, wanted);
}

void EventVectors::update(unsigned first, std::span<const Wanted> wanted) {
  if (!enabled_ || first >= vectors_.size()) return;
  wanted = wanted.first(std::min(wanted.size(), vectors_.size() - first));
  std::vector<Vector*> routed;
  for (std::size_t index = 0; index < wanted.size(); ++index) {
    auto& vector = vectors_[first + index];
    if (vector.attached && wanted[index] == vector.message) continue;
    detach(vector);
    if (wanted[index] && route(vector, *wanted[index])) routed.push_back(&vector);
  }
  if (routed.empty()) return;
  if (auto committed = routes_.commit(); !committed) {
    report_(committed.error());
    // One route that KVM does not take would keep every other device from changing its own.
    for (const auto* vector : routed) routes_.clear(*vector->gsi);
    report(routes_.commit());
    return;
  }
  for (auto* vector : routed) {
    auto attached = routes_.attach(FdRef{vector->event}, *vector->gsi);
    vector->attached = attached.has_value();
    report(std::move(attached));
  }
}

void EventVectors::detach(Vector& vector) {
  if (std::exchange(vector.attached, false)) report(routes_.detach(FdRef{vector.event}, *vector.gsi));
}

bool EventVectors::route(Vector& vector, const MsiMessage& message) {
  if (!vector.gsi) {
    auto gsi = routes_.allocate();
    if (!gsi) {
      report_(gsi.error());
      return false;
    }
    vector.gsi = *gsi;
  }
  vector.message = message;
  routes_.route(*vector.gsi, message);
  return true;
}

void EventVectors::disable() {
  if (!enabled_) return;
  enabled_ = false;
  for (auto& vector : vectors_) detach(vector);
  for (auto& vector : vectors_) {
    if (vector.gsi) routes_.release(*vector.gsi);
    vector.gsi.reset();
    (void)drain_eventfd(FdRef{vector.event});
  }
  report(routes_.commit());
}

// Looks without taking: the count is what KVM will find.
bool EventVectors::pending(unsigned vector) {
  if (vector >= vectors_.size() || vectors_[vector].attached) return false;
  pollfd entry{.fd = vectors_[vector].event, .events = POLLIN, .revents = 0};
  return ::poll(&entry, 1, 0) == 1;
}

}  // namespace pcivm::vmm
