// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/signals.hpp"

#include <linux/virtio_pci.h>

#include <fmt/format.h>

namespace pcivm::vmm {

namespace {

constexpr unsigned kMostReports = 16;
constexpr std::uint8_t kIsrQueue = 1;

Result<std::vector<Fd>> make_events(unsigned count) {
  std::vector<Fd> events;
  for (unsigned index = 0; index < count; ++index) events.push_back(TRY(make_eventfd()));
  return events;
}

}  // namespace

Result<std::unique_ptr<VirtioSignals>> VirtioSignals::create(std::string name, unsigned queues, bool one_doorbell,
                                                             Report report) {
  std::unique_ptr<VirtioSignals> signals{new VirtioSignals{std::move(name), std::move(report)}};
  signals->doorbells_ = TRY(make_events(one_doorbell ? 1 : queues));
  signals->events_ = TRY(make_events(queues + 1));
  signals->queue_vectors_ = std::vector<std::atomic<std::uint16_t>>(queues);
  signals->reset();
  return signals;
}

void VirtioSignals::reset() {
  for (auto& vector : queue_vectors_) vector = kNoVector;
  config_vector_ = kNoVector;
  broken_ = false;
  const std::scoped_lock lock{mutex_};
  isr_ = 0;
  settle_line();
}

void VirtioSignals::interrupt(unsigned queue) { raise(queue_vectors_[queue], kIsrQueue); }

std::optional<FdRef> VirtioSignals::interrupt_event(unsigned queue) const {
  const std::uint16_t vector = queue_vectors_[queue];
  return msix_ && vector < events_.size() ? std::optional{events_[vector].ref()} : std::nullopt;
}

void VirtioSignals::config_changed() {
  ++generation_;
  raise(config_vector_, VIRTIO_PCI_ISR_CONFIG);
}

void VirtioSignals::broken(const Error& error) {
  if (broken_.exchange(true)) return;
  report(Error{error}.within("the guest's driver has to reset the device"));
  raise(config_vector_, VIRTIO_PCI_ISR_CONFIG);
}

void VirtioSignals::report(const Error& error) {
  const auto count = ++reports_;
  if (count <= kMostReports) report_(Error{error}.within(name_));
  if (count == kMostReports) report_(Error::make(Errc::kernel, fmt::format("{}: no more is reported", name_)));
}

void VirtioSignals::raise(std::uint16_t vector, std::uint8_t isr) {
  if (msix_) {
    if (vector < events_.size()) signal_eventfd(events_[vector].ref());
    return;
  }
  const std::scoped_lock lock{mutex_};
  isr_ = static_cast<std::uint8_t>(isr_ | isr);
  settle_line();
}

void VirtioSignals::settle_line() {
  if (line_ != nullptr) line_->set(isr_ != 0 && intx_allowed_ && !msix_);
}

void VirtioSignals::use_msix(bool on) {
  msix_ = on;
  const std::scoped_lock lock{mutex_};
  settle_line();
}

void VirtioSignals::allow_intx(bool on) {
  const std::scoped_lock lock{mutex_};
  intx_allowed_ = on;
  settle_line();
}

bool VirtioSignals::intx_asserted() const {
  const std::scoped_lock lock{mutex_};
  return isr_ != 0;
}

std::uint8_t VirtioSignals::take_isr() {
  const std::scoped_lock lock{mutex_};
  const auto isr = std::exchange(isr_, std::uint8_t{0});
  settle_line();
  return isr;
}

}  // namespace pcivm::vmm
