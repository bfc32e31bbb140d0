// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/assigned_device.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace pcivm::vmm {

namespace {

constexpr unsigned kMostReports = 20;

std::vector<BarRequest> requests_of(const vfio::OpenedDevice& facts) {
  std::vector<BarRequest> requests;
  for (const auto& bar : facts.guest_bars()) {
    requests.push_back(
        {.index = bar.index, .size = bar.size, .io = bar.io, .is_64bit = bar.wide, .prefetchable = bar.prefetchable});
  }
  return requests;
}

/// 1 to 4 bytes inside one dword of configuration space.
bool acceptable(std::uint16_t offset, std::size_t length) {
  return length != 0 && offset % 4U + length <= 4 && offset < 4096;
}

/// The write with Bus Master Enable taken out.
std::array<std::byte, 4> without_bus_master(std::span<const std::byte> data) {
  std::array<std::byte, 4> bytes{};
  std::ranges::copy(data, bytes.begin());
  bytes[0] &= ~std::byte{PCI_COMMAND_MASTER};
  return bytes;
}

}  // namespace

Result<std::unique_ptr<AssignedDevice>> AssignedDevice::create(const vfio::OpenedDevice& facts,
                                                               const AssignedWiring& wiring) {
  Events events{.request = TRY(make_eventfd()), .error = TRY(make_eventfd()), .intx = TRY(make_eventfd())};
  return std::unique_ptr<AssignedDevice>{new AssignedDevice{facts, wiring, std::move(events)}};
}

AssignedDevice::AssignedDevice(const vfio::OpenedDevice& facts, const AssignedWiring& wiring, Events events)
    : name_{facts.name()},
      wiring_{wiring},
      request_{std::move(events.request)},
      error_{std::move(events.error)},
      intx_{std::move(events.intx)},
      own_rom_{facts.own_rom},
      rom_{facts.rom},
      registers_{requests_of(facts)},
      msix_bar_{facts.msix_bar ? std::optional<unsigned>{facts.msix_bar->index} : std::nullopt},
      placed_(BarRegisters::kCount) {
  wiring_.report = [this](const Error& failure) { report(failure); };
  forward_report_ = wiring.report;
}

AssignedDevice::~AssignedDevice() { release(); }

void AssignedDevice::report(const Error& error) {
  const auto count = reports_++;
  if (count < kMostReports) forward_report_(error);
  if (count == kMostReports) {
    forward_report_(Error::make(error.kind(), fmt::format("{}: further reports are left out", name_)));
  }
}

std::vector<BarRequest> AssignedDevice::bars() const {
  // The requests do not change after construction.
  const auto requests = registers_.requests();
  return {requests.begin(), requests.end()};
}

void AssignedDevice::place_bar(unsigned index, std::uint64_t address) {
  const std::scoped_lock lock{mutex_};
  if (index >= placed_.size()) return;
  placed_[index] = address;
  registers_.place(index, address);
}

Result<void> AssignedDevice::arm(const vfio::Device& device) const {
  TRY(device.tell(vfio::Irq::request, request_.ref()));
  return device.tell(vfio::Irq::error, error_.ref());
}

// A guest that finds none goes on.
void AssignedDevice::read_rom(vfio::Device& device) {
  auto image = device.read_rom();
  if (image && !image->empty()) {
    rom_ = std::move(*image);
  } else if (image) {
    report(Error::make(Errc::kernel, fmt::format("{}: has no ROM, or none that the kernel can read", name_)));
  } else {
    report(std::move(image).error().within(fmt::format("{}: its ROM", name_)));
  }
}

Result<std::unique_ptr<AssignedFunction>> AssignedDevice::build(std::unique_ptr<vfio::Device> device) {
  TRY(arm(*device));
  if (own_rom_) read_rom(*device);
  const auto rom = std::exchange(rom_, {});
  return AssignedFunction::create({.device = std::move(device),
                                   .registers = registers_,
                                   .msix_bar = msix_bar_,
                                   .wiring = wiring_,
                                   .intx_event = intx_.ref(),
                                   .intx_lines = intx_lines_,
                                   .rom = rom,
                                   .mutex = mutex_,
                                   .name = name_});
}

Result<void> AssignedDevice::deliver(Result<std::unique_ptr<vfio::Device>> opened) {
  Result<void> outcome;
  {
    const std::scoped_lock lock{mutex_};
    if (delivered_ || released_) return {};
    // Under the lock: nobody has anything to do with the function before this is through.
    auto made = opened ? build(std::move(*opened)) : std::unexpected(std::move(opened).error());
    if (made) {
      function_ = std::move(*made);
    } else {
      outcome = fail(std::move(made).error());
    }
    delivered_ = true;
  }
  changed_.notify_all();
  return outcome;
}

AssignedFunction* AssignedDevice::function(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [this] { return delivered_ || released_; });
  return released_ ? nullptr : function_.get();
}

void AssignedDevice::config_read(std::uint16_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  if (!acceptable(offset, data.size())) return;
  std::unique_lock lock{mutex_};
  if (auto* const open = function(lock); open != nullptr) open->config_read(offset, data);
}

// Waited for without the lock, because another CPU may want a register meanwhile.
bool AssignedDevice::dma_allowed() {
  auto ready = wiring_.dma.wait();
  if (ready) return true;
  report(std::move(ready).error().within(fmt::format("{}: bus mastering stays off", name_)));
  return false;
}

void AssignedDevice::config_write(std::uint16_t offset, std::span<const std::byte> data) {
  if (!acceptable(offset, data.size())) return;
  std::array<std::byte, 4> filtered{};
  const bool masters = offset == PCI_COMMAND && (data[0] & std::byte{PCI_COMMAND_MASTER}) != std::byte{0};
  if (masters && !dma_allowed()) {
    filtered = without_bus_master(data);
    data = std::span{filtered}.first(data.size());
  }
  std::unique_lock lock{mutex_};
  if (auto* const open = function(lock); open != nullptr) open->config_write(offset, data);
}

void AssignedDevice::decode_again() {
  const std::scoped_lock lock{mutex_};
  if (function_ && !released_) function_->follow_registers();
}

std::optional<VectorUse> AssignedDevice::vectors() {
  const std::unique_lock lock{mutex_, std::try_to_lock};
  if (!lock || !function_) return std::nullopt;
  return function_->vectors();
}

void AssignedDevice::connect_intx(const IntxLines& lines) {
  const std::scoped_lock lock{mutex_};
  intx_lines_ = lines;
}

void AssignedDevice::interrupt() {
  const std::scoped_lock lock{mutex_};
  if (function_) {
    function_->intx_fired();
  } else {
    (void)drain_eventfd(intx_.ref());
  }
}

void AssignedDevice::end_of_interrupt(unsigned pin) {
  const std::scoped_lock lock{mutex_};
  if (function_) function_->end_of_interrupt(pin);
}

void AssignedDevice::want_intx(unsigned pin) {
  const std::scoped_lock lock{mutex_};
  intx_lines_.at(pin).wanted = true;
  if (function_ && !released_) function_->follow_command();
}

Result<void> AssignedDevice::reset_for_reboot() {
  std::unique_lock lock{mutex_};
  auto* const open = function(lock);
  if (open == nullptr) return {};
  TRY(open->reset());
  for (unsigned index = 0; index < placed_.size(); ++index) registers_.place(index, placed_[index]);
  return {};
}

void AssignedDevice::release() {
  {
    const std::scoped_lock lock{mutex_};
    released_ = true;
    if (function_) function_->release();
  }
  changed_.notify_all();
}

void AssignedDevice::close() {
  release();
  std::unique_ptr<AssignedFunction> function;  // goes without the lock
  const std::scoped_lock lock{mutex_};
  function_.swap(function);
}

}  // namespace pcivm::vmm
